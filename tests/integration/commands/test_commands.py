"""Slash commands, components and waits on three real replicas: each interaction is answered once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from commands_bot import BOT, contents, per_replica, say_until, wait_synced
from fleet import answer, whole_logs

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for

#: Seconds; long enough for a busy machine, where no replica dies.
LONG_TTL = "6"


def slash_unhurried(discord: LocalDiscord, command: str, options: dict[str, Any], **how: Any) -> int:
    """Runs a command that takes its first answer after more than 3 s, too. Returns the interaction's id."""
    interaction = discord.slash(command, options, **how)
    discord.age_interaction(interaction, -60.0)
    return interaction


class Scene:
    """Three replicas of the bot, with registered commands."""

    def __init__(self, discord: LocalDiscord, fleet: Replicas) -> None:
        self.discord = discord
        self.fleet = fleet
        self.channel = discord.channel_ids[0]

    def ask(self, command: str, options: dict[str, Any] | None = None, **how: Any) -> dict[str, Any]:
        return answer(self.discord, self.discord.slash(command, options, **how))

    def choices(self, current: str) -> list[str] | None:
        interaction = self.discord.slash("order", {"fruit": current}, autocomplete="fruit")
        found = answer(self.discord, interaction)["choices"]
        return [choice["value"] for choice in found]


@pytest.fixture(scope="module")
def scene(local_etcd: LocalEtcd) -> Iterator[Scene]:
    with (
        LocalDiscord() as discord,
        Replicas(
            BOT,
            3,
            etcd=local_etcd,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": LONG_TTL, "DISCORDHA_NAME": LocalEtcd.namespace()},
            per_replica_env=per_replica(discord),
        ) as fleet,
    ):
        fleet.wait_ready(60)
        wait_synced(discord)
        yield Scene(discord, fleet)
        assert not discord.unknown_requests()


class TestCommands:
    def test_each_command_is_answered_once(self, scene: Scene) -> None:
        before = len(contents(scene.discord))
        load = scene.discord.load("slash", rate=100, count=200, template="roll")
        for sent in load.wait(30):
            state = answer(scene.discord, int(sent.key))
            assert state["content"] == "rolled 6 attempt 1"
            assert not state["followups"]
        callbacks = [each for each in scene.discord.requests() if each.path.endswith("/callback")]
        assert len({each.path for each in callbacks}) == len(callbacks)
        assert len(contents(scene.discord)) == before + 200

    def test_completion_is_an_event_where_the_command_ran(self, scene: Scene) -> None:
        scene.ask("roll")
        wait_for(lambda: "completed roll" in whole_logs(scene.fleet), 10, "on_app_command_completion")

    def test_options_are_resolved_as_annotated(self, scene: Scene) -> None:
        user = scene.discord.user_ids[2]
        state = scene.ask("order", {"fruit": "apple", "member": user, "size": "b", "amount": 3})
        assert state["content"] == "3 apple big for user2"
        assert scene.ask("order", {"fruit": "fig", "member": user})["content"] == "1 fig - for user2"

    def test_the_registered_commands(self, scene: Scene) -> None:
        known = {command["name"]: command for command in scene.discord.commands()}
        fruit = next(option for option in known["order"]["options"] if option["name"] == "fruit")
        assert fruit["autocomplete"] is True
        sides = known["roll"]["options"][0]
        assert (sides["description"], sides["required"]) == ("how many sides", False)
        assert known["Quote"]["type"] == 3

    def test_commands_are_synced_and_fetched_by_hand(self, scene: Scene) -> None:
        scene.discord.send(scene.channel, "!known")
        wanted = f"known {len(scene.discord.commands())} True"
        wait_for(lambda: wanted in contents(scene.discord), 10, wanted)

    def test_autocomplete(self, scene: Scene) -> None:
        assert scene.choices("ap") == ["apple", "apricot"]
        assert scene.choices("x") == []

    def test_groups_transformers_and_context_menus(self, scene: Scene) -> None:
        assert scene.ask("config set", {"key": "a", "value": "b"})["content"] == "a=b"
        assert scene.ask("tools shout", {"text": "hey"})["content"] == "HEY"
        message = scene.discord.send(scene.channel, "well said")
        interaction = scene.discord.context_menu("Quote", message_id=message)
        assert answer(scene.discord, interaction)["content"] == "> well said"

    def test_checks_and_error_handlers(self, scene: Scene) -> None:
        users = scene.discord.user_ids
        assert scene.ask("only", user_id=users[0])["content"] == "for you"
        state = scene.ask("only", user_id=users[1])
        assert (state["content"], state["ephemeral"]) == ("CheckFailure", True)
        scene.discord.slash("reign", user_id=users[1])
        scene.discord.slash("tools shout", {"text": "no"}, user_id=users[4])
        wait_for(
            lambda: "on_error /reign 1 MissingPermissions" in whole_logs(scene.fleet),
            10,
            "MissingPermissions",
        )
        wait_for(
            lambda: "on_error /tools shout 1 CheckFailure" in whole_logs(scene.fleet), 10, "CheckFailure"
        )

    def test_an_error_goes_to_on_error_with_the_handlers_line(self, scene: Scene) -> None:
        scene.discord.slash("fail")
        scene.discord.slash("order", {"fruit": "broken"}, autocomplete="fruit")
        wait_for(lambda: "on_error /fail 1 KeyError" in whole_logs(scene.fleet), 10, "the error")
        wait_for(
            lambda: "on_error /order 1 ValueError" in whole_logs(scene.fleet), 10, "the autocomplete's error"
        )
        assert 'raise KeyError("the handler\'s own")' in whole_logs(scene.fleet)

    def test_a_command_of_another_version_is_left_alone(self, scene: Scene) -> None:
        interaction = scene.discord.slash("unheard")
        wait_for(lambda: "command 'unheard' is unknown" in whole_logs(scene.fleet), 10, "the warning")
        assert scene.ask("roll")["content"]
        assert not scene.discord.interaction(interaction)["responded"]


#: How a handler fills the placeholder, and what Discord shows as follow-ups in the end.
FILLED = {"followup": [], "edit": [], "both": ["in private"], "fails": []}


@pytest.fixture(scope="module")
def asked(scene: Scene) -> dict[str, int]:
    """Slow commands, all sent at once, by name."""
    slash = scene.discord.slash
    return {
        "public": slash("slow", {"seconds": 5}),
        "private": slash("slow", {"seconds": 5, "ephemeral": True}),
        "silent": slash("silent"),
        "late_modal": slash("late_modal"),
        "never": slash("never"),
        **{how: slash("fills", {"how": how}) for how in FILLED},
        "autocomplete": slash("order", {"fruit": "slow"}, autocomplete="fruit"),
    }


class TestDefer:
    def test_a_slow_handlers_answer_becomes_the_follow_up(self, scene: Scene, asked: dict[str, int]) -> None:
        for name in ("public", "private"):
            wait_for(lambda name=name: scene.discord.interaction(asked[name])["thinking"], 10, "the defer")
        state = answer(scene.discord, asked["public"])
        assert (state["content"], state["followups"]) == ("slow but sure 5", [])

    def test_a_private_answer_is_not_shown_to_all(self, scene: Scene, asked: dict[str, int]) -> None:
        def state() -> dict[str, Any]:
            return scene.discord.interaction(asked["private"])

        wait_for(lambda: state()["followups"] == ["slow but sure 5"], 20, state)
        wait_for(lambda: state()["content"] is None, 10, "the placeholder to be gone")
        posted = [
            r
            for r in scene.discord.requests()
            if str(asked["private"]) in r.path and "slow but sure" in str(r.body)
        ]
        assert [r.body["flags"] & 64 for r in posted] == [64]

    def test_without_an_answer_the_placeholder_goes(self, scene: Scene, asked: dict[str, int]) -> None:
        def taken_away() -> bool:
            return any(
                r.method == "DELETE" and str(asked["silent"]) in r.path for r in scene.discord.requests()
            )

        wait_for(taken_away, 20, "what showed that the bot thinks to go")

    @pytest.mark.parametrize("how", FILLED)
    def test_a_filled_placeholder_stays(self, scene: Scene, asked: dict[str, int], how: str) -> None:
        def state() -> dict[str, Any]:
            return scene.discord.interaction(asked[how])

        wait_for(lambda: state()["content"] == "filled" and state()["followups"] == FILLED[how], 15, state)

        def over() -> bool:
            """The handler has ended: its replica looks after the placeholder."""
            mine = [r.method for r in scene.discord.requests() if str(asked[how]) in r.path]
            return mine[-1] not in {"POST", "PATCH"}

        if how != "both":
            wait_for(over, 10, "the end of the handler")
        assert (state()["content"], state()["followups"]) == ("filled", FILLED[how])
        assert not state()["thinking"]

    def test_no_modal_after_a_defer(self, scene: Scene, asked: dict[str, int]) -> None:
        assert "no modal can be shown" in answer(scene.discord, asked["late_modal"])["content"]

    def test_an_unanswerable_interaction_ends_with_one_log_line(
        self, scene: Scene, asked: dict[str, int]
    ) -> None:
        mention = f"interaction {asked['never']}"
        wait_for(lambda: f"({mention}, attempt 1)" in whole_logs(scene.fleet), 10, "the line")
        (line,) = [line for line in whole_logs(scene.fleet).splitlines() if mention in line]
        assert "/never can't be answered any more" in line

    def test_a_late_autocomplete_is_dropped(self, scene: Scene, asked: dict[str, int]) -> None:
        path = f"/interactions/{asked['autocomplete']}/"
        requests = scene.discord.requests
        wait_for(lambda: any(r.path.startswith(path) for r in requests()), 20, "the late answer")
        assert not scene.discord.interaction(asked["autocomplete"])["responded"]
        assert str(asked["autocomplete"]) not in whole_logs(scene.fleet)

    def test_an_answer_at_the_moment_of_the_defer(self, scene: Scene) -> None:
        asked = [
            slash_unhurried(scene.discord, "slow", {"seconds": 1.98 + 0.004 * index}) for index in range(12)
        ]
        for interaction in asked:
            state = answer(scene.discord, interaction)
            assert str(state["content"]).startswith("slow but sure"), state
            assert not state["followups"]


class TestComponents:
    @pytest.fixture
    def message(self, scene: Scene) -> int:
        return scene.discord.send(scene.channel, "with components")

    def test_the_closest_pattern_wins_on_any_replica(self, scene: Scene, message: int) -> None:
        replies = set()
        for number in range(12):
            interaction = scene.discord.click(f"vote:{number}:yes", message)
            state = answer(scene.discord, interaction)
            assert state["content"].startswith(f"vote {number} yes on r"), state
            assert state["ephemeral"]
            replies.add(state["content"].rsplit(" ", 1)[1])
        assert len(replies) > 1
        assert answer(scene.discord, scene.discord.click("vote:x", message))["content"] == "any vote"

    def test_selects_and_modals(self, scene: Scene, message: int) -> None:
        interaction = scene.discord.click("pick", message, values=["a", "b"])
        assert answer(scene.discord, interaction)["content"] == "picked a,b"
        modal = answer(scene.discord, scene.discord.click("open", message))["modal"]
        assert modal["custom_id"] == "feedback:1"
        interaction = scene.discord.submit("feedback:1", {"text": "good"})
        assert answer(scene.discord, interaction)["content"] == "feedback 1: good"

    def test_the_message_itself_is_edited_also_after_a_defer(self, scene: Scene) -> None:
        scene.ask("panel")
        message = scene.discord.messages()[-1].id
        assert answer(scene.discord, scene.discord.click("count:1", message))["content"] == "count 2"
        interaction = scene.discord.click("count:9", message)
        wait_for(
            lambda: scene.discord.interaction(interaction)["content"] == "count 10",
            15,
            "the edit after a defer",
        )

    def test_a_views_callback_runs_where_it_was_sent_and_the_pattern_anywhere(self, scene: Scene) -> None:
        interaction = scene.discord.slash("panel")
        sender = answer(scene.discord, interaction)["content"].split()[-1]
        sent = next(r for r in scene.discord.requests() if r.path.startswith(f"/interactions/{interaction}/"))
        rows = sent.body["data"]["components"]
        buttons = {each["label"]: each["custom_id"] for row in rows for each in row["components"]}
        message = scene.discord.interaction(interaction)["message_id"]
        state = answer(scene.discord, scene.discord.click(buttons["local"], message))
        assert state["content"] == f"local on {sender}"
        state = answer(scene.discord, scene.discord.click(buttons["vote"], message))
        assert state["content"].startswith("vote 7 yes on r")


class TestWaitFor:
    def test_an_event_of_the_same_channel(self, scene: Scene) -> None:
        channel = scene.discord.channel_ids[1]
        scene.discord.send(channel, "!ask 1")
        wait_for(lambda: "go on" in contents(scene.discord), 10, "the question")
        scene.discord.send(channel, "reply 2")
        say_until(scene.discord, channel, "reply 1", lambda: "heard reply 1" in contents(scene.discord))
        assert "heard reply 2" not in contents(scene.discord)

    def test_in_a_command_and_its_timeout(self, scene: Scene) -> None:
        channel = scene.discord.channel_ids[2]
        answer(scene.discord, scene.discord.slash("ask", channel_id=channel))
        say_until(
            scene.discord, channel, "answer 42", lambda: "you said answer 42" in contents(scene.discord)
        )
        answer(scene.discord, scene.discord.slash("ask", {"seconds": 0.3}, channel_id=channel))
        wait_for(lambda: "nothing" in contents(scene.discord), 10, "the time-out")

    def test_waiting_handlers_starve_no_others(self, scene: Scene) -> None:
        channel = scene.discord.channel_ids[3]
        for _ in range(6):
            asked = [
                slash_unhurried(scene.discord, "ask", {"seconds": 90}, channel_id=channel) for _ in range(40)
            ]
            for interaction in asked:
                answer(scene.discord, interaction, 60)
        assert scene.ask("roll", channel_id=channel)["content"]
        heard = "you said answer all"
        say_until(
            scene.discord, channel, "answer all", lambda: contents(scene.discord).count(heard) == 240, 60
        )

"""Bots for discord.py, ported by deleting ``async`` and ``await``, from a user's side.

They run side by side on a local Discord, each in processes of its own, and see all events, so that a test
looks at its own bot alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fleet import answer
from ported.port import BEFORE, REPLACED, ported
from rest import buttons, custom_ids, make_role, rest, roles_of

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.discord.records import BotMessage, Request

RED = "\N{LARGE RED CIRCLE}"
#: The bot of slash commands has a guild of its own; the others share the first one.
GUILDS = {"slash": 1}
#: Replicas of each bot; one where nothing is said.
COUNTS = {"persistent": 2}


class Scene:
    """The running bots, and the calls of each."""

    def __init__(self, discord: LocalDiscord) -> None:
        self.discord = discord
        self.channels = discord.channel_ids
        self.fleets: dict[str, Replicas] = {}
        self.role = make_role(discord, discord.guild_ids[0], "red")
        self.role_message = discord.send(self.channels[0], "react to me")
        rest(
            discord, "PATCH", f"/guilds/{discord.guild_ids[0]}", {"system_channel_id": str(self.channels[1])}
        )

    def guild(self, name: str) -> int:
        return self.discord.guild_ids[GUILDS.get(name, 0)]

    def channel(self, name: str) -> int:
        """The first channel of a bot's guild."""
        return self.channels[self.discord.guild_ids.index(self.guild(name)) * 8]

    def env(self, name: str) -> dict[str, str]:
        return {
            **self.discord.env(name),
            "DISCORDHA_NAME": LocalEtcd.namespace(),
            "MY_GUILD": str(self.guild(name)),
            "STAFF_CHANNEL": str(self.channel(name)),
            "ROLE_MESSAGE": str(self.role_message),
            "RED_ROLE": str(self.role),
        }

    def log(self, name: str) -> str:
        return "".join(replica.log_text() for replica in self.fleets[name])

    def messages(self, name: str, channel: int | None = None) -> list[BotMessage]:
        """The messages of a bot."""
        return [
            message
            for message in self.discord.messages()
            if message.replica == name and channel in (None, message.channel_id)
        ]

    def said(self, name: str, *contents: str, channel: int) -> None:
        """Waits until a bot has sent these texts into a channel, and no others."""

        def all_said() -> list[str]:
            return [message.content for message in self.messages(name, channel)]

        wait_for(
            lambda: all_said() == list(contents),
            15,
            lambda: f"{contents}, not {all_said()}\n{self.log(name)[-3000:]}",
            interval=0.01,
        )

    def ask(self, name: str, line: str, channel: int, user: int = 0) -> BotMessage:
        """A user writes a line; the answer."""
        before = len(self.messages(name, channel))
        self.discord.send(channel, line, self.discord.user_ids[user])
        wait_for(
            lambda: self.messages(name, channel)[before:],
            15,
            lambda: f"an answer to {line!r}\n{self.log(name)[-3000:]}",
            interval=0.01,
        )
        return self.messages(name, channel)[before]

    def requests(self, name: str, path: str, method: str = "POST") -> list[Request]:
        """A bot's calls whose path holds ``path``."""
        return [
            request
            for request in self.discord.requests()
            if request.replica == name and path in request.path and request.method == method
        ]

    def slash(self, name: str, command: str, options: dict[str, Any] | None = None) -> dict[str, Any]:
        return answer(self.discord, self.discord.slash(command, options, channel_id=self.channel(name)))

    def click(self, name: str, custom_id: str, message: int, channel: int, **how: Any) -> Any:
        """Presses a button, and returns the body of the answer."""
        interaction = self.discord.click(custom_id, message, channel_id=channel, **how)
        answer(self.discord, interaction)
        return self.requests(name, f"/interactions/{interaction}/")[-1].body

    def open(self, name: str, command: str, channel: int) -> tuple[BotMessage, Any]:
        """Sends a command that is answered with a view; the message, and its body."""
        message = self.ask(name, command, channel)
        return message, self.requests(name, f"/channels/{channel}/messages")[-1].body


@pytest.fixture(scope="module")
def scene(local_etcd: LocalEtcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The bots on a local Discord. At the end they drain without an error."""
    directory = tmp_path_factory.mktemp("ported")
    with LocalDiscord(guilds=2) as discord:
        scene = Scene(discord)
        fleets = scene.fleets
        try:
            for name in REPLACED:
                script = directory / f"{name}.py"
                script.write_text(ported(name), encoding="utf-8")
                fleets[name] = Replicas(
                    script, COUNTS.get(name, 1), etcd=local_etcd, discord=None, env=scene.env(name)
                )
                fleets[name].start()
            for fleet in fleets.values():
                fleet.wait_ready(90)
            yield scene
            for name in fleets:  # discord.py waits for more guilds first
                wait_for(lambda name=name: "TestBot" in scene.log(name), 20, f"{name}: ready")
            everyone = [replica for fleet in fleets.values() for replica in fleet]
            for replica in everyone:
                replica.drain()
            for replica in everyone:
                assert replica.wait_exit(30) == 0
                assert "Traceback" not in replica.log_text(), replica.log_text()
                assert "never awaited" not in replica.log_text()
            assert not discord.unknown_requests()
        finally:
            for fleet in fleets.values():
                fleet.close()


def test_every_bot_is_ported() -> None:
    assert {path.stem for path in BEFORE.glob("*.py")} == set(REPLACED)


class TestEvents:
    NAME = "events"

    def test_a_reply(self, scene: Scene) -> None:
        asked = scene.discord.send(scene.channels[2], "!greet")
        scene.said(self.NAME, "Good day", channel=scene.channels[2])
        assert scene.messages(self.NAME, scene.channels[2])[0].reference == asked

    def test_messages_that_are_edited_and_deleted(self, scene: Scene) -> None:
        here, there = scene.channels[3:5]
        scene.discord.send(here, "!correct")
        scene.said(self.NAME, "teh", "TestBot wrote 'teh', and then 'the'", channel=here)
        scene.discord.send(there, "!whisper")
        took = "TestBot took back {!r}".format
        texts = ["nobody saw this", "nor this, soon"]
        wait_for(lambda: len(scene.messages(self.NAME, there)) == 4, 15, "what was deleted")
        said = [message.content for message in scene.messages(self.NAME, there)]
        assert sorted(said) == sorted([*texts, *map(took, texts)])
        message = scene.discord.send(scene.channels[1], "oops")
        scene.discord.edit(scene.channels[1], message, "ouch")
        scene.discord.delete(scene.channels[1], message)
        scene.said(
            self.NAME,
            "user0 wrote 'oops', and then 'ouch'",
            "user0 took back 'ouch'",
            channel=scene.channels[1],
        )

    def test_a_bet(self, scene: Scene) -> None:
        quick, slow = scene.channels[5:7]
        scene.ask(self.NAME, "!bet", quick, user=1)
        scene.ask(self.NAME, "!bet", slow, user=2)
        scene.discord.send(quick, "high", scene.discord.user_ids[3])  # another user's
        scene.discord.send(quick, "middle", scene.discord.user_ids[1])

        def verdicts() -> list[BotMessage]:
            # The bot waits from a moment after its question on.
            scene.discord.send(quick, "high", scene.discord.user_ids[1])
            return scene.messages(self.NAME, quick)[1:]

        verdict = wait_for(verdicts, 15, "the verdict", interval=0.2)[0].content
        assert verdict in {"You win.", "It is low."}
        scene.said(self.NAME, "High or low?", "The table is closed.", channel=slow)

    def test_a_welcome(self, scene: Scene) -> None:
        user = scene.discord.join(scene.discord.guild_ids[0])
        wait_for(
            lambda: (
                scene.messages(self.NAME, scene.channels[1])[-1].content == f"<@{user}> comes into guild0"
            ),
            15,
            "a welcome",
        )

    def test_roles_for_reactions(self, scene: Scene) -> None:
        guild, user = scene.discord.guild_ids[0], scene.discord.user_ids[0]
        react = (scene.channels[0], scene.role_message, RED, user)
        scene.discord.react(*react)
        wait_for(lambda: roles_of(scene.discord, guild, user) == [scene.role], 10, "the role")
        scene.discord.unreact(*react)
        wait_for(lambda: roles_of(scene.discord, guild, user) == [], 10, "the role to go")


class TestSlashCommands:
    NAME = "slash"

    @pytest.fixture(autouse=True)
    def _synced(self, scene: Scene) -> None:
        wait_for(lambda: scene.discord.commands(scene.guild(self.NAME)), 20, "the commands")

    def test_options(self, scene: Scene) -> None:
        user, other = scene.discord.user_ids[:2]
        channel = scene.channel(self.NAME)
        for command, options, said in (
            ("knock", {}, f"Come in, <@{user}>"),
            ("hall", {"rows": 20, "seats": 30}, "600 people"),
            ("announce", {"text": "well"}, "well"),
            ("ticket", {"kind": "return", "to": "Rome"}, "One return to Rome"),
            ("drink", {"drink": 2}, "coffee, number 2"),
            ("sit", {"seat": "3-14"}, "row 3, seat 14"),
            ("paint", {"colour": "#ff8000"}, "255 of red, 0 of blue"),
        ):
            assert scene.slash(self.NAME, command, options)["content"] == said
        assert scene.slash(self.NAME, "since")["content"].startswith("user0: <t:")
        assert scene.slash(self.NAME, "since", {"who": other})["content"].startswith("user1: <t:")
        asked = scene.discord.slash("where-is", {"place": channel}, channel_id=channel)
        answer(scene.discord, asked)
        card = scene.requests(self.NAME, f"/interactions/{asked}/")[-1].body["data"]["embeds"][0]
        assert [field["value"] for field in card["fields"]] == ["written", str(channel)]

    def test_menus(self, scene: Scene) -> None:
        channel, user = scene.channel(self.NAME), scene.discord.user_ids[0]
        asked = scene.discord.context_menu("Since when?", target_user=user, channel_id=channel)
        assert answer(scene.discord, asked)["content"].startswith("since <t:")
        message = scene.discord.send(channel, "spam")
        asked = scene.discord.context_menu("Call the staff", message_id=message, channel_id=channel)
        assert answer(scene.discord, asked)["ephemeral"]
        calls = lambda: scene.requests(self.NAME, f"/channels/{channel}/messages")  # noqa: E731
        body = wait_for(calls, 10, "the call")[-1].body
        assert body["embeds"][0]["description"] == "spam"
        assert buttons(body)[0][0]["url"].endswith(f"/{message}")

    @pytest.mark.parametrize(
        ("about", "said"), [("soup", "We are sorry about soup"), ("everything", "No, that is too much")]
    )
    def test_a_form(self, scene: Scene, about: str, said: str) -> None:
        modal = scene.slash(self.NAME, "complain")["modal"]
        fields = [row["components"][0]["custom_id"] for row in modal["components"]]
        sent = scene.discord.submit(
            modal["custom_id"], dict.fromkeys(fields, about), channel_id=scene.channel(self.NAME)
        )
        state = answer(scene.discord, sent)
        assert (state["content"], state["ephemeral"]) == (said, True)


class TestViews:
    NAME = "views"

    def test_a_button_that_counts(self, scene: Scene) -> None:
        here = scene.channels[0]
        message, body = scene.open(self.NAME, "$card", here)
        for count in range(3):
            body = scene.click(self.NAME, custom_ids(body)[f"{count} of 3"], message.id, here)
        assert custom_ids(body).keys() == {"3 of 3"}
        assert buttons(body)[0][0]["disabled"]

    def test_a_view_for_one_user(self, scene: Scene) -> None:
        here = scene.channels[0]
        message, body = scene.open(self.NAME, "$cards", here)
        press = scene.discord.click(custom_ids(body)["A card, please"], message.id, channel_id=here)
        state = answer(scene.discord, press)
        assert (state["content"], state["ephemeral"]) == ("Only for you", True)
        body = scene.requests(self.NAME, f"/interactions/{press}/")[-1].body
        body = scene.click(self.NAME, custom_ids(body)["0 of 3"], state["message_id"], here)
        assert custom_ids(body).keys() == {"1 of 3"}

    def test_a_view_that_is_waited_for(self, scene: Scene) -> None:
        here = scene.channels[1]
        message, body = scene.open(self.NAME, "$offer", here)
        said = scene.click(self.NAME, custom_ids(body)["Buy"], message.id, here)
        assert said["data"]["content"] == "Noted"
        wait_for(lambda: "The thing was bought" in scene.log(self.NAME), 10, "the end of the wait")

    def test_a_select_and_a_link(self, scene: Scene) -> None:
        here = scene.channels[2]
        message, body = scene.open(self.NAME, "$ice", here)
        select = buttons(body)[0][0]["custom_id"]
        said = scene.click(self.NAME, select, message.id, here, values=["lemon", "cherry"])
        assert said["data"]["content"] == "Here is lemon and cherry"
        message, body = scene.open(self.NAME, "$find high availability", here)
        assert message.content == "About high availability"
        assert buttons(body)[0][0]["url"].endswith("?q=high+availability")

    def test_a_press_before_the_answer_to_the_message(self, scene: Scene) -> None:
        """Users see a message before the bot has Discord's answer to the request that sent it."""
        here = scene.channels[4]
        path = f"/channels/{here}/messages"
        scene.discord.fault_rest(
            method="POST", path=path, replica=self.NAME, delay=0.5, when="after", count=1
        )
        message, body = scene.open(self.NAME, "$card", here)
        body = scene.click(self.NAME, custom_ids(body)["0 of 3"], message.id, here)
        assert custom_ids(body).keys() == {"1 of 3"}

    def test_a_game(self, scene: Scene) -> None:
        here = scene.channels[3]
        message, body = scene.open(self.NAME, "$board", here)
        said = []
        for row, column in [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]:
            body = scene.click(self.NAME, buttons(body)[row][column]["custom_id"], message.id, here)
            said.append(body["data"]["content"])
        assert said == ["O is next", "X is next", "O is next", "X is next", "X has won"]
        assert all(button["disabled"] for row in buttons(body) for button in row)


def test_prefix_commands(scene: Scene) -> None:
    name, here = "prefix", scene.channels[7]
    guild, user = scene.discord.guild_ids[0], scene.discord.user_ids[1]
    for line, said in (
        ("?sum 1 2 3", "6"),
        ("?dice 2x1", "1 1"),
        ("?dice many", "Write it as 2x6."),
        ("?decide tea", "tea"),
        ("?echo 1 'so so'", "so so"),
        ("?tidy attic", "attic is a mess"),
        ("?tidy kitchen", "The kitchen is tidy"),
        ("?card user1", f"user1, number {user}"),
        ("?card nobody", "Nobody knows them."),
        ("?call channel0", "the room channel0"),
        (f"?call <@{user}>", "the guest user1"),
        ("?call nobody", "nobody is neither a room nor a guest"),
        (f"?send_to <@{user}> 5 a", "user1: ['int', 'str']"),
        ("?lock user1 user2 noise at night", "2 for noise at night"),
        ("?vault", "Hush!"),
        (f"?vault speak den <@{user}>", "den for 3"),
    ):
        assert scene.ask(name, line.replace("'", '"'), here).content == said
    assert scene.ask(name, "?guest user1", here).content.startswith("user1: <t:")
    scene.discord.send(here, "?guess 1")
    wait_for(lambda: scene.requests(name, "/reactions/", "PUT"), 10, "a vote")
    keeper = make_role(scene.discord, guild, "keeper")
    rest(scene.discord, "PUT", f"/guilds/{guild}/members/{user}/roles/{keeper}")
    assert scene.ask(name, "?vault write diary", here, user=2).content == "You have no key."
    assert scene.ask(name, f"?vault write diary <@&{keeper}>", here, user=1).content == "diary for 3"
    made = [request.body["name"] for request in scene.requests(name, f"/guilds/{guild}/channels")]
    assert made == ["den", "diary"]


def test_views_that_outlive_all_replicas(scene: Scene) -> None:
    name, here = "persistent", scene.channels[4]
    fleet, (owner, other, *_) = scene.fleets[name], scene.discord.user_ids
    ballot, _ = scene.open(name, "$ballot", here)
    beads, body = scene.open(name, "$beads", here)

    def press_all(count: int) -> None:
        for custom_id, said in (("ballot:aye", "One more for it"), ("ballot:nay", "One more against it")):
            press = scene.discord.click(custom_id, ballot.id, channel_id=here, user_id=other)
            assert answer(scene.discord, press)["content"] == said
        body = scene.click(name, f"beads:{owner}:{count}", beads.id, here, user_id=owner)
        assert custom_ids(body) == {f"{count + 1} beads": f"beads:{owner}:{count + 1}"}

    assert custom_ids(body) == {"0 beads": f"beads:{owner}:0"}
    press_all(0)
    fleet[0].kill()
    fleet[1].drain()
    assert fleet[1].wait_exit(30) == 0
    for replica in fleet:
        replica.start()
    fleet.wait_ready(60)
    press_all(1)
    foreign = scene.discord.click(f"beads:{owner}:2", beads.id, channel_id=here, user_id=other)
    press_all(2)
    assert not scene.discord.interaction(foreign)["responded"]

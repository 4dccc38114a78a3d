"""Slash commands whose replica dies, is paused, drains or is killed under load: each is answered once."""

from __future__ import annotations

import pytest
from commands_bot import contents, say_until, started, wait_looked
from fleet import answer, whole_logs

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


@pytest.mark.parametrize(
    ("when", "content"),
    [("deferred", "after the defer"), ("after", "crash after")],
)
def test_a_replica_that_dies_over_a_command_is_replaced(
    replicas: ReplicasFactory, local_discord: LocalDiscord, when: str, content: str
) -> None:
    fleet = started(replicas, local_discord, 3, restart=True)
    interaction = local_discord.slash("crash", {"when": when})
    wait_for(lambda: sum(replica.runs for replica in fleet) == 4, 20, "the death")
    wait_for(lambda: "is taken over (attempt 2)" in whole_logs(fleet), 20, "the takeover")
    state = answer(local_discord, interaction)
    # Answered once: the second attempt completes the defer, or finds the answer.
    assert answer(local_discord, local_discord.slash("roll"))["content"]
    wait_looked(local_discord, interaction)
    assert (state["content"], state["followups"]) == (content, [])
    assert "Traceback" not in whole_logs(fleet)


def test_a_replica_is_killed_under_a_load_of_commands(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = started(replicas, local_discord, 3)
    load = local_discord.load("slash", rate=100, count=300, template="roll")

    def keeps_up() -> bool:
        """Whether nearly all are answered, since one that waits when its replica dies may be too late."""
        answers = local_discord.counters()["messages"]
        return answers > 100 and len(load.sent()) - answers <= 5

    wait_for(keeps_up, 30, "the middle, and nothing that waits")
    fleet[1].kill()

    def state(interaction: int) -> str:
        found = local_discord.interaction(interaction)
        assert not found["followups"]
        if found["responded"]:
            return str(found["content"])
        return "gone" if f"any more (interaction {interaction}, attempt 2)" in whole_logs(fleet) else ""

    left = [int(sent.key) for sent in load.wait(30)]

    def all_ended() -> bool:
        left[:] = [interaction for interaction in left if not state(interaction)]
        return not left

    wait_for(all_ended, 30, lambda: f"an end of {left}", interval=0.1)
    callbacks = [r for r in local_discord.requests() if r.path.endswith("/callback") and r.status == 200]
    assert len({each.path for each in callbacks}) == len(callbacks) == len(local_discord.messages())
    assert len(callbacks) >= 280
    assert "Traceback" not in whole_logs(fleet)


def test_a_replica_that_is_paused_over_a_command_says_nothing_more(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = started(replicas, local_discord, 2)
    interaction = local_discord.slash("slow", {"seconds": 5})
    wait_for(lambda: local_discord.interaction(interaction)["thinking"], 10, "the defer")
    deferred = next(r for r in local_discord.requests() if str(interaction) in r.path)
    owner = next(each for each in fleet if f"r{each.index}" == deferred.replica)
    owner.pause()
    state = answer(local_discord, interaction, 40)
    owner.resume()
    wait_for(lambda: "may have lost interaction" in owner.log_text(), 20, "the paused one to hear of it")
    assert local_discord.interaction(interaction) == state
    assert (state["content"], state["followups"]) == ("slow but sure 5", [])
    assert "Traceback" not in whole_logs(fleet)


def test_an_interaction_that_is_taken_over_too_late_ends_with_a_line(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = started(replicas, local_discord, 2, DISCORDHA_SESSION_TTL="3")
    interaction = local_discord.slash("crash", {"when": "before"})
    local_discord.age_interaction(interaction, 1.0)
    expected = f"/crash can't be answered any more (interaction {interaction}, attempt 2)"
    wait_for(lambda: expected in whole_logs(fleet), 30, "the line")
    assert "Traceback" not in whole_logs(fleet)
    assert not local_discord.interaction(interaction)["responded"]


def test_a_command_waits_no_more_when_its_replica_drains(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = started(replicas, local_discord, 2, DISCORDHA_DRAIN_TIMEOUT="3")
    channel = local_discord.channel_ids[0]
    local_discord.send(channel, "!ask 5")
    wait_for(lambda: len(local_discord.messages()) == 1, 10, "the question")
    owner = next(each for each in fleet if f"r{each.index}" == local_discord.messages()[0].replica)
    owner.drain()
    assert owner.wait_exit(20) == 0
    wait_for(lambda: "is taken over (attempt 2)" in whole_logs(fleet), 10, "another to wait")
    wait_for(lambda: sum(r.duplicate for r in local_discord.requests()) == 1, 10, "it to ask again, in vain")
    say_until(local_discord, channel, "reply 5", lambda: len(local_discord.messages()) == 2)
    assert contents(local_discord) == ["go on", "heard reply 5"]

"""Partials, callable objects and lambdas have names that survive their process, wherever declared."""

from __future__ import annotations

from fleet import BOTS, answer, per_replica

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_their_messages_appear_once(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    fleet = replicas(
        BOTS / "odd_callables.py",
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "2"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    wait_for(local_discord.commands, 20, "the command")
    wait_for(local_discord.messages, 20, "the loop's message")  # before its leader may die
    channel = local_discord.channel_ids[0]
    local_discord.send(channel, "!go")
    wait_for(
        lambda: sum(request.duplicate for request in local_discord.requests()) == 4,
        20,
        lambda: f"each to be sent again, not {local_discord.messages()}",
    )
    assert sorted(message.content for message in local_discord.messages()) == [
        "it ticked",
        "lambda",
        "object",
        "one of __main__.say",
        "two of __main__.say#1",
    ]
    pressed = local_discord.click("press:7", local_discord.messages()[0].id)
    assert answer(local_discord, pressed)["content"] == "pressed 7"
    assert answer(local_discord, local_discord.slash("answer"))["content"] == "commanded bound"

"""A bot with ``ha=False``: what it promises without etcd, on the store in memory."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from typing import Any

import discord
import pytest

from discordha import DiscordHA, VoiceCommand, current_event
from discordha.testing import LocalDiscord, wait_for

#: The threads of coordination that a replica without peers has.
COORDINATION = {"discordha-commit", "discordha-retention", "discordha-watch"}
#: Those that only peers need.
FOR_PEERS = {"discordha-session", "discordha-members", "discordha-election", "discordha-leader"}


@pytest.fixture
def ha(local_discord: LocalDiscord, monkeypatch: pytest.MonkeyPatch) -> DiscordHA:
    for name, value in local_discord.env().items():
        monkeypatch.setenv(name, value)
    return DiscordHA.from_env(ha=False, intents=discord.Intents.all())


def test_it_leads_from_the_start_and_stands_alone(ha: DiscordHA) -> None:
    ran = threading.Event()
    ha.loop(seconds=60)(ran.set)
    with ha:
        assert ha.is_leader()
        assert ha.leader() == ha.replica_id
        assert list(ha.replicas()) == [ha.replica_id]
        assert ran.wait(10)
        assert ha.wait_until_ready(30)
        names = {thread.name for thread in threading.enumerate()}
        assert names >= COORDINATION
        assert not names & FOR_PEERS
        cache = ha.cache("c")
        assert [cache.increment("n"), cache.get_or_set("k", lambda: {"a": 1})] == [1, {"a": 1}]
        with ha.lock("l", 0.0) as lock:
            assert lock.fencing_token > 0
            cache.set("n", 5)
        assert ha.cache("c", local=True)["n"] == 5
        ha.send_voice_command(VoiceCommand("music", 1, 2, "song"))
        with ha.watch_voice_commands("music") as deliveries:
            delivery = deliveries.get(10)
            assert delivery is not None
            delivery.ack()
        assert ha.lock_voice("music", 1)
        assert ha.unlock_voice("music", 1)


def test_each_event_is_handled_once_and_equal_ones_are_told_apart(
    ha: DiscordHA, local_discord: LocalDiscord
) -> None:
    messages: list[tuple[int, int]] = []
    reactions: list[tuple[int, int]] = []

    @ha.event
    def on_message(message: Any) -> None:
        event = current_event()
        assert event is not None
        messages.append((message.id, event.fencing_token))

    @ha.event
    def on_raw_reaction_add(payload: Any) -> None:
        event = current_event()
        assert event is not None
        reactions.append((event.occurrence, event.fencing_token))

    with ha:
        assert ha.wait_until_ready(30)
        channel, user = local_discord.channel_ids[0], local_discord.user_ids[0]
        sent = [local_discord.send(channel, f"{number}") for number in range(5)]
        for _ in range(3):
            local_discord.react(channel, sent[0], "👍", user)
            local_discord.unreact(channel, sent[0], "👍", user)
        wait_for(lambda: len(messages) == 5 and len(reactions) == 3, 20, "all to be handled")
    assert [message for message, _ in messages] == sent
    assert [occurrence for occurrence, _ in reactions] == [1, 2, 3]
    for tokens in ([token for _, token in messages], [token for _, token in reactions]):
        assert tokens == sorted(set(tokens))
        assert tokens[0] > 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_end_its_parents_replica(ha: DiscordHA) -> None:
    with ha:
        child = multiprocessing.get_context("fork").Process(target=ha.stop)
        child.start()
        child.join(10)
        assert child.exitcode == 0
        assert [ha.call(asyncio.sleep(0, number), 5.0) for number in range(3)] == [0, 1, 2]
        assert ha.wait_until_ready(30)

"""A client that its bot's code closes or cuts off: the replica drains, reconnects, or ends with a reason."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import discord
import pytest
from fleet import BOTS, answered, per_replica
from gateway_line import Line

from discordha.gateway.client import ShardClient
from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


@pytest.fixture
def line(local_discord: LocalDiscord) -> Iterator[Line]:
    line = Line(local_discord)
    try:
        line.open()
        yield line
    finally:
        line.gateway.stop(1.0)


def on_loop(line: Line, coroutine: Coroutine[Any, Any, object]) -> None:
    asyncio.run_coroutine_threadsafe(coroutine, line.gateway.loop).result(20)


async def cancel_all() -> None:
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def through_with(client: ShardClient) -> None:
    async with client:
        pass


CONNECTED_AFTER: dict[str, Callable[[ShardClient], Coroutine[Any, Any, object]]] = {
    "close": lambda client: client.close(),
    "async with": through_with,
    "the end of the socket": lambda client: client.ws.close(1000),
    "all tasks cancelled": lambda client: cancel_all(),
}
ENDED_AFTER: dict[str, Callable[[ShardClient], Coroutine[Any, Any, object]]] = {
    "discord.py's close": discord.Client.close,
    "its HTTP session's end": lambda client: client.http.close(),
}


@pytest.mark.parametrize("way", CONNECTED_AFTER)
def test_the_client_receives_events_after(line: Line, way: str) -> None:
    on_loop(line, CONNECTED_AFTER[way](line.gateway.clients[0]))
    line.hear(f"after {way}")
    assert line.fatal == []
    assert line.close_asked == (way in {"close", "async with"})


@pytest.mark.parametrize("way", ENDED_AFTER)
def test_the_replica_is_told_of_the_end(line: Line, way: str) -> None:
    on_loop(line, ENDED_AFTER[way](line.gateway.clients[0]))
    wait_for(lambda: line.fatal, 20, "the reason")
    assert "closed" in str(line.fatal[0])


def test_the_replica_is_told_of_the_loops_end(line: Line) -> None:
    async def leave() -> None:
        sys.exit(3)

    asyncio.run_coroutine_threadsafe(leave(), line.gateway.loop)
    wait_for(lambda: line.fatal, 20, "the reason")
    assert "the gateway's loop has ended: SystemExit" in str(line.fatal[0])


def test_a_bot_that_closes_its_client_drains_one_replica(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    """discord.py's way of ``!shutdown``. The event gets its mark: the next replica lives."""
    fleet = replicas(BOTS / "closes.py", 2, discord=None, per_replica_env=per_replica(local_discord))
    fleet.wait_ready(60)
    channel = local_discord.channel_ids[0]
    local_discord.send(channel, "!shutdown")
    first = wait_for(lambda: next((each for each in fleet if not each.alive), None), 20, "one to end")
    assert first.returncode == 0
    assert "the bot called close() of its client" in first.run_text()
    other = next(each for each in fleet if each is not first)
    local_discord.send(channel, "!ping 1")
    wait_for(lambda: len(answered(local_discord)) == 1, 20, "the other's answer")
    assert other.alive
    assert "was asked to close" not in other.run_text()
    assert len(answered(local_discord, "bye")) == 1  # sent after close()

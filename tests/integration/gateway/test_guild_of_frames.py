"""The guild that a frame names, by which claims are partitioned: the same on every replica, whatever its
cache, and however the frame comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from gateway_line import Line

from discordha.testing import LocalDiscord, wait_for


@pytest.fixture
def line(local_discord: LocalDiscord) -> Iterator[Line]:
    one = Line(local_discord)
    one.open()
    yield one
    one.gateway.stop(5.0)


def replay(line: Line, raw: str) -> None:
    async def again() -> None:
        line.gateway.clients[0].replay(raw)

    asyncio.run_coroutine_threadsafe(again(), line.gateway.loop).result(20)


def test_messages_are_of_their_guild_and_direct_ones_of_none(line: Line, local_discord: LocalDiscord) -> None:
    line.send("here")
    local_discord.direct_message("between us")
    line.send("here again")
    wait_for(lambda: len(line.messages) == 3, 20, "the messages")
    guild = line.landmarks[0][0]
    assert guild > 0
    assert line.guilds == {"here": guild, "between us": 0, "here again": guild}
    for raw in list(line.raws):  # as a takeover does, from what etcd keeps
        replay(line, raw)
    assert line.guilds == {"here": guild, "between us": 0, "here again": guild}
    assert len(line.messages) == 6


def test_a_guild_that_discord_py_does_not_know_counts_and_one_that_is_only_mentioned_does_not(
    line: Line,
) -> None:
    line.send("known")
    wait_for(lambda: line.raws, 20, "a frame")
    frame = json.loads(line.raws[0])
    frame["d"] |= {
        "content": "stranger",
        "guild_id": "4200000000000",
        "channel_id": "4300000000000",
        "message_reference": {"guild_id": str(line.landmarks[0][0]), "channel_id": "1", "message_id": "2"},
    }
    replay(line, json.dumps(frame))
    assert line.guilds["stranger"] == 4200000000000

"""A client of the gateway that fetches what was missed, and what it found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import discord
from gateway_line import Line

from discordha.catch_up.fetch import HistoryFetcher
from discordha.catch_up.missed import Missed, Outcome, Progress
from discordha.catch_up.plan import KEPT
from discordha.testing import LocalDiscord

__all__ = ["Fetched", "Stopped", "fetched", "moment_now", "on_line"]


def moment_now() -> int:
    """A moment that is later than all before and earlier than all to come."""
    time.sleep(0.002)
    now = int(time.time() * 1000) - 1_420_070_400_000 << 22
    time.sleep(0.002)
    return now


class Stopped(Exception):
    """``deliver`` takes no more."""


class Fetched:
    """One run of the fetcher.

    :ivar outcome: ``None`` where it was stopped.
    """

    def __init__(self) -> None:
        self.events: list[Missed] = []
        self.progress: list[Progress] = []
        self.outcome: Outcome | None = None

    @property
    def done(self) -> dict[str, int]:
        """The cursors so far."""
        return {each.source: each.cursor for each in self.progress}

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """The payloads of some types, in order."""
        return [event.payload for event in self.events if event.type in kinds]

    def contents(self, channel_id: int) -> list[str]:
        """The messages of a channel, in order; of an edit with a mark."""
        return [
            event.payload["content"] + ("*" if event.type == "MESSAGE_UPDATE" else "")
            for event in self.events
            if event.order_key == str(channel_id) and event.type.startswith("MESSAGE")
        ]

    @property
    def skipped(self) -> dict[str, str]:
        """The reasons, by source."""
        assert self.outcome is not None
        return {each.source: each.reason for each in self.outcome.skipped}


@contextmanager
def on_line(local: LocalDiscord, **settings: Any) -> Iterator[Line]:
    """A client that knows its guilds."""
    line = Line(local, **settings)
    try:
        line.open()
        yield line
    finally:
        line.gateway.stop(5.0)


def fetched(
    line: Line,
    since: int,
    *,
    until: int | None = None,
    wanted: frozenset[str] = KEPT,
    limit: int = 1000,
    done: Mapping[str, int] | None = None,
    deliver: Callable[[Missed], Awaitable[None]] | None = None,
    timeout: float = 30.0,
) -> Fetched:
    """Runs a fetcher to its end, or until ``deliver`` has ``Stopped``."""
    result = Fetched()
    end = moment_now() if until is None else until

    async def take(event: Missed) -> None:
        if deliver is not None:
            await deliver(event)
        result.events.append(event)

    async def run() -> None:
        client: discord.Client = line.gateway.clients[0]
        fetcher = HistoryFetcher(
            client,
            wanted=wanted,
            since=since,
            until=end,
            limit=limit,
            done=done or {},
        )
        result.outcome = await fetcher.run(take, result.progress.append)

    with suppress(Stopped):
        asyncio.run_coroutine_threadsafe(run(), line.gateway.loop).result(timeout)
    return result

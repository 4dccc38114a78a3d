"""Fetches what Discord keeps of the time between two moments. Thin: messages of text channels alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import discord

__all__ = ["FETCHED", "HistoryFetcher", "Missed", "Outcome", "Progress"]

FETCHED = frozenset({"MESSAGE_CREATE"})


@dataclass(frozen=True)
class Missed:
    """One event."""

    type: str
    payload: dict[str, Any]
    snowflake: int | None
    order_key: str
    source: str
    cursor: int
    moment: int


@dataclass(frozen=True)
class Progress:
    """How far it is."""

    waiting: frozenset[str] | None
    sources: int = 0
    sources_done: int = 0
    messages: int = 0
    requests: int = 0


@dataclass(frozen=True)
class Outcome:
    """How it ended."""

    counts: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()


class HistoryFetcher:
    """See the module."""

    def __init__(
        self,
        client: discord.Client,
        *,
        wanted: frozenset[str],
        since: int,
        until: int,
        limit: int,
        done: Mapping[str, int],
    ) -> None:
        self._client = client
        self._wanted = wanted
        self._since = since
        self._until = until
        self._limit = limit
        self._done = done

    async def run(
        self, deliver: Callable[[Missed], Awaitable[None]], progressed: Callable[[Progress], None]
    ) -> Outcome:
        """Fetches all."""
        channels = [
            channel
            for guild in self._client.guilds
            for channel in [*guild.text_channels, *guild.threads]
            if (channel.last_message_id or 0) > self._since
        ]
        waiting = {str(channel.id) for channel in channels}
        progressed(Progress(frozenset(waiting), len(channels)))
        count = requests = 0
        for channel in channels:
            after = max(self._since, self._done.get(f"m/{channel.id}", 0))
            while True:
                page = await self._client.http.logs_from(channel.id, 100, after=after)
                requests += 1
                for message in reversed(page):
                    id = int(message["id"])
                    after = max(after, id)
                    data: Any = {**message, "guild_id": str(channel.guild.id)}
                    await deliver(
                        Missed("MESSAGE_CREATE", data, id, str(channel.id), f"m/{channel.id}", id, id)
                    )
                    count += 1
                if len(page) < 100:
                    break
            waiting.discard(str(channel.id))
            done = len(channels) - len(waiting)
            progressed(Progress(frozenset(waiting), len(channels), done, count, requests))
        return Outcome({"MESSAGE_CREATE": count})

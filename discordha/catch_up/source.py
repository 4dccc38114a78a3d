"""A source of missed events: one listing of Discord's, read request by request.

Guarantees
- ``step`` makes one request and hands on what it brought, in order. A refused request changes nothing: the
  step can be repeated.
- ``cursor`` is a moment up to which all of the source was handed on. A source that begins at the cursor of an
  earlier one hands on the rest. Events of one moment are handed on together: the cursor never parts them.
- What happened in a guild before the bot joined it is not handed on: no gateway would have sent it.

Threads and locks: everything runs on the gateway's loop; one step of a source at a time.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import discord

from discordha.catch_up.missed import LOW_BITS, Missed, moment_of
from discordha.catch_up.payloads import MemberBook
from discordha.errors import DiscordHAError
from discordha.limits.rest import in_background

__all__ = ["GaveUp", "Refused", "Run", "Source"]

#: After so many events the loop gets its turn.
EVENTS_AT_ONCE = 20


class Refused(Exception):
    """A request was refused or not answered.

    :ivar error: what discord.py, aiohttp or the limits raised.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class GaveUp(Exception):
    """The source ends before its end; the message says why."""


@dataclass
class Run:
    """What all sources of a catch-up share.

    :param done: the cursors of an earlier run.
    :param deliver: takes each event.
    :param noted: called when a source's cursor has changed.
    """

    client: discord.Client
    wanted: frozenset[str]
    since: int
    until: int
    limit: int
    done: Mapping[str, int]
    deliver: Callable[[Missed], Awaitable[None]]
    noted: Callable[[Source], None]
    members: MemberBook = field(default_factory=MemberBook)
    requests: int = 0
    delivered: Counter[str] = field(default_factory=Counter)

    @property
    def since_time(self) -> int:
        """The first moment of what has only a time: that of ``since``'s millisecond."""
        return self.since >> LOW_BITS << LOW_BITS

    async def ask(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """Makes a request that gives way to live ones.

        :raises Refused: it was refused or not answered. Not raised for 401, which no repetition heals.
        """
        self.requests += 1
        with in_background():
            task = asyncio.ensure_future(request())
        try:
            # discord.py blocks a bucket for 30 s when a request is cancelled while it leaves the bucket.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_forgotten)
            raise
        except (
            discord.DiscordException,
            aiohttp.ClientError,
            OSError,
            TimeoutError,
            DiscordHAError,
        ) as error:
            if isinstance(error, discord.HTTPException) and error.status == 401:
                raise
            raise Refused(error) from error


def _joined(guild: discord.Guild | None) -> int:
    """The moment in which the bot joined a guild; 0: unknown, or no guild."""
    me = guild.me if guild is not None else None
    return moment_of(me.joined_at) if me is not None and me.joined_at is not None else 0


def _forgotten(task: asyncio.Future[Any]) -> None:
    """Takes note of how a request ended that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


class Source(ABC):
    """One source.

    :param key: its name in ``Progress`` and among the cursors.
    :param guild: whose listing it is; ``None``: no guild's.
    :ivar since: the moment behind which it begins: the catch-up's, or that of the bot's joining if later.
    :ivar followers: sources that may begin once this one has ended, however it ends.
    :ivar newest: the moment of its last entry, as far as known; of what others wait for, infinity.
    """

    def __init__(self, run: Run, key: str, guild: discord.Guild | None) -> None:
        self.key = key
        self._joined = _joined(guild)
        self.since = max(run.since, self._joined - 1)
        self.cursor = max(run.done.get(key, self.since), self.since)
        self.followers: list[Source] = []
        self.newest = math.inf
        self._run = run
        self._resumed = run.done.get(key)

    @property
    def begins_at(self) -> int:
        """The first moment of what has only a time."""
        return max(self._run.since_time, self._joined) if self._resumed is None else self.cursor + 1

    @abstractmethod
    async def step(self) -> bool:
        """Makes one request and hands on what came. True: nothing is left.

        :raises Refused: the request was refused; nothing has changed.
        :raises GaveUp: the source can't be read to its end.
        """

    def event(self, type: str, payload: dict[str, Any], moment: int, order_key: object) -> Missed:
        """An event of this source."""
        return Missed(type, payload, moment, str(order_key), self.key)

    async def hand_on(self, events: Sequence[Missed]) -> None:
        """Hands on events, oldest first, without those that an earlier run has handed on."""
        run = self._run
        for number, event in enumerate(events, 1):
            if self._resumed is None or event.snowflake > self._resumed:
                await run.deliver(event)
                run.delivered[event.type] += 1
            if number % EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if number == len(events) or events[number].snowflake > event.snowflake:
                self.reach(event.snowflake)

    def reach(self, moment: int) -> None:
        """Everything up to a moment was handed on."""
        if moment > self.cursor:
            self.cursor = moment
            self._run.noted(self)

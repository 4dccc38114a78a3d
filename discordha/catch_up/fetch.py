"""Fetches from Discord what a shard's client missed between two moments.

Guarantees
- Messages of a channel come oldest first, with their edits between them; a thread's beginning comes before
  its messages. Channels take turns.
- Live requests go first: a request leaves only while none of these waits, within a part of the bot's limits
  (``limits.rest``).
- A channel that is gone or forbidden is skipped and named. One that Discord refuses for a while (429, 5xx, no
  answer) is tried again, with pauses, for ``RETRY_FOR``; the others go on meanwhile.
- After a stop, a new fetcher that is given the cursors goes on where this one stopped. Nothing before a
  source's cursor is delivered again; what was delivered behind it may be.

Not guaranteed: what Discord does not list. ``messages`` and ``guilds`` say what that is.

Threads and locks: everything runs on the gateway's loop, without locks. At stop the caller cancels ``run``.
Lost leases and lost watches are the caller's.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Mapping

import discord

from discordha.catch_up.missed import Missed, Outcome, Progress, Skipped
from discordha.catch_up.plan import KEPT, Plan
from discordha.catch_up.source import GaveUp, Refused, Run, Source
from discordha.errors import reason_of

__all__ = ["HistoryFetcher"]

_log = logging.getLogger(__name__)

#: Sources that are read at the same time. Their requests wait for the limits, their events for the receiver.
AT_ONCE = 16
#: Pauses between two tries of a refused source, seconds: doubled from the first to the last, and jittered.
FIRST_PAUSE = 1.0
LAST_PAUSE = 60.0
#: How long a source is tried again, seconds.
RETRY_FOR = 600.0


class _Reading:
    """A source, and how it fares.

    :ivar refused_at: since when it is refused, by the loop's time.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.refused_at: float | None = None
        self.pause = FIRST_PAUSE


class HistoryFetcher:
    """One catch-up of one shard.

    Sources are named ``channel:<id>`` (threads, too), ``threads:<guild>``, ``archived:<parent channel>``,
    ``members:<guild>``, ``audit:<guild>`` and ``events:<guild>``.

    :param client: a client that knows its guilds.
    :param wanted: types of the gateway's events that some handler wants.
    :param since: the moment up to which everything is known. An event that has only a time may come again if
        it is of the same millisecond.
    :param until: the moment from which on everything has been received.
    :param limit: messages of a channel, and entries of an audit log, in one run.
    :param done: cursors of an earlier run with the same ``since`` and ``until``, by source.
    """

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
        self._run = Run(client, wanted, since, until, limit, done, self._not_running, self._note)
        self._plan = Plan(self._run)
        self._progressed: Callable[[Progress], None] = lambda progress: None
        self._waiting: list[tuple[float, int, _Reading]] = []  # a heap: by when it goes on, then in turn
        self._turns = itertools.count()
        #: The channels whose events are not all delivered yet, as far as known; right after ``run`` began.
        self.waiting: set[str] = set()
        self._sources = 0
        self._ended = 0
        self._began = False

    async def run(
        self, deliver: Callable[[Missed], Awaitable[None]], progressed: Callable[[Progress], None]
    ) -> Outcome:
        """Delivers everything that can be had back. Gateway's loop, which it does not block; once.

        :param deliver: takes an event; of each source one at a time. While it waits, its source does.
        :param progressed: called after events were delivered, and when a source has ended. Must not block.
        :raises discord.HTTPException: Discord does not accept the token.
        :raises RuntimeError: it ran before.
        """
        if self._began:
            raise RuntimeError("a fetcher runs once: make a new one")
        self._began = True
        self._run.deliver, self._progressed = deliver, progressed
        for source in self._plan.sources():
            self._add(source)
        await self._read_all()
        run = self._run
        return Outcome(dict(run.delivered), run.requests, tuple(self._plan.skipped), run.wanted - KEPT)

    @staticmethod
    async def _not_running(_event: Missed) -> None:
        raise RuntimeError("this fetcher does not run")

    def _add(self, source: Source) -> None:
        self._sources += 1
        self.waiting.update(map(_channel_of, [source, *source.followers]))
        self._wait(_Reading(source), 0.0)

    def _wait(self, reading: _Reading, at: float) -> None:
        heapq.heappush(self._waiting, (at, next(self._turns), reading))

    async def _read_all(self) -> None:
        loop = asyncio.get_running_loop()
        running: set[asyncio.Task[None]] = set()
        try:
            while self._waiting or running:
                while self._waiting and len(running) < AT_ONCE and self._waiting[0][0] <= loop.time():
                    reading = heapq.heappop(self._waiting)[2]
                    running.add(loop.create_task(self._step(reading)))
                pause = None
                if self._waiting and len(running) < AT_ONCE:
                    pause = max(self._waiting[0][0] - loop.time(), 0.0)
                if not running:
                    await asyncio.sleep(pause or 0.0)
                    continue
                done, running = await asyncio.wait(
                    running, timeout=pause, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _step(self, reading: _Reading) -> None:
        source, now = reading.source, asyncio.get_running_loop().time
        try:
            finished = await source.step()
        except GaveUp as error:
            self._end(source, str(error))
        except Refused as refused:
            pause = self._pause_after(reading, refused.error, now())
            if pause is None:
                self._end(source, self._reason(reading, refused.error, now()))
            else:
                self._wait(reading, now() + pause)
        else:
            reading.refused_at, reading.pause = None, FIRST_PAUSE
            if finished:
                self._end(source, None)
            else:
                self._wait(reading, now())

    @staticmethod
    def _pause_after(reading: _Reading, error: Exception, now: float) -> float | None:
        """Seconds until a refused source is tried again; ``None``: it is given up."""
        pause = reading.pause * random.uniform(0.5, 1.0)
        if isinstance(error, discord.RateLimited):
            pause = max(pause, error.retry_after)
        elif isinstance(error, discord.HTTPException) and error.status != 429 and error.status < 500:
            return None
        if reading.refused_at is None:
            reading.refused_at = now
            _log.info("catch-up: %s is tried again: %s", reading.source.key, reason_of(error))
        reading.pause = min(reading.pause * 2, LAST_PAUSE)
        return pause if now + pause < reading.refused_at + RETRY_FOR else None

    @staticmethod
    def _reason(reading: _Reading, error: Exception, now: float) -> str:
        if reading.refused_at is None:
            return reason_of(error)
        return f"refused for {now - reading.refused_at:.0f} s: {reason_of(error)}"

    def _end(self, source: Source, reason: str | None) -> None:
        self._ended += 1
        self.waiting.discard(_channel_of(source))
        if reason is None:
            source.cursor = self._run.until
        else:
            self._plan.skipped.append(Skipped(source.key, reason))
        for follower in source.followers:
            self._add(follower)
        self._report(source, finished=True)

    def _note(self, source: Source) -> None:
        self._report(source, finished=False)

    def _report(self, source: Source, *, finished: bool) -> None:
        delivered = self._run.delivered.total()
        remaining = self._sources - self._ended
        self._progressed(Progress(source.key, source.cursor, finished, delivered, self._sources, remaining))


def _channel_of(source: Source) -> str:
    """The channel whose order a source belongs to; the source's own key if it is no channel's."""
    return source.key.removeprefix("channel:")

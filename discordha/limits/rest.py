"""Keeps the limits of Discord's REST API before a request leaves.

Guarantees
- Within any second Discord counts no more requests than the share allows. Discord counts a request between
  its departure and its answer, so the next one takes its place a second after the answer.
- Requests wait in order of arrival. Requests with a token of their own, such as answers to interactions,
  never wait: Discord does not count them.
- Requests made ``in_background`` leave only while no other waits, ``BACKGROUND_IN_FLIGHT`` at a time, and
  take half of the share at most, evenly over each second. So a live request finds a place, and no burst of
  them stands before it. They leave more slowly where the machine is busy, which the loop's own timers show by
  coming late: at a ``SLOWEST``-th of the pace at the least.
- While Discord says that the whole bot is over its limit, no counted request leaves.
- Discord bans an address after 10,000 invalid requests (answers 401, 403, 429; not 429 of a resource that
  others share) within ten minutes. At ``REFUSED_LIMIT`` over all replicas, callers get an error instead.

Not guaranteed: the limits of single routes. discord.py keeps them in each process, and most requests for a
channel come from the replica that handles its events.

Threads and locks: everything runs on the gateway's loop and never blocks it. Any thread may call ``status``
and the methods of ``Meter``; ``_lock`` guards what they share with the loop, for a few instructions. At stop,
waiting requests end with their calls. A lost session reduces the share to a reserve; a lost watch leaves it.

Source: Discord's documentation, "Rate Limits". The window is a sliding log, kept by the sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from discordha.coordination.quotas.request_shares import REFUSALS_KEPT, WINDOW, Shares
from discordha.errors import DiscordHAError

__all__ = ["REFUSED_LIMIT", "RestLimits", "in_background", "shared_total"]

_log = logging.getLogger(__name__)

#: The counters in ``status``.
_COUNTED = (
    "requests",
    "background",
    "exempt",
    "delayed",
    "withheld",
    "limited_global",
    "limited_user",
    "limited_shared",
)
#: Refused requests within ten minutes at which replicas stop: Discord bans at 10,000, and replicas learn of
#: each other's requests a second late.
REFUSED_LIMIT = 9_000
#: The grain of the ages of refused requests, seconds.
REFUSED_GRAIN = 10.0
#: How long a peak of demand counts, seconds.
PEAK_MEMORY = 3.0
#: Pause between two checks of the share while requests wait, seconds: it may fall and rise again unnoticed.
SHARE_CHECK_INTERVAL = 0.25
#: Background requests that wait for their answer at the same time.
BACKGROUND_IN_FLIGHT = 4
#: Where the loop's timers come late by ``PROMPT`` and ``LATE``, seconds, background requests leave at half of
#: their pace. About so many of the last timers count.
PROMPT, LATE = 0.001, 0.003
TIMERS = 16
SLOWEST = 3.0

_background: ContextVar[bool] = ContextVar("discordha_background_request", default=False)


@contextlib.contextmanager
def in_background() -> Iterator[None]:
    """Requests of this task, or this thread, inside of the block give way to all others."""
    token = _background.set(True)
    try:
        yield
    finally:
        _background.reset(token)


def shared_total(limit: int) -> int:
    """The part of a limit that replicas share. The rest is for replicas without a share at the moment."""
    return max(limit - max(2, limit // 25), 1)


class RestLimits:
    """The requests of one replica: a ``Meter`` for ``Shares``.

    :param limit: requests a second for the whole bot.
    """

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._slots: Callable[[], int] = lambda: shared_total(limit)
        self._others_refused: Callable[[], int] = lambda: 0
        self._report_pause: Callable[[float], None] = lambda seconds: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._waiting_behind: deque[asyncio.Future[None]] = deque()  # those made in the background
        self._in_flight_behind = 0
        self._next_behind = 0.0  # no background request leaves before
        self._lateness = 0.0  # of the loop's timers, seconds, on average
        self._cooling: deque[float] = deque()  # the moments at which places are free again
        self._timer: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()
        self._in_flight = 0
        self._paused_until = 0.0
        self._peaks: deque[tuple[float, int]] = deque()
        self._refused: deque[list[float]] = deque()  # [begin, count], oldest first
        self._refusing = False
        self._counts: Counter[str] = Counter()

    def share(self, shares: Shares) -> None:
        """Shares the limit with other replicas. Call it before the first request."""
        self._slots = shares.slots
        self._others_refused = shares.others_refused
        self._report_pause = shares.report_pause

    async def begin(self, *, counted: bool) -> None:
        """Waits until a request may leave; ``end`` must follow if it is counted. Gateway's loop.

        :param counted: whether Discord counts the request.
        :raises DiscordHAError: Discord refused too many requests lately; none may leave.
        """
        self._refuse()
        self._counts["requests" if counted else "exempt"] += 1
        if not counted:
            return
        loop = self._loop = asyncio.get_running_loop()
        behind = _background.get()
        self._counts["background"] += behind
        queue = self._waiting_behind if behind else self._waiting
        if not queue and self._may_enter(behind):
            self._enter(behind)
            return
        self._counts["delayed"] += not behind
        future: asyncio.Future[None] = loop.create_future()
        queue.append(future)
        self._note_demand()
        self._set_timer()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.end(sent=False)
            else:
                queue.remove(future)
            raise

    def end(self, *, sent: bool = True) -> None:
        """Ends a counted request that was answered or failed. Gateway's loop.

        :param sent: whether the request left.
        """
        with self._lock:
            self._in_flight -= 1
        self._in_flight_behind -= _background.get()
        if sent:
            self._cooling.append(self._clock() + WINDOW)
        self._pump()

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Takes note of an answer's status and headers. Gateway's loop."""
        if status not in (401, 403, 429):
            return
        scope = headers.get("X-RateLimit-Scope", "")
        if status == 429:
            is_global = scope == "global" or headers.get("X-RateLimit-Global", "").lower() == "true"
            self._counts[f"limited_{'global' if is_global else scope or 'user'}"] += 1
            if is_global:
                seconds = _seconds(headers.get("Retry-After"))
                _log.warning(
                    "Discord says that the whole bot is over its limit: requests wait %.2f s", seconds
                )
                self.pause(seconds)
                self._report_pause(seconds)
            if scope == "shared":
                return
        now = self._clock()
        with self._lock:
            if not self._refused or now - self._refused[-1][0] >= REFUSED_GRAIN:
                self._refused.append([now, 0])
            self._refused[-1][1] += 1

    def _refuse(self) -> None:
        refused = self.refused() + self._others_refused()
        if refused < REFUSED_LIMIT:
            self._refusing = False
            return
        if not self._refusing:
            self._refusing = True
            _log.error(
                "Discord refused %d requests (401, 403, 429) within ten minutes: none are sent until the "
                "oldest of these expire (Discord bans at 10,000); discord.py's log names the refused calls",
                refused,
            )
        self._counts["withheld"] += 1
        raise DiscordHAError(
            f"not sent: Discord has refused {refused} requests (401, 403, 429) within ten minutes, and bans "
            "a bot's address at 10,000; requests leave again as the oldest of these expire. discord.py's log "
            "names the refused calls"
        )

    def _may_enter(self, behind: bool) -> bool:
        now = self._clock()
        cooling = self._cooling
        while cooling and cooling[0] <= now:
            cooling.popleft()
        slots = self._slots()
        if behind:
            if self._waiting or self._in_flight_behind >= BACKGROUND_IN_FLIGHT or now < self._next_behind:
                return False
            slots = _behind(slots)
        return now >= self._paused_until and self._in_flight + len(cooling) < slots

    def _enter(self, behind: bool) -> None:
        with self._lock:
            self._in_flight += 1
        if behind:
            self._in_flight_behind += 1
            interval = self._interval()
            # One that leaves late by less than the interval delays no later one.
            self._next_behind = max(self._next_behind, self._clock() - interval) + interval
        self._note_demand()

    def _pump(self) -> None:
        for queue, behind in ((self._waiting, False), (self._waiting_behind, True)):
            while queue and self._may_enter(behind):
                future = queue.popleft()
                if not future.done():
                    self._enter(behind)
                    future.set_result(None)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (self._waiting or self._waiting_behind) and self._loop is not None:
            now = self._clock()
            due = self._cooling[0] if self._cooling else now + SHARE_CHECK_INTERVAL
            if not self._waiting and self._next_behind > now:
                due = min(due, self._next_behind)
            due = max(due, self._paused_until)
            pause = min(max(due - now, 0.001), SHARE_CHECK_INTERVAL)
            self._timer = self._loop.call_later(pause, self._on_timer, self._loop.time() + pause)

    def _on_timer(self, due: float) -> None:
        assert self._loop is not None
        self._note_lateness(self._loop.time() - due)
        self._pump()

    def _note_lateness(self, lateness: float) -> None:
        self._lateness += (lateness - self._lateness) / TIMERS

    def _interval(self) -> float:
        """Seconds from one background request to the next."""
        slowness = min(1 + max(self._lateness - PROMPT, 0.0) / LATE, SLOWEST)
        return slowness * WINDOW / _behind(self._slots())

    def _note_demand(self) -> None:
        now = self._clock()
        demand = self._in_flight + len(self._cooling) + len(self._waiting) + len(self._waiting_behind)
        with self._lock:  # a peak goes when a later one exceeds it, so the first is the largest
            peaks = self._peaks
            while peaks and peaks[-1][1] <= demand:
                peaks.pop()
            while peaks and peaks[0][0] < now - PEAK_MEMORY:
                peaks.popleft()
            peaks.append((now, demand))

    # -- the meter; any thread -------------------------------------------------------------------------------

    def want(self) -> int:
        """How many requests a second this replica would have made lately without limits."""
        oldest = self._clock() - PEAK_MEMORY
        with self._lock:
            recent = max((demand for at, demand in self._peaks if at >= oldest), default=0)
        return max(recent, len(self._waiting) + len(self._waiting_behind))

    @property
    def in_flight(self) -> int:
        """Counted requests that wait for their answer."""
        return self._in_flight

    def refused(self) -> int:
        """Requests of the last ten minutes that Discord counts as invalid."""
        oldest = self._clock() - REFUSALS_KEPT - REFUSED_GRAIN
        with self._lock:
            while self._refused and self._refused[0][0] < oldest:
                self._refused.popleft()
            return int(sum(count for _, count in self._refused))

    def changed(self) -> None:
        """Lets waiting requests go on: the share has changed."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._pump)

    def pause(self, seconds: float) -> None:
        """Holds counted requests back."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def status(self) -> dict[str, Any]:
        """For ``ha.status()["rest"]``. Any thread; no I/O."""
        return {
            "limit": self.limit,
            "share": self._slots(),
            "in_flight": self._in_flight,
            "waiting": len(self._waiting),
            "waiting_in_background": len(self._waiting_behind),
            "want": self.want(),
            "paused_for": max(self._paused_until - self._clock(), 0.0),
            "refused": self.refused(),
            "refused_by_all": self.refused() + self._others_refused(),
            **{name: self._counts[name] for name in _COUNTED},
        }


def _behind(slots: int) -> int:
    """How many of the places background requests may take."""
    return max(slots // 2, 1)


def _seconds(text: str | None) -> float:
    try:
        return max(float(text or 1.0), 0.1)
    except ValueError:
        return 1.0

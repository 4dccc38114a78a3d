"""The limits of Discord's REST API, kept before a request is sent.

Promises
- No more requests count within any second than the share allows, however answers are delayed: Discord
  counts a request between its departure and its answer, and its place is given to the next one a second
  after the answer.
- Requests wait in the order in which they came. Answers to interactions and whatever else carries a token
  of its own never wait: Discord does not count them.
- While Discord has said that the whole bot is over its limit, nothing that it counts is sent.
- Discord bans an address that sends 10,000 invalid requests (answers 401, 403, 429; not 429 of a resource
  that others share) within ten minutes. Short of that, at ``REFUSED_LIMIT`` over all replicas, nothing is
  sent: callers get an error.

Does not promise the limits of single routes: discord.py keeps them, for each process by itself. A channel's
requests mostly come from one replica, since its events do.

Source: Discord's documentation, "Rate Limits". The window is a sliding log (as in "sliding window log"
limiters), kept at the sender's end.

Concurrency
- All of it runs on the gateway's loop, and waits there without blocking it, but for what ``Meter`` and
  ``status`` read, which any thread may. ``_lock`` guards what those share with the loop, for a few
  instructions.
- At stop the waiting requests are cancelled with their calls. At a lost session the share falls to a
  reserve, by the local deadline. At a lost watch it stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from discordha.coordination.quotas.request_shares import REFUSALS_KEPT, WINDOW, Shares
from discordha.errors import DiscordHAError

__all__ = ["REFUSED_LIMIT", "RestLimits", "shared_total"]

_log = logging.getLogger(__name__)


#: Discord bans at 10,000 within ten minutes; replicas hear of each other's with a second's delay.
REFUSED_LIMIT = 9_000
#: How finely refused requests are counted by age, seconds.
GRAIN = 10.0
#: For how long the largest demand counts, seconds.
DEMAND = 3.0
#: Waiting requests look at the share at least so often, seconds: it may fall and rise again unseen.
LOOK = 0.25


def shared_total(limit: int) -> int:
    """What of a limit is shared. The rest is for replicas that have no share at the moment."""
    return max(limit - max(2, limit // 25), 1)


class RestLimits:
    """One replica's. A ``Meter`` for ``Shares``.

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
        self._cooling: deque[float] = deque()  # when each place is free again
        self._timer: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()
        self._in_flight = 0
        self._paused_until = 0.0
        self._peaks: deque[tuple[float, int]] = deque()
        self._refused: deque[list[float]] = deque()  # [begin, count], oldest first
        self._refusing = False
        self._counts: Counter[str] = Counter()

    def share(self, shares: Shares) -> None:
        """Shares the limit with other replicas. Before the first request."""
        self._slots = shares.slots
        self._others_refused = shares.others_refused
        self._report_pause = shares.report_pause

    # -- a request -------------------------------------------------------------------------------------------

    async def begin(self, *, counted: bool) -> None:
        """Waits until a request may be sent. Must be followed by ``end``. Gateway's loop.

        :param counted: whether Discord counts it.
        :raises DiscordHAError: too many were refused lately; nothing may be sent.
        """
        self._refuse()
        self._counts["requests" if counted else "exempt"] += 1
        if not counted:
            return
        loop = self._loop = asyncio.get_running_loop()
        if not self._waiting and self._is_free():
            self._enter()
            return
        self._counts["delayed"] += 1
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        self._note_demand()
        self._set_timer()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.end(counted=True, sent=False)
            else:
                self._waiting.remove(future)
            raise

    def end(self, *, counted: bool, sent: bool = True) -> None:
        """The request has its answer, or its end. Gateway's loop.

        :param sent: false when it was given up before it left.
        """
        if not counted:
            return
        with self._lock:
            self._in_flight -= 1
        if sent:
            self._cooling.append(self._clock() + WINDOW)
        self._pump()

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Judges an answer. Gateway's loop."""
        if status not in (401, 403, 429):
            return
        scope = headers.get("X-RateLimit-Scope", "")
        if status == 429:
            is_global = scope == "global" or headers.get("X-RateLimit-Global", "").lower() == "true"
            self._counts[f"limited_{'global' if is_global else scope or 'user'}"] += 1
            if is_global:
                seconds = _seconds(headers.get("Retry-After"))
                _log.warning("Discord says that the whole bot is over its limit, for %.2f s", seconds)
                self.pause(seconds)
                self._report_pause(seconds)
            if scope == "shared":
                return
        now = self._clock()
        with self._lock:
            if not self._refused or now - self._refused[-1][0] >= GRAIN:
                self._refused.append([now, 0])
            self._refused[-1][1] += 1

    def _refuse(self) -> None:
        refused = self.refused() + self._others_refused()
        if refused < REFUSED_LIMIT:
            self._refusing = False
            return
        if not self._refusing:
            self._refusing = True
            _log.error("%d requests were refused within ten minutes: nothing is sent for now", refused)
        self._counts["withheld"] += 1
        raise DiscordHAError(
            f"not sent: Discord has refused {refused} requests (401, 403, 429) within ten minutes, and bans "
            "a bot's address at 10,000; requests go out again as the oldest of them pass. discord.py's log "
            "tells which calls are refused"
        )

    def _is_free(self) -> bool:
        now = self._clock()
        cooling = self._cooling
        while cooling and cooling[0] <= now:
            cooling.popleft()
        return now >= self._paused_until and self._in_flight + len(cooling) < self._slots()

    def _enter(self) -> None:
        with self._lock:
            self._in_flight += 1
        self._note_demand()

    def _pump(self) -> None:
        while self._waiting and self._is_free():
            future = self._waiting.popleft()
            if not future.done():
                self._enter()
                future.set_result(None)
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._loop is not None:
            now = self._clock()
            due = max(self._cooling[0] if self._cooling else now + LOOK, self._paused_until)
            self._timer = self._loop.call_later(min(max(due - now, 0.001), LOOK), self._pump)

    def _note_demand(self) -> None:
        now = self._clock()
        demand = self._in_flight + len(self._cooling) + len(self._waiting)
        with self._lock:  # only what nothing later exceeds is kept, so the first is the largest
            peaks = self._peaks
            while peaks and peaks[-1][1] <= demand:
                peaks.pop()
            while peaks and peaks[0][0] < now - DEMAND:
                peaks.popleft()
            peaks.append((now, demand))

    # -- as a meter; any thread ------------------------------------------------------------------------------

    def want(self) -> int:
        """How many requests a second it would have made lately, had nothing held it back."""
        oldest = self._clock() - DEMAND
        with self._lock:
            recent = max((demand for at, demand in self._peaks if at >= oldest), default=0)
        return max(recent, len(self._waiting))

    @property
    def in_flight(self) -> int:
        """Requests that Discord counts and that wait for their answer."""
        return self._in_flight

    def refused(self) -> int:
        """Requests of the last ten minutes that Discord counts as invalid."""
        oldest = self._clock() - REFUSALS_KEPT - GRAIN
        with self._lock:
            while self._refused and self._refused[0][0] < oldest:
                self._refused.popleft()
            return int(sum(count for _, count in self._refused))

    def changed(self) -> None:
        """The share has changed: who waits may go on."""
        self._soon(self._pump)

    def pause(self, seconds: float) -> None:
        """Holds back what Discord counts for so long."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _soon(self, call: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(call)
            except RuntimeError:  # closed since
                return

    def status(self) -> dict[str, Any]:
        """For ``ha.status()["rest"]``. Any thread; no I/O."""
        return {
            "limit": self.limit,
            "share": self._slots(),
            "in_flight": self._in_flight,
            "waiting": len(self._waiting),
            "want": self.want(),
            "paused_for": max(self._paused_until - self._clock(), 0.0),
            "refused": self.refused(),
            "refused_by_all": self.refused() + self._others_refused(),
            **{
                name: self._counts[name]
                for name in (
                    "requests",
                    "exempt",
                    "delayed",
                    "withheld",
                    "limited_global",
                    "limited_user",
                    "limited_shared",
                )
            },
        }


def _seconds(text: str | None) -> float:
    try:
        return max(float(text or 1.0), 0.1)
    except ValueError:
        return 1.0

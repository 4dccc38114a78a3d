"""Coverage: since when one shard's gateway session has received everything, and up to when all of it is done.

Guarantees: ``reach`` claims nothing about what a broken connection may have missed, nor about events of
RESUME
before they are done. Times of Discord's are bounds (``DiscordClock``), so that a claim is never too large.

Not guaranteed: that Discord delivers within ``LAG``. What comes later is claimed by its mark, if ever.

Threads and locks: ``_lock`` guards all of it; nothing is called under it. ``began``, ``broke`` and
``resumed`` run on the gateway's thread, ``joined`` on the watch's; any thread asks.
"""

from __future__ import annotations

import math
import threading

from discordha.coordination.gaps.points import Reach
from discordha.gateway.clock import DiscordClock

__all__ = ["LAG", "Coverage"]

#: How much later than it happened Discord may deliver an event, seconds.
LAG = 3.0
#: A session receives everything that happens so long after its READY, seconds.
SETTLE = 0.5


class Coverage:
    """See the module. All moments but those of ``Reach`` and ``joined`` are by the monotonic clock."""

    def __init__(self, dates: DiscordClock) -> None:
        self._dates = dates
        self._lock = threading.Lock()
        self._began: float | None = None
        self._joined = math.inf
        self._since = math.inf  # the least bound so far: each one holds for good
        self._connected = False
        self._floor: float | None = None  # all is done up to here until the events of a RESUME are, too
        self._resumed_at = -math.inf

    def began(self, now: float) -> None:
        """A session begins."""
        with self._lock:
            self._began, self._connected = now, True
            self._joined = self._since = math.inf
            self._floor, self._resumed_at = None, -math.inf

    def set_connected(self, connected: bool, now: float, heard_at: float, oldest: float | None) -> None:
        """The connection was lost, or RESUME has brought what it had missed.

        :param heard_at: when its last frame came.
        :param oldest: when the oldest event was received that is not done.
        """
        with self._lock:
            if connected == self._connected or self._began is None:
                return
            if connected:
                self._resumed_at = now
            else:
                self._floor = self._low(heard_at, oldest)
            self._connected = connected

    def founded(self) -> float | None:
        """The bot's first leader has this session. Nothing that happened before its READY was the bot's, so
        the session counts as one that has received everything since then. Returns that moment, by the
        earlier bound; ``None`` without a session or Discord's time.
        """
        with self._lock:
            ready = self._dates.earliest(self._began) if self._began is not None else None
            if ready is not None:
                self._joined = min(self._joined, ready)
            return ready

    def joined(self, moment: float, now: float) -> None:
        """Another replica that had received everything says that all of it is done, up to a moment of
        Discord's: this session was there before, and so misses nothing since then.
        """
        with self._lock:
            if self._began is not None and self._began + SETTLE < now:
                self._joined = min(self._joined, moment)

    def reach(self, heard_at: float, oldest: float | None) -> Reach | None:
        """What this replica may claim; ``None`` without a session or Discord's time."""
        with self._lock:
            if self._began is None:
                return None
            since, until = self._dates.latest(self._began), self._dates.earliest(self._low(heard_at, oldest))
            if since is None or until is None:
                return None
            self._since = min(self._since, since + SETTLE)
            return Reach(min(self._since, self._joined), until - LAG, self._connected)

    def _low(self, heard_at: float, oldest: float | None) -> float:
        """Up to when everything is received and done."""
        low = heard_at if oldest is None else min(heard_at, oldest)
        if self._floor is None:
            return low
        if self._connected and (oldest is None or oldest > self._resumed_at):
            self._floor = None
            return low
        return min(low, self._floor)

"""Rhythm: which members have stopped writing their records, before their sessions end.

Guarantees: a member is silent only if its record is gone, or did not arrive for ``PATIENCE`` of the time
between two writes while this replica's own records arrived. So neither an etcd that is away nor a watch that
is down makes anybody silent.

Threads and locks: no lock. ``arrived`` and ``gone`` run on the watch's thread; any thread may ask.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Rhythm"]

#: A record counts as missing after this many times the usual interval.
PATIENCE = 1.5


class Rhythm:
    """When the last record of each member arrived.

    :param own: this replica's name.
    :param interval: seconds between two writes of a record.
    """

    def __init__(self, own: str, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._own = own
        self._limit = PATIENCE * interval
        self._clock = clock
        self._at: dict[str, float] = {}
        self._steady_since = math.inf  # own records have arrived in time since then

    def arrived(self, member: str) -> float:
        """A member's record has arrived. Returns the time."""
        now = self._clock()
        if member == self._own and now - self._at.get(member, -math.inf) > self._limit:
            self._steady_since = now
        self._at[member] = now
        return now

    def gone(self, member: str) -> None:
        """A member's record is gone."""
        self._at.pop(member, None)

    def members(self) -> list[str]:
        """The members whose record has arrived."""
        return list(self._at.copy())

    def last(self, member: str) -> float | None:
        """When the member's last record arrived."""
        return self._at.get(member)

    def is_silent(self, member: str, limit: float | None = None) -> bool:
        """Whether the member is dead or silent.

        :param limit: seconds without a record that count as silence, where a wrong guess costs little.
        """
        limit = self._limit if limit is None else limit
        now, own = self._clock(), self._at.get(self._own)
        if own is None or now - own > limit:
            return False  # this replica is the one that hears nothing
        last = self._at.get(member)
        return last is None or now - max(last, self._steady_since) > limit

    @property
    def any_silent(self) -> bool:
        """Whether a member is silent whose record is still there."""
        return any(map(self.is_silent, self.members()))

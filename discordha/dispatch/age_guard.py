"""Age guard: refuses events that are older than their mark could be.

Guarantees: an event is refused only if it is more than ``retention`` seconds older than *now*: the newest
event's time, moved on by the local monotonic clock. One event cannot move *now* beyond the local clock by
more than ``MARGIN``. Where the local clock is slow, ``AGREE`` events in a row move *now*. A local clock that
is fast refuses nothing by itself.

Threads and locks: no lock; the gateway thread alone calls it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

__all__ = ["AGREE", "MARGIN", "AgeGuard", "AgeGuards"]

_log = logging.getLogger(__name__)

#: How far ahead of the local clock an event may be and still move *now*, seconds.
MARGIN = 300.0
#: So many events in a row, each further ahead than that, show that the local clock is slow.
AGREE = 20
#: Discord's snowflakes hold milliseconds above their 22 lowest bits, counted from 2015.
SHIFT = 22
EPOCH = 1_420_070_400.0


class AgeGuard:
    """The guard of one shard's events, told by the time in their snowflakes.

    :param clock: monotonic seconds.
    :param wall: seconds since 1970, by the local clock.
    :param on_ahead: called with the name of each event that is dated too far ahead to move *now*.
    """

    def __init__(
        self,
        retention: float,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        on_ahead: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._retention = retention
        self._clock = clock
        self._wall = wall
        self._on_ahead = on_ahead
        self._offset: float | None = None  # of *now* before the monotonic clock
        self._in_a_row = 0  # events too far ahead since the last that was not
        self._nearest = 0.0  # the smallest offset among them
        self._warned_ahead = False
        self._warned_old = False

    def note(self, snowflake: int, name: str = "") -> float:
        """Takes note of an event that comes now, of this name. Returns by how many seconds it is older than
        the newest."""
        created = (snowflake >> SHIFT) / 1000
        offset = created - self._clock()
        if self._offset is None or offset > self._offset:
            self._move(offset, created, name)
        else:
            self._in_a_row = 0
        return 0.0 if self._offset is None else self._offset - offset

    def refuses(self, age: float) -> bool:
        """True when an event that is so much older than the newest may be older than its mark."""
        if age <= self._retention:
            return False
        if not self._warned_old:
            self._warned_old = True
            _log.warning(
                "events are dropped as too_old: one is %.0f s older than the newest, and marks are kept for "
                "retention=%g s. After a replay this is right; otherwise raise retention",
                age,
                self._retention,
            )
        return True

    def age(self, snowflake: int) -> float:
        """By how many seconds the event is older than the newest was when it came."""
        created = (snowflake >> SHIFT) / 1000
        return 0.0 if self._offset is None else self._offset - (created - self._clock())

    def _move(self, offset: float, created: float, name: str) -> None:
        ahead = created + EPOCH - self._wall()
        if ahead <= MARGIN:
            self._offset = offset
            self._in_a_row = 0
            return
        self._nearest = min(self._nearest, offset) if self._in_a_row else offset
        self._in_a_row += 1
        if self._in_a_row >= AGREE:
            self._offset = self._nearest
            self._in_a_row = 0
            return
        self._on_ahead(name)
        if not self._warned_ahead:
            self._warned_ahead = True
            _log.warning(
                "%s is dated %.0f s ahead of this machine's clock; it is handled, but does not make "
                "others too old. If there are many, set this machine's clock",
                name,
                ahead,
            )


class AgeGuards:
    """The guards of all shards; see ``AgeGuard``."""

    def __init__(self, retention: float, clock: Callable[[], float], on_ahead: Callable[[str], None]) -> None:
        self._retention = retention
        self._clock = clock
        self._on_ahead = on_ahead
        self._guards: dict[int, AgeGuard] = {}

    def note(self, shard_id: int, snowflake: int | None, name: str) -> float:
        """Takes note of a shard's event that comes now, of this name. Returns by how many seconds it is older
        than the newest; 0 where that is unknown."""
        if snowflake is None:
            return 0.0
        guard = self._guards.get(shard_id)
        if guard is None:
            guard = self._guards[shard_id] = AgeGuard(self._retention, self._clock, on_ahead=self._on_ahead)
        return guard.note(snowflake, name)

    def refuses(self, shard_id: int, age: float) -> bool:
        """True when a shard's event of that age may be older than its mark."""
        return age > self._retention and self._guards[shard_id].refuses(age)

    def age(self, shard_id: int, snowflake: int | None) -> float:
        """By how many seconds a shard's event is older than the newest; 0 where that is unknown."""
        guard = self._guards.get(shard_id)
        return guard.age(snowflake) if guard is not None and snowflake is not None else 0.0

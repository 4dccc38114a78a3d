"""Look times: when the events that other replicas run are looked at again.

Guarantees: an event has one time; an earlier one replaces it, a later one does not. The pauses grow with the
event's age, up to ``LAST_PAUSE``: from ``BLOCKING_PAUSE`` on more slowly while others of its lane wait behind
it. Times are multiples of the shortest pause: what a look has found under way is looked at together. Events
that are caught up are many, and nobody waits for them: each is looked at once in one or two times
``LATE_STEP``.

Threads and locks: no thread. ``_lock`` guards the times; nothing is called under it.
"""

from __future__ import annotations

import heapq
import itertools
import threading

from discordha.dispatch.items import ClaimItem, State

__all__ = ["LookTimes", "late_step"]

#: An event is looked at again after this part of its age.
PART_OF_AGE = 0.25
#: The longest pause, and the longest while others wait behind the event, seconds.
LAST_PAUSE = 1.0
BLOCKING_PAUSE = 0.2
#: Caught-up events are looked at when the time is a multiple of this, seconds.
LATE_STEP = 0.5
#: An event that others have waited for longer may keep them waiting for this part of its age more.
BLOCKING_PART = 0.125


def late_step(moment: float) -> float:
    """When caught-up events are looked at that are due at a moment."""
    return _next_multiple(moment, LATE_STEP)


def _next_multiple(moment: float, step: float) -> float:
    return (moment // step + 1) * step


class LookTimes:
    """See the module. Any thread.

    :param first: the shortest pause, seconds.
    """

    def __init__(self, first: float) -> None:
        self._first = first
        self._lock = threading.Lock()
        self._heap: list[tuple[float, int, ClaimItem]] = []
        self._numbers = itertools.count()

    def add(self, item: ClaimItem, now: float) -> float:
        """Has an event looked at again; returns when."""
        blocks = item.younger is not None and not item.excused
        age = now - item.event.received_at
        longest = min(max(age * BLOCKING_PART, BLOCKING_PAUSE), LAST_PAUSE) if blocks else LAST_PAUSE
        due = now + min(max(age * PART_OF_AGE, self._first), longest)
        due = late_step(now + LATE_STEP) if item.is_late else _next_multiple(due, self._first)
        with self._lock:
            if item.look_at is None or item.look_at > due:
                item.look_at = due
                heapq.heappush(self._heap, (due, next(self._numbers), item))
            return item.look_at

    def due(self, now: float) -> list[ClaimItem]:
        """Takes out the events to be looked at."""
        found: list[ClaimItem] = []
        with self._lock:
            while self._heap and self._heap[0][0] <= now:
                due, _, item = heapq.heappop(self._heap)
                if item.look_at != due:
                    continue  # another time has replaced this one
                item.look_at = None
                if item.state is State.PARKED:
                    found.append(item)
        return found

    def next_due(self) -> float | None:
        """The first time; ``None`` when there is none."""
        with self._lock:
            while self._heap and self._heap[0][2].state is State.GONE:
                heapq.heappop(self._heap)
            return self._heap[0][0] if self._heap else None

    def hurry(self, now: float) -> None:
        """Has all events looked at now."""
        with self._lock:
            waiting = [item for due, _, item in self._heap if item.look_at == due]
            for item in waiting:
                item.look_at = now
            self._heap = [(now, next(self._numbers), item) for item in waiting]

"""Pending events: the events to be claimed that are not done yet, and where each one is.

Guarantees: an event is known once. Its state changes under one lock, so one caller alone makes each move.
Memory is bounded by ``size``: when that is reached, the oldest parked event makes room.

Threads and locks: no thread. ``_lock`` guards everything here, and each item's ``state``. It is held for a
few instructions, never during I/O or a call to another part.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from discordha.dispatch.items import ClaimItem, State

__all__ = ["PendingEvents"]

_STANDBY = (State.PARKED, State.DELAYED)


class PendingEvents:
    """See the module. Any thread.

    :param size: events kept at the most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: dict[str, ClaimItem] = {}
        self._parked: dict[str, ClaimItem] = {}  # in the order of parking; part of ``_known``
        self._delayed: dict[int, deque[tuple[float, ClaimItem]]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def admit(self, item: ClaimItem) -> tuple[str | None, ClaimItem | None]:
        """Adds a parked item, unless its event is known already or there is no room.

        :return: the reason of a refusal (``duplicate``, ``queue_full``), and the item that made room.
        """
        evicted: ClaimItem | None = None
        with self._lock:
            if item.key in self._known:
                return "duplicate", None
            if len(self._known) >= self._size:
                evicted = next(iter(self._parked.values()), None)
                if evicted is None:
                    return "queue_full", None
                self._remove(evicted)
            self._known[item.key] = item
            self._parked[item.key] = item
        return None, evicted

    def get(self, key: str) -> ClaimItem | None:
        """The item of a key."""
        return self._known.get(key)

    def move(self, item: ClaimItem, to: State, *, only_from: Sequence[State] | None = None) -> bool:
        """Changes an item's state; false when it is gone, or in none of the states ``only_from``."""
        with self._lock:
            state = item.state
            if state is State.GONE or (only_from is not None and state not in only_from):
                return False
            if to is State.PARKED:
                if self._known.get(item.key) is item:
                    self._parked[item.key] = item
            elif state is State.PARKED:
                self._parked.pop(item.key, None)
            item.state = to
            return True

    def delay(self, item: ClaimItem, rank: int, due: float) -> bool:
        """Lets a parked item wait for its rank's grace; false when it is no longer parked."""
        if not self.move(item, State.DELAYED, only_from=(State.PARKED,)):
            return False
        with self._lock:  # all items of a rank wait equally long, so each queue is in order of time
            self._delayed.setdefault(rank, deque()).append((due, item))
        return True

    def due(self, now: float) -> list[ClaimItem]:
        """Parks and returns the items whose grace is over."""
        due: list[ClaimItem] = []
        with self._lock:
            for queue in self._delayed.values():
                while queue and queue[0][0] <= now:
                    item = queue.popleft()[1]
                    if item.state is State.DELAYED:
                        item.state = State.PARKED
                        self._parked[item.key] = item
                        due.append(item)
        return due

    def next_due(self) -> float | None:
        """The end of the first grace among the items that still wait for one; ``None`` when none does."""
        first: float | None = None
        with self._lock:
            for queue in self._delayed.values():
                while queue and queue[0][1].state is not State.DELAYED:
                    queue.popleft()
                if queue and (first is None or queue[0][0] < first):
                    first = queue[0][0]
        return first

    def delayed(self) -> list[ClaimItem]:
        """The items that wait for their rank's grace."""
        with self._lock:
            return [item for item in self._known.values() if item.state is State.DELAYED]

    def parked(self) -> list[ClaimItem]:
        """The items that wait for another replica."""
        with self._lock:
            return list(self._parked.values())

    def forget(self, item: ClaimItem) -> None:
        """Removes an event that is done, or that other replicas handle."""
        with self._lock:
            self._remove(item)

    def forget_standby(self, keys: Sequence[str]) -> None:
        """Removes those of the events that wait for another replica."""
        with self._lock:
            for key in keys:
                item = self._known.get(key)
                if item is not None and item.state in _STANDBY:
                    self._remove(item)

    def received_before(self, moment: float) -> list[ClaimItem]:
        """The items that were received before a moment and have not begun."""
        with self._lock:
            return [
                item
                for item in self._known.values()
                if item.event.received_at < moment and item.state in (*_STANDBY, State.WAITING)
            ]

    def oldest(self, shard_id: int) -> float | None:
        """When the oldest item of a shard was received; ``None`` when there is none."""
        with self._lock:
            times = (
                item.event.received_at for item in self._known.values() if item.event.shard_id == shard_id
            )
            return min(times, default=None)

    def count(self, state: State, where: Callable[[ClaimItem], bool] = lambda item: True) -> int:
        """The number of items in a state. ``where`` is called under the lock and must be quick."""
        with self._lock:
            return sum(1 for item in self._known.values() if item.state is state and where(item))

    def counts(self) -> dict[str, int]:
        """The number of items in each state."""
        counts = dict.fromkeys((state.value for state in State if state is not State.GONE), 0)
        with self._lock:
            for item in self._known.values():
                counts[item.state.value] += 1
        return counts

    def _remove(self, item: ClaimItem) -> None:
        item.state = State.GONE
        if self._known.get(item.key) is item:
            del self._known[item.key]
            self._parked.pop(item.key, None)

"""The ledger: which events this replica knows, and where each one is.

Promises: an event is known once; its state changes under one lock, so whoever moves it, moves it alone;
memory is bounded by ``size``: when it is full, the oldest event that another replica owns makes room.

Concurrency: ``_lock`` guards everything here, each item's ``state`` included. It is held for a few
instructions, never during I/O or a call to another part.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from discordha.dispatch.items import Item, State

__all__ = ["Ledger"]

_STANDBY = (State.PARKED, State.DELAYED)


class Ledger:
    """The events of scope ``claim`` that are not done yet. Thread-safe.

    :param size: how many at the most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: dict[str, Item] = {}
        self._parked: dict[str, Item] = {}  # in the order of parking; part of ``_known``
        self._delayed: dict[int, deque[tuple[float, Item]]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def admit(self, item: Item) -> tuple[str | None, Item | None]:
        """Makes an item known, unless it is known already or there is no room.

        :return: why not (``duplicate``, ``queue_full``), and which other item had to make room.
        """
        evicted: Item | None = None
        with self._lock:
            if item.key in self._known:
                return "duplicate", None
            if len(self._known) >= self._size:
                evicted = next(iter(self._parked.values()), None)
                if evicted is None:
                    return "queue_full", None
                self._remove(evicted)
            self._known[item.key] = item
            if item.state is State.PARKED:
                self._parked[item.key] = item
        return None, evicted

    def get(self, key: str) -> Item | None:
        """The item of a key."""
        return self._known.get(key)

    def move(self, item: Item, to: State, *, only_from: Sequence[State] | None = None) -> bool:
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

    def delay(self, item: Item, rank: int, due: float) -> bool:
        """Lets a parked item wait for its rank's grace; false when it is not parked any more."""
        if not self.move(item, State.DELAYED, only_from=(State.PARKED,)):
            return False
        with self._lock:  # one queue a rank: all in it wait equally long, so it is in order of time
            self._delayed.setdefault(rank, deque()).append((due, item))
        return True

    def due(self, now: float) -> list[Item]:
        """The items whose grace is over; they are parked again."""
        due: list[Item] = []
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
        """When the first grace is over of an item that still waits; ``None`` when none does."""
        first: float | None = None
        with self._lock:
            for queue in self._delayed.values():
                while queue and queue[0][1].state is not State.DELAYED:
                    queue.popleft()
                if queue and (first is None or queue[0][0] < first):
                    first = queue[0][0]
        return first

    def delayed(self) -> list[Item]:
        """All that wait for their rank's grace."""
        with self._lock:
            return [item for item in self._known.values() if item.state is State.DELAYED]

    def forget(self, item: Item) -> None:
        """The event is done, or none of ours any more."""
        with self._lock:
            self._remove(item)

    def forget_standby(self, keys: Sequence[str]) -> None:
        """The same for those of the keys that wait for another replica."""
        with self._lock:
            for key in keys:
                item = self._known.get(key)
                if item is not None and item.state in _STANDBY:
                    self._remove(item)

    def parked(self) -> list[Item]:
        """All that wait for somebody else."""
        with self._lock:
            return list(self._parked.values())

    def received_before(self, moment: float) -> list[Item]:
        """What was received before a moment and has not begun."""
        with self._lock:
            return [
                item
                for item in self._known.values()
                if item.event.received_at < moment and item.state in (*_STANDBY, State.WAITING)
            ]

    def oldest(self, shard_id: int) -> float | None:
        """When the oldest item of a shard came in; ``None`` when there is none."""
        with self._lock:
            times = (
                item.event.received_at for item in self._known.values() if item.event.shard_id == shard_id
            )
            return min(times, default=None)

    def count(self, state: State, where: Callable[[Item], bool] = lambda item: True) -> int:
        """How many items are in a state. ``where`` is called under the lock: it must be quick."""
        with self._lock:
            return sum(1 for item in self._known.values() if item.state is state and where(item))

    def counts(self) -> dict[str, int]:
        """How many items are in which state."""
        counts = dict.fromkeys((state.value for state in State if state is not State.GONE), 0)
        with self._lock:
            for item in self._known.values():
                counts[item.state.value] += 1
        return counts

    def _remove(self, item: Item) -> None:
        item.state = State.GONE
        if self._known.get(item.key) is item:
            del self._known[item.key]
            self._parked.pop(item.key, None)

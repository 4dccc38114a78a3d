"""Tables that keep what is newest, for hints that every event asks and changes.

They are ``OrderedDict``, which is written in C: a look-up takes a twentieth of a microsecond, where that in a
cache of ``cachetools`` takes half of one. Neither has an object that the garbage collector visits for each
key. ``dict`` would keep its order, too, but finds its first key ever more slowly while first keys go.

Threads and locks: none; the owner guards them. A single look-up needs no guard.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["Recent", "TTLSet"]

V = TypeVar("V")


class Recent(OrderedDict[str, V]):
    """A dictionary of the ``size`` keys that were set last."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __setitem__(self, key: str, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._size:
            del self[next(iter(self))]


class TTLSet:
    """Keys that are known for ``ttl`` seconds after they were added last, unless ``size`` newer ones came."""

    def __init__(self, size: int, ttl: float, clock: Callable[[], float]) -> None:
        self._size = size
        self._ttl = ttl
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._until and self._until[key] > self._clock()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, key: str) -> None:
        """Adds a key or renews it, and drops what has expired."""
        self.update((key,))

    def update(self, keys: Iterable[str]) -> None:
        """Does so for many."""
        now = self._clock()
        known, until = self._until, now + self._ttl
        for key in keys:
            known[key] = until
            known.move_to_end(key)  # so that the first one is the oldest
        while known and (known[next(iter(known))] <= now or len(known) > self._size):
            known.popitem(last=False)

    def discard(self, key: str) -> None:
        """Drops a key, if it is known."""
        self._until.pop(key, None)

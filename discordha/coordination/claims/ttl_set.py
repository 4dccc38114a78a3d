"""Keys that are remembered for a time: the TTL cache of what is done.

Promises: a key is known for ``ttl`` seconds from when it was added last, unless ``size`` newer ones came;
never for longer. Each costs one float in a ``cachetools.FIFOCache``, and nothing that Python's collector
looks at, since a replica remembers up to 100,000 of them for good. (``cachetools.TTLCache`` has an object
with five references for each, which the collector walked over in every burst.)

Concurrency: no lock of its own; whoever owns one guards it.
"""

from __future__ import annotations

from collections.abc import Callable

from cachetools import FIFOCache

__all__ = ["Remembered"]


class Remembered:
    """See the module.

    :param size: how many keys at the most.
    :param ttl: seconds that each is remembered.
    """

    def __init__(self, size: int, ttl: float, clock: Callable[[], float]) -> None:
        self._ttl = ttl
        self._clock = clock
        self._until: FIFOCache[str, float] = FIFOCache(size)

    def __contains__(self, key: str) -> bool:
        until = self._until.get(key)
        return until is not None and until > self._clock()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, key: str) -> None:
        """Remembers a key from now on, and forgets what is too old or too much."""
        now = self._clock()
        known = self._until
        known.pop(key, None)  # so that the first one is the oldest
        known[key] = now + self._ttl
        while known[next(iter(known))] <= now:
            known.popitem()

    def discard(self, key: str) -> None:
        """Forgets a key, if it is known."""
        self._until.pop(key, None)

"""Caches, counters and locks without etcd: for ``ha=False``, within one process.

Promises: the same calls, checks and errors as in etcd; times to live end on time; locks go first come, first
served. Does not promise to keep anything beyond the process, or to bound what has no time to live.

Concurrency: ``_lock`` guards the caches' tables; ``_changed`` is a condition that guards the locks' queues.
Nothing blocks but waiting for a lock, which ``stop`` ends. No threads: what is over goes with the next write.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from discordha.coordination.shared.counter_values import count_up
from discordha.coordination.shared.values import MISSING, Missing
from discordha.errors import DiscordHAError

__all__ = ["AloneCaches", "AloneLock", "AloneLocks", "AloneShared"]


class _Value(NamedTuple):
    data: bytes
    ends: float


class AloneCaches:
    """All caches of this process; values are kept as JSON, so that nobody changes another's."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._caches: dict[str, dict[str, _Value]] = {}
        self._ends: list[tuple[float, str, str]] = []

    def get(self, cache: str, key: str, *, local: bool = False) -> Any | Missing:
        """The value, or ``MISSING``."""
        with self._lock:
            found = self._find(cache, key)
        return MISSING if found is None else json.loads(found.data)

    def set(self, cache: str, key: str, value: bytes, ttl: float | None, guards: Sequence[Any] = ()) -> None:
        """Writes JSON."""
        with self._lock:
            self._put(cache, key, value, self._end(ttl))

    def create(
        self, cache: str, key: str, value: bytes, ttl: float | None, guards: Sequence[Any] = ()
    ) -> Any | Missing:
        """Writes JSON unless there is a value, which is returned."""
        with self._lock:
            found = self._find(cache, key)
            if found is None:
                self._put(cache, key, value, self._end(ttl))
                return MISSING
        return json.loads(found.data)

    def add(self, cache: str, key: str, by: int, ttl: float | None) -> int:
        """Counts up; the value after it."""
        with self._lock:
            found = self._find(cache, key)
            value = count_up(json.loads(found.data) if found is not None else 0, by)
            data = json.dumps(value).encode()
            self._put(cache, key, data, found.ends if found is not None else self._end(ttl))
            return value

    def delete(self, cache: str, key: str, guards: Sequence[Any] = ()) -> bool:
        """Deletes a value; whether there was one."""
        with self._lock:
            if self._find(cache, key) is None:
                return False
            self._remove(cache, key)
            return True

    def items(self, cache: str, prefix: str = "") -> list[tuple[str, Any]]:
        """Keys and values, in order of the key."""
        now = self._clock()
        with self._lock:
            values = sorted(self._caches.get(cache, {}).items())
        return [
            (key, json.loads(value.data))
            for key, value in values
            if key.startswith(prefix) and value.ends > now
        ]

    def _end(self, ttl: float | None) -> float:
        return math.inf if ttl is None else self._clock() + ttl

    def _find(self, cache: str, key: str) -> _Value | None:
        found = self._caches.get(cache, {}).get(key)
        return found if found is not None and found.ends > self._clock() else None

    def _put(self, cache: str, key: str, data: bytes, ends: float) -> None:
        known = self._caches.setdefault(cache, {}).get(key)
        self._caches[cache][key] = _Value(data, ends)
        if ends < math.inf and (known is None or known.ends != ends):
            heapq.heappush(self._ends, (ends, cache, key))
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            ended, cache, key = heapq.heappop(self._ends)
            value = self._caches.get(cache, {}).get(key)
            if value is not None and value.ends == ended:
                self._remove(cache, key)

    def _remove(self, cache: str, key: str) -> None:
        values = self._caches[cache]
        del values[key]
        if not values:
            del self._caches[cache]


class AloneLock:
    """One holding of a lock."""

    def __init__(self, name: str, fencing_token: int) -> None:
        self.name = name
        self.fencing_token = fencing_token
        self.lost = False

    def guards(self) -> tuple[()]:
        """There is nobody to guard against."""
        return ()


class AloneLocks:
    """All named locks of this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queues: dict[str, deque[AloneLock]] = {}
        self._tokens = itertools.count(1)
        self._stopped = False

    def acquire(self, name: str, timeout: float | None = None) -> AloneLock:
        """Waits for the lock. Blocks; any thread but the gateway's.

        :raises TimeoutError: it was not free in time.
        :raises DiscordHAError: the bot stops.
        """
        with self._changed:
            queue = self._queues.setdefault(name, deque())
            lock = AloneLock(name, next(self._tokens))
            queue.append(lock)
            if self._changed.wait_for(lambda: queue[0] is lock or self._stopped, timeout):
                if not self._stopped:
                    return lock
                self._remove(lock)
                raise DiscordHAError(f"the lock {name!r} is not to be had: the bot stops")
            self._remove(lock)
        raise TimeoutError(f"the lock {name!r} was not free in time")

    def release(self, held: AloneLock) -> None:
        """Gives the lock to the next. Idempotent."""
        with self._changed:
            if not held.lost:
                held.lost = True
                self._remove(held)

    def stop(self) -> None:
        """Whoever waits is told. Idempotent."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _remove(self, lock: AloneLock) -> None:
        queue = self._queues[lock.name]
        queue.remove(lock)
        if not queue:
            del self._queues[lock.name]
        self._changed.notify_all()


class AloneShared:
    """All that is shared, in memory."""

    def __init__(self) -> None:
        self.caches = AloneCaches()
        self.locks = AloneLocks()

    def add(self, cache: str, key: str, by: int, ttl: float | None, guards: Sequence[Any] = ()) -> int:
        """See ``AloneCaches.add``."""
        return self.caches.add(cache, key, by, ttl)

    @contextmanager
    def computing(self, cache: str, key: str, timeout: float | None) -> Iterator[Sequence[Any]]:
        """Nobody else computes."""
        yield ()

    def stop(self) -> None:
        """Waiters are told."""
        self.locks.stop()

"""Stand-ins for ``threading``, ``queue``, ``time``, ``random`` and ``secrets`` that the scheduler knows of.

They behave as CPython's do, with one exception: a lock whose owner's machine was killed is free, since
machines share nothing, while the simulation's share one module's locks. Outside of a simulation's threads
(at import, say) a lock is taken at once and a wait ends at once.
"""

from __future__ import annotations

import collections
import math
import time as real_time
from collections.abc import Callable
from queue import Empty
from types import TracebackType
from typing import Any

from simulation.scheduler import RUNNING, Task

__all__ = [
    "BoundedSemaphore",
    "Condition",
    "Empty",
    "Event",
    "Lock",
    "RLock",
    "Semaphore",
    "SimpleQueue",
    "monotonic",
    "sleep",
    "this_task",
    "wall",
]

#: What wall clocks show when a simulation's clock shows 0: the start of 2026.
EPOCH = 1_767_225_600.0
_MAIN: Any = object()


def this_task() -> Task | None:
    """The calling thread, if a simulation's."""
    scheduler = RUNNING[0]
    return scheduler.current if scheduler is not None else None


class Lock:
    """``threading.Lock``."""

    __slots__ = ("__weakref__", "_owner", "_waiters")

    def __init__(self) -> None:
        self._owner: Any = None
        self._waiters: list[Task] = []

    def locked(self) -> bool:
        """Whether somebody holds it."""
        owner = self._owner
        return owner is not None and (owner is _MAIN or owner.machine.alive)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See ``threading.Lock``."""
        scheduler = RUNNING[0]
        task = scheduler.current if scheduler is not None else None
        if scheduler is None or task is None:
            self._owner = _MAIN
            return True
        scheduler.point()
        if self._owner is not None and self.locked():
            if not blocking:
                return False
            until = scheduler.now + timeout if timeout >= 0 else math.inf
            while self.locked():
                left = until - scheduler.now
                if left <= 0:
                    return False
                self._waiters.append(task)
                scheduler.block(left)
                if task in self._waiters:
                    self._waiters.remove(task)
        self._owner = task
        return True

    def release(self) -> None:
        """See ``threading.Lock``."""
        if self._owner is None:
            raise RuntimeError("release unlocked lock")
        self._owner = None
        waiters, scheduler = self._waiters, RUNNING[0]
        if waiters and scheduler is not None:
            self._waiters = []
            for task in waiters:
                scheduler.wake(task)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class RLock(Lock):
    """``threading.RLock``."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See ``threading.RLock``."""
        if self._count and self._owner is (this_task() or _MAIN):
            self._count += 1
            return True
        if not super().acquire(blocking, timeout):
            return False
        self._count = 1
        return True

    def release(self) -> None:
        """See ``threading.RLock``."""
        self._count -= 1
        if self._count <= 0:
            self._count = 0
            super().release()


class Condition:
    """``threading.Condition``."""

    def __init__(self, lock: Any = None) -> None:
        self._lock = lock if lock is not None else RLock()
        self.acquire, self.release = self._lock.acquire, self._lock.release
        self._waiters: list[Task] = []

    def __enter__(self) -> bool:
        return bool(self._lock.__enter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    def wait(self, timeout: float | None = None) -> bool:
        """See ``threading.Condition``."""
        scheduler, task = RUNNING[0], this_task()
        if scheduler is None or task is None:
            return False
        self._waiters.append(task)
        self._lock.release()
        woken = False
        try:
            woken = scheduler.block(timeout)
        finally:
            if task in self._waiters:
                self._waiters.remove(task)
            if not scheduler.closing:
                self._lock.acquire()
            else:
                self._lock._owner = task
        return woken

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """See ``threading.Condition``."""
        scheduler = RUNNING[0]
        until = None if timeout is None or scheduler is None else scheduler.now + timeout
        found = predicate()
        while not found:
            left = None if until is None or scheduler is None else until - scheduler.now
            if left is not None and left <= 0:
                break
            self.wait(left)
            found = predicate()
        return found

    def notify(self, n: int = 1) -> None:
        """See ``threading.Condition``."""
        scheduler = RUNNING[0]
        for task in self._waiters[:n]:
            if scheduler is not None:
                scheduler.wake(task)
        del self._waiters[:n]

    def notify_all(self) -> None:
        """See ``threading.Condition``."""
        self.notify(len(self._waiters))


class Event:
    """``threading.Event``."""

    def __init__(self) -> None:
        self._flag = False
        self._waiters: list[Task] = []

    def is_set(self) -> bool:
        """See ``threading.Event``."""
        scheduler = RUNNING[0]
        if scheduler is not None:
            scheduler.point()
        return self._flag

    def set(self) -> None:
        """See ``threading.Event``."""
        self._flag = True
        waiters, scheduler = self._waiters, RUNNING[0]
        if scheduler is not None:
            self._waiters = []
            for task in waiters:
                scheduler.wake(task)
            scheduler.point()

    def clear(self) -> None:
        """See ``threading.Event``."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """See ``threading.Event``."""
        scheduler, task = RUNNING[0], this_task()
        if scheduler is None or task is None:
            return self._flag
        scheduler.point()
        if self._flag:
            return True
        self._waiters.append(task)
        woken = scheduler.block(timeout)
        if task in self._waiters:
            self._waiters.remove(task)
        return woken or self._flag


class Semaphore:
    """``threading.Semaphore``."""

    def __init__(self, value: int = 1) -> None:
        self._value = value
        self._changed = Condition(Lock())

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """See ``threading.Semaphore``."""
        with self._changed:
            if not self._value and not blocking:
                return False
            if not self._changed.wait_for(lambda: self._value, timeout):
                return False
            self._value -= 1
            return True

    def release(self, n: int = 1) -> None:
        """See ``threading.Semaphore``."""
        with self._changed:
            self._value += n
            self._changed.notify(n)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


BoundedSemaphore = Semaphore


class SimpleQueue:
    """``queue.SimpleQueue``; also ``queue.Queue`` without a limit."""

    def __init__(self, maxsize: int = 0) -> None:
        assert not maxsize, "limited queues are not simulated"
        self._items: collections.deque[Any] = collections.deque()
        self._changed = Condition(Lock())

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """See ``queue.SimpleQueue``."""
        with self._changed:
            self._items.append(item)
            self._changed.notify()

    put_nowait = put

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """See ``queue.SimpleQueue``."""
        with self._changed:
            if not self._items and (not block or not self._changed.wait_for(lambda: self._items, timeout)):
                raise Empty
            return self._items.popleft()

    def get_nowait(self) -> Any:
        """See ``queue.SimpleQueue``."""
        return self.get(block=False)

    def empty(self) -> bool:
        """See ``queue.SimpleQueue``."""
        return not self._items

    def qsize(self) -> int:
        """See ``queue.SimpleQueue``."""
        return len(self._items)


# -- time ----------------------------------------------------------------------------------------------------


def monotonic() -> float:
    """``time.monotonic`` of the calling machine; outside of a simulation, the real one's."""
    scheduler = RUNNING[0]
    if scheduler is None:
        return real_time.monotonic()
    scheduler.point()
    task = scheduler.current
    return scheduler.now + (task.machine.offset if task is not None else 0.0)


def wall() -> float:
    """``time.time`` of the calling machine."""
    scheduler = RUNNING[0]
    if scheduler is None:
        return real_time.time()
    scheduler.point()
    task = scheduler.current
    return EPOCH + scheduler.now + (task.machine.wall_offset if task is not None else 0.0)


def sleep(seconds: float) -> None:
    """``time.sleep``."""
    scheduler = RUNNING[0]
    if scheduler is not None and scheduler.current is not None:
        scheduler.block(max(seconds, 0.0))

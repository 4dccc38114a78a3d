"""Lanes: a keyed, thread-safe queue and the handler threads that work it.

Promises
- Items of one key run one after another, in the order of their sequence numbers; a lane is worked by one
  thread at a time.
- A slow lane delays nobody else while a thread is free; when all are busy for longer than ``patience``,
  more threads are added, up to ``max_workers``. Threads beyond ``workers`` end when they were idle for
  ``IDLE``.
- A thread that waits within ``lend`` does not count: another may run in its place.
- A lane costs memory only while it holds items.

Does not promise order between lanes, nor any bound on the number of items: the dispatcher bounds them.

Concurrency
- Threads ``discordha-handler-N`` are owned by ``Lanes``: started by ``put`` and ``tend``, ended and joined
  by ``stop``.
- ``_lock`` (the lock of ``_ready_changed``) guards lanes, the ready queue and the thread counts. The work
  function runs with no lock held.
- ``put`` is called on the gateway thread and never waits for anything but that short lock.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

__all__ = ["Lane", "Lanes"]

_log = logging.getLogger(__name__)

#: Seconds after which a thread beyond the base size ends.
IDLE = 10.0


class _Sequenced(Protocol):
    sequence: int


Item = TypeVar("Item", bound=_Sequenced)


def _sequence_of(item: _Sequenced) -> int:
    return item.sequence


class Lane(Generic[Item]):
    """The items of one key. Only ``Lanes`` touches it, under its lock."""

    __slots__ = ("is_ready", "items", "key", "ready_since", "told", "working_since")

    def __init__(self, key: str) -> None:
        self.key = key
        self.items: list[Item] = []
        self.is_ready = False  # stands in the ready queue
        self.ready_since = 0.0
        self.told = -1  # ``behind`` has named everything up to this sequence number
        self.working_since: float | None = None


class Lanes(Generic[Item]):
    """Keyed queue with a bounded, elastic pool of handler threads.

    :param work: called on a handler thread with a lane that holds items; takes them with ``take``.
    :param workers: threads kept.
    :param max_workers: threads at the most.
    :param patience: seconds that a ready lane waits before another thread is added.
    """

    def __init__(
        self,
        work: Callable[[Lane[Item]], None],
        *,
        workers: int,
        max_workers: int,
        patience: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._workers = workers
        self._max_workers = max_workers
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._ready_changed = threading.Condition(self._lock)
        self._lanes: dict[str, Lane[Item]] = {}
        self._ready: deque[Lane[Item]] = deque()
        self._working: set[Lane[Item]] = set()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._started = 0
        self._lent = 0  # threads that wait within ``lend``
        self._stopping = False

    # -- queue ---------------------------------------------------------------------------------------------

    def put(self, key: str, item: Item) -> None:
        """Adds an item, in order of its sequence number. Never blocks for long; any thread."""
        with self._lock:
            self._put(key, item)

    def put_all(self, items: Iterable[tuple[str, Item]]) -> None:
        """Adds several items under one turn of the lock."""
        with self._lock:
            for key, item in items:
                self._put(key, item)

    def _put(self, key: str, item: Item) -> None:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
            lane.items.append(item)
        else:
            items = lane.items
            if items and items[-1].sequence > item.sequence:
                insort(items, item, key=_sequence_of)
            else:
                items.append(item)
            if lane.is_ready or lane in self._working:
                return
        self._make_ready(lane)

    def _make_ready(self, lane: Lane[Item]) -> None:
        lane.ready_since = self._clock()
        lane.is_ready = True
        self._ready.append(lane)
        room = self._workers + self._lent - len(self._threads)
        if room > 0 and len(self._ready) > self._idle and not self._stopping:
            self._spawn()
        elif self._idle:
            self._ready_changed.notify()

    def take(self, lane: Lane[Item], limit: int) -> list[Item]:
        """Removes and returns the first items of a lane that the calling thread works."""
        with self._lock:
            items = lane.items[:limit]
            del lane.items[:limit]
            return items

    def put_back(self, lane: Lane[Item], items: list[Item]) -> None:
        """Returns items that were taken but not run to the head of the lane."""
        with self._lock:
            lane.items[:0] = items

    def remove(self, key: str, item: Item) -> bool:
        """Takes one waiting item out; false when it is not waiting in its lane any more."""
        with self._lock:
            lane = self._lanes.get(key)
            if lane is None or item not in lane.items:
                return False
            lane.items.remove(item)
            return True

    def clear(self, wanted: Callable[[Item], bool]) -> list[Item]:
        """Takes every waiting item out that is ``wanted``, and returns them."""
        with self._lock:
            out: list[Item] = []
            for lane in self._lanes.values():
                taken = [item for item in lane.items if wanted(item)]
                if taken:
                    out.extend(taken)
                    lane.items = [item for item in lane.items if not wanted(item)]
            return out

    def behind(self, seconds: float, limit: int) -> list[Item]:
        """The items that wait in lanes whose thread has been busy for longer than ``seconds``: each is named
        once, so that a long queue costs nothing to look at again.

        :param limit: how many at the most, in equal parts from each such lane, each from its head.
        """
        now = self._clock()
        found: list[Item] = []
        with self._lock:
            slow = [
                lane
                for lane in self._working
                if lane.working_since is not None and now - lane.working_since >= seconds
            ]
            for lane in slow:
                first = bisect_right(lane.items, lane.told, key=_sequence_of)
                named = lane.items[first : first + max(limit // len(slow), 1)]
                if named:
                    found.extend(named)
                    lane.told = named[-1].sequence
        return found

    def sizes(self) -> tuple[int, int, int]:
        """Lanes ready to be worked, lanes being worked, items waiting."""
        with self._lock:
            return len(self._ready), len(self._working), sum(len(lane.items) for lane in self._lanes.values())

    @property
    def busy(self) -> int:
        """How many lanes a thread works right now."""
        return len(self._working)

    @property
    def active(self) -> bool:
        """Whether a lane is being worked, or ready to be."""
        return bool(self._working or self._ready)

    @property
    def threads(self) -> int:
        """How many handler threads there are now."""
        return len(self._threads)

    # -- threads -------------------------------------------------------------------------------------------

    def touch(self, lane: Lane[Item]) -> None:
        """The thread that works the lane begins its next item: what waits behind has waited from now on."""
        lane.working_since = self._clock()

    @contextmanager
    def lend(self) -> Iterator[None]:
        """The calling handler thread waits for long: meanwhile there may be one more. Does not block."""
        with self._lock:
            self._lent += 1
            room = self._max_workers + self._lent - len(self._threads)
            if room > 0 and self._ready and not self._idle and not self._stopping:
                self._spawn()
        try:
            yield
        finally:
            with self._lock:
                self._lent -= 1

    def tend(self) -> None:
        """Adds threads where lanes have waited for too long. Called now and then by the owner of the
        lanes.
        """
        with self._lock:
            if self._stopping or not self._ready:
                return
            waited = self._clock() - self._ready[0].ready_since
            if waited < self._patience or self._idle:
                return
            room = self._max_workers + self._lent - len(self._threads)
            for _ in range(min(room, len(self._ready))):
                self._spawn()

    def stop(self, timeout: float) -> bool:
        """Ends the threads and joins them for at most ``timeout`` seconds; false when some still run a
        handler. Idempotent.
        """
        with self._lock:
            self._stopping = True
            self._ready_changed.notify_all()
            threads = list(self._threads)
        deadline = self._clock() + timeout
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - self._clock()))
        return not any(thread.is_alive() for thread in threads)

    def _spawn(self) -> None:
        self._started += 1
        thread = threading.Thread(target=self._run, name=f"discordha-handler-{self._started}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _run(self) -> None:
        while True:
            lane = self._next_lane()
            if lane is None:
                return
            try:
                self._work(lane)
            except Exception:  # noqa: BLE001 - the thread goes on with the next lane
                _log.exception("a lane's work failed")
            finally:
                self._finish(lane)

    def _next_lane(self) -> Lane[Item] | None:
        """The next ready lane; blocks. ``None`` ends the thread, which is then no longer counted."""
        with self._lock:
            while not self._stopping:
                if self._ready:
                    lane = self._ready.popleft()
                    lane.is_ready = False
                    if not lane.items:
                        self._lanes.pop(lane.key, None)
                        continue
                    lane.working_since = self._clock()
                    self._working.add(lane)
                    return lane
                self._idle += 1
                notified = self._ready_changed.wait(IDLE)
                self._idle -= 1
                extra = len(self._threads) > self._workers + self._lent
                if extra and not notified and not self._ready:
                    break
            self._threads.discard(threading.current_thread())
            return None

    def _finish(self, lane: Lane[Item]) -> None:
        with self._lock:
            self._working.discard(lane)
            lane.working_since = None
            if lane.items:
                self._make_ready(lane)
            else:
                self._lanes.pop(lane.key, None)

"""Lanes: a queue for each key, and the handler threads that work them.

Guarantees: items of one lane run one after another, in the order of their sequence numbers. A slow lane
delays no other while a thread is free. When all are busy for longer than ``patience``, more are added, up to
``max_workers``; a thread beyond ``workers`` ends after ``IDLE`` seconds without work. A thread that waits
within ``lend`` does not count. A thread may let its lane go while it still works on an item: then another one
works the rest. Lanes that begin with an item that is late (caught up after an outage) get half of ``workers``
at the most, and only what the others leave; among them go those first in which items that are not late wait
behind such. The dispatcher bounds the number of items.

One thread is called at a time, and calls the next once it has a lane. While many items come at once
(``gather``), one is called every ``GATHER`` seconds, and works one lane after another: else all would take
turns at Python, an item a turn. One that is about to wait for etcd calls another; others, ``spread`` does.

Threads and locks: owns ``discordha-handler-N``, which ``stop`` ends and joins. ``_lock`` (that of
``_ready_changed``) guards lanes, ready queue and thread counts; no work is done under it.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from discordha.dispatch.items import Lane, LaneItem
from discordha.process.threads import note_failure

__all__ = ["Lane", "Lanes"]

_log = logging.getLogger(__name__)

#: Seconds without work after which a thread beyond the base size ends.
IDLE = 10.0
#: How seldom threads are called within ``gather``, seconds: Python's own interval for switching threads.
GATHER = 0.005


class Lanes:
    """See the module. Its methods do not block, ``stop`` aside; any thread."""

    def __init__(
        self,
        *,
        workers: int,
        max_workers: int,
        patience: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work: Callable[[Lane], None] | None = None
        self._on_ready: Callable[[float], None] = lambda now: None
        self._workers = workers
        self._max_workers = max_workers
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._ready_changed = threading.Condition(self._lock)
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._ready_late: deque[Lane] = deque()  # those that hold late items alone
        self._ready_mixed: deque[Lane] = deque()  # those that begin with one, and hold others
        self._late = 0  # how many such lanes are worked
        self._most_late = max(workers // 2, 1)
        self._working: set[Lane] = set()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._called, self._starting = False, 0  # an idle thread, and new ones, are on their way to look
        self._gathers, self._gathering_until = False, 0.0  # more follow at once; until then no call is made
        self._started = 0
        self._lent = 0  # threads that wait within ``lend``
        self._apart = 0  # threads that still work on an item whose lane they have let go
        self._stopping = False
        self._shortage: RuntimeError | None = None  # why the last thread could not be started

    def put(self, item: LaneItem) -> None:
        """Adds an item to its lane, in order of its sequence number."""
        with self._lock:
            lane = self._lanes.get(item.lane)
            if lane is None:
                lane = self._lanes[item.lane] = Lane(item.lane)
            if lane.items and lane.items[-1].sequence > item.sequence:
                insort(lane.items, item, key=lambda each: each.sequence)
            else:
                lane.items.append(item)
            if lane.is_ready:
                self._move_up(lane)
            elif lane not in self._working:
                self._make_ready(lane)
                if not self._holds():
                    self._call_thread()

    def _make_ready(self, lane: Lane) -> None:
        lane.ready_since = self._clock()
        lane.is_ready = True
        lane.queue = self._queue_of(lane)
        lane.queue.append(lane)
        self._on_ready(lane.ready_since)

    def _holds(self) -> bool:
        """Whether no thread is to be called yet. Caller holds the lock."""
        if not self._gathering_until:  # most of the time
            return False
        now = self._clock()
        if now < self._gathering_until:
            return self._gathers or self._called or self._starting > 0 or bool(self._working)
        self._gathering_until = now + GATHER if self._gathers else 0.0
        return False

    def _queue_of(self, lane: Lane) -> deque[Lane]:
        if not lane.items[0].is_late:
            return self._ready
        return self._ready_late if lane.items[-1].is_late else self._ready_mixed

    def _move_up(self, lane: Lane) -> None:
        """An item that is not late waits in a ready lane by now. Caller holds the lock."""
        if lane.queue is self._ready_late and not lane.items[-1].is_late:
            lane.queue.remove(lane)
            lane.queue = self._ready_mixed
            lane.queue.append(lane)

    def _call_thread(self) -> None:
        """Has a thread work the next lane that may be worked, if there is one. Caller holds the lock."""
        if self._called or self._starting or not (waiting := self._waiting()):
            return
        if waiting > self._idle and self._room(self._workers) > 0:
            self._spawn()
        elif self._idle:
            self._called = True
            self._ready_changed.notify()

    def _waiting(self) -> int:
        """How many ready lanes may be worked. Caller holds the lock."""
        late = len(self._ready_mixed) + len(self._ready_late)
        return len(self._ready) + (min(late, max(self._most_late - self._late, 0)) if late else 0)

    def gather(self) -> None:
        """More items follow at once: until ``hand_over`` a thread is called every ``GATHER`` seconds only."""
        self._gathering_until = self._clock() + GATHER
        self._gathers = True

    def hand_over(self) -> float | None:
        """Calls a thread for what has been gathered. Returns for how many seconds it works alone, until
        ``spread``; ``None`` if nothing else waits."""
        self._gathers = False
        with self._lock:
            self._gathering_until = self._clock() + GATHER
            self._call_thread()
            return GATHER if self._waiting() > 1 else None

    def spread(self) -> None:
        """Has as many threads work the lanes as there are, unless more items come at once."""
        with self._lock:
            if not self._gathers:
                self._gathering_until = 0.0
                self._call_thread()

    def call_another(self) -> None:
        """The calling thread is about to wait, though not for long: another one works the next lane."""
        with self._lock:
            self._call_thread()

    def take(self, lane: Lane, limit: int) -> list[LaneItem]:
        """Removes and returns the first items of a lane that the calling thread works."""
        with self._lock:
            items = lane.items[:limit]
            del lane.items[:limit]
            return items

    def remove(self, item: LaneItem) -> bool:
        """Takes one waiting item out; false when it no longer waits in its lane."""
        with self._lock:
            lane = self._lanes.get(item.lane)
            if lane is None or item not in lane.items:
                return False
            lane.items.remove(item)
            return True

    def take_out(self, key: str, items: Iterable[LaneItem]) -> None:
        """Takes items that wait out of one lane: each once, since one may have been put there again."""
        with self._lock:
            lane = self._lanes.get(key)
            if lane is None:
                return
            out, kept = set(items), list[LaneItem]()
            for item in lane.items:
                if item in out:
                    out.remove(item)
                else:
                    kept.append(item)
            lane.items = kept

    def clear(self, wanted: Callable[[LaneItem], bool]) -> list[LaneItem]:
        """Takes out and returns every waiting item that is ``wanted``."""
        with self._lock:
            out: list[LaneItem] = []
            for lane in self._lanes.values():
                taken = [item for item in lane.items if wanted(item)]
                if taken:
                    out.extend(taken)
                    lane.items = [item for item in lane.items if not wanted(item)]
            return out

    def behind(self, seconds: float, limit: int) -> list[LaneItem]:
        """The items behind one that has been worked on for ``seconds``: each is named once, and ``limit`` at
        the most, in equal parts from the head of each such lane.
        """
        now = self._clock()
        found: list[LaneItem] = []
        with self._lock:
            slow = [
                lane
                for lane in self._working
                if lane.working_since is not None and now - lane.working_since >= seconds
            ]
            for lane in slow:
                first = bisect_right(lane.items, lane.named_up_to, key=lambda each: each.sequence)
                named = lane.items[first : first + max(limit // len(slow), 1)]
                if named:
                    found.extend(named)
                    lane.named_up_to = named[-1].sequence
        return found

    def sizes(self) -> tuple[int, int, int]:
        """Lanes ready to be worked, items or lanes being worked, items waiting."""
        with self._lock:
            waiting = sum(len(lane.items) for lane in self._lanes.values())
            ready = sum(map(len, (self._ready, self._ready_mixed, self._ready_late)))
            return ready, len(self._working) + self._apart, waiting

    @property
    def apart(self) -> int:
        """How many items are being worked on whose lanes go on without them."""
        return self._apart

    @property
    def active(self) -> bool:
        """Whether a lane is being worked, or ready to be."""
        return bool(self._working or self._ready or self._ready_mixed or self._ready_late)

    @property
    def threads(self) -> int:
        """The number of handler threads."""
        return len(self._threads)

    def start(self, work: Callable[[Lane], None], on_ready: Callable[[float], None] | None = None) -> None:
        """Starts to work the lanes: ``work`` is called on a handler thread with a lane, ``on_ready`` under
        the lock with the time when a lane is to be worked. Twice raises ``RuntimeError``.
        """
        with self._lock:
            if self._work is not None:
                raise RuntimeError("the lanes are started already")
            self._work = work
            self._on_ready = on_ready or self._on_ready
            for _ in range(min(self._room(self._workers), self._waiting())):
                self._spawn()

    def touch(self, lane: Lane) -> float:
        """The thread that works the lane begins its next item: ``behind`` counts from now. Returns when."""
        lane.working_since = now = self._clock()
        return now

    def let_go(self, lane: Lane) -> bool:
        """Lets other threads work a lane while the calling one still works on an item of it; false when the
        calling thread does not work the lane.
        """
        with self._lock:
            if lane.worker is not threading.current_thread():
                return False
            self._apart += 1
            self._end_work(lane)
            self._call_thread()
            return True

    @contextmanager
    def lend(self) -> Iterator[None]:
        """The calling handler thread waits for long: meanwhile one more may run."""
        with self._lock:
            self._lent += 1
            if self._waiting() and not self._idle and self._room(self._max_workers) > 0:
                self._spawn()
        try:
            yield
        finally:
            with self._lock:
                self._lent -= 1

    def tend(self) -> None:
        """Adds threads where a lane has waited for too long. For the dispatcher's timer."""
        with self._lock:
            waiting = self._waiting()
            if not waiting or self._idle:
                self._call_thread()
                return
            first = (self._ready or self._ready_mixed or self._ready_late)[0]
            if self._clock() - first.ready_since < self._patience:
                return
            for _ in range(min(self._room(self._max_workers), waiting)):
                self._spawn()
            shortage = None if self._threads else self._shortage
        if shortage is not None:
            note_failure(shortage)  # nothing is handled

    def stop(self, timeout: float) -> bool:
        """Ends and joins the threads, within ``timeout`` seconds; false when some still run. Idempotent."""
        with self._lock:
            self._stopping = True
            self._ready_changed.notify_all()
            threads = list(self._threads)
        deadline = self._clock() + timeout
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - self._clock()))
        return not any(thread.is_alive() for thread in threads)

    def _room(self, most: int) -> int:
        """How many threads may be added, of ``most``. Caller holds the lock."""
        if self._stopping or self._work is None:
            return 0
        return most + self._lent - len(self._threads)

    def _spawn(self) -> None:
        self._started += 1
        thread = threading.Thread(target=self._run, name=f"discordha-handler-{self._started}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads: ``tend`` tries again
            if self._shortage is None:
                _log.error("no handler thread can be started, of %d: %s", len(self._threads), error)
            self._shortage = error
            return
        self._threads.add(thread)
        self._starting += 1
        self._shortage = None

    def _run(self) -> None:
        work = self._work
        assert work is not None
        with self._lock:
            self._starting -= 1
        while True:
            lane = self._next_lane()
            if lane is None:
                return
            self._turn(lane, work)

    def _turn(self, lane: Lane, work: Callable[[Lane], None]) -> None:
        try:
            work(lane)
        except Exception:  # noqa: BLE001 - the thread goes on with the next lane
            _log.exception("a lane's work failed")
        finally:
            with self._lock:
                if lane.worker is threading.current_thread():
                    self._end_work(lane)
                else:
                    self._apart -= 1

    def _next_lane(self) -> Lane | None:
        """Blocks for the next ready lane; ``None`` ends the thread, which then counts no longer."""
        with self._lock:
            while not self._stopping:
                if self._waiting():
                    is_late = not self._ready
                    lane = (self._ready or self._ready_mixed or self._ready_late).popleft()
                    lane.is_ready = False
                    if not lane.items:
                        self._lanes.pop(lane.key, None)
                        continue
                    lane.counts_as_late = is_late
                    self._late += is_late
                    lane.working_since = self._clock()
                    lane.worker = threading.current_thread()
                    self._working.add(lane)
                    if not self._holds():
                        self._call_thread()
                    return lane
                self._idle += 1
                notified = self._ready_changed.wait(IDLE)
                self._idle -= 1
                self._called = False
                extra = len(self._threads) > self._workers + self._lent
                if extra and not notified and not self._waiting():
                    break
            self._threads.discard(threading.current_thread())
            return None

    def _end_work(self, lane: Lane) -> None:
        """Caller holds the lock, and looks for the next lane or calls a thread that does."""
        self._working.discard(lane)
        lane.working_since = None
        lane.worker = None
        was_late, lane.counts_as_late = lane.counts_as_late, False
        self._late -= was_late
        if lane.items:
            self._make_ready(lane)
        else:
            self._lanes.pop(lane.key, None)

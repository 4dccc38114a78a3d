"""Pending events: the events to be claimed that are not done yet, where each one is, and where it goes.

Guarantees: an event is known once, and one caller alone makes each move. When ``size`` events are kept, the
oldest parked one makes room. The preferred replica claims at once; the r-th in rank waits r x ``grace``, or
up to ``HELP_WITHIN`` times that while its own events begin late. If ranks change meanwhile, the newly
preferred replica claims at once. A replica that drains leaves events to the others, unless no other has
received them.

Threads and locks: no thread. ``PendingEvents._lock`` guards its tables and each item's ``state``; nothing is
called under it. ``Router`` has no lock; ``take_due``, ``note_ranks`` and ``note_lateness`` belong to the
timer's thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from discordha.coordination.claims.records import Hint
from discordha.dispatch.items import ClaimItem, ClaimStore, Preference, State
from discordha.dispatch.lanes import Lanes
from discordha.stats import Stats

__all__ = ["HELP_WITHIN", "PendingEvents", "Router"]

#: A replica whose lanes all make events wait for longer than ``grace`` has no help to offer: it takes an
#: event that nobody has claimed only after so many times its rank's grace.
HELP_WITHIN = 10
#: Seconds until an event is tried again whose turn failed for a reason that nobody foresaw.
TRY_LATER = 1.0
#: Stands for the rank of such an event: they all wait equally long.
FAILED = -1

_STANDBY = (State.PARKED, State.DELAYED)
_UNSTARTED = (*_STANDBY, State.WAITING)


class PendingEvents:
    """Where each event is. Any thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: dict[str, ClaimItem] = {}
        self._parked: dict[str, ClaimItem] = {}  # in the order of parking; part of ``_known``
        self._delayed: dict[int, deque[tuple[float, ClaimItem]]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def admit(self, item: ClaimItem) -> tuple[str | None, ClaimItem | None]:
        """Adds a parked item. Returns why not (``duplicate``, ``queue_full``), and which one made room."""
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

    def standing(self, state: State) -> list[ClaimItem]:
        """The items in a state, in order of arrival."""
        with self._lock:
            return [item for item in self._known.values() if item.state is state]

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
            unstarted = [item for item in self._known.values() if item.state in _UNSTARTED]
        return [item for item in unstarted if item.event.received_at < moment]

    def oldest(self, shard_id: int) -> float | None:
        """When the oldest item of a shard was received; ``None`` when there is none."""
        with self._lock:
            events = [item.event for item in self._known.values()]
        return min((event.received_at for event in events if event.shard_id == shard_id), default=None)

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


class Router:
    """Where an event goes while nobody here works on it. ``wake`` tells the timer when something is due."""

    def __init__(
        self,
        pending: PendingEvents,
        lanes: Lanes,
        claims: ClaimStore,
        members: Preference,
        stats: Stats,
        *,
        grace: float,
        wake: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pending = pending
        self._lanes = lanes
        self._claims = claims
        self._members = members
        self._stats = stats
        self._grace = grace
        self._wake = wake
        self._clock = clock
        self.draining = False  # events are left to other replicas that have received them
        self.drained = False  # or to any other
        # The timer's own:
        self._ranked_by: object = members.version
        self._late_until = 0.0

    def route(self, item: ClaimItem) -> None:
        """Moves a parked item on: it is forgotten, stays parked, goes into its lane, or is delayed."""
        hint = self._claims.hint(item.key)
        if hint is Hint.DONE:
            self._pending.forget(item)
            return
        if hint is Hint.RUNNING or self.gives_back(item):
            return
        rank = self._rank(item)
        now = self._clock()
        if rank > 0:
            due = now + rank * self._grace
            self._pending.delay(item, rank, due)
            self._wake(due)
        else:
            self._queue(item, now)

    def try_later(self, item: ClaimItem) -> None:
        """Delays a parked item whose turn failed, by ``TRY_LATER`` seconds."""
        due = self._clock() + TRY_LATER
        self._pending.delay(item, FAILED, due)
        self._wake(due)

    def _rank(self, item: ClaimItem) -> int:
        return self._members.rank(item.order, item.event.shard_id)

    def _queue(self, item: ClaimItem, now: float) -> bool:
        if not self._pending.move(item, State.WAITING, only_from=(State.PARKED,)):
            return False
        item.waits_since = now
        self._lanes.put(item)
        return True

    def gives_back(self, item: ClaimItem) -> bool:
        """Whether this replica drains, and leaves the event to another that has received it."""
        if not self.draining:
            return False
        moment = math.inf if self.drained else item.event.received_at
        return self._members.has_received(item.event.shard_id, moment)

    def take_due(self, now: float) -> None:
        """Queues the items whose grace is over and that nobody has claimed."""
        for item in self._pending.due(now):
            hint = self._claims.hint(item.key)
            if hint is Hint.DONE:
                self._pending.forget(item)
            elif hint is Hint.UNKNOWN and not self.gives_back(item):
                self._help(item, now)

    def _help(self, item: ClaimItem, now: float) -> None:
        if now < self._late_until:
            rank = self._rank(item)
            if now - item.event.received_at < HELP_WITHIN * rank * self._grace:
                self._pending.delay(item, rank, now + rank * self._grace)
                return
        if self._queue(item, now):
            self._stats.add("hedged", item.event_name)

    def note_ranks(self) -> None:
        """After ranks have changed, routes the delayed items that this replica is now preferred for."""
        version = self._members.version
        if version == self._ranked_by:
            return
        self._ranked_by = version
        for item in self._pending.standing(State.DELAYED):
            if self._rank(item) == 0 and self._pending.move(item, State.PARKED, only_from=(State.DELAYED,)):
                self.route(item)

    def note_lateness(self, promptest: float | None, now: float) -> None:
        """While even the promptest event in the lanes begins late, peers' events are better left to peers."""
        if promptest is not None:
            late = promptest > self._grace
            self._late_until = now + 2 * self._grace if late else now

"""Pending events: the events to be claimed that are not done yet, where each one is, and in which order.

Guarantees: an event is known once, and one caller alone makes each move. When ``size`` events are kept, the
oldest parked one makes room.

Order: the events of a lane stand in the order of the gateway, which all replicas share. An event is *ours*
from its turn in the lane to its mark. The *front* of a lane is its first event that is neither ours nor
excused; only the front may be delayed or become ours, and nothing behind it begins here. An event that stops
being ours becomes the front again, and ``withdraw`` takes back those behind it. An event leaves its lane when
it is done, forgotten, expired or evicted, whichever comes first, and so holds nothing back any more. An event
that is *set aside* while it runs leaves it, too; if it must run again, it takes its old place. ``Router``
asks the others about events that this replica never received, or has evicted.

Threads and locks: no thread. ``_lock`` guards the tables and each item's state, claim and neighbours; nothing
is called under it.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from discordha.coordination.claims.records import Claim
from discordha.dispatch.items import (
    DELAYED,
    FINISHED,
    GONE,
    PARKED,
    RUNNING,
    WAITING,
    ClaimItem,
    LaneOrder,
    State,
)

__all__ = ["Admission", "PendingEvents"]

_STANDBY = (PARKED, DELAYED)
_UNSTARTED = (*_STANDBY, WAITING)


class Admission(NamedTuple):
    """What came of adding an event.

    :param refused: why it was not added: ``duplicate``, ``queue_full``.
    :param evicted: the one that made room for it.
    :param is_front: whether it is the front of its lane.
    :param follows: whether any items of the lane are ours.
    """

    refused: str | None
    evicted: ClaimItem | None = None
    is_front: bool = False
    follows: bool = False


_make = tuple.__new__  # builds a NamedTuple in half the time of its own constructor


class PendingEvents:
    """Where each event is. Any thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: dict[str, ClaimItem] = {}
        self._parked: dict[str, ClaimItem] = {}  # in the order of parking; part of ``_known``
        self._delayed: list[tuple[float, int, ClaimItem]] = []  # a heap of when each grace ends
        self._numbers = itertools.count()
        self._lanes: dict[str, LaneOrder] = {}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def any_parked(self) -> bool:
        """Whether an event waits for another replica or a look, or behind such a one."""
        return bool(self._parked)

    def admit(self, item: ClaimItem) -> Admission:
        """Adds a parked item."""
        evicted, key = None, item.key
        with self._lock:
            if key in self._known:
                return Admission("duplicate")
            if len(self._known) >= self._size:
                if (evicted := next(iter(self._parked.values()), None)) is None:
                    return Admission("queue_full")
                self._remove(evicted)
            self._known[key] = self._parked[key] = item
            order = self._lanes.get(item.lane)
            if order is None:
                order = self._lanes[item.lane] = LaneOrder()
            order.append(item)
            return _make(Admission, (None, evicted, order.find_front() is item, order.ours > 0))

    def get(self, key: str) -> ClaimItem | None:
        """The item of a key."""
        return self._known.get(key)

    # -- moves -----------------------------------------------------------------------------------------------

    def move(self, item: ClaimItem, to: State, *, only_from: Sequence[State] | None = None) -> bool:
        """Changes an item's state; false when it is gone, or in none of the states ``only_from``."""
        with self._lock:
            if item.state is GONE or (only_from is not None and item.state not in only_from):
                return False
            self._set(item, to)
            return True

    def enqueue(self, item: ClaimItem) -> bool:
        """Makes the parked front of a lane ours; false when it is not that."""
        with self._lock:
            if item.state is not PARKED or (order := self._lanes[item.lane]).find_front() is not item:
                return False
            item.state = WAITING
            item.excused = False
            order.ours += 1
            del self._parked[item.key]
            return True

    def begin(self, items: Sequence[ClaimItem]) -> list[ClaimItem]:
        """Lets waiting items of one lane run while all older ones are ours, and parks the others."""
        with self._lock:
            begun: list[ClaimItem] = []
            order = self._lanes.get(items[0].lane)
            front = order.find_front() if order is not None else None
            for item in items:
                if item.state is not WAITING:
                    continue
                if front is None or front.sequence >= item.sequence:
                    item.state = RUNNING  # it was ours before
                    begun.append(item)
                else:  # and it is no front
                    self._set(item, PARKED)
            return begun

    def finish(self, item: ClaimItem) -> None:
        """The handlers of a running item have ended: its mark is on the way."""
        with self._lock:
            if item.state is RUNNING:
                item.state = FINISHED

    def give_up(self, item: ClaimItem) -> tuple[bool, Claim | None]:
        """Parks an item, unless its handlers have ended. Returns whether it is parked, and its claim."""
        with self._lock:
            if item.state in (GONE, FINISHED):
                return False, None
            self._set(item, PARKED)
            return True, self._take_claim(item)

    def withdraw(self, lane: str) -> list[tuple[ClaimItem, Claim | None]]:
        """Parks the items that wait in a lane behind its front. Returns them, and the claims they had."""
        withdrawn: list[tuple[ClaimItem, Claim | None]] = []
        with self._lock:
            order = self._lanes.get(lane)
            item = order.find_front() if order is not None else None
            while item is not None:
                if item.state is WAITING:
                    self._set(item, PARKED)
                    withdrawn.append((item, self._take_claim(item)))
                item = item.younger
        return withdrawn

    def attach(self, item: ClaimItem, claim: Claim) -> bool:
        """Gives an item the claim that was made ahead; false when it has no use for that any more."""
        with self._lock:
            if item.state in (WAITING, RUNNING) and item.claim is None:
                item.claim = claim
            return item.state.is_ours

    def delay(self, item: ClaimItem, due: float) -> bool:
        """Lets a parked item wait until its grace is over; false when it is no longer parked."""
        with self._lock:
            if item.state is not PARKED:
                return False
            self._set(item, DELAYED)
            heapq.heappush(self._delayed, (due, next(self._numbers), item))
            return True

    def due(self, now: float) -> list[ClaimItem]:
        """Parks and returns the items whose grace is over."""
        due: list[ClaimItem] = []
        with self._lock:
            while self._delayed and self._delayed[0][0] <= now:
                item = heapq.heappop(self._delayed)[2]
                if item.state is DELAYED:
                    self._set(item, PARKED)
                    due.append(item)
        return due

    def delayed(self, most: int) -> list[str]:
        """The keys of so many items that still wait for their grace."""
        with self._lock:
            waiting = (item.key for _, _, item in self._delayed if item.state is DELAYED)
            return list(itertools.islice(waiting, most))

    def next_due(self) -> float | None:
        """The end of the first grace among the items that still wait for one; ``None`` when none does."""
        with self._lock:
            while self._delayed and self._delayed[0][2].state is not DELAYED:
                heapq.heappop(self._delayed)
            return self._delayed[0][0] if self._delayed else None

    # -- order -----------------------------------------------------------------------------------------------

    def set_aside(self, item: ClaimItem) -> bool:
        """Takes a running item out of its lane; false when it does not run, or stands in none."""
        with self._lock:
            if item.state is not RUNNING or item.aside:
                return False
            item.aside = True
            self._leave_lane(item)
            return True

    def front(self, lane: str) -> tuple[ClaimItem | None, bool]:
        """The front of a lane, and whether any of its items are ours."""
        with self._lock:
            order = self._lanes.get(lane)
            return (order.find_front(), order.ours > 0) if order is not None else (None, False)

    def excuse(self, item: ClaimItem) -> bool:
        """Lets those behind a parked item go on without it; false when it is not parked."""
        with self._lock:
            item.excused = item.state is PARKED
            return item.excused

    def recall(self, item: ClaimItem) -> None:
        """Ends an excuse."""
        with self._lock:
            if item.excused and item.state is not GONE:
                item.excused = False
                self._lanes[item.lane].fall_back(item)

    def held(self) -> list[ClaimItem]:
        """The parked items that wait behind another of their lane, or for a look that says whose they are."""
        with self._lock:
            return [
                item
                for item in self._parked.values()
                if item.is_undecided or self._lanes[item.lane].find_front() is not item
            ]

    def behind(self, item: ClaimItem, most: int) -> list[ClaimItem]:
        """So many parked items that come next to one in its lane."""
        found: list[ClaimItem] = []
        with self._lock:
            while (younger := item.younger) is not None and len(found) < most:
                if younger.state is PARKED:
                    found.append(younger)
                item = younger
        return found

    def blocked(self) -> list[str]:
        """The lanes whose front is parked."""
        with self._lock:
            parked = list(self._parked.values())
            return [item.lane for item in parked if self._lanes[item.lane].find_front() is item]

    # -- ends ------------------------------------------------------------------------------------------------

    def forget(self, *items: ClaimItem) -> None:
        """Removes events that are done, or that other replicas handle."""
        with self._lock:
            for item in items:
                self._remove(item)

    def forget_standby(self, keys: Sequence[str]) -> dict[str, None]:
        """Removes those of the events that wait for another replica. Returns the lanes that may go on."""
        lanes: dict[str, None] = {}
        with self._lock:
            for item in filter(None, map(self._known.get, keys)):
                if item.state not in _STANDBY:
                    continue
                self._remove(item)
                if item.lane in self._lanes:
                    lanes[item.lane] = None
        return lanes

    # -- figures ---------------------------------------------------------------------------------------------

    def standing(self, state: State) -> list[ClaimItem]:
        """The items in a state, in order of arrival."""
        with self._lock:
            return [item for item in self._known.values() if item.state is state]

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

    def unfinished(self) -> list[ClaimItem]:
        """Of each lane the first event that is not excused; where that is caught up, the first one behind it
        that is not, too: it may have been received earlier.
        """
        found: list[ClaimItem] = []
        with self._lock:
            for lane in self._lanes.values():
                item, is_first = lane.first, True
                while item is not None:
                    if not item.excused:
                        is_late = item.event.caught_up is not None
                        if item.is_ordered and (is_first or not is_late):
                            found.append(item)
                        if not is_late:
                            break
                        is_first = False
                    item = item.younger
        return found

    def counts(self) -> dict[str, int]:
        """The number of items in each state."""
        with self._lock:
            found = Counter(item.state for item in self._known.values())
        return {state.value: found[state] for state in State if state is not GONE}

    # -- under the lock --------------------------------------------------------------------------------------

    def _set(self, item: ClaimItem, to: State) -> None:
        if item.aside:
            if to in (RUNNING, FINISHED):
                item.state = to
                return
            self._rejoin_lane(item)
        was, item.state = item.state, to
        was_ours, is_ours = was.is_ours, to.is_ours
        if is_ours and was_ours:
            return
        if is_ours:
            self._lanes[item.lane].ours += 1
            item.excused = False
        elif was_ours:
            lane = self._lanes[item.lane]
            lane.ours -= 1
            lane.fall_back(item)
        if to is PARKED:
            self._parked[item.key] = item
        elif was is PARKED:
            self._parked.pop(item.key, None)

    def _lane(self, item: ClaimItem) -> LaneOrder:
        lane = self._lanes.get(item.lane)
        if lane is None:
            lane = self._lanes[item.lane] = LaneOrder()
        return lane

    @staticmethod
    def _take_claim(item: ClaimItem) -> Claim | None:
        claim, item.claim = item.claim, None
        item.ahead = False
        return claim

    def _remove(self, item: ClaimItem) -> None:
        if item.state is GONE:
            return
        if not item.aside:
            self._leave_lane(item)
        if item.state is PARKED:
            del self._parked[item.key]
        item.state = GONE
        del self._known[item.key]

    def _leave_lane(self, item: ClaimItem) -> None:
        lane = self._lanes[item.lane]
        if item.state.is_ours:
            lane.ours -= 1
        lane.remove(item)
        if lane.first is None:
            del self._lanes[item.lane]

    def _rejoin_lane(self, item: ClaimItem) -> None:
        """Gives an item that was set aside its old place again."""
        item.aside = False
        lane = self._lane(item)
        lane.insert(item)
        if item.state.is_ours:
            lane.ours += 1

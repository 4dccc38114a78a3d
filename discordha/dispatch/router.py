"""Router: where an event to be claimed goes while nobody here works on it.

Guarantees: the front of a lane (see ``PendingEvents``) is claimed at once by the preferred replica; the r-th
in rank waits r x ``grace``, or up to ``HELP_WITHIN`` times that while its own events begin late; with an
event that is caught up, r x ``LATE_GRACE``. If ranks change meanwhile, the newly preferred replica claims at
once. A replica that drains leaves events to the others, unless no other has received them.

Order, over all replicas: an event goes into its lane here only if each older one of the lane that this
replica received is done, or ours, or has a silent owner (``Members.is_silent``). So help takes the oldest
event of a channel, and the younger ones follow it without a grace: they could begin nowhere else. A drain
gives back the oldest first, and nobody begins the younger ones before. An event whose handler waits for
another (``Claims.set_aside``) holds up none. Nor does an event of a dead or silent owner, once a look has
shown that it still owns it: new events need not wait for its session to end. The same holds for all owners
while events are handled without etcd (``on_store_loss="handle"``). A replica that joined later leaves a
channel to the older ones until they have finished what it did not receive (``Members.owes``).

Nobody is told of what peers claim and finish. An event is *looked at* (``Claims.look``) when its grace is
over, before this replica helps; again and again while another replica runs it (``LookTimes``); and before
anything else if it is old enough to be marked. A look at the front of a lane takes those behind it along,
and all others that wait for their grace: most are claimed by then, if not done.

Threads and locks: no lock; any thread may call ``route``, ``advance`` and ``looked``. ``take_due``,
``note_ranks``, ``note_lateness`` and ``look_around`` belong to the timer's thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from discordha.coordination.claims.records import Claim, Hint
from discordha.dispatch.items import DELAYED, PARKED, ClaimItem, ClaimStore, Look, Preference
from discordha.dispatch.lanes import Lanes
from discordha.dispatch.look_times import LookTimes, late_step
from discordha.dispatch.pending import PendingEvents
from discordha.stats import Stats

__all__ = ["HELP_WITHIN", "TRY_LATER", "Router"]

#: A replica whose lanes all make events wait for longer than ``grace`` has no help to offer: it takes an
#: event that nobody has claimed only after so many times its rank's grace.
HELP_WITHIN = 10
#: The r-th in rank helps with a caught-up event after r times this, seconds: many of them wait in the lanes
#: of the preferred replica, and live ones need the others.
LATE_GRACE = 0.5
#: Seconds until an event is tried again whose turn failed for a reason that nobody foresaw.
TRY_LATER = 1.0
#: So many events are looked at along with the front of their lane, and with those whose grace is over.
LOOK_BEHIND = 32
LOOK_ALONG = 100
_UNKNOWN, _DONE = Hint.UNKNOWN, Hint.DONE


class Router:
    """See the module. ``wake`` tells the timer when something is due."""

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
        self._look_times = LookTimes(grace / 2)
        self.draining = False  # events are left to other replicas that have received them
        self.drained = False  # or to any other
        # The timer's own:
        self._ranked_by: object = members.version
        self._late_until = 0.0
        self._next_over = 0.0  # all whose grace ends before are being looked at; set by any thread
        self._owing = False  # a lane waits for what is owed; set by any thread

    # -- moving on -------------------------------------------------------------------------------------------

    def route(self, item: ClaimItem) -> None:
        """Moves a parked item on, once nothing older of its lane stands before it: it is forgotten, stays
        parked, goes into its lane, or is delayed."""
        self.advance(item.lane)

    def move_on(self, item: ClaimItem, *, is_front: bool, follows: bool) -> None:
        """The same for one that is parked just now. See ``Admission``."""
        if not is_front or self._go(item, follows=follows):
            self.advance(item.lane)

    def advance(self, lane: str) -> None:
        """Moves the front of a lane on, and those behind it for as long as they may follow."""
        while True:
            item, follows = self._pending.front(lane)
            if item is None or item.state is not PARKED or not self._go(item, follows=follows):
                return

    def _go(self, item: ClaimItem, *, follows: bool) -> bool:
        """Moves a parked front on; whether one behind it may be the front now."""
        hint = self._claims.hint(item.key)
        if hint is not _UNKNOWN:
            if hint is _DONE:
                self._pending.forget(item)
                return True
            excused = self._is_excused(item) and self._pending.excuse(item)
            self._look_later(item)
            return excused
        if item.look is not None and item.is_undecided and self._claims.can_look:
            return False  # the answer moves it on
        if (self.draining and self.gives_back(item)) or (not follows and self._is_owed(item)):
            self._look_later(item)  # others may finish it
            return False
        rank = 0 if follows else self._rank(item)
        now = self._clock()
        if rank == 0:  # whatever comes behind it from now on finds it in its lane
            return self._queue(item, now) and item.younger is not None
        due = self._end_of_grace(item, rank, now)
        self._pending.delay(item, due)
        self._wake(self._acts_at(due))
        return False

    def _acts_at(self, over: float) -> float:
        """When something is done about events whose first grace is over then. Where there are looks, that is
        two ticks later: a look is about more of them."""
        return max(over, self._next_over) + self._grace / 2 if self._claims.can_look else over

    def _end_of_grace(self, item: ClaimItem, rank: int, now: float) -> float:
        """When this replica looks at an event of another's. One that is late itself has no help to offer, and
        looks less and less often."""
        if item.is_late:
            return late_step(now + rank * max(self._grace, LATE_GRACE))
        pause = rank * self._grace
        if now < self._late_until:
            age = now - item.event.received_at
            pause = max(pause, min(age / 2, HELP_WITHIN * pause - age))
        return now + pause

    def _is_excused(self, item: ClaimItem) -> bool:
        """Whether the replica that owns a parked event holds up none behind it."""
        if self._claims.is_open or self._claims.is_aside(item.key):
            return True
        owner = self._claims.owner(item.key)
        if owner is None or not self._members.is_silent(owner):
            return False
        if owner == item.silent_owner or not self._claims.can_look:
            return True
        if item.look is None:  # by now it may be done, or run by a replica that lives
            self._look({Look.AGAIN: [item]})
        return False

    def _is_owed(self, item: ClaimItem) -> bool:
        """Whether an older replica has events to finish first that this one did not receive. None comes
        before one that is caught up: those stand in frames before it, or are done. What an older replica
        holds is younger, and may wait for this very event (``Barrier``).
        """
        if item.is_late or not self._members.owes(item.order, item.event.shard_id) or not item.is_ordered:
            return False
        self._owing = True
        return not self._claims.is_open

    def try_later(self, item: ClaimItem) -> None:
        """Gives an event up whose turn failed, and those behind it, for ``TRY_LATER`` seconds."""
        parked, claim = self._pending.give_up(item)
        if parked:
            self._release(claim)
            due = self._clock() + TRY_LATER
            self._pending.delay(item, due)
            self._wake(due)
        self.withdraw(item.lane)

    def _rank(self, item: ClaimItem) -> int:
        return self._members.rank(item.order, item.event.shard_id)

    def _queue(self, item: ClaimItem, now: float) -> bool:
        if not self._pending.enqueue(item):
            return False
        item.waits_since = now
        self._lanes.put(item)
        return True

    def forget(self, item: ClaimItem) -> None:
        """Lets an event go that nobody here waits for any more, and those behind it go on."""
        self._pending.forget(item)
        self.advance(item.lane)

    def resume(self, keys: Sequence[str]) -> None:
        """These events are done elsewhere: they are forgotten, and those behind them go on."""
        for lane in self._pending.forget_standby(keys):
            self.advance(lane)

    def revive(self, items: Iterable[ClaimItem]) -> None:
        """These events may have lost their owners: they and those behind them are routed again."""
        lanes: dict[str, None] = {}
        for item in items:
            if item.excused:
                self._pending.recall(item)
            lanes[item.lane] = None
        for lane in lanes:
            self.advance(lane)
            self.withdraw(lane)

    # -- looking ---------------------------------------------------------------------------------------------

    def look_first(self, item: ClaimItem) -> None:
        """Has an event looked at before anything else is done about it, unless it is known."""
        if self._claims.can_look and self._claims.hint(item.key) is _UNKNOWN:
            self._look({Look.FIRST: [item]})

    def _look(self, items: Mapping[Look, Sequence[ClaimItem]], along: Sequence[str] = ()) -> None:
        keys = dict.fromkeys(along)
        for why, those in items.items():
            for item in those:
                item.look = why
                keys[item.key] = None
                keys.update((each.key, None) for each in self._pending.behind(item, LOOK_BEHIND))
        self._claims.look(keys)

    def _look_later(self, item: ClaimItem) -> None:
        self._wake(self._look_times.add(item, self._clock()))

    def look_at_all(self) -> None:
        """Has all events looked at that wait for others."""
        waiting = [item for item in self._pending.standing(PARKED) if item.look is None]
        if waiting and self._claims.can_look:
            self._look({Look.AGAIN: waiting})

    def resync(self, attempted: Sequence[str]) -> None:
        """After a gap of the watch, has all events looked at that wait for others, and those that may be
        orphans. Where there are no looks, routes what waits again."""
        if self._claims.can_look:
            self.look_at_all()
            if attempted:
                self._claims.look(attempted)
        else:
            self.revive(self._pending.standing(PARKED))

    def looked(self, keys: Sequence[str]) -> None:
        """These events have been looked at. Never blocks."""
        items = [item for item in map(self._pending.get, keys) if item is not None]
        self.resume([item.key for item in items if self._claims.hint(item.key) is _DONE])
        if any(item.state is DELAYED and self._claims.hint(item.key) is _UNKNOWN for item in items):
            self._next_over = 0.0  # nobody has claimed it yet: the end of its grace counts
            self._wake(self.next_due() or math.inf)
        now = self._clock()
        for item in items:
            why, item.look = item.look, None
            if why is None or item.state is not PARKED:
                continue  # it was looked at along with another
            owner = self._claims.owner(item.key)
            if owner is not None:
                item.silent_owner = owner if self._members.is_silent(owner) else None
            if why is not Look.HELP or self._claims.hint(item.key) is not _UNKNOWN:
                if item.excused and owner is not None:
                    self._look_later(item)
                elif item.excused:
                    self._pending.recall(item)
                self.advance(item.lane)
            elif self.gives_back(item) or self._is_owed(item):
                self._look_later(item)
            else:
                self._help(item, now)

    # -- standing back ---------------------------------------------------------------------------------------

    def gives_back(self, item: ClaimItem) -> bool:
        """Whether this replica drains, and leaves the event to another that has received it."""
        if not self.draining:
            return False
        moment = math.inf if self.drained else item.event.received_at
        return self._members.has_received(item.event.shard_id, moment)

    def give_back(self, items: Sequence[ClaimItem]) -> None:
        """Leaves events that have not begun to the other replicas, the oldest first. Never blocks."""
        for item in items:
            parked, claim = self._pending.give_up(item)
            if parked:
                self._release(claim)
                self._look_later(item)

    def withdraw(self, lane: str) -> None:
        """Takes the events out of a lane that stand behind one that is not ours. Never blocks."""
        withdrawn = self._pending.withdraw(lane)
        self._lanes.take_out(lane, [item for item, _ in withdrawn])
        for _, claim in withdrawn:
            self._release(claim)

    def _release(self, claim: Claim | None) -> None:
        if claim is not None and not claim.lost:
            self._claims.release(claim)

    # -- the timer -------------------------------------------------------------------------------------------

    def take_due(self, now: float) -> None:
        """Has the items looked at whose grace is over, and those that another replica ran at the last look.
        Where there are no looks, queues those whose grace is over and that nobody has claimed."""
        over = self._pending.due(now)
        if self._claims.can_look:
            again = self._look_times.due(now + self._grace if over else now)  # one look at all of them
            if over or again:  # along go those that need no look of their own if they are done by now
                along = self._pending.delayed(LOOK_ALONG)
                if len(along) < LOOK_ALONG:
                    self._next_over = now + self._grace  # before the answer comes, which may end that
                self._look({Look.HELP: over, Look.AGAIN: again}, along)
            return
        for item in over:
            hint = self._claims.hint(item.key)
            if hint is _DONE:
                self.forget(item)
            elif hint is _UNKNOWN and not self.gives_back(item) and not self._is_owed(item):
                self._help(item, now)

    def _help(self, item: ClaimItem, now: float) -> None:
        if now < self._late_until:
            rank = self._rank(item)
            if now - item.event.received_at < HELP_WITHIN * rank * self._grace:
                self._pending.delay(item, self._end_of_grace(item, rank, now))
                return
        if self._queue(item, now):
            self._stats.add("hedged", item.event_name)
            self.advance(item.lane)

    def next_due(self) -> float | None:
        """When something is due next; ``None`` when nothing is."""
        over = self._pending.next_due()
        if over is not None:
            over = self._acts_at(over)
        again = self._look_times.next_due()
        return over if again is None or (over is not None and over < again) else again

    def note_ranks(self) -> None:
        """After ranks have changed, routes the delayed items that this replica is now preferred for, and
        those that were left to another."""
        version = self._members.version
        if version == self._ranked_by:
            return
        self._ranked_by = version
        self._look_times.hurry(self._clock())  # whoever has left may have finished them before
        for item in self._pending.standing(DELAYED):
            if self._rank(item) == 0 and self._pending.move(item, PARKED, only_from=(DELAYED,)):
                self.look_first(item)  # whoever was preferred may have claimed it
                self.advance(item.lane)
        self._advance_blocked()

    def note_lateness(self, promptest: float | None, now: float) -> None:
        """While even the promptest event in the lanes begins late, peers' events are better left to peers."""
        if promptest is not None:
            late = promptest > self._grace
            self._late_until = now + 2 * self._grace if late else now

    def look_around(self) -> None:
        """Lets the lanes go on whose front waits for a replica that is silent by now, or owes no more."""
        self._members.review()
        if self._owing or self._claims.is_open or self._members.any_silent:
            self._owing = False
            self._advance_blocked()

    def _advance_blocked(self) -> None:
        for lane in self._pending.blocked():
            self.advance(lane)

"""Routing: where an event goes that is to be claimed and that nobody here works on.

Guarantees
- The preferred replica claims at once; the r-th in rank waits r x ``grace``, or up to ``HELP_WITHIN`` times
  that while its own events begin late. If ranks change meanwhile, the newly preferred replica claims at once.
- An event that another replica runs waits without a thread, until the watch tells of its end.
- A replica that drains leaves events to the others, unless no other replica has received them.

Threads and locks: no thread, no lock. ``route`` and ``gives_back`` run on any thread, all else on the
timer's. The lock of ``PendingEvents`` makes each move of an item once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from discordha.coordination.claims.records import Hint
from discordha.dispatch.items import ClaimItem, ClaimStore, Preference, State
from discordha.dispatch.lanes import Lanes
from discordha.dispatch.pending import PendingEvents
from discordha.stats import Stats

__all__ = ["HELP_WITHIN", "Router"]

#: A replica whose lanes all make events wait for longer than ``grace`` has no help to offer: it takes an
#: event that nobody has claimed only after so many times its rank's grace.
HELP_WITHIN = 10


class Router:
    """See the module.

    :param grace: seconds that each rank waits longer than the one before.
    :param wake: tells the timer when something will be due.
    """

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
        self._draining = False
        self._drained = False
        # The timer's own:
        self._ranked_by: object = members.version
        self._late_until = 0.0

    def route(self, item: ClaimItem) -> None:
        """Moves a parked item on: forgets it when it is done, leaves it parked while it runs elsewhere, puts
        it into its lane, or delays it for its rank. Any thread; no lock held.
        """
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
        elif self._queue(item, now):
            self._wake(now + self._grace / 4)

    def _rank(self, item: ClaimItem) -> int:
        return self._members.rank(item.order, item.event.shard_id)

    def _queue(self, item: ClaimItem, now: float) -> bool:
        if not self._pending.move(item, State.WAITING, only_from=(State.PARKED,)):
            return False
        item.waits_since = now
        self._lanes.put(item)
        return True

    # -- draining --------------------------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        """Whether this replica drains."""
        return self._draining

    def drain(self) -> None:
        """From now on, events are left to other replicas that have received them."""
        self._draining = True

    def close(self) -> None:
        """From now on, events are left to other replicas if there are any."""
        self._drained = True

    def gives_back(self, item: ClaimItem) -> bool:
        """Whether this replica drains and leaves the event to another one, which has received it too."""
        if not self._draining:
            return False
        moment = math.inf if self._drained else item.event.received_at
        return self._members.has_received(item.event.shard_id, moment)

    # -- the timer -------------------------------------------------------------------------------------------

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
        """After ranks have changed, routes delayed items that this replica is now preferred for: those of a
        replica that began to drain, or that came while only peers knew that this replica is ready.
        """
        version = self._members.version
        if version == self._ranked_by:
            return
        self._ranked_by = version
        for item in self._pending.delayed():
            if self._rank(item) == 0 and self._pending.move(item, State.PARKED, only_from=(State.DELAYED,)):
                self.route(item)

    def note_lateness(self, promptest: float | None, now: float) -> None:
        """While even the promptest event in the lanes begins late, peers' events are better left to peers.

        :param promptest: seconds that it stood in its lane; ``None`` when none has begun.
        """
        if promptest is not None:
            late = promptest > self._grace
            self._late_until = now + 2 * self._grace if late else now

"""The handler threads' part: one turn with a lane, from the claim to the mark.

Promises
- The run of events at a lane's head is claimed in one call: as many as recent handler times say will run
  within ``BATCH_SECONDS``. An event that an owner died on is claimed alone, and on its last attempt only
  while no other is on its own (``LastAttempts``), so that a poisonous one takes no other with it.
- What waits behind a slow handler is claimed ahead, since order would keep peers from running it anyway, and
  a peer that sees no claim within its grace takes an event.
- An event whose claim is lost before or under its handler goes back in line, for whoever is first.

Concurrency: ``work`` runs on handler threads and may block on etcd; ``claim_ahead`` runs on the timer's
thread and does not. ``_lock`` guards ``_asked`` alone; an item that is ``RUNNING`` belongs to the thread that
moved it there. ``LastAttempts`` is entered before the claim, and left after the mark or when there is none.
At a lost lease claims are lost, and each item is tried again; at a lost watch nothing changes here; at stop,
``claim`` gives up and the items are forgotten, which leaves them to other replicas.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

from discordha.context import CurrentEvent
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.claims.records import Claim, ClaimRequest, Done, Held, Hint
from discordha.coordination.membership.shard_keys import number_of
from discordha.dispatch.items import ClaimStore, Item, LeaderPath, State
from discordha.dispatch.lanes import Lane, Lanes
from discordha.dispatch.pending import Ledger
from discordha.dispatch.runner import Outcome, Runner
from discordha.events import Scope
from discordha.stats import Stats

__all__ = ["Turns"]

_log = logging.getLogger(__name__)

#: A handler thread claims as many events of a lane at once as recently ran within this many seconds.
BATCH_SECONDS = 0.005
MAX_BATCH = 64
#: Claims ahead that may wait for etcd at once. Each holds a dozen objects, and a backlog of thousands of them
#: costs more in Python's cyclic collector than all else together.
MAX_AHEAD = 256


def _never() -> bool:
    return False


class Turns:
    """See the module.

    :param route: what becomes of an item that is nobody's at the moment.
    :param gives_back: whether this replica leaves an event to others, because it drains.
    """

    def __init__(
        self,
        ledger: Ledger,
        claims: ClaimStore,
        runner: Runner,
        stats: Stats,
        *,
        last_attempts: LastAttempts,
        route: Callable[[Item], None],
        gives_back: Callable[[Item], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._claims = claims
        self._runner = runner
        self._stats = stats
        self._last_attempts = last_attempts
        self._route = route
        self._gives_back = gives_back
        self._clock = clock
        self._durations: dict[str, float] = {}
        self._promptest = math.inf
        self._lock = threading.Lock()
        self._asked = 0  # claims ahead without an answer yet
        self.lanes: Lanes[Item]
        self.leader: LeaderPath | None = None

    def work(self, lane: Lane[Item]) -> None:
        """One turn of a handler thread with one lane. Blocks for as long as claims and handlers do."""
        items = self.lanes.take(lane, self._batch_size(lane))
        if not items:
            return
        scope = items[0].event.identity.scope
        if scope is Scope.CLAIM:
            self._work_claimed(lane, items)
            return
        for item in items:
            self.lanes.touch(lane)
            if scope is Scope.LEADER and self.leader is not None:
                self._run_as_leader(item, self.leader)
            elif scope is Scope.LEADER:
                self._run(item, self._context(item, attempt=1, token=item.sequence, is_lost=_never))
            else:
                self._run(item, self._context(item, attempt=1, token=0, is_lost=_never))

    def _batch_size(self, lane: Lane[Item]) -> int:
        size = MAX_BATCH
        head = lane.items[:MAX_BATCH]
        if not head:
            return 1
        duration = self._durations.get(head[0].event.name, BATCH_SECONDS)
        if duration > 0:
            size = max(1, min(MAX_BATCH, int(BATCH_SECONDS / duration)))
        for index, item in enumerate(head[:size]):
            if item.attempt > 1:
                return max(index, 1)
        return size

    # -- events of scope claim -------------------------------------------------------------------------------

    def _work_claimed(self, lane: Lane[Item], items: list[Item]) -> None:
        if self._gives_back(items[0]):
            self.give_back(items)
            return
        items = [item for item in items if self._ledger.move(item, State.RUNNING, only_from=(State.WAITING,))]
        last = [item for item in items if self._last_attempts.concerns(item.attempt)]
        refused = [item for item in last if not self._enter(item)]
        if refused:
            items = [item for item in items if item not in refused]
        self._work_begun(lane, items)
        for item in last:
            if item not in refused and item.state is not State.FINISHED:  # else its mark is on the way
                self._last_attempts.leave(item.key)

    def _enter(self, item: Item) -> bool:
        """Whether an event may be tried for the last time now; if not, it waits without a thread, and others
        may take it.
        """
        if not self._ledger.move(item, State.PARKED):
            return False
        if not self._last_attempts.enter(item.key, item.key, lambda: self._route(item)):
            return False
        if self._ledger.move(item, State.RUNNING, only_from=(State.PARKED,)):
            return True
        self._last_attempts.leave(item.key)
        return False

    def _work_begun(self, lane: Lane[Item], items: list[Item]) -> None:
        unclaimed = []
        for item in items:
            if item.claim is not None and not item.claim.lost:
                continue
            item.claim = None
            hint = self._claims.hint(item.key)
            if hint is Hint.DONE:
                self._ledger.forget(item)
            elif hint is Hint.RUNNING and not item.ahead:
                self._park(item)
            else:
                unclaimed.append(item)
        if unclaimed:
            self._claim(unclaimed)
        for index, item in enumerate(items):
            claim = item.claim
            if claim is None:
                continue
            if self._gives_back(item):
                self.give_back(items[index:])
                return
            if claim.lost:
                self._retry(item)
                continue
            self.lanes.touch(lane)
            self._run_claimed(item, claim)

    def _claim(self, items: list[Item]) -> None:
        started = self._clock()
        answers = self._claims.claim([item.request() for item in items])
        answered = self._clock()
        for item, answer in zip(items, answers, strict=True):
            if isinstance(answer, Claim):
                item.claim = answer
                item.attempt = answer.attempt
                item.claimed_at = answered
                self._stats.observe("wait", started - item.event.received_at)
                self._stats.observe("claim", answered - started)
            elif isinstance(answer, Done):
                if answer.buried:
                    self._stats.add("dead", item.event.name)
                self._ledger.forget(item)
            elif isinstance(answer, Held):
                item.attempt = max(item.attempt, answer.attempt)
                self._park(item)
            else:
                self._ledger.forget(item)  # the replica stops

    def _park(self, item: Item) -> None:
        """Another replica owns the event: wait for it, without a thread."""
        item.claim = None
        item.ahead = False
        if not self._ledger.move(item, State.PARKED):
            return
        self._stats.add("parked", item.event.name)
        # The owner may have finished or died before the item stood here for the watch to find.
        if self._claims.hint(item.key) is not Hint.RUNNING:
            self._route(item)

    def _retry(self, item: Item) -> None:
        """The session was lost under the event: it goes back in line, for whoever is first."""
        self._stats.add("session_lost", item.event.name)
        item.attempt += 1
        self._park(item)

    def _run_claimed(self, item: Item, claim: Claim) -> None:
        self._stats.add("claimed", item.event.name)
        if claim.attempt > 1:
            self._stats.add("taken_over", item.event.name)
            _log.info("%s is taken over (attempt %d)", item.key, claim.attempt)
        context = self._context(item, attempt=claim.attempt, token=claim.token, is_lost=lambda: claim.lost)
        outcome = self._run(item, context)
        if outcome is Outcome.LOST or (claim.lost and outcome is Outcome.FAILED):
            self._retry(item)
            return
        self._ledger.move(item, State.FINISHED)
        self._claims.mark(claim, self._on_marked)

    def _on_marked(self, claim: Claim, marked: bool) -> None:
        item = self._ledger.get(claim.key)
        if item is not None:
            self._stats.observe("mark", self._clock() - item.ended_at)
            self._ledger.forget(item)
        self._last_attempts.leave(claim.key)
        if not marked:
            self._stats.add("dropped", "mark_refused")
            _log.warning("%s was finished here after another replica had taken it", claim.key)

    def give_back(self, items: Sequence[Item]) -> None:
        """Leaves events that have not begun to the other replicas. Never blocks."""
        for item in items:
            claim, item.claim = item.claim, None
            if self._ledger.move(item, State.PARKED) and claim is not None and not claim.lost:
                self._claims.release(claim)

    def claim_ahead(self, patience: float) -> None:
        """Claims what waits behind a handler that has run for ``patience`` seconds. Never blocks."""
        room = MAX_AHEAD - self._asked
        if room <= 0:
            return
        waiting = [
            item
            for item in self.lanes.behind(patience, room)
            if item.claim is None
            and not item.ahead
            and item.attempt == 1
            and item.event.identity.scope is Scope.CLAIM
        ]
        if not waiting:
            return
        for item in waiting:
            item.ahead = True
        with self._lock:
            self._asked += len(waiting)
        by_key = {item.key: item for item in waiting}

        def answer(request: ClaimRequest, claim: Claim | None) -> None:
            with self._lock:
                self._asked -= 1
            item = by_key[request.key]
            if claim is None:
                return  # held, done, or not known: the claim that is made in its turn tells
            if item.state in (State.WAITING, State.RUNNING):
                if item.claim is None:
                    item.claim = claim
            elif item.state is not State.FINISHED:
                self._claims.release(claim)

        self._claims.claim_later([item.request() for item in waiting], answer)

    def promptest(self) -> float | None:
        """How long the promptest event that began since the last call had stood in its lane, seconds;
        ``None`` when none began. For the timer's thread. A run that falls between may be missed: it tells of
        load, and decides nothing.
        """
        promptest, self._promptest = self._promptest, math.inf
        return None if promptest == math.inf else promptest

    # -- running ---------------------------------------------------------------------------------------------

    def _run_as_leader(self, item: Item, leader: LeaderPath) -> None:
        context = leader.begin(item)
        if context is not None:
            leader.finished(item, self._run(item, context))

    @staticmethod
    def _context(item: Item, *, attempt: int, token: int, is_lost: Callable[[], bool]) -> CurrentEvent:
        event = item.event
        return CurrentEvent(
            identity=event.identity.key or event.name,
            name=event.name,
            attempt=attempt,
            shard_id=number_of(event.shard_id),
            fencing_token=token,
            occurrence=item.entry or 1,
            is_lost=is_lost,
            for_itself=event.identity.scope is Scope.EVERY,
        )

    def _run(self, item: Item, context: CurrentEvent) -> Outcome:
        event = item.event
        started = self._clock()
        self._promptest = min(self._promptest, started - item.waits_since)
        if item.claimed_at is not None:
            self._stats.observe("start", started - item.claimed_at)
        else:  # it needs no claim, or had one from before its turn
            self._stats.observe("wait", started - event.received_at)
        outcome = self._runner.run(context, item.handlers, event.args)
        item.ended_at = self._clock()
        duration = item.ended_at - started
        known = self._durations.get(event.name)
        # A slow run counts at once, fast ones slowly: a batch must not be too long.
        self._durations[event.name] = (
            duration if known is None or duration > known else known + 0.1 * (duration - known)
        )
        self._stats.observe("handler", duration)
        self._stats.observe("event", item.ended_at - event.received_at)
        self._stats.add(outcome.value, event.name)
        return outcome

"""Lane worker: one turn of a handler thread with one lane, from the claim to the mark.

Guarantees: the events at a lane's head are claimed in one call, as many as will run within ``BATCH_SECONDS``.
An event that an owner died on is claimed alone, and for the last time only while no other is on its last
attempt (``LastAttempts``), so that a poisonous event takes no other with it. Events behind a slow handler are
claimed ahead: order keeps peers from running them anyway. An event whose claim is lost before its handler
ends goes back to the router. An event whose handler waits for another is set aside: its lane goes on without
it, and it does not take its place back, unless it must run again. Nothing begins behind an event of its lane
that another replica owns: what was claimed for that is released.

Threads and locks: ``work`` runs on handler threads and blocks, ``claim_ahead`` on the timer's and does not.
``_lock`` guards ``_asked``; a ``RUNNING`` item belongs to the thread that moved it there.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from discordha.context import CurrentEvent
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.claims.records import Claim, ClaimRequest, Done, Held, Hint
from discordha.coordination.membership.shard_keys import number_of
from discordha.dispatch.items import (
    FINISHED,
    GONE,
    ClaimItem,
    ClaimStore,
    Item,
    LaneItem,
    LeaderItem,
    State,
    context_of,
    times_of,
)
from discordha.dispatch.lanes import Lane, Lanes
from discordha.dispatch.pending import PendingEvents
from discordha.dispatch.router import Router
from discordha.dispatch.runner import Outcome, Runner
from discordha.stats import Stats

if TYPE_CHECKING:
    from discordha.telemetry import EventTrace, Telemetry

__all__ = ["LaneWorker"]

_log = logging.getLogger(__name__)

#: A handler thread claims as many events of a lane at once as recently ran within this many seconds.
BATCH_SECONDS = 0.005
MAX_BATCH = 64
#: Claims ahead that may wait for etcd at once. Each holds a dozen objects, which Python's collector visits.
MAX_AHEAD = 256


_UNKNOWN, _DONE = Hint.UNKNOWN, Hint.DONE
_LOST = Outcome.LOST


def _never() -> bool:
    return False


class LaneWorker:
    """See the module."""

    def __init__(  # noqa: PLR0917
        self,
        pending: PendingEvents,
        lanes: Lanes,
        claims: ClaimStore,
        router: Router,
        runner: Runner,
        stats: Stats,
        last_attempts: LastAttempts,
        telemetry: Telemetry | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pending = pending
        self._lanes = lanes
        self._claims = claims
        self._router = router
        self._runner = runner
        self._stats = stats
        self._last_attempts = last_attempts
        self._telemetry = telemetry
        self._clock = clock
        self._durations: dict[str, float] = {}
        self._promptest = math.inf
        self._lock = threading.Lock()
        self._asked = 0  # claims ahead without an answer yet

    def work(self, lane: Lane) -> None:
        """One turn of a handler thread with one lane. Blocks for as long as claims and handlers do."""
        items = self._lanes.take(lane, self._batch_size(lane))
        if items and isinstance(items[0], ClaimItem):  # a lane holds items of one kind
            self._work_claimed(lane, cast(list[ClaimItem], items))
            return
        while items:
            item = items.pop(0)
            started = self._lanes.touch(lane)
            if isinstance(item, LeaderItem):
                context = item.leader.begin(item)
                if context is not None:
                    item.leader.finished(item, self._run(item, context, self._lanes.touch(lane)))
            elif isinstance(item, Item):
                set_aside = functools.partial(self._let_go, lane, items)
                context = context_of(item, 1, 0, _never, set_aside, started)
                self._run(item, context, started)

    def _let_go(self, lane: Lane, rest: list[LaneItem]) -> None:
        """The handler of an event of the replica itself waits: another thread works the rest of its lane."""
        if lane.worker is threading.current_thread():
            for item in rest:
                self._lanes.put(item)
            rest.clear()
            self._lanes.let_go(lane)

    def _set_aside(self, lane: Lane, items: list[ClaimItem], item: ClaimItem, ended: list[Claim]) -> None:
        """The handler of an event waits: its lane goes on without it, here and on all replicas."""
        if lane.worker is not threading.current_thread() or not self._pending.set_aside(item):
            return
        self._mark(ended)
        rest = items[items.index(item) + 1 :]
        del items[items.index(item) + 1 :]
        for each in rest:
            if self._pending.move(each, State.WAITING, only_from=(State.RUNNING,)):
                self._lanes.put(each)
        self._lanes.let_go(lane)
        if item.claim is not None:
            self._claims.set_aside(item.claim, item.request().traceparent)
        self._router.advance(item.lane)

    def _batch_size(self, lane: Lane) -> int:
        head = lane.items[:MAX_BATCH]
        if len(head) <= 1:
            return 1
        duration = self._durations.get(head[0].event_name, BATCH_SECONDS)
        size = int(BATCH_SECONDS / duration) if duration > 0 else MAX_BATCH
        for index, item in enumerate(head[:size]):
            if item.attempt > 1:
                return max(index, 1)
        return max(1, min(MAX_BATCH, size))

    def _work_claimed(self, lane: Lane, items: list[ClaimItem]) -> None:
        if self._router.gives_back(items[0]):
            self._router.give_back(items)
            self._router.withdraw(items[0].lane)
            return
        begun = self._pending.begin(items)
        if len(begun) < len(items):
            self._router.give_back([item for item in items if item not in begun])
            items = begun
        last = [item for item in items if item.attempt > 1 and self._is_last(item)]
        refused = [item for item in last if not self._enter(item)] if last else last
        if refused:
            items = [item for item in items if item not in refused]
        try:
            self._work_begun(lane, items)
        except Exception:  # noqa: BLE001 - events must not stay between two states
            _log.exception("a lane's events are tried again")
            for item in items:
                if item.state is State.RUNNING:
                    self._router.try_later(item)
        for item in last:
            if item not in refused and item.state is not FINISHED:  # else its mark is on the way
                self._last_attempts.leave(item.key)

    def _is_last(self, item: ClaimItem) -> bool:
        return self._last_attempts.concerns(self._claims.runs_before(item.key, item.attempt) + 1)

    def _enter(self, item: ClaimItem) -> bool:
        """Whether an event may be tried for the last time now; if not, it waits, and others may take it."""
        if not self._pending.move(item, State.PARKED):
            return False
        if not self._last_attempts.enter(item.key, item.key, lambda: self._router.route(item)):
            self._router.withdraw(item.lane)
            return False
        if self._pending.move(item, State.RUNNING, only_from=(State.PARKED,)):
            return True
        self._last_attempts.leave(item.key)
        return False

    def _work_begun(self, lane: Lane, items: list[ClaimItem]) -> None:
        unclaimed: list[ClaimItem] = []
        for item in items:
            if item.claim is not None and not item.claim.lost:
                continue
            item.claim = None
            hint = self._claims.hint(item.key)
            if hint is _UNKNOWN:
                unclaimed.append(item)
            elif hint is _DONE:
                self._pending.forget(item)
            elif item.ahead:
                unclaimed.append(item)
            else:
                break
        if unclaimed:
            self._claim(unclaimed)
        ended: list[Claim] = []  # without peers, all marks of a turn are made together
        try:
            self._run_begun(lane, items, ended)
        finally:
            self._mark(ended)

    def _run_begun(self, lane: Lane, items: list[ClaimItem], ended: list[Claim]) -> None:
        """Runs events that are claimed, up to the first that is not."""
        for index, item in enumerate(items):
            if item.state is GONE:
                continue
            if self._router.draining and self._router.gives_back(item):
                self._router.give_back(items[index:])
                return
            claim = item.claim
            lost = claim is not None and claim.lost
            if claim is not None and not lost:
                set_aside = functools.partial(self._set_aside, lane, items, item, ended)
                if self._run_claimed(lane, item, claim, set_aside):
                    ended.append(claim)
                    if not self._claims.is_alone:
                        self._mark(ended)
                    continue
                lost = True
            self._router.give_back(items[index + 1 :])
            if lost:
                self._retry(item)
            else:
                self._park(item)
            return

    def _mark(self, ended: list[Claim]) -> None:
        if ended:
            self._claims.mark(ended.copy(), self._on_marked)
            ended.clear()

    def _claim(self, items: list[ClaimItem]) -> None:
        started = self._clock()
        if not self._claims.is_alone:
            self._lanes.call_another()
        answers = self._claims.claim([self._request(item) for item in items])
        answered = self._clock()
        for item, answer in zip(items, answers, strict=True):
            if item.trace is not None:
                self._note_claim(item, started, answered, answer)
            if isinstance(answer, Claim):
                item.claim = answer
                item.attempt = answer.attempt
                item.asked_at, item.claimed_at = started, answered
            elif isinstance(answer, Done):
                if answer.buried:
                    self._stats.add("dead", item.event_name)
                self._pending.forget(item)
            elif isinstance(answer, Held):
                item.attempt = max(item.attempt, answer.attempt)  # it has no claim, and is parked
            else:
                self._pending.forget(item)  # the replica stops

    def _request(self, item: ClaimItem) -> ClaimRequest:
        """The claim to make, and the attempt's trace along with it."""
        if self._telemetry is not None and (item.trace is None or item.trace.over):
            before = item.trace.traceparent if item.trace is not None else None
            item.trace = self._begin_trace(
                item, item.attempt, before or self._claims.traceparent(item.key) if item.attempt > 1 else None
            )
        return item.request()

    def _begin_trace(self, item: Item | LeaderItem, attempt: int, parent: str | None) -> EventTrace | None:
        assert self._telemetry is not None
        event = item.event
        shard = number_of(event.shard_id)
        identity = event.identity.key or event.name
        return self._telemetry.begin(event.name, identity, shard, attempt, event.received_at, parent)

    @staticmethod
    def _note_claim(item: ClaimItem, asked: float, answered: float, answer: object) -> None:
        assert item.trace is not None
        item.trace.waited(item.event.received_at, asked)
        item.trace.claimed(asked, answered, answer.token if isinstance(answer, Claim) else None)

    def _park(self, item: ClaimItem) -> None:
        """Another replica owns the event: those behind it wait, too."""
        item.claim = None
        item.ahead = False
        if not self._pending.move(item, State.PARKED):
            return
        self._stats.add("parked", item.event_name)
        self._router.withdraw(item.lane)
        # The owner may have finished or died before the item stood here for the watch to find.
        self._router.route(item)

    def _retry(self, item: ClaimItem) -> None:
        """The session was lost under the event: any replica may try it again."""
        self._stats.add("session_lost", item.event_name)
        item.attempt += 1
        self._park(item)

    def _run_claimed(self, lane: Lane, item: ClaimItem, claim: Claim, set_aside: Callable[[], None]) -> bool:
        """Runs an event to its end; false if its claim was lost before."""
        if not self._claims.begin(claim):
            return False
        self._stats.add("claimed", item.event_name)
        if claim.attempt > 1:
            self._stats.add("taken_over", item.event_name)
            _log.info("%s is taken over (attempt %d)", item.key, claim.attempt)
        started = self._lanes.touch(lane)
        context = context_of(item, claim.attempt, claim.token, lambda: claim.lost, set_aside, started)
        outcome = self._run(item, context, started)
        if outcome is _LOST or (outcome is Outcome.FAILED and claim.lost):
            return False
        self._pending.finish(item)
        return True

    def _on_marked(self, claims: Sequence[Claim], marked: bool) -> None:
        now = self._clock()
        items = [item for claim in claims if (item := self._pending.get(claim.key)) is not None]
        for item in items:
            self._stats.observe("mark", now - item.ended_at)
            if item.trace is not None:
                item.trace.marked(item.ended_at, now, marked)
        self._pending.forget(*items)
        for claim in claims:
            if claim.attempt > 1:
                self._last_attempts.leave(claim.key)
        if not marked:
            self._stats.add("dropped", "mark_refused", len(claims))

    def claim_ahead(self, patience: float) -> None:
        """Claims the events behind handlers that have run for ``patience`` seconds. Never blocks."""
        room = MAX_AHEAD - self._asked
        if room <= 0:
            return
        waiting = [
            item
            for item in self._lanes.behind(patience, room)
            if isinstance(item, ClaimItem) and item.claim is None and not item.ahead and item.attempt == 1
        ]
        if not waiting:
            return
        for item in waiting:
            item.ahead = True
        with self._lock:
            self._asked += len(waiting)
        by_key = {item.key: item for item in waiting}
        asked = self._clock()

        def answer(request: ClaimRequest, claim: Claim | None) -> None:
            with self._lock:
                self._asked -= 1
            # Without a claim it is held, done, or unknown: the claim that is made in its turn tells.
            item = by_key[request.key]
            if claim is not None and item.trace is not None:
                self._note_claim(item, asked, self._clock(), claim)
            if claim is not None and not self._pending.attach(item, claim):
                self._claims.release(claim)

        try:
            self._claims.claim_later([self._request(item) for item in waiting], answer)
        except Exception:
            with self._lock:
                self._asked -= len(waiting)
            raise

    def promptest(self) -> float | None:
        """The shortest time, in seconds, that an event stood in its lane that began since the last call."""
        promptest, self._promptest = self._promptest, math.inf
        return None if promptest == math.inf else promptest

    def _run(self, item: Item | LeaderItem, context: CurrentEvent, started: float) -> Outcome:
        """Runs an event's handlers, and counts the run."""
        event = item.event
        name, claimed = event.name, isinstance(item, ClaimItem)
        self._promptest = min(self._promptest, started - item.waits_since)
        if self._telemetry is not None and not claimed:
            item.trace = self._begin_trace(item, context.attempt, None)
            if item.trace is not None:
                item.trace.waited(event.received_at, started)
        outcome = self._runner.run(
            context, item.handlers, event.args, item.trace, is_late=item.is_late, started=started
        )
        ended = self._clock()
        if item.trace is not None:
            item.trace.handled(outcome.label, None if claimed and outcome is not _LOST else ended)
        duration = ended - started
        known = self._durations.get(name)
        # A slow run counts at once, fast ones slowly: a batch must not be too long.
        self._durations[name] = (
            duration if known is None or duration > known else known + 0.1 * (duration - known)
        )
        if claimed:
            cast(ClaimItem, item).ended_at = ended
        names, seconds = times_of(item, started, ended)
        self._stats.note(((outcome.label, name),), names, seconds)
        return outcome

"""Broken builds: each takes one protocol out of the library, in this process, while a run lasts."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import simulation.gateway
from discordha.api.cache import Cache
from discordha.catch_up.fetch import HistoryFetcher
from discordha.catch_up.missed import Outcome
from discordha.context import Fence
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.marks import Marks
from discordha.coordination.claims.records import Claim
from discordha.coordination.claims.writes import MarkAnswer
from discordha.coordination.election import task_runs
from discordha.coordination.election.candidates import CandidateList, CandidateStore
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.session import Grant
from discordha.coordination.shared import counters
from discordha.coordination.shared.facade import Shared
from discordha.coordination.shared.locks import Locks
from discordha.coordination.shared.timers import TimerStore
from discordha.sharding.host import ShardHost
from simulation.broken_protocols import PROTOCOLS, Restore, careless_compare, replace
from simulation.threads import current_thread

__all__ = ["BROKEN", "CATCHES_UP", "SHARDED", "built"]


def _claim_not_compared() -> Restore:
    """A claim that another replica holds is taken for won."""

    def read(self: Claims, request: Any, result: Any, grant: Any) -> Claim:
        return Claim(request.key, request.attempt, result.revision, grant)

    return replace(Claims, "_read_answer", read)


def _never_marked() -> Restore:
    """A finished event is said to be marked, and is not."""

    def make(self: Marks, claims: Sequence[Claim], done: MarkAnswer | None = None) -> None:
        self._hints.note_done(*[claim.key for claim in claims])
        if done is not None:
            done(claims, True)

    return replace(Marks, "make", make)


def _lost_answer_is_lost() -> Restore:
    """A claim whose answer was lost is taken for somebody else's."""
    read_answer = Claims._read_answer

    def read(self: Claims, request: Any, result: Any, grant: Any) -> Any:
        if not result.succeeded:
            kv = result.responses[0][0]
            if kv.lease == grant.lease_id:
                result.responses[0][0] = kv.replace(lease=0)
        return read_answer(self, request, result, grant)

    return replace(Claims, "_read_answer", read)


def _session_never_lost() -> Restore:
    """Only the session's own thread looks at the deadline."""
    alive = Grant.alive.fget  # type: ignore[attr-defined]

    def believed(self: Grant) -> bool:
        return alive(self) if current_thread().name == "discordha-session" else not self._ended

    return replace(Grant, "alive", property(believed))


def _deadline_from_answer() -> Restore:
    """A session's deadline is seconds later than its lease's end."""
    extend = Grant.extend

    def late(self: Grant, deadline: float) -> bool:
        return extend(self, deadline + 3.0)

    return replace(Grant, "extend", late)


def _no_fence_no_nonce() -> Restore:
    """A replica that lost its session sends on, and Discord can't recognise what it sends."""
    numbers = itertools.count()
    undo = replace(Fence, "refusal", lambda self: None)
    more = replace(simulation.gateway, "nonce_for", lambda event, ordinal: str(next(numbers)))

    def both() -> None:
        undo()
        more()

    return both


def _deletes_not_told() -> Restore:
    """A watch does not tell that keys are gone."""
    on_events = WatchRouter.on_events

    def without(self: WatchRouter, revision: int, events: Any) -> None:
        on_events(self, revision, [event for event in events if event.kind == "put"])

    return replace(WatchRouter, "on_events", without)


def _lock_not_awaited() -> Restore:
    """A lock is taken while another caller is in front."""
    return replace(Locks, "_wait_for_turn", lambda self, *arguments: None)


def _leader_not_awaited() -> Restore:
    """A candidate takes itself for the first."""
    read, enter = CandidateStore.read, CandidateStore.enter

    def first(found: CandidateList | None) -> Any:
        return found.replace(first=found.mine.create_revision) if found and found.mine else found

    undo = replace(CandidateStore, "read", lambda self, *arguments: first(read(self, *arguments)))
    more = replace(CandidateStore, "enter", lambda self, *arguments: first(enter(self, *arguments)))
    return lambda: (undo(), more())  # type: ignore[func-returns-value]


def _counted_again() -> Restore:
    """An increment whose answer was lost is sent again, whatever became of it."""
    return replace(counters, "value_after", lambda *arguments: None)


def _computed_alone() -> Restore:
    """Callers of ``get_or_set`` do not wait for each other, and the last one's value stays."""

    def create(  # noqa: PLR0917
        self: Cache, shared: Any, key: str, data: bytes, ttl: Any, guards: Any
    ) -> Any:
        shared.caches.set(self.name, key, data, ttl, ())
        return json.loads(data)

    undo = replace(Cache, "_create", create)
    more = replace(Shared, "computing", lambda self, *arguments: contextlib.nullcontext(()))
    return lambda: (undo(), more())  # type: ignore[func-returns-value]


def _timer_ends_first() -> Restore:
    """A timer is deleted before its function runs."""
    exists = TimerStore.exists

    def end_it(self: TimerStore, id: str) -> bool:
        found = exists(self, id)
        self.end(id)
        return found

    return replace(TimerStore, "exists", end_it)


def _timer_not_asked() -> Restore:
    """A due timer runs, whether it was cancelled or not."""
    return replace(TimerStore, "exists", lambda self, id: True)


def _loop_not_held() -> Restore:
    """A run of a loop begins while another one goes on."""

    return replace(task_runs, "Compare", careless_compare(task_runs.Compare))


def _leaves_at_once() -> Restore:
    """A host leaves a shard before its successors are ready for it."""
    undo = replace(ShardHost, "_has_successors", lambda self, key: True)
    more = replace(ShardHost, "_has_caught_up", lambda self, hosted: True)
    return lambda: (undo(), more())  # type: ignore[func-returns-value]


def _both_generations_act() -> Restore:
    """Leaders of the next generation of shards act beside those of the present one."""
    return replace(ShardHost, "_may_act", lambda self, key: True)


def _does_not_stand_anew() -> Restore:
    """Leaders of the next generation keep the tokens that they had before it served."""
    undo = replace(ShardHost, "_stand_anew", lambda self, key: None)
    may_act = ShardHost._may_act

    def may(self: ShardHost, key: int) -> bool:
        since, self._plan.serving_since = self._plan.serving_since, 0
        try:
            return may_act(self, key)
        finally:
            self._plan.serving_since = since

    more = replace(ShardHost, "_may_act", may)
    return lambda: (undo(), more())  # type: ignore[func-returns-value]


def _nothing_fetched() -> Restore:
    """A catch-up takes every history for empty."""

    async def run(self: HistoryFetcher, deliver: Any, progressed: Any) -> Outcome:
        return Outcome({}, 0, (), frozenset())

    return replace(HistoryFetcher, "run", run)


#: These show with a catch-up only.
CATCHES_UP = {"nothing-fetched", "point-ahead-of-work"}
#: These show with shards only.
SHARDED = {"leaves-at-once", "both-generations-act", "does-not-stand-anew"}
BROKEN: dict[str, Callable[[], Restore]] = {
    "claim-not-compared": _claim_not_compared,
    "never-marked": _never_marked,
    "lost-answer-is-lost": _lost_answer_is_lost,
    "session-never-lost": _session_never_lost,
    "deadline-too-late": _deadline_from_answer,
    "no-fence-and-no-nonce": _no_fence_no_nonce,
    "deletes-not-told": _deletes_not_told,
    "lock-not-awaited": _lock_not_awaited,
    "leader-not-awaited": _leader_not_awaited,
    "counted-again": _counted_again,
    "computed-alone": _computed_alone,
    "leaves-at-once": _leaves_at_once,
    "both-generations-act": _both_generations_act,
    "does-not-stand-anew": _does_not_stand_anew,
    "nothing-fetched": _nothing_fetched,
    "timer-ends-first": _timer_ends_first,
    "timer-not-asked": _timer_not_asked,
    "loop-not-held": _loop_not_held,
    **PROTOCOLS,
}


@contextlib.contextmanager
def built(name: str | None) -> Iterator[None]:
    """Breaks the library while the block runs."""
    restore = BROKEN[name]() if name is not None else None
    try:
        yield
    finally:
        if restore is not None:
            restore()

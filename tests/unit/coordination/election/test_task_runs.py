"""What a run leaves in the store when answers are lost: nothing that keeps the next run away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.election.task_runs import Point, TaskRun, TaskRuns
from discordha.coordination.etcd.store import Compare, Op, TxnResult, WatchEvent
from discordha.coordination.memory.store import MemoryStore
from discordha.errors import StoreUnavailable

ROOT = "/bot/"
SCHEDULE = {"seconds": None, "times": ["09:00:00 0"]}


class Lossy(MemoryStore):
    """Commits, or refuses, and does not answer."""

    commits = refuses = False

    def txn(
        self,
        compare: Sequence[Compare],
        success: Sequence[Op],
        failure: Sequence[Op] = (),
        *,
        timeout: float | None = None,
    ) -> TxnResult:
        if self.refuses:
            raise StoreUnavailable("no leader")
        result = super().txn(compare, success, failure, timeout=timeout)
        if self.commits:
            raise StoreUnavailable("the answer is lost", maybe_applied=True)
        return result


class Grant:
    alive = True

    def __init__(self, lease_id: int) -> None:
        self.lease_id = lease_id


def replica(store: Lossy, name: str) -> tuple[TaskRuns, LeaderTerm]:
    lease = store.grant(60.0).id
    store.put(f"{ROOT}l/{name}", b"", lease=lease)
    kv = store.get(f"{ROOT}l/{name}")
    assert kv is not None
    grant: Any = Grant(lease)
    return TaskRuns(store, ROOT, name), LeaderTerm(0, kv.key, kv.create_revision, grant)


def begun(runs: TaskRuns, term: LeaderTerm) -> TaskRun | None:
    """A run, at the second try: the first one reads what others have written."""
    return runs.begin("news", term) or runs.begin("news", term)


def watch(store: Lossy, *all_runs: TaskRuns) -> None:
    """Shows everything to the replicas, as their watch would."""
    kv = store.get(f"{ROOT}lp/news")
    for runs in all_runs:
        if kv is not None:
            runs.on_events(kv.mod_revision, [WatchEvent("put", kv)])


def test_a_begin_whose_answer_was_lost_does_not_stop_the_loop() -> None:
    """Found by the simulation: the loop stood still until the replica ended."""
    store = Lossy()
    runs, term = replica(store, "a")
    store.commits = True
    assert runs.begin("news", term) is None
    store.commits = False
    watch(store, runs)
    assert runs.is_running("news")
    assert runs.settle("news")
    assert not runs.is_running("news")
    assert begun(runs, term) is not None


def test_an_end_that_was_not_written_is_written_later() -> None:
    store = Lossy()
    runs, term = replica(store, "a")
    other, its_term = replica(store, "b")
    due = Point(100.0, SCHEDULE, attempt=1)
    run = runs.begin("news", term, due)
    assert run is not None
    watch(store, runs, other)
    assert runs.settle("news"), "a run that goes on is left alone"
    store.refuses = True
    runs.end(run, due)
    assert not runs.settle("news")
    store.refuses = False
    assert other.begin("news", its_term) is None
    assert runs.settle("news")
    noted = runs.point("news")
    assert noted is not None
    assert (noted.due, noted.attempt) == (100.0, 0)
    assert begun(other, its_term) is not None


def test_another_replicas_run_is_left_alone() -> None:
    store = Lossy()
    runs, term = replica(store, "a")
    other, its_term = replica(store, "b")
    first = runs.begin("news", term)
    assert first is not None
    runs.end(first)
    assert begun(other, its_term) is not None
    watch(store, runs, other)
    assert runs.settle("news")
    assert store.get(f"{ROOT}lp/news") is not None

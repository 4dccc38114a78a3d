"""Several replicas' loops in one process, on one store: a test says who leads, and steps the clocks."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.election.task_runs import TaskRuns
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import Store
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.session import Grant
from discordha.ext import tasks
from discordha.leader.loop import Loop
from discordha.leader.loops import LeaderLoops
from discordha.stats import Stats
from discordha.testing import wait_for

__all__ = ["LoopFleet", "LoopReplica", "SteppedClock", "make_loop", "run_alone"]

ROOT = "/loops/"


class SteppedClock:
    """Monotonic time and wall time, which a test moves on together."""

    def __init__(self, wall: float) -> None:
        self._lock = threading.Lock()
        self._wall = wall

    def step_to(self, wall: float) -> None:
        with self._lock:
            self._wall = wall

    def wall(self) -> float:
        with self._lock:
            return self._wall

    monotonic = wall


class LoopReplica:
    """One replica's loops."""

    def __init__(
        self,
        name: str,
        store: Store,
        loops: Sequence[Loop],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.store = store
        self.stats = Stats()
        self.term: LeaderTerm | None = None
        self.runs = TaskRuns(store, ROOT, name, clock=clock, wall=wall)
        router = WatchRouter(ROOT)
        router.subscribe(self.runs, "lp", "lc", "lt")
        self.watch = store.watch(ROOT, router, silence=30.0)
        self.loops = LeaderLoops(loops, self.runs, lambda: self.term, self.stats, clock=clock, wall=wall)

    def start(self) -> None:
        self.watch.start()
        assert self.watch.wait_synced(10)
        self.loops.start()

    def lead(self) -> None:
        key = f"{ROOT}leader"
        self.store.delete(key)
        revision = self.store.put(key, self.name.encode())
        self.term = LeaderTerm(0, key, revision, Grant(0, 0, math.inf, time.monotonic))

    def resign(self) -> None:
        term, self.term = self.term, None
        if term is not None:
            term.end()

    def stop(self) -> None:
        self.resign()
        assert self.loops.stop(10)
        self.watch.stop()


class LoopFleet:
    """Replicas that start and stop together; the first one leads at first."""

    def __init__(self, replicas: Sequence[LoopReplica]) -> None:
        self.replicas = list(replicas)

    def __enter__(self) -> Self:
        for replica in self.replicas:
            replica.start()
        self.replicas[0].lead()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for replica in self.replicas:
            replica.stop()

    def move(self, index: int) -> None:
        """Makes another replica the leader."""
        for replica in self.replicas:
            replica.resign()
        self.replicas[index].lead()


class _Host:
    def _adopt_loop(self, loop: Loop) -> None:
        """Takes in a loop, and does nothing."""


def make_loop(decorator: Callable[[Callable[..., object]], Loop], function: Callable[[], object]) -> Loop:
    """A loop that starts with its replica, without a bot."""
    loop = decorator(function)
    loop.declare(_Host())
    return loop


def run_alone(function: Callable[[], object], name: str = "tick") -> Stats:
    """One run of a loop on a replica without peers; its stats."""
    stats = Stats()
    loop = make_loop(tasks.loop(seconds=60, count=1, name=name), function)
    runs = TaskRuns(MemoryStore(), ROOT, "alone")
    loops = LeaderLoops([loop], runs, lambda: None, stats, has_peers=False)
    loops.start()
    wait_for(lambda: runs.state(name).runs == 1, 5, "a run")
    assert loops.stop(5)
    return stats

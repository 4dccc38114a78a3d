"""The faults themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from simulation.etcd import SimulatedEtcd
from simulation.record import Record, Run
from simulation.scheduler import Scheduler
from simulation.script import Fault
from simulation.striking import Replica, Striking
from simulation.verdict import _broken_off, waits_after_crashes


class Cluster(Striking):
    """One replica, whose gateway takes many marked points to end."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(1, overtakes=0.9)
        self.etcd = SimulatedEtcd(self.scheduler)
        on_time: Any = None
        self.record = Record(on_time, on_time)
        self.replicas = [Replica(0)]
        self.lives: list[float] = []

    def _start(self, replica: Replica) -> None:
        self.lives.append(self.scheduler.now)
        replica.machine = self.scheduler.machine(f"r0-{len(self.lives)}")
        replica.bot = SimpleNamespace(stop=self.scheduler.point)  # type: ignore[assignment]
        client = SimpleNamespace(end=lambda: [self.scheduler.point() for _ in range(100)])
        replica.gateway = SimpleNamespace(clients={0: client})  # type: ignore[assignment]
        replica.draining = False

    def _note(self, text: str) -> None:
        pass


def test_whoever_drains_comes_back() -> None:
    cluster = Cluster()
    cluster._start(cluster.replicas[0])
    for number in range(3):
        cluster._strike(Fault(0.0, "drain", 0, 2.0))
        cluster.scheduler.run(cluster.scheduler.now + 10.0)
        assert len(cluster.lives) == number + 2
    assert [how for how, _ in cluster.record.ended.values()] == ["drained"] * 3
    cluster.scheduler.close()


@pytest.mark.parametrize(
    ("how", "lived", "runs", "waits"),
    [
        ("killed", 3.0, 2, 0.0),
        ("killed", 3.0, 3, 2.0),
        ("killed", 3.0, 8, 64.0),
        ("killed", 130.0, 8, 0.0),
        ("drained", 3.0, 8, 0.0),
    ],
)
def test_starts_wait_after_crashes_and_after_nothing_else(
    how: str, lived: float, runs: int, waits: float
) -> None:
    record = Cluster().record
    for number in range(runs):
        record.started[f"r{number}-1"] = 1000.0
        record.ended[f"r{number}-1"] = (how, 1000.0 + lived)
    assert waits_after_crashes(record, 1000) == waits


def test_runs_that_ended_with_a_session_count_towards_a_dead_letter_and_others_do_not() -> None:
    """Seed 187, with two deaths and one lost session."""
    record = Cluster().record
    record.ended["r0-1"] = ("killed", 1010.0)
    runs = [
        Run("1", "r0-1", 1, 1, 1001.0, 1002.0, "LockLost"),
        Run("1", "r0-1", 2, 2, 1003.0),
        Run("1", "r1-1", 3, 3, 1004.0),
        Run("1", "r1-1", 4, 4, 1005.0, 1006.0),
    ]
    assert _broken_off(record, runs) == 2

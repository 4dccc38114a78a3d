"""When the group commit sends what nobody waits for, and how large its batches are."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from commit_gate import Gate, put

from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.store import LeaseNotFound, Put, RequestRefused, Txn, TxnResult
from discordha.errors import StoreUnavailable


class Steps:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def called_every(group: GroupCommit, clock: Steps, seconds: float) -> None:
    for number in range(30):
        clock.now += seconds
        group.execute([put(f"call-{seconds}-{number}")])


@pytest.mark.parametrize(("apart", "age", "sent"), [(0.05, 0.004, True), (0.05, 0.002, False)])
def test_without_callers_it_lingers_for_a_moment(gate: Gate, apart: float, age: float, sent: bool) -> None:
    group, clock = _riding(gate, apart)
    group.submit([put("mark")])
    clock.now += age
    assert (_left(group, clock) <= 0) is sent


@pytest.mark.parametrize(("age", "sent"), [(0.007, False), (0.009, True)])
def test_while_callers_come_often_it_waits_for_the_next(gate: Gate, age: float, sent: bool) -> None:
    group, clock = _riding(gate, 0.005)
    group.submit([put("mark")])
    clock.now += age
    assert (_left(group, clock) <= 0) is sent


def test_the_next_caller_takes_it_along(gate: Gate) -> None:
    group, clock = _riding(gate, 0.005)
    operation = put("mark")
    group.submit([operation])
    clock.now += 0.005
    group.execute([put("next")])
    assert gate.batches[-1] == ["mark", "next"]
    assert operation.result is not None
    assert group.waiting == 0


def test_a_ride_that_does_not_come_is_not_waited_for_longer(gate: Gate) -> None:
    """With its thread and a clock that runs: sent by itself."""
    group = GroupCommit(gate, ride=0.02)
    group.start()
    try:
        for number in range(60):
            group.execute([put(f"call-{number}")])
        answered = threading.Event()
        group.submit([put("mark", callback=lambda operation: answered.set())])
        assert answered.wait(5)
        assert gate.batches[-1] == ["mark"]
    finally:
        group.stop()


def _riding(gate: Gate, apart: float) -> tuple[GroupCommit, Steps]:
    """Without its thread: the test asks what that would do."""
    clock = Steps()
    group = GroupCommit(gate, linger=0.003, ride=0.008, clock=clock)
    called_every(group, clock, apart)
    return group, clock


def _left(group: GroupCommit, clock: Steps) -> float:
    return group.due() - clock.now


class Limited(Gate):
    """Refuses requests as etcd does: too large ones, and those that name a poisonous key."""

    def __init__(self, limit: int, poison: str = "") -> None:
        super().__init__()
        self.limit = limit
        self.poison = poison
        self.sizes: list[int] = []

    def txn(self, compare: Sequence[Any], success: Sequence[Any], failure: Sequence[Any] = ()) -> TxnResult:
        nested = [put for op in success if isinstance(op, Txn) for put in op.success] or list(success)
        self.sizes.append(sum(len(each.key) + len(each.value) for each in nested))
        if self.sizes[-1] > self.limit or any(each.key == self.poison for each in nested):
            self.batches.append([])
            raise RequestRefused("etcdserver: request is too large")
        return super().txn(compare, success, failure)


def large(key: str, size: int, **options: Any) -> Operation:
    return Operation(Txn((), (Put(key, b"x" * size),), ()), (key,), **options)


def test_a_batch_is_bounded_by_bytes() -> None:
    store = Limited(1024 * 1024)
    group = GroupCommit(store)
    operations = [large(f"k{i}", 12_000) for i in range(110)]
    group.execute(operations)
    assert [operation.value().succeeded for operation in operations] == [True] * 110
    assert max(store.sizes) <= store.limit
    assert len(store.sizes) == 2


@pytest.mark.parametrize("poisoned", [0, 1, 41, 98, 99])
def test_a_refused_batch_is_split_until_the_refused_one_is_alone(poisoned: int) -> None:
    store = Limited(1024 * 1024, poison=f"k{poisoned}")
    group = GroupCommit(store)
    operations = [put(f"k{i}") for i in range(100)]
    group.execute(operations)
    refused = [i for i, operation in enumerate(operations) if operation.error is not None]
    assert refused == [poisoned]
    assert isinstance(operations[poisoned].error, RequestRefused)
    assert len(store.batches) <= 16
    assert [key for batch in store.batches for key in batch] == [f"k{i}" for i in range(100) if i != poisoned]


def test_batches_become_smaller_where_etcd_takes_less_and_grow_again() -> None:
    store = Limited(600)
    group = GroupCommit(store)
    for number in range(50):
        operations = [large(f"k{number}.{i}", 100) for i in range(20)]
        group.execute(operations)
        assert all(operation.value().succeeded for operation in operations)
    refused = sum(size > store.limit for size in store.sizes)
    assert refused < len(store.sizes) / 4
    store.limit = 1024 * 1024
    group.execute([put(f"more.{i}") for i in range(600)])
    store.sizes.clear()
    group.execute([put(f"most.{i}") for i in range(100)])
    assert len(store.sizes) <= 2


def test_a_poisonous_operation_makes_later_batches_little_smaller() -> None:
    store = Limited(1024 * 1024, poison="k50")
    group = GroupCommit(store)
    group.execute([put(f"k{i}") for i in range(100)])
    store.sizes.clear()
    group.execute([put(f"more.{i}") for i in range(100)])
    assert len(store.sizes) <= 3


def test_a_dead_lease_costs_a_few_transactions(gate: Gate) -> None:
    gate.dead_lease = 7
    group = GroupCommit(gate)
    operations = [put(f"k{i}", lease=7 if i % 2 else 0) for i in range(100)]
    group.execute(operations)
    for i, operation in enumerate(operations):
        assert isinstance(operation.error, LeaseNotFound) == bool(i % 2)
    assert len(gate.batches) <= 5


def test_an_outage_ends_the_search_for_the_one_at_fault(gate: Gate) -> None:
    gate.fail = [RequestRefused("too large"), StoreUnavailable("gone", maybe_applied=True)]
    group = GroupCommit(gate)
    operations = [put(f"k{i}") for i in range(8)]
    group.execute(operations)
    maybe = [operation.error.maybe_applied for operation in operations]  # type: ignore[union-attr]
    assert maybe == [True] * 4 + [False] * 4
    assert len(gate.batches) == 2


def test_stop_is_bounded_however_much_comes_back(gate: Gate) -> None:
    gate.dead_lease = 7
    group = GroupCommit(gate, last_words=0.3)
    group.start()

    def ended(operation: Operation) -> None:
        if not isinstance(operation.error, StoreUnavailable):
            group.submit([put("mark", 7, callback=ended)])

    group.submit([put("mark", 7, callback=ended)])
    assert gate.entered.wait(5)
    stopper = threading.Thread(target=group.stop, daemon=True)
    stopper.start()
    stopper.join(3)
    assert not stopper.is_alive()

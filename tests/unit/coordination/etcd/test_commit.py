"""Group commit against a store that answers when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from discordha.coordination.etcd import group_commit as commit_module
from discordha.coordination.etcd.group_commit import Call, GroupCommit, Operation
from discordha.coordination.etcd.operations import MAX_OPERATIONS
from discordha.coordination.etcd.store import LeaseNotFound, Put, PutDone, RequestRefused, Txn, TxnResult
from discordha.errors import StoreUnavailable
from discordha.testing import wait_for


class Gate:
    """A store whose transactions wait for ``open``; remembers what each one carried."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.fail: list[Exception] = []
        self.dead_lease = 0
        self.revision = 0

    def txn(self, compare: Sequence[Any], success: Sequence[Any], failure: Sequence[Any] = ()) -> TxnResult:
        nested = [op for op in success if isinstance(op, Txn)]
        puts = [put for txn in nested for put in txn.success] if nested else list(success)
        self.batches.append([put.key for put in puts])
        self.entered.set()
        assert self.open.wait(10)
        if self.fail:
            raise self.fail.pop(0)
        if self.dead_lease and any(put.lease == self.dead_lease for put in puts):
            raise LeaseNotFound("gone")
        self.revision += 1
        if not nested:
            return TxnResult(True, self.revision, [PutDone()])
        return TxnResult(True, self.revision, [TxnResult(True, self.revision, [PutDone()]) for _ in nested])


def put(key: str, lease: int = 0, **options: Any) -> Operation:
    return Operation(Txn((), (Put(key, b"x", lease),), ()), (key,), **options)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def commit(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[GroupCommit]:
    monkeypatch.setattr(commit_module, "RETRY_PAUSE", 0.001)
    group = GroupCommit(gate, linger=0.001)
    group.start()
    yield group
    gate.open.set()
    group.stop()


def test_alone_it_is_sent_at_once(commit: GroupCommit, gate: Gate) -> None:
    operation = put("a")
    commit.execute([operation])
    assert operation.value().revision == 1
    assert gate.batches == [["a"]]


def test_what_arrives_meanwhile_goes_out_together(commit: GroupCommit, gate: Gate) -> None:
    gate.open.clear()
    operations = [put(f"k{i}") for i in range(20)]
    threads = [threading.Thread(target=commit.execute, args=([operations[0]],))]
    threads[0].start()
    assert gate.entered.wait(5)
    threads += [threading.Thread(target=commit.execute, args=([operation],)) for operation in operations[1:]]
    for thread in threads[1:]:
        thread.start()
    wait_for(lambda: commit.waiting == 19, 5.0, "19 that wait")
    gate.open.set()
    for thread in threads:
        thread.join(5)
    assert [len(batch) for batch in gate.batches] == [1, 19]
    assert {operation.value().revision for operation in operations[1:]} == {2}


def test_a_transaction_is_never_too_large(commit: GroupCommit, gate: Gate) -> None:
    operations = [put(f"k{i}") for i in range(3 * MAX_OPERATIONS + 5)]
    commit.execute(operations)
    assert [len(batch) for batch in gate.batches] == [MAX_OPERATIONS] * 3 + [5]
    assert all(operation.value().succeeded for operation in operations)


def test_one_key_never_twice_in_a_transaction_and_in_order(commit: GroupCommit, gate: Gate) -> None:
    commit.execute([put("a"), put("b"), put("a"), put("c"), put("a")])
    assert gate.batches == [["a", "b", "c"], ["a"], ["a"]]


def test_none_overtakes_another_of_its_order(commit: GroupCommit, gate: Gate) -> None:
    """``b`` waits for the second ``a``, since that waits for the first; ``c`` has an order of its own."""
    commit.execute([put(key, order=order) for key, order in (("a", "x"), ("a", "x"), ("b", "x"), ("c", "y"))])
    assert gate.batches == [["a", "c"], ["a", "b"]]


def test_what_was_not_answered_goes_before_what_came_later(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though somebody calls before it would be sent again. The call tells that etcd answers again."""
    monkeypatch.setattr(commit_module, "RETRY_PAUSE", 60.0)
    group = GroupCommit(gate, linger=0.001)
    group.start()
    try:
        gate.fail = [StoreUnavailable("no answer")]
        group.submit([put("a", persistent=True, order="x")])
        wait_for(lambda: not gate.fail and group.waiting == 1)
        group.submit([put("b", persistent=True, order="x")])
        group.execute([put("c")])
        wait_for(lambda: not group.waiting)
        assert gate.batches == [["a"], ["c"], ["a", "b"]]
    finally:
        group.stop()


def test_a_dead_lease_fails_only_its_own(commit: GroupCommit, gate: Gate) -> None:
    gate.dead_lease = 7
    good, bad = put("a"), put("b", 7)
    commit.execute([good, bad])
    assert good.value().succeeded
    with pytest.raises(LeaseNotFound):
        bad.value()


def test_an_error_goes_to_everyone_who_waits(commit: GroupCommit, gate: Gate) -> None:
    gate.fail = [StoreUnavailable("away", maybe_applied=True)]
    operations = [put("a"), put("b")]
    commit.execute(operations)
    for operation in operations:
        with pytest.raises(StoreUnavailable):
            operation.value()


def test_a_persistent_one_is_sent_until_it_is_answered(commit: GroupCommit, gate: Gate) -> None:
    gate.fail = [StoreUnavailable("away", maybe_applied=True) for _ in range(3)]
    answered: list[Operation] = []
    commit.submit([put("a", callback=answered.append, persistent=True)])
    wait_for(lambda: answered, 5.0, "an answer")
    assert answered[0].value().succeeded
    assert gate.batches == [["a"]] * 4


def test_the_thread_rests_while_what_waits_is_not_due(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_module, "RETRY_PAUSE", 0.5)
    group, looks = GroupCommit(gate, linger=0.001), 0
    until_retry = group._until_retry

    def counted() -> float | None:
        nonlocal looks
        looks += 1
        return until_retry()

    monkeypatch.setattr(group, "_until_retry", counted)
    gate.fail = [StoreUnavailable("etcd does not answer")]
    group.start()
    try:
        answered = threading.Event()
        group.submit([put("a", persistent=True, callback=lambda _: answered.set())])
        assert answered.wait(10)
        assert gate.batches == [["a"], ["a"]]
        assert looks < 20, f"it looked {looks} times within a pause of half a second"
    finally:
        group.stop()


def test_stop_sends_what_waits_and_refuses_what_comes(commit: GroupCommit, gate: Gate) -> None:
    answered: list[Operation] = []
    commit.submit([put(f"k{i}", callback=answered.append) for i in range(300)])
    commit.stop()
    assert len(answered) == 300
    assert all(operation.value().succeeded for operation in answered)
    late = put("late")
    commit.execute([late])
    with pytest.raises(StoreUnavailable):
        late.value()
    refused: list[Operation] = []
    commit.submit([put("later", callback=refused.append)])
    with pytest.raises(StoreUnavailable):
        refused[0].value()


def test_stop_answers_a_caller_that_has_just_become_the_sender(
    commit: GroupCommit, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has been woken to send what is pending, and does not run yet when ``stop`` answers all of that."""
    runs = threading.Event()
    woken = threading.Event()

    class Slow:
        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._lock.acquire()

        def acquire(self) -> bool:
            return runs.wait(10) and self._lock.acquire()

        def release(self) -> None:
            woken.set()
            self._lock.release()

    class SlowCall(Call):
        def __init__(self, left: int) -> None:
            super().__init__(left)
            self.wake: Any = Slow()

    monkeypatch.setattr(commit_module, "Call", SlowCall)
    gate.open.clear()
    first, second = put("a"), put("b")
    callers = [threading.Thread(target=commit.execute, args=([each],)) for each in (first, second)]
    callers[0].start()
    assert gate.entered.wait(10)
    callers[1].start()
    wait_for(lambda: commit.waiting == 1, 10, "the second caller")
    gate.open.set()
    assert woken.wait(10)
    monkeypatch.setattr(gate, "txn", lambda *_: pytest.fail("nothing is sent any more"))
    commit.stop()
    runs.set()
    for caller in callers:
        caller.join(10)
        assert not caller.is_alive()
    with pytest.raises(StoreUnavailable, match="stopped"):
        second.value()


def test_a_callback_that_fails_harms_nobody(commit: GroupCommit) -> None:
    def fail(_: Operation) -> None:
        raise RuntimeError("callback")

    answered: list[Operation] = []
    commit.submit([put("a", callback=fail), put("b", callback=answered.append)])
    wait_for(lambda: answered, 5.0, "the second answer")


def test_many_threads_each_get_their_own_answer(commit: GroupCommit, gate: Gate) -> None:
    seen: list[tuple[str, int]] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        for i in range(200):
            operation = put(f"{name}{i}")
            commit.execute([operation])
            with lock:
                seen.append((f"{name}{i}", operation.value().revision))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == 1600
    sent = [key for batch in gate.batches for key in batch]
    assert len(sent) == len(set(sent)) == 1600


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

"""Group commit against a store that answers when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from commit_gate import Gate, put

from discordha.coordination.etcd import group_commit as commit_module
from discordha.coordination.etcd.group_commit import Call, GroupCommit, Operation
from discordha.coordination.etcd.operations import MAX_OPERATIONS
from discordha.coordination.etcd.store import LeaseNotFound
from discordha.errors import StoreUnavailable
from discordha.testing import wait_for


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

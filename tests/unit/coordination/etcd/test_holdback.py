"""Writes that etcd refuses stand in nobody's way, and go out by themselves when it takes them again."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from discordha.coordination.etcd import group_commit as commit_module
from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.operations import MAX_OPERATIONS
from discordha.coordination.etcd.store import Put, PutDone, StoreRefused, Txn, TxnResult
from discordha.errors import StoreUnavailable
from discordha.testing import wait_for

ROOT = "/bot/"


class Denying:
    """A store that denies some prefixes, or answers nobody, or stumbles over a value."""

    def __init__(self) -> None:
        self.denied: tuple[str, ...] = ()
        self.away = False
        self.calls = 0
        self.written: list[str] = []

    def txn(self, compare: Sequence[Any], success: Sequence[Any], failure: Sequence[Any] = ()) -> TxnResult:
        self.calls += 1
        nested = [op for op in success if isinstance(op, Txn)]
        puts = [put for txn in nested for put in txn.success] if nested else list(success)
        if self.away:
            raise StoreUnavailable("away")
        if self.denied and any(put.key.startswith(self.denied) for put in puts):
            raise StoreRefused("permission denied", by_key=True)
        if any(put.value == b"bug" for put in puts):
            raise TypeError("a bug of this library")
        self.written += [put.key for put in puts]
        results = [TxnResult(True, self.calls, [PutDone()]) for _ in nested]
        return TxnResult(True, self.calls, results or [PutDone()])


def put(key: str, value: bytes = b"x", **options: Any) -> Operation:
    return Operation(Txn((), (Put(ROOT + key, value, 0),), ()), (ROOT + key,), **options)


@pytest.fixture
def store() -> Denying:
    return Denying()


@pytest.fixture
def group(store: Denying, monkeypatch: pytest.MonkeyPatch) -> Iterator[GroupCommit]:
    monkeypatch.setattr(commit_module, "RETRY_PAUSE", 0.1)
    group = GroupCommit(store, root=ROOT, linger=0.001)
    group.start()
    yield group
    store.denied, store.away = (), False
    group.stop()


def execute(group: GroupCommit, operation: Operation) -> Operation:
    """In a thread of its own, so that a call that never ends fails the test."""
    thread = threading.Thread(target=group.execute, args=([operation],), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive(), "the caller waits for ever"
    return operation


def marks(group: GroupCommit, count: int, kind: str = "j") -> None:
    group.submit([put(f"{kind}/{i}", persistent=True, order=f"lane {i % 7}") for i in range(count)])


@pytest.mark.parametrize("count", [1, 3 * MAX_OPERATIONS])
def test_a_kind_that_is_denied_holds_up_no_other(group: GroupCommit, store: Denying, count: int) -> None:
    store.denied = (f"{ROOT}j/",)
    marks(group, count)
    wait_for(lambda: store.calls, 5, "a try")
    for number in range(50):
        assert execute(group, put(f"e/{number}")).value().succeeded
    before = store.calls
    for number in range(50, 100):
        assert execute(group, put(f"e/{number}")).value().succeeded
    assert store.calls - before < 60  # one for each call, and hardly any for those that are denied
    assert group.waiting == count
    store.denied = ()
    wait_for(lambda: group.waiting == 0, 5, "the marks")
    written = [key for key in store.written if "/j/" in key]
    assert sorted(written) == sorted(f"{ROOT}j/{i}" for i in range(count))
    for lane in range(7):
        mine = [int(key.rsplit("/", 1)[1]) for key in written if int(key.rsplit("/", 1)[1]) % 7 == lane]
        assert mine == sorted(mine)


def test_a_batch_of_several_kinds_is_denied_only_in_part(group: GroupCommit, store: Denying) -> None:
    store.denied = (f"{ROOT}a/",)
    operations = [put("e/1"), put("a/1"), put("e/2"), put("k/1")]
    group.execute(operations)
    assert [operation.error is None for operation in operations] == [True, False, True, True]
    assert isinstance(operations[1].error, StoreRefused)


@pytest.mark.parametrize("count", [1, 3 * MAX_OPERATIONS])
def test_an_outage_is_told_to_a_caller_behind_many_marks(
    group: GroupCommit, store: Denying, count: int
) -> None:
    store.away = True
    marks(group, count)
    wait_for(lambda: store.calls, 5, "a try")
    before = store.calls
    with pytest.raises(StoreUnavailable):
        execute(group, put("e/1")).value()
    assert store.calls - before < 10
    store.away = False
    wait_for(lambda: group.waiting == 0, 5, "the marks")


def test_pauses_grow_while_it_is_denied(group: GroupCommit, store: Denying) -> None:
    store.denied = (ROOT,)
    marks(group, 1)
    wait_for(lambda: store.calls >= 4, 5, "four tries")  # at 0, 0.1, 0.3 and 0.7 s
    threading.Event().wait(0.5)
    assert store.calls <= 5


def test_a_write_behind_one_that_waits_is_not_made(group: GroupCommit, store: Denying) -> None:
    store.denied = (f"{ROOT}j/",)
    marks(group, 1)
    wait_for(lambda: store.calls, 5, "a try")
    with pytest.raises(StoreUnavailable):
        execute(group, put("j/0")).value()
    assert store.written == []


def test_a_bug_in_one_operation_harms_no_other(group: GroupCommit, store: Denying) -> None:
    operations = [put("e/1"), put("e/2", b"bug"), put("e/3"), put("j/1")]
    group.execute(operations)
    assert [type(operation.error) for operation in operations] == [type(None), TypeError, *[type(None)] * 2]


def test_stop_tries_once_more_and_ends_at_once(store: Denying) -> None:
    group = GroupCommit(store, root=ROOT, last_words=5.0)
    group.start()
    store.denied = (f"{ROOT}j/",)
    answered: list[Operation] = []
    group.submit([put("j/1", persistent=True, callback=answered.append)])
    group.submit([put("e/1", persistent=True, callback=answered.append)])
    wait_for(lambda: answered and group.waiting == 1, 5, "the one that is taken")
    before = store.calls
    stopper = threading.Thread(target=group.stop, daemon=True)
    stopper.start()
    stopper.join(2)
    assert not stopper.is_alive()
    assert store.calls == before + 1
    assert isinstance(answered[1].error, StoreUnavailable)

"""The store in memory, and the simulated etcd, give the answers of a real etcd."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from simulated_store import SteppedStore
from store_helpers import store_of

from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    Get,
    GetPrefix,
    Guarded,
    KeyValue,
    LeaseNotFound,
    Put,
    RequestRefused,
    Txn,
    TxnResult,
)
from discordha.coordination.memory.store import MemoryStore
from discordha.testing import LocalEtcd

KEYS = ("a", "a/1", "a/2", "b", "b/1")
#: 1 and 2 were granted, and may be revoked meanwhile; 3 was never granted; 0: none.
LEASES = st.integers(0, 3)
VALUES = st.sampled_from([b"", b"x", b"\xff\0y"])

keys = st.sampled_from(KEYS)
puts = st.builds(Put, keys, VALUES, LEASES)
compares = st.one_of(
    st.builds(Compare.version, keys, st.integers(0, 3)),
    st.builds(Compare.version_below, keys, st.integers(0, 3)),
    st.builds(Compare.create_revision, keys, st.integers(0, 6)),
    st.builds(Compare.mod_revision, keys, st.integers(0, 6)),
    st.builds(Compare.value, keys, VALUES),
)
guarded = st.one_of(
    st.builds(Guarded, keys, st.just("version"), st.integers(0, 2), VALUES, LEASES),
    st.builds(Guarded, keys, st.just("create_revision"), st.integers(0, 6), VALUES, LEASES),
)
simple = puts | st.builds(Get, keys) | st.builds(GetPrefix, st.sampled_from(["", "a", "a/", "c"]))
simple |= st.builds(Delete, keys) | guarded


def txns(ops: st.SearchStrategy[Any]) -> st.SearchStrategy[Txn]:
    return st.builds(
        Txn,
        st.lists(compares, max_size=2).map(tuple),
        st.lists(ops, max_size=3).map(tuple),
        st.lists(ops, max_size=2).map(tuple),
    )


ops = st.recursive(simple, lambda inner: inner | txns(inner), max_leaves=6)
steps = st.one_of(
    txns(ops),
    puts,
    st.builds(Delete, keys),
    st.builds(Get, keys),
    st.builds(GetPrefix, st.sampled_from(["", "a", "b"])),
    st.sampled_from(["keep_alive 1", "keep_alive 3", "revoke 1", "revoke 2"]),
)


class Side:
    """One of the two stores below a prefix of its own, with revisions counted from its beginning."""

    def __init__(self, store: Any, root: str) -> None:
        self.store, self.root = store, root
        self.base = store.range(root).revision
        granted = [store.grant(600.3) for _ in range(2)]
        assert [lease.ttl for lease in granted] == [601.0, 601.0]
        self.leases = [lease.id for lease in granted]
        self.watch = store.open_watch(root, self.base + 1)

    def do(self, step: Any) -> Any:
        try:
            return self._do(step)
        except (LeaseNotFound, RequestRefused) as error:
            return type(error)

    def _do(self, step: Any) -> Any:
        store, root = self.store, self.root
        if isinstance(step, Txn):
            made = self._op(step)
            return self._answer(store.txn(made.compare, made.success, made.failure))
        if isinstance(step, Put):
            return store.put(root + step.key, step.value, lease=self._lease(step.lease)) - self.base
        if isinstance(step, Delete):
            return store.delete(root + step.key)
        if isinstance(step, Get):
            found = store.get(root + step.key)
            return found and self._answer(found)
        if isinstance(step, GetPrefix):
            revision, items = store.range(root + step.prefix)
            return revision - self.base, self._answer(items)
        word, _, number = step.partition(" ")
        return getattr(store, word)(self._lease(int(number)))

    def _lease(self, number: int) -> int:
        return self.leases[number - 1] if 0 < number <= len(self.leases) else number * 7_777

    def _op(self, op: Any) -> Any:
        if isinstance(op, Txn):
            parts = (tuple(self._op(each) for each in part) for part in (op.compare, op.success, op.failure))
            return Txn(*parts)
        if isinstance(op, GetPrefix):
            return GetPrefix(self.root + op.prefix)
        op = op._replace(key=self.root + op.key)
        if isinstance(op, Put | Guarded):
            op = op._replace(lease=self._lease(op.lease))
        revisions = isinstance(op, Compare | Guarded) and op.target in {"create_revision", "mod_revision"}
        return op._replace(expected=self.base + op.expected) if revisions and op.expected else op

    def _answer(self, answer: Any) -> Any:
        """The same for both sides."""
        if isinstance(answer, KeyValue):
            key, value, created, changed, version, lease = answer
            known = self.leases.index(lease) + 1 if lease in self.leases else 0
            created, changed = max(created - self.base, 0), changed - self.base
            return KeyValue(key.removeprefix(self.root), value, created, changed, version, known)
        if isinstance(answer, TxnResult):
            responses = [self._answer(each) for each in answer.responses]
            return TxnResult(answer.succeeded, answer.revision - self.base, responses)
        return [self._answer(each) for each in answer] if isinstance(answer, list) else answer

    def changes(self, *, again: bool = False) -> list[Any]:
        """What the watch has told from the beginning until now; ``again``: a watch that begins only now."""
        last = self.store.put(f"{self.root}~", b"")
        stream = self.store.open_watch(self.root, self.base + 1) if again else self.watch
        told: list[Any] = []
        for batch in stream:
            told += [(kind, self._answer(kv)) for kind, kv in batch.events if kv.key != f"{self.root}~"]
            assert all(kv.mod_revision <= batch.revision for _, kv in batch.events)
            if batch.revision == last:
                break
        stream.cancel()
        return told

    def end(self) -> None:
        for lease in self.leases:
            self.store.revoke(lease)


@pytest.fixture(scope="module")
def stores() -> Iterator[tuple[Any, ...]]:
    """Nobody else writes to any of them."""
    with LocalEtcd() as etcd, store_of(etcd) as real, closing(SteppedStore()) as simulated:
        yield real, MemoryStore(), simulated


_numbers = itertools.count()


#: etcd takes 0.1 s to begin a watch in the past: a third of the histories is read by such a one, too.
AGAIN = st.sampled_from([False, False, True])


@settings(max_examples=150)
@example([Put("b", b"", 1), Put("a", b"", 1), "revoke 1"], True)
@example(
    [Put("a", b"", 1), Put("a", b"", 2), Put("b", b"", 1), Put("b", b"", 0), "revoke 1", "revoke 2"], True
)
@example([Put("a", b"", 1), Delete("a"), Put("a", b"", 0), "revoke 1", Put("b", b"", 1)], True)
@given(st.lists(steps, max_size=12), AGAIN)
def test_the_same_calls_have_the_same_answers_and_changes(
    stores: tuple[Any, ...], calls: Sequence[Any], again: bool
) -> None:
    root = f"/discordha/v1/{LocalEtcd.namespace('same')}{next(_numbers)}/"
    real, *others = (Side(store, root) for store in stores)
    with ExitStack() as ends:
        for side in (real, *others):
            ends.callback(side.end)
        for call in calls:
            answer = real.do(call)
            assert [side.do(call) for side in others] == [answer, answer], call
        for late in (False, True) if again else (False,):
            changes = real.changes(again=late)
            assert [side.changes(again=late) for side in others] == [changes, changes]

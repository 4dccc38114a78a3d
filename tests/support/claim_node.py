"""The claims of replicas on a real etcd, whose sessions and answers a test takes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from store_helpers import store_of

from discordha.coordination.claims import claims as claims_module
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.records import Claim, ClaimRequest, Done, Held
from discordha.coordination.etcd import group_commit as commit_module
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Store, TxnResult
from discordha.errors import StoreUnavailable
from discordha.testing import LocalEtcd, wait_for

__all__ = ["Death", "Lossy", "Node", "Sessions", "nodes", "quicker", "stored"]


@contextmanager
def quicker() -> Iterator[None]:
    """A lost answer is asked for again at once: these tests are about what comes of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims_module, "RETRY_PAUSE", 0.001)
        patch.setattr(commit_module, "RETRY_PAUSE", 0.001)
        yield


class Death:
    """A grant that ends when the test says so, as a session's does when its lease has run out."""

    def __init__(self, lease_id: int) -> None:
        self.lease_id = lease_id
        self.alive = True


class Sessions:
    """One replica's session: a real lease, and no keepalive."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.current: Death | None = Death(store.grant(60).id)

    def expire(self) -> None:
        """The lease is gone in etcd, and here."""
        assert self.current is not None
        self.current.alive = False
        self._store.revoke(self.current.lease_id)
        self.current = Death(self._store.grant(60).id)

    def pause(self) -> Death:
        """The process stands still: its lease goes, and it does not know. Returns what it believes in."""
        assert self.current is not None
        before = self.current
        self._store.revoke(before.lease_id)
        return before


class Lossy:
    """A store that loses the answer of the next transaction, after or before it was applied."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lose: str | None = None
        self.then: Callable[[], None] = lambda: None  # happens before the next answer comes

    def txn(self, compare: Sequence[Any], success: Sequence[Any], failure: Sequence[Any] = ()) -> TxnResult:
        lose, self.lose = self.lose, None
        then, self.then = self.then, lambda: None
        if lose == "request":
            raise StoreUnavailable("the request was lost", maybe_applied=True)
        result = self._store.txn(compare, success, failure)
        then()
        if lose == "answer":
            raise StoreUnavailable("the answer was lost", maybe_applied=True)
        return result


class Node:
    """The claims of one replica."""

    def __init__(self, store: Store, leases: RetentionLeases, root: str, name: str, **options: Any) -> None:
        self.name = name
        self.session = Sessions(store)
        self.link = Lossy(store)
        self.commit = GroupCommit(self.link, linger=0.0)
        self.commit.start()
        self.hints = ClaimHints(root, retention=600)
        self.claims = Claims(
            self.session,
            self.commit,
            leases,
            self.hints,
            root=root,
            replica_id=name,
            max_attempts=3,
            **options,
        )

    def claim(self, key: str, attempt: int = 1) -> Claim | Held | Done | None:
        return self.claims.claim([ClaimRequest(key, attempt, '{"t": "X"}')])[0]

    def mark(self, claim: Claim) -> bool:
        answers: list[bool] = []
        self.claims.mark((claim,), lambda _, marked: answers.append(marked))
        wait_for(lambda: answers, 5.0, "the mark's answer", interval=0.001)
        return answers[0]


@contextmanager
def nodes(etcd: LocalEtcd, root: str, count: int, **options: Any) -> Iterator[tuple[Store, list[Node]]]:
    with store_of(etcd) as store:
        leases = RetentionLeases(store, retention=60)
        made = [Node(store, leases, root, f"r{i}", **options) for i in range(count)]
        try:
            yield store, made
        finally:
            for node in made:
                node.commit.stop()


def stored(store: Store, root: str, key: str) -> str | None:
    kv = store.get(f"{root}e/{key}")
    return kv.value.decode() if kv is not None else None

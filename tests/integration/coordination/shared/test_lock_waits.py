"""How long a lock is waited for: where etcd is slow, and where a lost session is not known to be lost yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from shared_node import Node
from store_helpers import settings_of

from discordha.errors import StoreUnavailable
from discordha.testing import FaultProxy, LocalEtcd


@pytest.fixture
def link(local_etcd: LocalEtcd) -> Iterator[FaultProxy]:
    with FaultProxy.to(local_etcd.endpoints[0]) as link:
        yield link


@pytest.fixture
def far(local_etcd: LocalEtcd, root: str, link: FaultProxy) -> Iterator[Node]:
    """A replica behind the link."""
    with Node(settings_of(local_etcd, endpoints=(link.endpoint,)), root, "far", ttl=6.0) as node:
        yield node


def test_who_has_no_time_has_etcds_answer_all_the_same(
    local_etcd: LocalEtcd, root: str, link: FaultProxy, far: Node
) -> None:
    with Node(settings_of(local_etcd), root, "near", ttl=6.0) as near:
        near.shared.locks.acquire("taken")
        link.delay(0.1)  # each way
        for timeout in (0.0, 0.15):
            with far.lock("free", timeout) as lock:
                assert lock.fencing_token > 0
            with pytest.raises(TimeoutError, match="was not free in time"), far.lock("taken", timeout):
                pass
        link.heal()


def test_a_lost_session_is_waited_for_without_asking_all_the_time(
    far: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """etcd has dropped the lease; this replica learns of it by its next renewal, up to two seconds later."""
    asked: list[float] = []
    txn = far.store.txn

    def counting(*arguments: Any, **options: Any) -> Any:
        asked.append(time.monotonic())
        return txn(*arguments, **options)

    monkeypatch.setattr(far.store, "txn", counting)
    grant = far.session.current
    assert grant is not None
    far.store.revoke(grant.lease_id)
    with pytest.raises(StoreUnavailable, match="session was lost"), far.lock("l", 0.3):
        pass
    with far.lock("l", 20.0) as lock:
        assert lock.fencing_token > 0
    assert 2 <= len(asked) < 150

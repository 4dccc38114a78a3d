"""On a real etcd: marks live on through a catch-up that takes longer than they do, and no mark is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from store_helpers import running, settings_of, watch_components

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import LeaseNotFound, Put, Snapshot
from discordha.coordination.gaps.mark_leases import BATCH, RENEW_INTERVAL, MarkLeases
from discordha.testing import LocalEtcd, wait_for

MARKS = 3_000
RETENTION = 3.0


class CountingStore(EtcdStore):
    """Counts the keys that it reads, and the leases that it renews."""

    read = renewals = 0

    def range(self, prefix: str, **options: Any) -> Snapshot:
        found = super().range(prefix, **options)
        self.read += len(found.items)
        return found

    def keep_alive(self, lease_id: int, *, timeout: float | None = None) -> float:
        self.renewals += 1
        return super().keep_alive(lease_id, timeout=timeout)


@pytest.fixture
def store(local_etcd: LocalEtcd) -> Iterator[CountingStore]:
    store = CountingStore(settings_of(local_etcd))
    yield store
    store.close()


class Scene:
    """A leader's ``MarkLeases``, whose time the test moves on, and the leases of a peer that marks."""

    def __init__(self, store: CountingStore, root: str) -> None:
        self.store, self.root = store, root
        self.now = 0.0
        self.view = MarkLeases(store, root, lambda: self.now)
        self.leases = RetentionLeases(
            store, retention=RETENTION, bucket=1.0, announce=MarkLeases(store, root).announce
        )

    def mark(self, count: int) -> int:
        """Writes marks under a new lease, which it returns."""
        assert self.leases.renew(self.leases.current())
        lease = self.leases.current()
        for first in range(0, count, 100):
            puts = [Put(f"{self.root}e/m/{lease}-{n}", b"d", lease) for n in range(first, first + 100)]
            self.store.txn((), puts)
        return lease

    def left(self, lease: int) -> int:
        return self.store.count(f"{self.root}e/m/{lease}-")


def test_marks_outlive_their_time_while_they_are_held_and_none_is_read(
    store: CountingStore, root: str
) -> None:
    scene = Scene(store, root)
    with running(watch_components(store, root, {"ml": scene.view}, silence=5.0)):
        held = scene.mark(MARKS)
        wait_for(lambda: f"{root}ml/{held:x}" in scene.view.keys, 10, "the lease to be known")
        before = store.read
        scene.view.hold()
        later = scene.mark(100)
        wait_for(lambda: f"{root}ml/{later:x}" in scene.view.keys, 10, "the second lease to be known")

        def has_ended() -> bool:
            scene.now += RENEW_INTERVAL
            scene.view.renew()
            return scene.left(later) == 0

        # etcd's least time to live is longer than what was asked for.
        wait_for(has_ended, 30, "the end of marks that came later", interval=0.2)
        assert scene.left(held) == MARKS
        assert store.read == before, "marks were read"
        wait_for(lambda: f"{root}ml/{later:x}" not in scene.view.keys, 10, "the end of their lease's key")
        scene.view.let_go()
        scene.now += RENEW_INTERVAL
        scene.view.renew()
        wait_for(lambda: scene.left(held) == 0, 30, "the end of all", interval=0.2)


def test_a_call_renews_some_leases_and_the_next_goes_on(store: CountingStore, root: str) -> None:
    scene = Scene(store, root)
    with running(watch_components(store, root, {"ml": scene.view}, silence=5.0)):
        for _ in range(BATCH + 2):
            scene.mark(0)
        wait_for(lambda: len(scene.view.keys) >= BATCH + 2, 10, "the leases")
        scene.view.hold()
        renewed = []
        for _ in range(3):
            before = store.renewals
            scene.view.renew()
            renewed.append(store.renewals - before)
        assert renewed[0] == BATCH
        assert 0 < sum(renewed[1:]) <= len(scene.view.keys) - BATCH
        assert renewed[2] == 0
        scene.view.hold()  # another shard's run begins
        before = store.renewals
        scene.view.renew()
        assert store.renewals == before, "each was renewed just now"


def test_a_lease_that_cannot_be_announced_is_not_used(store: CountingStore, root: str) -> None:
    view = MarkLeases(store, root)
    tries: list[int] = []

    def announce(lease: int) -> None:
        tries.append(lease)
        if len(tries) == 1:
            store.revoke(lease)  # etcd has lost it
        view.announce(lease)

    leases = RetentionLeases(store, retention=RETENTION, announce=announce)
    with pytest.raises(LeaseNotFound):
        leases.current()
    assert leases.current() == tries[1]
    assert leases.granted == 1

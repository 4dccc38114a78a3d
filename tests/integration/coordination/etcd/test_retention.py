"""Retention leases on a real etcd: a key lives as long as promised, one lease a bucket, loss is repaired."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from store_helpers import settings_of

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.retention import FULL, RetentionLeases
from discordha.coordination.etcd.store import LeaseNotFound
from discordha.errors import StoreUnavailable
from discordha.testing import LocalEtcd, wait_for


@pytest.fixture
def store(local_etcd: LocalEtcd) -> Iterator[EtcdStore]:
    store = EtcdStore(settings_of(local_etcd))
    yield store
    store.close()


def test_a_key_outlives_the_retention_and_goes_after_the_bucket(store: EtcdStore, root: str) -> None:
    leases = RetentionLeases(store, retention=2.0, bucket=2.0)
    leases.start()
    try:
        written_at = time.monotonic()
        store.put(f"{root}j/x", b"", lease=leases.current())
        wait_for(lambda: store.get(f"{root}j/x") is None, 12.0, "the mark to expire", interval=0.05)
        assert time.monotonic() - written_at >= 2.0
    finally:
        leases.stop()


def test_the_next_lease_is_there_before_the_bucket_ends(store: EtcdStore) -> None:
    leases = RetentionLeases(store, retention=5.0, bucket=4.0)
    begun = time.monotonic()
    leases.start()
    try:
        first = leases.current()
        wait_for(lambda: leases.current() != first, 15.0, "the second bucket")
        assert time.monotonic() - begun < 4.0, "granted before the first bucket ends"
        assert store.keep_alive(first) > 0.0  # what lies under it lives on
    finally:
        leases.stop()
        leases.stop()


def test_a_lease_that_was_handed_out_often_is_followed_by_another(store: EtcdStore) -> None:
    leases = RetentionLeases(store, retention=600.0)
    leases.start()
    try:
        first = leases.current()
        handed_out = 1
        while leases.current() == first:
            handed_out += 1
            time.sleep(0 if handed_out < FULL else 0.01)
        assert FULL - 1 <= handed_out < FULL + 500
        assert leases.granted == 2
        assert store.keep_alive(first) > 600.0  # what lies under it lives on
    finally:
        leases.stop()


def test_a_lost_lease_is_replaced_once(store: EtcdStore, root: str) -> None:
    leases = RetentionLeases(store, retention=60.0)
    lost = leases.current()
    store.revoke(lost)
    with pytest.raises(LeaseNotFound):
        store.put(f"{root}j/x", b"", lease=lost)
    threads = [threading.Thread(target=leases.renew, args=(lost,)) for _ in range(8)]
    threads += [threading.Thread(target=leases.renew) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert leases.granted == 2
    assert store.put(f"{root}j/x", b"", lease=leases.current())
    leases.renew()  # it is there: nothing happens
    assert leases.granted == 2


def test_without_etcd_the_first_lease_raises_and_later_ones_wait() -> None:
    with LocalEtcd() as etcd:
        store = EtcdStore(settings_of(etcd, timeout=0.5))
        leases = RetentionLeases(store, retention=60.0, bucket=0.2)
        etcd.member(0).kill()
        with pytest.raises(StoreUnavailable):
            leases.start()
        etcd.member(0).restart()
        wait_for(lambda: _started(leases), 15.0, "etcd to be back")
        lease = leases.current()
        etcd.member(0).kill()
        leases.renew(lease)
        assert leases.current() == lease
        etcd.member(0).restart()
        wait_for(lambda: leases.current() != lease, 15.0, "a lease after the outage")
        leases.stop()
        store.close()


def _started(leases: RetentionLeases) -> bool:
    try:
        leases.start()
    except StoreUnavailable:
        return False
    return True

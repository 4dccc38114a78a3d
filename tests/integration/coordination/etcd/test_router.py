"""One watch on real etcd, and who hears of what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from store_helpers import Recorder, store_of

from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import Delete, Put, Store
from discordha.testing import FaultProxy, LocalEtcd, wait_for


@pytest.fixture
def store(local_etcd: LocalEtcd) -> Iterator[Store]:
    with store_of(local_etcd) as opened:
        yield opened


def test_each_listener_hears_its_components_in_one_call(store: Store, root: str) -> None:
    router = WatchRouter(root)
    both, other = Recorder(), Recorder()
    router.subscribe(both, "e", "a")
    router.subscribe(other, "l")
    with pytest.raises(ValueError, match="has a listener"):
        router.subscribe(both, "l")
    watch = store.watch(root, router, silence=5.0, heartbeats=True)
    store.put(f"{root}e/before", b"1")
    store.put(f"{root}l/before", b"1")
    store.put(f"{root}unknown/x", b"1")
    watch.start()
    try:
        assert watch.wait_synced(15)
        assert [kv.key for kv in both.snapshots[0].items] == [f"{root}e/before"]
        assert [kv.key for kv in other.snapshots[0].items] == [f"{root}l/before"]
        revision = store.txn(
            (),
            [
                Put(f"{root}e/x", b"1"),
                Put(f"{root}a/x", b"1"),
                Delete(f"{root}l/before"),
                Put(f"{root}?", b""),
            ],
        ).revision
        assert watch.wait_revision(revision, 15)
        assert {key for _, key, _ in both.events()} == {f"{root}e/x", f"{root}a/x"}
        assert len(both.batches) == 1
        assert other.events() == [("delete", f"{root}l/before", revision)]
        assert both.faults == other.faults == []
    finally:
        watch.stop()


def test_after_a_loss_everybody_hears_that_it_is_over(
    local_etcd: LocalEtcd, root: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Recorder(), Recorder()

    class Faulty(Recorder):
        def on_events(self, revision: int, events: Any) -> None:
            raise LookupError("a fault of one listener")

    with (
        FaultProxy.to(local_etcd.endpoints[0]) as proxy,
        store_of(local_etcd) as store,
        store_of(local_etcd, endpoints=[proxy.endpoint]) as cut_off,
    ):
        router = WatchRouter(root)
        router.subscribe(Faulty(), "x")
        router.subscribe(first, "e")
        router.subscribe(second, "m")
        watch = cut_off.watch(root, router, silence=5.0, heartbeats=True)
        watch.start()
        try:
            assert watch.wait_synced(15)
            wait_for(lambda: watch.alive, 15, "the stream")  # it follows the snapshot
            proxy.cut()
            wait_for(lambda: first.lost == second.lost == 1, 15, "the loss")
            revision = store.put(f"{root}m/a", b"1")
            assert watch.wait_revision(revision, 15)
            assert first.calls == second.calls == ["snapshot", "lost", "events"]
            assert first.batches == [(revision, [])]
            assert caplog.text.count("a listener of the coordination watch failed") == 1
        finally:
            watch.stop()

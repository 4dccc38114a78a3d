"""What the tests of the store, the watch, the session and the members share."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import (
    Guarded,
    Op,
    Put,
    Snapshot,
    Store,
    Txn,
    Watch,
    WatchEvent,
    WatchListener,
)
from discordha.testing import LocalEtcd


def settings_of(etcd: LocalEtcd, *, endpoints: Sequence[str] = (), timeout: float = 5.0) -> StoreSettings:
    """How a replica reaches the cluster; ``endpoints`` instead of its own, such as those of proxies."""
    options = {name.removeprefix("etcd_"): value for name, value in etcd.client_settings().items()}
    options["endpoints"] = tuple(endpoints or etcd.endpoints)
    return StoreSettings(timeout=timeout, **options)  # type: ignore[arg-type]


@contextmanager
def store_of(etcd: LocalEtcd, *, endpoints: Sequence[str] = (), timeout: float = 5.0) -> Iterator[EtcdStore]:
    """A store that is closed at the end."""
    store = EtcdStore(settings_of(etcd, endpoints=endpoints, timeout=timeout))
    try:
        yield store
    finally:
        store.close()


def delete_below(store: Store, prefix: str) -> int:
    """Deletes all keys below a prefix; how many there were."""
    keys = [kv.key for kv in store.range(prefix, keys_only=True).items]
    return sum(store.delete(key) for key in keys)


def puts_of(ops: Sequence[Op | Txn | Guarded]) -> Iterator[Put | Guarded]:
    """What a transaction writes if all its conditions hold."""
    for op in ops:
        if isinstance(op, (Put, Guarded)):
            yield op
        elif isinstance(op, Txn):
            yield from puts_of(op.success)


def watch_components(
    store: Store, root: str, listeners: Mapping[str, WatchListener], *, silence: float
) -> Watch:
    """A coordination watch with a listener for each component, not started yet."""
    router = WatchRouter(root)
    for component, listener in listeners.items():
        router.subscribe(listener, component)
    return store.watch(root, router, silence=silence, heartbeats=True)


@contextmanager
def running(watch: Watch, *, synced: bool = True) -> Iterator[Watch]:
    """Starts a watch, waits for its first snapshot, stops it at the end."""
    watch.start()
    try:
        if synced:
            assert watch.wait_synced(10)
        yield watch
    finally:
        watch.stop()


class Recorder:
    """A listener that keeps what it was told and what follows from it; notes anything told twice or out
    of order."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.snapshots: list[Snapshot] = []
        self.batches: list[tuple[int, list[WatchEvent]]] = []
        self.calls: list[str] = []
        self.state: dict[str, bytes] = {}
        self.revision = 0
        self.faults: list[str] = []

    def on_snapshot(self, snapshot: Snapshot) -> None:
        with self.lock:
            self.calls.append("snapshot")
            self.snapshots.append(snapshot)
            self.state = {kv.key: kv.value for kv in snapshot.items}
            self.revision = snapshot.revision

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        with self.lock:
            self.calls.append("events")
            self.batches.append((revision, list(events)))
            last = self.revision
            for kind, kv in events:
                if kv.mod_revision <= self.revision or kv.mod_revision < last:
                    self.faults.append(
                        f"{kv.key} at {kv.mod_revision} after {last}, told up to {self.revision}"
                    )
                last = kv.mod_revision
                if kind == "put":
                    self.state[kv.key] = kv.value
                else:
                    self.state.pop(kv.key, None)
            if events and events[-1].kv.mod_revision > revision:
                self.faults.append(f"a batch up to {revision} holds {events[-1].kv.mod_revision}")
            self.revision = revision

    def on_lost(self) -> None:
        with self.lock:
            self.calls.append("lost")

    @property
    def lost(self) -> int:
        return self.calls.count("lost")

    def events(self) -> list[tuple[str, str, int]]:
        """All changes told so far: kind, key, revision."""
        return [(kind, kv.key, kv.mod_revision) for _, batch in self.batches for kind, kv in batch]

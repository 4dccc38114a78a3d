"""Writes below the prefix of a watch, and whether the watch told all of them."""

from __future__ import annotations

import threading

from store_helpers import Recorder

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.store import Delete, Put, Txn
from discordha.coordination.etcd.watch import EtcdWatch
from discordha.errors import StoreUnavailable

__all__ = ["Writers", "assert_complete", "put"]


class Writers:
    """Threads that put, delete and run transactions below a prefix until told to stop, through every
    outage."""

    def __init__(self, store: EtcdStore, root: str, count: int = 4) -> None:
        self._store = store
        self._root = root
        self._stop = threading.Event()
        self.written = 0
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            key = f"{self._root}{number}/{count % 20}"
            try:
                if count % 3:
                    puts = [Txn((), (Put(f"{key}/{n}", str(count).encode()),)) for n in range(5)]
                    self._store.txn((), puts, timeout=1.0)
                else:
                    self._store.txn((), [Delete(f"{key}/{n}") for n in range(5)], timeout=1.0)
                self.written += 1
            except StoreUnavailable:
                self._stop.wait(0.02)


def assert_complete(store: EtcdStore, watch: EtcdWatch, recorder: Recorder, root: str) -> None:
    """Catches up, then compares what was told with what is there."""
    assert watch.sync(10)
    truth = {kv.key: kv.value for kv in store.range(root).items if kv.key != f"{root}~sync"}
    assert recorder.state == truth
    assert recorder.faults == []


def put(store: EtcdStore, key: str) -> int:
    try:
        return store.put(key, b"1", timeout=1.0)
    except StoreUnavailable:
        return 0

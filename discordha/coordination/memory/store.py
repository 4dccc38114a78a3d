"""A store in memory, for one process: ``Store`` without etcd.

Guarantees: all clones of a store share its keys. Answers, revisions and watches are those of etcd (see
``Keyspace``). A lease ends by the injected clock, at the first call after its end, or as soon as a watch is
read. Nothing outlives the process, and a watch that is not read keeps everything that changes.

Threads and locks: no thread of its own; any thread may call every method. ``_Server.lock`` guards the keys
and the list of streams; only the clock is called under it. ``close`` ends the watches of this clone.
"""

from __future__ import annotations

import copy
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Self, TypeVar

from discordha.coordination.etcd.messages import WatchBatch, WatchRange
from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    DeleteDone,
    KeyValue,
    Lease,
    Op,
    Put,
    Snapshot,
    Store,
    Txn,
    TxnResult,
    WatchEvent,
    WatchListener,
)
from discordha.coordination.etcd.watch import EtcdWatch
from discordha.coordination.memory.keyspace import Change, Keyspace
from discordha.errors import DiscordHAError, StoreUnavailable

__all__ = ["MemoryStore", "MemoryStream", "bare"]

T = TypeVar("T")

#: Changes that are kept for watches that resume, bytes.
HISTORY = 4 * 1024 * 1024
#: Makes the reader of a stream look when the next lease ends.
_LOOK = WatchBatch(0, [])


class _Server:
    """What all clones of a store share."""

    def __init__(self, clock: Callable[[], float], history: int) -> None:
        self.lock = threading.Lock()
        self.clock = clock
        self.streams: list[MemoryStream] = []
        self.keys = Keyspace(history=history, on_change=self._publish)

    def _publish(self, change: Change) -> None:
        for stream in self.streams:
            stream.offer(change)


class MemoryStore(Store):
    """Keys, transactions, leases and watches in memory.

    :param clock: monotonic seconds, for leases.
    :param history: bytes of changes that are kept for watches that resume; older ones are compacted.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, history: int = HISTORY) -> None:
        self._server = _Server(clock, history)
        self._streams: list[MemoryStream] = []
        self._closed = False
        self.calls = self.failures = 0

    def clone(self) -> Self:
        clone = copy.copy(self)
        clone._streams, clone._closed = [], False
        clone.calls = clone.failures = 0
        return clone

    def outlast_refusals(self, quiet: float) -> None:
        """Nobody refuses here."""

    @property
    def refusal(self) -> str | None:
        return None

    def refused(self, error: DiscordHAError) -> Exception:
        """The error, as it is."""
        return error

    def close(self) -> None:
        self._closed = True
        for stream in list(self._streams):
            stream.cancel()

    def _call(self, serve: Callable[[Keyspace, float], T], timeout: float | None, *, write: bool) -> T:
        """Every call passes here: a subclass may delay it, refuse it, or lose its answer.

        :param serve: is given the keys and the time.
        :param timeout: seconds that the caller waits at most.
        :param write: whether the call may change something.
        """
        if self._closed:
            raise StoreUnavailable("the store is closed: the replica has stopped")
        self.calls += 1
        with self._server.lock:
            now = self._server.clock()
            self._server.keys.expire(now)
            return serve(self._server.keys, now)

    # -- keys ------------------------------------------------------------------------------------------------

    def get(self, key: str, *, timeout: float | None = None) -> KeyValue | None:
        return self._call(lambda keys, _: keys.get(key), timeout, write=False)

    def range(
        self,
        prefix: str,
        *,
        after: str | None = None,
        until: str | None = None,
        without: str | None = None,
        limit: int = 0,
        keys_only: bool = False,
        timeout: float | None = None,
    ) -> Snapshot:
        def scan(keys: Keyspace, _: float) -> Snapshot:
            found = [kv for kv in keys.scan(prefix) if after is None or kv.key > after]
            found = [kv for kv in found if until is None or kv.key < until]
            found = [kv for kv in found if without is None or not kv.key.startswith(without)][: limit or None]
            return Snapshot(keys.revision, [kv._replace(value=b"") for kv in found] if keys_only else found)

        return self._call(scan, timeout, write=False)

    def look(self, keys: Sequence[str], *, fresh: bool = False, timeout: float | None = None) -> Snapshot:
        def read(space: Keyspace, _: float) -> Snapshot:
            found = [kv for kv in map(space.get, keys) if kv is not None]
            return Snapshot(space.revision, found)

        return self._call(read, timeout, write=False)

    def put(self, key: str, value: bytes, *, lease: int = 0, timeout: float | None = None) -> int:
        return self.txn((), (Put(key, value, lease),), timeout=timeout).revision

    def delete(self, key: str, *, timeout: float | None = None) -> bool:
        done = self.txn((), (Delete(key),), timeout=timeout).responses[0]
        return isinstance(done, DeleteDone) and done.deleted > 0

    def txn(
        self,
        compare: Sequence[Compare],
        success: Sequence[Op],
        failure: Sequence[Op] = (),
        *,
        timeout: float | None = None,
    ) -> TxnResult:
        txn = Txn(compare, success, failure)
        return self._call(lambda keys, _: keys.txn(txn), timeout, write=True)

    # -- leases ----------------------------------------------------------------------------------------------

    def grant(self, ttl: float, *, timeout: float | None = None) -> Lease:
        """See ``Store.grant``. A lease with an infinite TTL never runs out."""

        def grant(keys: Keyspace, now: float) -> Lease:
            before = keys.next_end
            lease = keys.grant(ttl, now)
            for stream in self._server.streams if keys.next_end < before else ():
                stream.wake()
            return lease

        return self._call(grant, timeout, write=True)

    def keep_alive(self, lease_id: int, *, timeout: float | None = None) -> float:
        return self._call(lambda keys, now: keys.keep_alive(lease_id, now), timeout, write=False)

    def revoke(self, lease_id: int, *, timeout: float | None = None) -> None:
        self._call(lambda keys, _: keys.revoke(lease_id), timeout, write=True)

    def expire(self) -> float:
        """Ends the leases that have run out, as every call does; returns the seconds until the next one does,
        infinite when there is none.
        """
        with self._server.lock:
            now = self._server.clock()
            self._server.keys.expire(now)
            return self._server.keys.next_end - now

    def compact(self) -> None:
        """Forgets all changes so far: a watch that would resume before now has to take a snapshot instead."""
        self._call(lambda keys, _: keys.compact(keys.revision), None, write=True)

    # -- watches ---------------------------------------------------------------------------------------------

    def watch(
        self,
        prefix: str,
        listener: WatchListener,
        *,
        silence: float,
        name: str = "discordha-watch",
        heartbeats: bool = False,
        quiet: str | None = None,
        apart: str | None = None,
    ) -> EtcdWatch:
        """See ``Store.watch``. A stream within one process is never silent, so no silence is looked for."""
        store = self.clone()
        return EtcdWatch(store, prefix, listener, silence=silence, name=name, quiet=quiet, apart=apart)

    def open_watch(
        self,
        prefix: str,
        start_revision: int,
        pulse: Callable[[], bool] | None = None,
        ranges: Sequence[WatchRange] = (),
    ) -> MemoryStream:
        """Opens a watch stream from a revision on; ``pulse`` is not called. Does not block.

        :param ranges: what is watched in place of all keys below the prefix, all from ``start_revision`` on.
        """
        stream = MemoryStream(self, prefix, start_revision, ranges)

        def begin(keys: Keyspace, _: float) -> MemoryStream:
            stream.begin(keys)
            self._server.streams.append(stream)
            self._streams.append(stream)
            return stream

        return self._call(begin, None, write=False)

    def end_watch(self, stream: MemoryStream) -> None:
        """Tells a stream nothing more. For ``MemoryStream.cancel``."""
        with self._server.lock:
            if stream in self._streams:
                self._streams.remove(stream)
                self._server.streams.remove(stream)

    def forget_token(self) -> None:
        """Does nothing: there are no users."""


def _is_in(key: str, ranges: Sequence[tuple[str, str]]) -> bool:
    return any(first <= key < end for first, end in ranges)


def bare(event: WatchEvent) -> WatchEvent:
    """A delete without what it has deleted."""
    return event._replace(kv=KeyValue(event.kv.key, b"", 0, event.kv.mod_revision, 0, 0))


class MemoryStream:
    """One watch: iterate for ``WatchBatch``. Iteration blocks, and raises ``StoreUnavailable`` after
    ``cancel``. The store calls ``begin``, ``offer`` and ``wake`` under its lock.
    """

    endpoint = "memory"

    def __init__(
        self, store: MemoryStore, prefix: str, start_revision: int, ranges: Sequence[WatchRange] = ()
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._whole = [(each.start.decode(), each.end.decode()) for each in ranges if not each.deletes_only]
        self._deletes = [(each.start.decode(), each.end.decode()) for each in ranges if each.deletes_only]
        self._start_revision = start_revision
        self._batches: queue.SimpleQueue[WatchBatch | None] = queue.SimpleQueue()

    def begin(self, keys: Keyspace) -> None:
        """Queues the changes since the start revision."""
        self._batches.put(WatchBatch(0, [], created=True, store_revision=keys.revision))
        if self._start_revision < keys.compacted:
            self._batches.put(WatchBatch(0, [], compacted=keys.compacted, cancelled="compacted"))
        else:
            for change in keys.history:
                self.offer(change)

    def offer(self, change: Change) -> None:
        """Queues the part of a change that this watch is about."""
        events = [told for event in change.events if (told := self._told(event)) is not None]
        if events and change.revision >= self._start_revision:
            self._batches.put(WatchBatch(change.revision, events))

    def _told(self, event: WatchEvent) -> WatchEvent | None:
        key, is_delete = event.kv.key, event.kind == "delete"
        if is_delete and _is_in(key, self._deletes):
            return event
        if _is_in(key, self._whole) if self._whole else key.startswith(self._prefix):
            return bare(event) if is_delete else event
        return None

    def wake(self) -> None:
        """Makes the reader look when the next lease ends."""
        self._batches.put(_LOOK)

    def __iter__(self) -> Iterator[WatchBatch]:
        batch: WatchBatch | None = _LOOK
        while batch is not None:
            if batch is not _LOOK:
                yield batch
            until_next = self._store.expire()
            try:
                batch = self._batches.get(timeout=max(until_next, 0.0) if until_next < math.inf else None)
            except queue.Empty:
                batch = _LOOK
        raise StoreUnavailable("the watch was cancelled")

    def cancel(self, *, blame: bool = False) -> None:
        """Ends the stream; any thread. ``blame`` is for stores with several endpoints."""
        self._store.end_watch(self)
        self._batches.put(None)

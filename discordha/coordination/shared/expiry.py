"""Expiry: shared leases that end values with a time to live, and a timer that ends them on time.

Guarantees
- A value written under ``lease_for(ttl)`` lives for at least ``ttl`` seconds from the call. Whatever happens
  to this replica, it is gone a bucket later (an eighth of the TTL, at least a second), and etcd's own slack.
  One replica has at most 17 leases for each power of two of the TTLs in use.
- While this replica lives and the store answers, its values are deleted within about 0.1 s of their end by
  its monotonic clock, unless they were written again meanwhile.

Threads and locks: ``discordha-expiry``, started by the first ``expire`` and joined by ``stop``, alone
deletes. ``_lock`` guards ``_due``, ``_heap`` and ``_thread``; no I/O under it. A thread holds ``_granting``
while it asks for a lease; ``_leases`` is replaced as a whole and read without a lock.
"""

from __future__ import annotations

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from discordha.coordination.etcd.store import Compare, Delete, KeyValue, Store, Txn, TxnResult
from discordha.coordination.shared.values import Record
from discordha.errors import DiscordHAError
from discordha.process.threads import unending

__all__ = ["Expiry"]

_log = logging.getLogger(__name__)

#: How many keys are deleted in one transaction.
KEYS_PER_TURN = 64
#: Pause after the store did not answer, seconds.
OUTAGE_PAUSE = 0.5
#: How often the deletion of a key is tried in a row while others count it up.
DELETE_TRIES = 5


class _Due(NamedTuple):
    at: float
    key: str
    stamp: str
    revision: int  # of the write; it may have been counted up since


class Expiry:
    """The times to live of the values that one replica writes.

    :param clock: monotonic seconds.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._granting = threading.Lock()
        self._leases: dict[tuple[float, int], int] = {}  # width of the buckets, number of the bucket
        self._due: dict[str, _Due] = {}
        self._heap: list[_Due] = []
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.granted = 0

    def lease_for(self, ttl: float) -> int:
        """A lease that lives for ``ttl`` seconds, and at most a bucket longer. Blocks for a call to the store
        if the bucket is new. Any thread.

        :raises StoreUnavailable: the store does not answer.
        """
        width = max(1.0, 2.0 ** math.floor(math.log2(ttl)) / 8)
        number = math.ceil((self._clock() + ttl) / width)
        lease = self._leases.get((width, number))
        if lease is not None:
            return lease
        with self._granting:
            lease = self._leases.get((width, number))
            if lease is None:
                now = self._clock()
                lease = self._store.grant(number * width - now + 1.0).id
                self.granted += 1
                kept = {slot: known for slot, known in self._leases.items() if slot[0] * slot[1] > now}
                self._leases = {**kept, (width, number): lease}
            return lease

    def forget(self, lease: int) -> None:
        """Replaces a lease that the store has lost. Any thread."""
        with self._granting:
            self._leases = {slot: known for slot, known in self._leases.items() if known != lease}

    def expire(self, key: str, stamp: str, ttl: float, revision: int) -> None:
        """Deletes a key ``ttl`` seconds after its write at ``revision``, if it has the same stamp then. Never
        blocks; any thread.
        """
        due = _Due(self._clock() + ttl, key, stamp, revision)
        with self._lock:
            if self._stop.is_set():
                return
            known = self._due.get(key)
            if known is not None and known.revision > revision:
                return  # another thread has written since
            self._due[key] = due
            heapq.heappush(self._heap, due)
            first = self._heap[0] is due
            if self._thread is None:
                run = unending(self._run, self._stop)
                thread = threading.Thread(target=run, name="discordha-expiry", daemon=True)
                thread.start()
                self._thread = thread  # not one that failed to start
            if len(self._heap) > 2 * len(self._due) + 1000:
                self._heap = list(self._due.values())
                heapq.heapify(self._heap)
        if first:
            self._wake.set()

    def stop(self) -> None:
        """Ends the thread; later ends are left to the leases. Blocks for a call in flight. Idempotent."""
        with self._lock:
            self._stop.set()
            thread = self._thread
        self._wake.set()
        if thread is not None and thread.is_alive():
            thread.join()

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            batch, wait = self._take()
            if not batch:
                self._wake.wait(wait)
                continue
            try:
                for due in self._end(batch):
                    self._end_changed(due)
            except DiscordHAError as error:
                _log.debug("%d expired keys wait to be deleted: %s", len(batch), error)
                self._put_back(batch)
                self._stop.wait(OUTAGE_PAUSE)
            except Exception:  # noqa: BLE001 - other keys must end on time; these end with their lease
                _log.exception("%d expired keys were not deleted; their lease ends them", len(batch))

    def _take(self) -> tuple[list[_Due], float | None]:
        """The keys that are due, and the seconds until the next one is if there are none."""
        batch: list[_Due] = []
        now = self._clock()
        with self._lock:
            while self._heap and len(batch) < KEYS_PER_TURN:
                first = self._heap[0]
                if self._due.get(first.key) is not first:  # written anew
                    heapq.heappop(self._heap)
                elif first.at <= now:
                    heapq.heappop(self._heap)
                    del self._due[first.key]
                    batch.append(first)
                else:
                    break
            return batch, (self._heap[0].at - now if self._heap else None)

    def _put_back(self, batch: Sequence[_Due]) -> None:
        with self._lock:
            for due in batch:
                if self._due.setdefault(due.key, due) is due:
                    heapq.heappush(self._heap, due)

    def _end(self, batch: Sequence[_Due]) -> list[_Due]:
        """Deletes the keys that have not changed since they were written; returns the others."""
        ends = [Txn((Compare.mod_revision(due.key, due.revision),), (Delete(due.key),)) for due in batch]
        answers = self._store.txn((), ends).responses
        return [
            due
            for due, answer in zip(batch, answers, strict=True)
            if isinstance(answer, TxnResult) and not answer.succeeded
        ]

    def _end_changed(self, due: _Due) -> None:
        """Deletes a key if it was only counted up since, which keeps its time to live."""
        for _ in range(DELETE_TRIES):
            kv = self._store.get(due.key)
            if (
                kv is None
                or _stamp(kv) != due.stamp
                or not self._end([due._replace(revision=kv.mod_revision)])
            ):
                return
        self._put_back([due])


def _stamp(kv: KeyValue) -> str | None:
    try:
        return Record.read(kv.value)[1].stamp
    except ValueError:
        return None  # not written by a cache

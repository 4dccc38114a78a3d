"""Expiry: shared leases that end what has a time to live, and a timer that ends it on time.

Promises
- What is written under ``lease_for(ttl)`` is there for ``ttl`` seconds at least, counted from the call, and
  gone a bucket (an eighth of the TTL, a second at least) and etcd's own slack later, whatever happens to this
  replica. The leases of one replica are at most 17 for each power of two of the TTLs in use.
- While this replica lives and etcd answers, what it wrote is deleted within about 0.1 s of its end by this
  replica's monotonic clock, unless it was written anew meanwhile.

Does not promise the 0.1 s when the writer is gone or stands still, or etcd does not answer: then the lease
decides. No clocks of two machines are compared.

Concurrency
- One thread, ``discordha-expiry``, owned here: begun with the first ``expire``, joined by ``stop``; it alone
  deletes.
- ``_lock`` guards ``_due``, ``_heap`` and ``_thread``; no I/O under it. ``_granting`` is held by one thread
  at a time while it asks for a lease; ``_leases`` is replaced as a whole and read without a lock.
- At stop the thread ends after a call in flight; what is due later ends with its lease. At a lost session or
  watch nothing changes here.
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

__all__ = ["Expiry"]

_log = logging.getLogger(__name__)

#: How many keys are ended at once.
BATCH = 64
#: Pause after etcd did not answer, seconds.
PAUSE = 0.5
#: How often a key that is counted up all the time is tried at once.
TRIES = 5


class _Due(NamedTuple):
    at: float
    key: str
    stamp: str
    revision: int  # of the write; it may have been counted up since


class Expiry:
    """The times to live of what one replica writes.

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
        """A lease that lives for ``ttl`` seconds, and a bucket more at most. Blocks for a call to etcd when
        the bucket is new. Any thread.

        :raises StoreUnavailable: etcd does not answer.
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
        """etcd does not know the lease any more: the next write gets another one. Any thread."""
        with self._granting:
            self._leases = {slot: known for slot, known in self._leases.items() if known != lease}

    def expire(self, key: str, stamp: str, ttl: float, revision: int) -> None:
        """Ends the key in ``ttl`` seconds if it holds ``stamp`` then. Never blocks; any thread.

        :param revision: of the write.
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
                self._thread = threading.Thread(target=self._run, name="discordha-expiry", daemon=True)
                self._thread.start()
            if len(self._heap) > 2 * len(self._due) + 1000:
                self._heap = list(self._due.values())
                heapq.heapify(self._heap)
        if first:
            self._wake.set()

    def stop(self) -> None:
        """Ends the thread. Blocks for a call in flight. Idempotent; any thread."""
        with self._lock:
            self._stop.set()
            thread = self._thread
        self._wake.set()
        if thread is not None and thread.is_alive():
            thread.join()

    @property
    def waiting(self) -> int:
        """How many keys have their end still to come."""
        return len(self._due)

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
                _log.debug("%d keys wait for their end: %s", len(batch), error)
                self._put_back(batch)
                self._stop.wait(PAUSE)
            except Exception:  # noqa: BLE001 - the others must end all the same; these go with their lease
                _log.exception("%d keys are left to their lease", len(batch))

    def _take(self) -> tuple[list[_Due], float | None]:
        """What is due now, else how long until something is."""
        batch: list[_Due] = []
        now = self._clock()
        with self._lock:
            while self._heap and len(batch) < BATCH:
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
        """Deletes what has not changed since it was written; returns the rest."""
        ends = [Txn((Compare.mod_revision(due.key, due.revision),), (Delete(due.key),)) for due in batch]
        answers = self._store.txn((), ends).responses
        return [
            due
            for due, answer in zip(batch, answers, strict=True)
            if isinstance(answer, TxnResult) and not answer.succeeded
        ]

    def _end_changed(self, due: _Due) -> None:
        """Counted up, which keeps the time to live, or written anew, or gone."""
        for _ in range(TRIES):
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

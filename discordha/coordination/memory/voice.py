"""The voice queue's store for one replica without etcd (``ha=False``): the same transactions, in memory.

Promises: what ``Store`` promises of transactions and leases, within one process; one listener is told every
change in order. Does not promise anything after the process ends. Leases are looked at when something is
asked, so that what ran out may stay visible until then.

Concurrency: ``_lock`` guards everything, and is held while the listener is told, so that it hears in order:
the listener may not call back. Any thread; nothing blocks. No threads; nothing to stop. There is no session
to lose and no watch.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence

from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    DeleteDone,
    Get,
    Guarded,
    KeyValue,
    Lease,
    LeaseNotFound,
    Op,
    Put,
    PutDone,
    Response,
    Snapshot,
    Txn,
    TxnResult,
    WatchEvent,
    WatchListener,
)
from discordha.coordination.session import Grant

__all__ = ["AloneSession", "MemoryStore"]


class AloneSession:
    """The session of a replica that has nobody to lose anything to."""

    def __init__(self) -> None:
        self.current: Grant | None = Grant(1, 1, float("inf"), time.monotonic)

    def require(self) -> Grant:
        """See ``Session.require``."""
        assert self.current is not None
        return self.current


class MemoryStore:
    """Keys, revisions, leases and one listener.

    :param clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, KeyValue] = {}
        self._leases: dict[int, tuple[float, float]] = {}  # id: when it runs out, its TTL
        self._numbers = itertools.count(2)  # 1 is the session's, which never runs out
        self._revision = 1
        self._listener: WatchListener | None = None
        self._prefix = ""

    def subscribe(self, prefix: str, listener: WatchListener) -> None:
        """Tells a listener what there is, and from then on what changes."""
        with self._lock:
            self._listener, self._prefix = listener, prefix
            items = [kv for key, kv in sorted(self._keys.items()) if key.startswith(prefix)]
            listener.on_snapshot(Snapshot(self._revision, items))

    def grant(self, ttl: float, *, timeout: float | None = None) -> Lease:
        """See ``Store.grant``."""
        with self._lock:
            number = next(self._numbers)
            self._leases[number] = (self._clock() + ttl, ttl)
            return Lease(number, ttl)

    def keep_alive(self, lease_id: int, *, timeout: float | None = None) -> float:
        """See ``Store.keep_alive``."""
        with self._lock:
            self._expire()
            if lease_id not in self._leases:
                return 0.0
            ttl = self._leases[lease_id][1]
            self._leases[lease_id] = (self._clock() + ttl, ttl)
            return ttl

    def get(self, key: str, *, timeout: float | None = None) -> KeyValue | None:
        """See ``Store.get``."""
        with self._lock:
            self._expire()
            return self._keys.get(key)

    def txn(
        self,
        compare: Sequence[Compare],
        success: Sequence[Op],
        failure: Sequence[Op] = (),
        *,
        timeout: float | None = None,
    ) -> TxnResult:
        """See ``Store.txn``."""
        with self._lock:
            self._expire()
            for op in success:
                self._check_lease(op)
            events: list[WatchEvent] = []
            result = self._run(Txn(compare, success, failure), self._revision + 1, events)
            self._tell(events)
            return result

    def _check_lease(self, op: Op) -> None:
        if isinstance(op, Put) and op.lease > 1 and op.lease not in self._leases:
            raise LeaseNotFound(f"lease {op.lease} has run out")
        if isinstance(op, Txn):
            for inner in (*op.success, *op.failure):
                self._check_lease(inner)

    def _run(self, txn: Txn | Guarded, revision: int, events: list[WatchEvent]) -> TxnResult:
        succeeded = all(self._holds(condition) for condition in txn.compare)
        responses: list[Response] = []
        for op in txn.success if succeeded else txn.failure:
            if isinstance(op, Put):
                old = self._keys.get(op.key)
                created = old.create_revision if old is not None else revision
                version = old.version + 1 if old is not None else 1
                new = self._keys[op.key] = KeyValue(op.key, op.value, created, revision, version, op.lease)
                events.append(WatchEvent("put", new))
                responses.append(PutDone())
            elif isinstance(op, Delete):
                gone = self._keys.pop(op.key, None)
                if gone is not None:
                    events.append(WatchEvent("delete", gone._replace(mod_revision=revision)))
                responses.append(DeleteDone(int(gone is not None)))
            elif isinstance(op, Get):
                found = self._keys.get(op.key)
                responses.append([found] if found is not None else [])
            elif isinstance(op, Txn | Guarded):
                responses.append(self._run(op, revision, events))
            else:
                responses.append([kv for key, kv in self._keys.items() if key.startswith(op.prefix)])
        return TxnResult(succeeded, max(revision, self._revision), responses)

    def _holds(self, condition: Compare) -> bool:
        kv = self._keys.get(condition.key)
        if condition.target == "value":
            return kv is not None and kv.value == condition.expected
        actual: int = getattr(kv, condition.target) if kv is not None else 0
        assert isinstance(condition.expected, int)
        return actual < condition.expected if condition.below else actual == condition.expected

    def _expire(self) -> None:
        now = self._clock()
        over = {number for number, (ends_at, _) in self._leases.items() if ends_at <= now}
        if not over:
            return
        for number in over:
            del self._leases[number]
        gone = [kv for kv in self._keys.values() if kv.lease in over]
        for kv in gone:
            del self._keys[kv.key]
        self._tell([WatchEvent("delete", kv._replace(mod_revision=self._revision + 1)) for kv in gone])

    def _tell(self, events: list[WatchEvent]) -> None:
        if not events:
            return
        self._revision += 1
        heard = [event for event in events if event.kv.key.startswith(self._prefix)]
        if heard and self._listener is not None:
            self._listener.on_events(self._revision, heard)

"""The state of an etcd in this process: keys, revisions, leases, and recent changes.

Guarantees: transactions, revisions, versions and leases behave as etcd's. Comparisons see the keys as they
were before the transaction, and reads see its earlier writes. A request that etcd would refuse for its keys
or its number of operations changes nothing. Up to ``history`` bytes of changes are kept for watches that
resume.

Threads and locks: none. ``MemoryStore`` calls everything here under its lock.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeAlias

from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    DeleteDone,
    Get,
    GetPrefix,
    Guarded,
    KeyValue,
    Lease,
    LeaseNotFound,
    Op,
    Put,
    PutDone,
    RequestRefused,
    Response,
    Txn,
    TxnResult,
    WatchEvent,
)

__all__ = ["Change", "Keyspace"]

#: etcd's default limit for one level of a transaction, less what stands around it.
ETCD_MAX_OPERATIONS = 128
#: What a change costs besides its keys and values, bytes.
CHANGE_OVERHEAD = 300
_PUT_DONE = PutDone()
#: Whether a transaction succeeds, and the operations of the branch that it takes; nested ones with their own.
_Branch: TypeAlias = "tuple[bool, list[tuple[Op, _Branch | None]]]"


class Change(NamedTuple):
    """Everything that changed at one revision, and its approximate size in bytes."""

    revision: int
    events: list[WatchEvent]
    size: int


class _Lease:
    def __init__(self, ttl: float, ends_at: float) -> None:
        self.ttl = ttl
        self.ends_at = ends_at
        self.keys: set[str] = set()


class Keyspace:
    """See the module.

    :param on_change: is told each change.
    """

    def __init__(self, *, history: int, on_change: Callable[[Change], None]) -> None:
        self.revision = 1
        self.compacted = 0  # the first revision that a watch can begin at
        self.next_end = math.inf  # no lease runs out before
        self.history: deque[Change] = deque()
        self._history_limit = history
        self._history_size = 0
        self._on_change = on_change
        self._keys: dict[str, KeyValue] = {}
        self._order: list[str] = []  # the keys, sorted
        self._leases: dict[int, _Lease] = {}
        self._lease_ids = itertools.count(1)
        self._events: list[WatchEvent] = []  # of the write that is under way

    def get(self, key: str) -> KeyValue | None:
        """The key, or ``None`` when it is absent."""
        _check_key(key)
        return self._keys.get(key)

    def scan(self, prefix: str) -> list[KeyValue]:
        """The keys that begin with ``prefix``, sorted."""
        order = self._order
        start = end = bisect_left(order, prefix)
        while end < len(order) and order[end].startswith(prefix):
            end += 1
        return [self._keys[key] for key in order[start:end]]

    # -- transactions ----------------------------------------------------------------------------------------

    def txn(self, txn: Txn) -> TxnResult:
        """Runs a transaction.

        :raises LeaseNotFound: a put names a lease that is gone; nothing was written.
        :raises RequestRefused: etcd would refuse the request, or ``EtcdStore`` would not send it.
        """
        if all(isinstance(op, Get | GetPrefix) for op in (*txn.success, *txn.failure)):
            _refuse("the transaction only reads")
        _check(txn, ETCD_MAX_OPERATIONS)
        branch = self._choose(txn)
        result = self._run(branch, self.revision + self._will_write(branch))
        self._commit()
        return result

    def _choose(self, txn: Txn | Guarded) -> _Branch:
        """etcd evaluates all comparisons, also of nested transactions, before it writes anything."""
        succeeded = all(self._holds(condition) for condition in txn.compare)
        operations = txn.success if succeeded else txn.failure
        return succeeded, [
            (op, self._choose(op) if isinstance(op, Txn | Guarded) else None) for op in operations
        ]

    def _holds(self, condition: Compare) -> bool:
        kv = self._keys.get(condition.key)
        if condition.target == "value":
            return kv is not None and kv.value == condition.expected
        actual: Any = getattr(kv, condition.target) if kv is not None else 0
        return bool(actual < condition.expected if condition.below else actual == condition.expected)

    def _will_write(self, branch: _Branch) -> bool:
        writes = False
        for op, nested in branch[1]:
            if nested is not None:
                writes |= self._will_write(nested)
            elif isinstance(op, Put):
                writes = True
                if op.lease and op.lease not in self._leases:
                    raise LeaseNotFound(f"lease {op.lease:x} has run out or was revoked; nothing was written")
            elif isinstance(op, Delete):
                writes |= op.key in self._keys
        return writes

    def _run(self, branch: _Branch, revision: int) -> TxnResult:
        responses: list[Response] = []
        for op, nested in branch[1]:
            if nested is not None:
                responses.append(self._run(nested, revision))
            elif isinstance(op, Put):
                self._put(op)
                responses.append(_PUT_DONE)
            elif isinstance(op, Delete):
                responses.append(DeleteDone(int(self._delete(op.key))))
            elif isinstance(op, GetPrefix):
                responses.append(self.scan(op.prefix))
            elif isinstance(op, Get):
                responses.append([self._keys[op.key]] if op.key in self._keys else [])
        return TxnResult(branch[0], revision, responses)

    # -- writes ----------------------------------------------------------------------------------------------

    def _put(self, put: Put) -> None:
        key, revision = put.key, self.revision + 1
        old = self._keys.get(key)
        if old is None:
            insort(self._order, key)
        else:
            self._detach(old)
        created, version = (old.create_revision, old.version + 1) if old is not None else (revision, 1)
        new = self._keys[key] = KeyValue(key, put.value, created, revision, version, put.lease)
        if put.lease:
            self._leases[put.lease].keys.add(key)
        self._events.append(WatchEvent("put", new))

    def _delete(self, key: str) -> bool:
        old = self._keys.pop(key, None)
        if old is None:
            return False
        del self._order[bisect_left(self._order, key)]
        self._detach(old)
        self._events.append(WatchEvent("delete", old._replace(mod_revision=self.revision + 1)))
        return True

    def _detach(self, kv: KeyValue) -> None:
        if kv.lease in self._leases:
            self._leases[kv.lease].keys.discard(kv.key)

    def _commit(self) -> None:
        """Makes one revision of what was written since the last commit."""
        events, self._events = self._events, []
        if not events:
            return
        self.revision += 1
        size = sum(len(kv.key) + len(kv.value) + CHANGE_OVERHEAD for _, kv in events)
        change = Change(self.revision, events, size)
        self.history.append(change)
        self._history_size += size
        while self._history_size > self._history_limit:
            self.compact(self.history[0].revision + 1)
        self._on_change(change)

    def compact(self, revision: int) -> None:
        """Forgets the changes before ``revision``: watches can't begin there any more."""
        self.compacted = max(self.compacted, revision)
        while self.history and self.history[0].revision < self.compacted:
            self._history_size -= self.history.popleft().size

    # -- leases ----------------------------------------------------------------------------------------------

    def grant(self, ttl: float, now: float) -> Lease:
        """Grants a lease of ``ttl`` seconds, rounded up to whole ones; an infinite one never runs out."""
        whole = float(max(math.ceil(ttl), 1)) if ttl < math.inf else ttl
        lease_id = next(self._lease_ids)
        self._leases[lease_id] = _Lease(whole, now + whole)
        self.next_end = min(self.next_end, now + whole)
        return Lease(lease_id, whole)

    def keep_alive(self, lease_id: int, now: float) -> float:
        """Renews a lease; returns its seconds, 0.0 when it is gone."""
        lease = self._leases.get(lease_id)
        if lease is None:
            return 0.0
        lease.ends_at = now + lease.ttl
        return lease.ttl

    def revoke(self, lease_id: int) -> None:
        """Ends a lease and deletes its keys, at one revision. Does nothing when it is gone already."""
        lease = self._leases.pop(lease_id, None)
        for key in sorted(lease.keys) if lease is not None else ():
            self._delete(key)
        self._commit()

    def expire(self, now: float) -> None:
        """Ends the leases that have run out, in the order of their ends."""
        if now < self.next_end:
            return
        over = [(lease.ends_at, number) for number, lease in self._leases.items() if lease.ends_at <= now]
        for _, number in sorted(over):
            self.revoke(number)
        self.next_end = min((lease.ends_at for lease in self._leases.values()), default=math.inf)


# -- what etcd refuses ---------------------------------------------------------------------------------------


def _refuse(reason: str) -> None:
    raise RequestRefused(f"the request is refused: {reason}")


def _check_key(key: str) -> None:
    if not key:
        _refuse("key is not provided")


def _check(txn: Txn | Guarded, allowed: int) -> tuple[set[str], set[str]]:
    """Refuses what etcd refuses; returns the keys that the transaction may put and delete."""
    most = max(len(txn.compare), len(txn.success), len(txn.failure))
    if most > allowed:
        _refuse("too many operations in txn request")
    for condition in txn.compare:
        _check_key(condition.key)
    puts, deletes = _written(txn.success, allowed - most)
    other_puts, other_deletes = _written(txn.failure, allowed - most)
    # As the parent sees them: both branches may put the same key, since only one of them is taken.
    return puts | other_puts, deletes | other_deletes


def _written(operations: Sequence[Op], allowed: int) -> tuple[set[str], set[str]]:
    """As in etcd, a put may meet neither another put nor a delete, except a delete that a later nested
    transaction makes.
    """
    deletes = {op.key for op in operations if isinstance(op, Delete)}
    puts: set[str] = set()
    own = []
    for op in operations:
        if isinstance(op, Txn | Guarded):
            nested_puts, nested_deletes = _check(op, allowed)
            _add(puts, nested_puts, deletes)
            deletes |= nested_deletes
        elif not isinstance(op, GetPrefix):
            _check_key(op.key)
            if isinstance(op, Put):
                own.append(op.key)
    for key in own:
        _add(puts, (key,), deletes)
    return puts, deletes


def _add(puts: set[str], more: Collection[str], deletes: set[str]) -> None:
    if not (puts.isdisjoint(more) and deletes.isdisjoint(more)):
        _refuse("duplicate key given in txn request")
    puts.update(more)

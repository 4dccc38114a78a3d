"""The candidates of elections: their keys in etcd, read and written, and as the watch shows them.

Guarantees
- Each call of ``CandidateStore`` may be repeated after one whose answer was lost, with the same outcome.
- ``CandidateView`` shows which create revision is the lowest, as far as the watch has reported. Only a read
  from etcd tells who leads now.
- A key without a lease is no candidate, because it would lead forever.

Threads and locks: no threads, no locks. ``CandidateStore`` has no state; its methods block for
``CALL_TIMEOUT`` seconds at most, then raise ``StoreUnavailable``. ``CandidateView`` is updated by the watch's
thread; any thread may read it, since its tables are replaced as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from discordha.coordination.etcd.router import KeyView
from discordha.coordination.etcd.store import Compare, Delete, GetPrefix, KeyValue, LeaseNotFound, Put, Store
from discordha.coordination.membership.shard_keys import is_number
from discordha.coordination.session import Grant

__all__ = ["CandidateList", "CandidateStore", "CandidateView", "record_of", "request_resignation"]

#: How long a call may take, seconds. Calls are repeated, so the time may be short.
CALL_TIMEOUT = 2.0


class CandidateList(NamedTuple):
    """The candidates of a shard at one moment: this replica's key, and the lowest create revision, or 0."""

    mine: KeyValue | None
    first: int


class CandidateStore:
    """Registers and removes this replica's candidacies below the key prefix ``prefix``."""

    def __init__(self, store: Store, prefix: str, replica_id: str) -> None:
        self._store = store
        self._prefix = prefix
        self._value = json.dumps({"replica": replica_id}).encode()

    def key(self, shard_id: int, grant: Grant) -> str:
        """The key of a candidacy under a grant. No I/O."""
        return f"{self._prefix}{shard_id}/{grant.lease_id:x}"

    def enter(self, shard_id: int, grant: Grant, guard: Sequence[Compare]) -> CandidateList | None:
        """Registers as a candidate, unless this replica is one. Returns the candidates, or ``None`` if the
        guard forbids registering. Raises ``LeaseNotFound`` if the session is lost."""
        key = self.key(shard_id, grant)
        everyone = GetPrefix(f"{self._prefix}{shard_id}/")
        result = self._store.txn(
            (Compare.version(key, 0), *guard),
            (Put(key, self._value, grant.lease_id), everyone),
            (everyone,),
            timeout=CALL_TIMEOUT,
        )
        found = result.responses[-1]
        assert isinstance(found, list)
        candidates = _listed(found, key)
        return candidates if result.succeeded or candidates.mine is not None else None

    def read(self, shard_id: int, grant: Grant) -> CandidateList:
        """Reads the candidates."""
        found = self._store.range(f"{self._prefix}{shard_id}/", timeout=CALL_TIMEOUT)
        return _listed(found.items, self.key(shard_id, grant))

    def leave(self, shard_id: int, grant: Grant, revision: int) -> None:
        """Deletes the candidacy.

        :param revision: of its creation. 0 if unknown: the key may exist by a write whose answer was lost,
            and nobody else writes a key of this lease.
        """
        key = self.key(shard_id, grant)
        guard = (Compare.create_revision(key, revision),) if revision else ()
        self._store.txn(guard, (Delete(key),), timeout=CALL_TIMEOUT)


def _listed(candidates: Sequence[KeyValue], key: str) -> CandidateList:
    mine = next((kv for kv in candidates if kv.key == key), None)
    return CandidateList(mine, min((kv.create_revision for kv in candidates if kv.lease), default=0))


class CandidateView(KeyView):
    """The candidates of all shards below the key prefix ``prefix``, from the watch."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self._prefix = prefix
        self._first: dict[int, KeyValue] = {}
        self.changed = self._find_first

    def first(self, shard_id: int) -> str | None:
        """The replica with the lowest create revision."""
        kv = self._first.get(shard_id)
        replica = record_of(kv).get("replica") if kv is not None else None
        return replica if isinstance(replica, str) else None

    @property
    def lowest_shard(self) -> float:
        """The lowest shard key that has a candidate; infinite without candidates."""
        return min(self._first, default=float("inf"))

    def shard_of(self, key: str) -> int:
        """The shard key in a candidate's key; -1 for any other key."""
        shard = key[len(self._prefix) :].partition("/")[0]
        return int(shard) if is_number(shard) else -1

    def _find_first(self) -> None:
        found: dict[int, KeyValue] = {}
        for kv in self.keys.values():
            if not kv.lease:
                continue
            shard_id = self.shard_of(kv.key)
            known = found.get(shard_id)
            if known is None or kv.create_revision < known.create_revision:
                found[shard_id] = kv
        self._first = found


def record_of(kv: KeyValue) -> Mapping[str, Any]:
    """What a candidate says about itself; empty if its value can't be read."""
    try:
        record = json.loads(kv.value)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def request_resignation(store: Store, root: str, shard_id: int) -> str | None:
    """Asks the leader of a shard to resign, on behalf of an operator. Blocks on etcd.

    Marks the leader's own key, so that the request vanishes with the term it was meant for. Leadership is
    given up by its owner, never taken from a leader that still acts.

    :return: the replica that was asked; ``None`` if nobody leads, or leadership moved meanwhile.
    """
    candidates = [kv for kv in store.range(f"{root}l/{shard_id}/").items if kv.lease]
    if not candidates:
        return None
    leader = min(candidates, key=lambda kv: kv.create_revision)
    record = record_of(leader)
    if "replica" not in record:
        return None
    put = Put(leader.key, json.dumps({**record, "resign": True}).encode(), leader.lease)
    guard = Compare.create_revision(leader.key, leader.create_revision)
    try:
        return str(record["replica"]) if store.txn((guard,), (put,)).succeeded else None
    except LeaseNotFound:
        return None

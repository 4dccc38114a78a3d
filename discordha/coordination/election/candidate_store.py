"""What a candidate writes and reads in etcd: one key under its session's lease.

Promises
- Each call may be repeated after one whose answer got lost, and comes to the same.
- What is written for a leader carries its guard.

Does not promise that what was read still holds when it is returned.

Concurrency: no state, no thread, no lock: the methods block on etcd, ``proclaim`` for the store's time-out,
the others for ``CALL_TIMEOUT`` seconds at the most, and are called with no lock held.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from discordha.coordination.election.candidates import Leadership
from discordha.coordination.etcd.store import Compare, Delete, GetPrefix, KeyValue, Put, Store
from discordha.coordination.session import Grant

__all__ = ["Ballot", "Standing"]

#: A call to etcd may take so long, seconds: it is repeated without harm.
CALL_TIMEOUT = 2.0


class Standing(NamedTuple):
    """The candidates of a shard at one moment.

    :param mine: this replica's key; ``None`` when it is not among them.
    :param first: the lowest create revision; 0 when there is no candidate.
    """

    mine: KeyValue | None
    first: int


class Ballot:
    """See the module.

    :param prefix: of all candidates' keys, ending in ``/``.
    """

    def __init__(self, store: Store, prefix: str, replica_id: str) -> None:
        self._store = store
        self._prefix = prefix
        self._replica_id = replica_id

    def key(self, shard_id: int, grant: Grant) -> str:
        """The key of a candidature under a grant. No I/O."""
        return f"{self._prefix}{shard_id}/{grant.lease_id:x}"

    def enter(self, shard_id: int, grant: Grant, guard: Sequence[Compare]) -> Standing | None:
        """Stands as a candidate, or finds out that it does.

        :return: the candidates; ``None`` when the guard forbids to stand.
        :raises LeaseNotFound: the session is over.
        :raises StoreUnavailable: etcd does not answer.
        """
        key = self.key(shard_id, grant)
        everyone = GetPrefix(f"{self._prefix}{shard_id}/")
        result = self._store.txn(
            (Compare.version(key, 0), *guard),
            (Put(key, self._record({}), grant.lease_id), everyone),
            (everyone,),
            timeout=CALL_TIMEOUT,
        )
        candidates = result.responses[-1]
        assert isinstance(candidates, list)
        standing = _standing(candidates, key)
        return standing if result.succeeded or standing.mine is not None else None

    def look(self, shard_id: int, grant: Grant) -> Standing:
        """Reads the candidates again.

        :raises StoreUnavailable: etcd does not answer.
        """
        found = self._store.range(f"{self._prefix}{shard_id}/", timeout=CALL_TIMEOUT)
        return _standing(found.items, self.key(shard_id, grant))

    def leave(self, shard_id: int, grant: Grant, revision: int) -> None:
        """Deletes the candidature.

        :param revision: of its creation. 0, where it is not known: the key may still be there, by a write
            whose answer got lost; nobody else writes a key of this lease.
        :raises StoreUnavailable: etcd does not answer.
        """
        key = self.key(shard_id, grant)
        guard = (Compare.create_revision(key, revision),) if revision else ()
        self._store.txn(guard, (Delete(key),), timeout=CALL_TIMEOUT)

    def proclaim(self, leadership: Leadership, record: Mapping[str, Any]) -> bool:
        """Adds to what the leader's key says; false when it leads no more, and nothing was written.

        :raises StoreUnavailable: etcd does not answer.
        """
        put = Put(leadership.key, self._record(record), leadership.lease_id)
        return self._store.txn((leadership.guard(),), (put,)).succeeded

    def _record(self, more: Mapping[str, Any]) -> bytes:
        return json.dumps({**more, "replica": self._replica_id}).encode()


def _standing(candidates: Sequence[KeyValue], key: str) -> Standing:
    mine = next((kv for kv in candidates if kv.key == key), None)
    return Standing(mine, min((kv.create_revision for kv in candidates if kv.lease), default=0))

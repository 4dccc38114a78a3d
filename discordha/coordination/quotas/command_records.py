"""Command records: which commands Discord was last told of, and by which version of the bot.

Guarantees
- One replica at a time tells Discord: it holds ``al/<scope>`` under its session. A replica that dies lets go.
- Only the holder writes the record of what was told, or that Discord refused it, in one transaction with
  letting go. A refusal is known for as long as the session of the replica that met it.

Discord may still have other commands than the record says, if somebody told it by other means.

Threads and locks: no thread, no state. Every method blocks on etcd. The keys ``ac/<scope>`` have no lease:
one for each scope that the bot ever had commands in.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from discordha.coordination.etcd.store import Compare, Delete, Put, Store
from discordha.coordination.session import Session

__all__ = ["CommandRecord", "CommandRecords"]

#: How many earlier versions are remembered.
MAX_OLDER = 20


class CommandRecord(NamedTuple):
    """What Discord was told of one scope: the digest of its commands and ``older`` ones, the latest first."""

    digest: str
    older: tuple[str, ...] = ()

    def followed_by(self, digest: str) -> CommandRecord:
        """The record after Discord was told of other commands."""
        older = [self.digest, *(each for each in self.older if each != self.digest)]
        return CommandRecord(digest, tuple(each for each in older if each != digest)[:MAX_OLDER])


class CommandRecords:
    """The records of all scopes (``global``, or a guild's id) below the key prefix ``root``."""

    def __init__(self, store: Store, session: Session, root: str, replica_id: str) -> None:
        self._store = store
        self._session = session
        self._records = f"{root}ac/"
        self._locks = f"{root}al/"
        self._refusals = f"{root}ar/"
        self._replica_id = replica_id

    def scopes(self) -> list[str]:
        """The scopes that have a record."""
        cut = len(self._records)
        return [kv.key[cut:] for kv in self._store.range(self._records, keys_only=True).items]

    def read(self, scope: str) -> CommandRecord | None:
        """The record of a scope; ``None`` if there is none."""
        kv = self._store.get(self._records + scope)
        if kv is None:
            return None
        value = json.loads(kv.value)
        return CommandRecord(value["digest"], tuple(value["older"]))

    def lock(self, scope: str) -> int | None:
        """Makes this replica the one that tells Discord; returns a number for ``write`` and ``unlock``, or
        ``None`` if another replica holds the lock or there is no session.

        :raises LeaseNotFound: the session has just been lost.
        """
        grant = self._session.current
        if grant is None:
            return None
        key = self._locks + scope
        put = Put(key, self._replica_id.encode(), grant.lease_id)
        result = self._store.txn((Compare.version(key, 0),), (put,))
        return result.revision if result.succeeded else None

    def write(self, scope: str, record: CommandRecord, lock: int) -> bool:
        """Writes the record and lets go; false if the lock is lost."""
        key = self._locks + scope
        value = json.dumps({"digest": record.digest, "older": record.older}).encode()
        result = self._store.txn(
            (Compare.create_revision(key, lock),), (Put(self._records + scope, value), Delete(key))
        )
        return result.succeeded

    def is_refused(self, scope: str, digest: str) -> bool:
        """Whether Discord has refused commands with this digest to a replica that lives."""
        kv = self._store.get(self._refusals + scope)
        return kv is not None and kv.value == digest.encode()

    def refuse(self, scope: str, digest: str, lock: int) -> None:
        """Writes that Discord refused the commands, and lets go; nothing if the lock or the session is lost.

        :raises LeaseNotFound: the session has just been lost.
        """
        grant = self._session.current
        if grant is None:
            return
        key = self._locks + scope
        refusal = Put(self._refusals + scope, digest.encode(), grant.lease_id)
        self._store.txn((Compare.create_revision(key, lock),), (refusal, Delete(key)))

    def unlock(self, scope: str, lock: int) -> None:
        """Lets go without writing a record."""
        key = self._locks + scope
        self._store.txn((Compare.create_revision(key, lock),), (Delete(key),))

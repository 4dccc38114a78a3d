"""Command records: what Discord was last told of the bot's commands, and by which version of the bot.

Promises
- One replica at a time tells Discord: it holds ``al/<scope>`` under its session. A replica that dies lets go.
- The record of what was told is written only by who holds that, in one transaction with letting go.

Does not promise that Discord has what the record says: somebody may have told it by other means.

Concurrency: no thread, no state. Every method blocks on etcd. At a lost session ``write`` is refused. The
keys ``ac/<scope>`` lie under no lease: one for each scope that the bot ever had commands in.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from discordha.coordination.etcd.store import Compare, Delete, Put, Store
from discordha.coordination.session import Session

__all__ = ["CommandRecord", "CommandRecords"]

#: So many earlier versions are known as such.
MAX_OLDER = 20


class CommandRecord(NamedTuple):
    """What was told of one scope.

    :param digest: of the commands.
    :param older: digests of what was told before, the latest first.
    """

    digest: str
    older: tuple[str, ...] = ()

    def followed_by(self, digest: str) -> CommandRecord:
        """The record once other commands have been told."""
        older = [self.digest, *(each for each in self.older if each != self.digest)]
        return CommandRecord(digest, tuple(each for each in older if each != digest)[:MAX_OLDER])


class CommandRecords:
    """The records of all scopes: ``global``, or a guild's id.

    :param root: key prefix of the bot, ending in ``/``.
    """

    def __init__(self, store: Store, session: Session, root: str, replica_id: str) -> None:
        self._store = store
        self._session = session
        self._records = f"{root}ac/"
        self._locks = f"{root}al/"
        self._replica_id = replica_id

    def scopes(self) -> list[str]:
        """The scopes that have a record."""
        cut = len(self._records)
        return [kv.key[cut:] for kv in self._store.range(self._records, keys_only=True).items]

    def read(self, scope: str) -> CommandRecord | None:
        """What was told of a scope; ``None`` when nothing was."""
        kv = self._store.get(self._records + scope)
        if kv is None:
            return None
        value = json.loads(kv.value)
        return CommandRecord(value["digest"], tuple(value["older"]))

    def lock(self, scope: str) -> int | None:
        """Makes this replica the one that tells Discord; ``None`` when another does, or there is no session.
        The number is for ``write`` and ``unlock``.

        :raises LeaseNotFound: the session was lost just now.
        """
        grant = self._session.current
        if grant is None:
            return None
        key = self._locks + scope
        put = Put(key, self._replica_id.encode(), grant.lease_id)
        result = self._store.txn((Compare.version(key, 0),), (put,))
        return result.revision if result.succeeded else None

    def write(self, scope: str, record: CommandRecord, lock: int) -> bool:
        """Notes what was told, and lets go; false when another may have taken over meanwhile."""
        key = self._locks + scope
        value = json.dumps({"digest": record.digest, "older": record.older}).encode()
        result = self._store.txn(
            (Compare.create_revision(key, lock),), (Put(self._records + scope, value), Delete(key))
        )
        return result.succeeded

    def unlock(self, scope: str, lock: int) -> None:
        """Lets go without a note."""
        key = self._locks + scope
        self._store.txn((Compare.create_revision(key, lock),), (Delete(key),))

"""Admission: whether the bot's name in etcd is free for it, and the replica's name is its own.

Guarantees: one name in etcd belongs to one bot, for good. Of two live replicas with one ``replica_id``, the
one that starts later learns so before it does anything; should neither learn it (one was silent just then),
the log of each says so once.

Threads and locks: no lock. ``claim_bot_name`` and ``claim_replica_id`` block on the thread that starts the
replica; ``ReplicaIdentity`` belongs to the watch's thread.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

from discordha.coordination.etcd.store import Compare, Get, LeaseNotFound, Put, Store
from discordha.errors import ConfigError, DiscordHAError, StoreUnavailable

__all__ = ["ReplicaIdTaken", "ReplicaIdentity", "claim_bot_name", "claim_replica_id"]

_log = logging.getLogger(__name__)

#: Seconds between two looks at the record of another replica with the same id.
LOOK = 0.1


class ReplicaIdTaken(DiscordHAError):
    """Another live replica has this one's id."""


def claim_bot_name(store: Store, root: str, bot_id: int) -> None:
    """Notes that the keys below ``root`` belong to this bot. Blocks for a round trip.

    :raises ConfigError: they belong to another bot.
    """
    key, value = f"{root}bot", str(bot_id).encode()
    result = store.txn((Compare.version(key, 0),), (Put(key, value),), (Get(key),))
    if result.succeeded:
        return
    found = result.responses[0]
    assert isinstance(found, list)
    if found[0].value != value:
        other = found[0].value.decode(errors="replace")
        raise ConfigError(
            f"name: {root.rstrip('/').rsplit('/', 1)[1]!r} belongs to the bot {other} in etcd, and the token "
            f"is that of the bot {bot_id}: each would take the other's events for its own. Give each bot a "
            f"name of its own, or leave name unset. If the other bot is gone for good, delete {key}",
            field="name",
        )


def claim_replica_id(
    store: Store, key: str, record: bytes, lease: int, *, silence: float, wait: Callable[[float], bool]
) -> None:
    """Writes the replica's first record, if it has its id for itself. Blocks for a round trip; where there is
    a record of that id, until its writer writes again, or has not done so for ``silence`` seconds: then it is
    the record of a replica that died just now.

    :param wait: blocks for so many seconds; true when the start is interrupted.
    :raises ReplicaIdTaken: its writer lives.
    :raises StoreUnavailable: etcd does not answer, or the start is interrupted.
    """
    seen, until = 0, 0.0
    while True:
        try:
            result = store.txn((Compare.version(key, 0),), (Put(key, record, lease),), (Get(key),))
        except LeaseNotFound as error:
            raise StoreUnavailable("the session ended during the start") from error
        if result.succeeded:
            return
        found = result.responses[0]
        assert isinstance(found, list)
        if found[0].lease == lease:
            return  # an earlier try, whose answer was lost
        now = time.monotonic()
        if not seen:
            seen, until = found[0].mod_revision, now + silence
        elif found[0].mod_revision != seen:
            raise ReplicaIdTaken(f"another live replica writes {key}")
        elif now >= until:
            return
        if wait(LOOK):
            raise StoreUnavailable("the start was interrupted")


class ReplicaIdentity:
    """Notices another process that writes this replica's member record.

    :param started: what this process's records say of its start.
    """

    def __init__(self, replica_id: str, started: int) -> None:
        self._replica_id = replica_id
        self._own = [socket.gethostname(), os.getpid(), started]
        self._has_written = False
        self._told = False

    def check(self, record: Mapping[str, object]) -> None:
        """Logs it once, and only after this process has written: before, the record is that of an earlier
        process which has died.
        """
        writer = [record.get(field) for field in ("host", "pid", "started")]
        if writer == self._own:
            self._has_written = True
        elif self._has_written and not self._told:
            self._told = True
            _log.error(
                "another replica (host %s, process %s) has the replica_id %s, too: give each one of its own",
                *writer[:2],
                self._replica_id,
            )

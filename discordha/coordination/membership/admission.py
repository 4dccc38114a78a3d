"""Admission: whether the bot's name in etcd is free for it, and the replica's name is its own.

Guarantees: one name in etcd belongs to one bot, for good. Two live replicas with one ``replica_id`` are not
refused; the log of each says so once.

Threads and locks: no lock. ``claim_bot_name`` blocks for a round trip on the thread that starts the replica;
``ReplicaIdentity`` belongs to the watch's thread.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from discordha.coordination.etcd.store import Compare, Get, Put, Store
from discordha.errors import ConfigError

__all__ = ["ReplicaIdentity", "claim_bot_name"]

_log = logging.getLogger(__name__)


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

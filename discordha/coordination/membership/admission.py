"""Admission: whether the bot's name in etcd is free for it.

Guarantees: one name in etcd belongs to one bot, for good. Two live replicas with one ``replica_id`` are not
refused; ``Members`` reports them.

Threads and locks: no state; the function blocks for a round trip on the thread that starts the replica.
"""

from __future__ import annotations

from discordha.coordination.etcd.store import Compare, Get, Put, Store
from discordha.errors import ConfigError

__all__ = ["claim_bot_name"]


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

"""The timers of a bot in the store: each waits under the time at which it is due.

Guarantees
- A timer's key sorts by its due time, outside of the keys that replicas watch. A read up to a moment costs as
  much as it finds, however many timers wait beyond it.
- A timer that is scheduled twice under one token within the retention is scheduled once.

Threads and locks: no thread and no lock. Methods block on the store; any thread but the gateway's.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Compare, Delete, Get, KeyValue, Put, Store, Txn
from discordha.coordination.shared.values import encode_value

__all__ = ["StoredTimer", "TimerStore", "parse_timer", "timer_prefix"]

#: Digits of the milliseconds since 1970 in a timer's id.
DIGITS = 15


@dataclass(frozen=True, slots=True)
class StoredTimer:
    """A timer that waits. ``due``: seconds since 1970."""

    id: str
    due: float
    name: str
    payload: Any


def timer_prefix(root: str) -> str:
    """Where the timers of a bot lie."""
    return f"{root.removesuffix('/')}.data/t/"


def parse_timer(kv: KeyValue) -> StoredTimer | None:
    """A timer of the store; ``None`` if this version does not read it."""
    id = kv.key.rsplit("/", 1)[1]
    try:
        record = json.loads(kv.value)
        return StoredTimer(id, int(id[:DIGITS]) / 1000, str(record["name"]), record["payload"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class TimerStore:
    """Schedules timers, and finds those that are due.

    :param root: key prefix of the bot, ending in ``/``.
    """

    def __init__(
        self, store: Store, commit: GroupCommit, leases: RetentionLeases, root: str, replica_id: str
    ) -> None:
        self._store = store
        self._commit = commit
        self._leases = leases
        self._prefix = timer_prefix(root)
        self._tokens = f"{root.removesuffix('/')}.data/td/"
        self._poke = f"{root}tp/{replica_id}"
        #: Called when a timer was scheduled here, with the time that it is due at.
        self.on_scheduled: Callable[[float], None] = lambda due: None

    def schedule(self, due: float, name: str, payload: Any, token: str | None = None) -> str:
        """Writes a timer, and returns its id.

        :param due: seconds since 1970.
        :param token: equal where the same code runs again; ``None``: it never does.
        :raises TypeError: JSON cannot hold the payload; names the place.
        :raises ValueError: the payload is too large.
        :raises StoreUnavailable: the store does not answer; the timer may have been written.
        """
        id = f"{max(int(due * 1000), 0):0{DIGITS}d}-{token or secrets.token_hex(8)}"
        value = b'{"v":1,"name":%b,"payload":%b}' % (json.dumps(name).encode(), encode_value(payload))
        key = self._prefix + id
        puts = [Put(key, value)]
        if token is None:
            operation = Operation(Txn((), puts), (key,))
        else:
            token_key = self._tokens + token
            puts.append(Put(token_key, id.encode(), self._leases.current()))
            operation = Operation(
                Txn((Compare.version(token_key, 0),), puts, (Get(token_key),)), (key, token_key)
            )
        self._commit.execute((operation,))
        result = operation.value()
        if not result.succeeded:
            found = result.responses[0]
            assert isinstance(found, list)
            return found[0].value.decode()
        self.on_scheduled(due)
        return id

    def cancel(self, id: str) -> bool:
        """Deletes a timer; whether it was there. The store keeps nothing of it."""
        return self._store.delete(self._prefix + id)

    def exists(self, id: str) -> bool:
        """Whether a timer was neither cancelled nor run to its end."""
        return self._store.get(self._prefix + id) is not None

    def end(self, id: str) -> None:
        """Deletes a timer that has run, in the background. Never blocks."""
        key = self._prefix + id
        self._commit.submit((Operation(Txn((), (Delete(key),)), (key,), persistent=True),))

    def window(self, until: float, limit: int, after: str | None = None) -> list[KeyValue]:
        """The first timers that are due by a moment, in order; only those behind a key ``after``."""
        end = f"{self._prefix}{max(int(until * 1000) + 1, 0):0{DIGITS}d}"
        return self._store.range(self._prefix, after=after, until=end, limit=limit).items

    def poke(self, due: float) -> None:
        """Tells the other replicas that a timer was scheduled that is due soon."""
        self._store.put(self._poke, f"{due:.3f}".encode())

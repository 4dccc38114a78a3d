"""What the replicas of a bot share beyond events: caches, counters and named locks, put together.

Concurrency: no thread of its own; see the parts. ``stop`` is called once their users have ended, or been
given up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.store import Compare, Store
from discordha.coordination.session import Session
from discordha.coordination.shared.cache import EtcdCaches
from discordha.coordination.shared.counters import Counters
from discordha.coordination.shared.locks import EtcdLock, Locks
from discordha.coordination.shared.values import Missing

__all__ = ["Caches", "EtcdShared", "LockTable", "Shared"]

#: Before the names of the library's own locks: no name of a user's begins so in etcd.
COMPUTING = ":"


class Caches(Protocol):
    """All caches of a bot. ``guards`` are those of the locks that the caller holds."""

    def get(self, cache: str, key: str, *, local: bool = False) -> Any | Missing:
        """The value, or ``MISSING``."""

    def set(self, cache: str, key: str, value: bytes, ttl: float | None, guards: Sequence[Any] = ()) -> None:
        """Writes JSON."""

    def create(
        self, cache: str, key: str, value: bytes, ttl: float | None, guards: Sequence[Any] = ()
    ) -> Any | Missing:
        """Writes JSON unless there is a value, which is returned."""

    def delete(self, cache: str, key: str, guards: Sequence[Any] = ()) -> bool:
        """Deletes a value; whether there was one."""

    def items(self, cache: str, prefix: str = "") -> list[tuple[str, Any]]:
        """Keys and values, in order of the key."""


class LockTable(Protocol):
    """All named locks of a bot."""

    def acquire(self, name: str, timeout: float | None = None) -> Any:
        """Waits for the lock; what it returns is given to ``release``."""

    def release(self, held: Any) -> None:
        """Gives it to the next. Idempotent."""


class Shared(Protocol):
    """What a replica shares with its peers."""

    @property
    def caches(self) -> Caches: ...
    @property
    def locks(self) -> LockTable: ...

    def add(self, cache: str, key: str, by: int, ttl: float | None, guards: Sequence[Any] = ()) -> int:
        """Counts up; the value after it."""

    def computing(self, cache: str, key: str, timeout: float | None) -> Any:
        """A context in which no other replica computes the value; gives the guards of the write."""

    def stop(self) -> None:
        """Ends everything. Idempotent."""


class EtcdShared:
    """All that is shared, in etcd.

    :param store: cloned for the caches.
    :param root: key prefix of the bot, ending in ``/``.
    :param patience: seconds for which calls wait for an etcd that does not answer.
    :param silence: seconds after which a silent watch is begun again.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        commit: GroupCommit,
        root: str,
        replica_id: str,
        *,
        patience: float,
        silence: float,
    ) -> None:
        data = f"{root.removesuffix('/')}.data/c/"
        self.caches = EtcdCaches(store.clone(), data, patience=patience, silence=silence)
        self.counters = Counters(self.caches, patience=patience)
        self.locks = Locks(store, session, commit, f"{root}k/", replica_id, patience=patience)

    def add(self, cache: str, key: str, by: int, ttl: float | None, guards: Sequence[Compare] = ()) -> int:
        """See ``Counters.add``."""
        return self.counters.add(cache, key, by, ttl, guards)

    @contextmanager
    def computing(self, cache: str, key: str, timeout: float | None) -> Iterator[Sequence[Compare]]:
        """Holds the lock of a computation. Blocks until it is this one's turn."""
        held: EtcdLock = self.locks.acquire(self.caches.path(cache, key), timeout, space=COMPUTING)
        try:
            yield held.guards()
        finally:
            self.locks.release(held)

    def stop(self) -> None:
        """Ends everything; waiters are told."""
        self.locks.stop()
        self.counters.stop()
        self.caches.stop()

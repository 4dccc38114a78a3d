"""The shared state of a bot as ``api`` uses it: caches, counters, cooldowns and named locks in one object.

Threads and locks: no thread; see the parts. ``KeyedLocks._lock`` guards its table; no thread waits under it.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakValueDictionary

from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.store import Compare, Store
from discordha.coordination.session import Session
from discordha.coordination.shared.cache import SharedCaches
from discordha.coordination.shared.cooldowns import Cooldowns
from discordha.coordination.shared.counters import Counters
from discordha.coordination.shared.locks import Locks
from discordha.errors import DiscordHAError

__all__ = ["KeyedLocks", "Shared"]

#: Begins the names of the library's own locks; in the store, no user's name begins with it.
COMPUTING = ":"


class Shared:
    """The shared state of a bot, as one replica sees it.

    :param store: cloned for the caches.
    :param root: key prefix of the bot, ending in ``/``.
    :param retry_for: seconds for which calls wait for a store that does not answer.
    :param silence: seconds after which a silent watch is opened again.
    :param local_copies: whether reads with ``local`` keep a copy of their cache; without, they ask the store.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        commit: GroupCommit,
        root: str,
        replica_id: str,
        *,
        retry_for: float,
        silence: float,
        local_copies: bool = True,
    ) -> None:
        self.caches = SharedCaches(
            store.clone(),
            f"{root.removesuffix('/')}.data/c/",
            retry_for=retry_for,
            silence=silence,
            local_copies=local_copies,
        )
        self.counters = Counters(self.caches, retry_for=retry_for)
        self.cooldowns = Cooldowns(self.caches)
        self.locks = Locks(store, session, commit, f"{root}k/", replica_id, retry_for=retry_for)

    @contextmanager
    def computing(self, cache: str, key: str, timeout: float | None) -> Iterator[Sequence[Compare]]:
        """A context in which no other replica computes the value of a key; yields the guards for its write.
        Blocks until it is this replica's turn.
        """
        held = self.locks.acquire(self.caches.path(cache, key), timeout, space=COMPUTING)
        try:
            yield held.guards()
        finally:
            self.locks.release(held)

    def stop(self) -> None:
        """Stops all parts; threads that wait for a lock get ``DiscordHAError``. Idempotent."""
        self.locks.stop()
        self.counters.stop()
        self.caches.stop()


class _Turn:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner = 0


class KeyedLocks:
    """One lock for each key, within this process, for as long as a thread wants it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: WeakValueDictionary[Hashable, _Turn] = WeakValueDictionary()

    @contextmanager
    def turn(self, key: Hashable, timeout: float | None) -> Iterator[None]:
        """Holds the key's lock. Blocks for at most ``timeout`` seconds, ``None``: for ever; any thread.

        :raises TimeoutError: other threads held the lock all the time.
        :raises DiscordHAError: this thread holds the lock already, and would wait for itself.
        """
        with self._lock:
            turn = self._turns.get(key)
            if turn is None:
                turn = self._turns[key] = _Turn()
        if turn.owner == threading.get_ident():
            raise DiscordHAError(f"the computation of {key!r} asks for {key!r} itself")
        if not turn.lock.acquire(timeout=-1 if timeout is None else max(timeout, 0.0)):
            raise TimeoutError(f"{key!r} was not computed in time")
        turn.owner = threading.get_ident()
        try:
            yield
        finally:
            turn.owner = 0
            turn.lock.release()

    def __len__(self) -> int:
        return len(self._turns)

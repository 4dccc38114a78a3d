"""Named locks: one holder among all replicas, first come, first served. Keys ``k/<lock>/<owner>-<n>``.

Guarantees
- ``LockHold.lost`` turns true no later than another replica can hold the lock: it depends on the session's
  grant. A lock is freed at once when its replica stops, and within the session's TTL when it dies.
- Waiters get the lock in the order of their create revisions. The fencing token, the create revision of the
  holder's key, grows from holder to holder.
- A request whose answer got lost is repeated and recognized by its key; an abandoned one leaves no key. While
  the store does not answer, ``acquire`` ends within two ``retry_for`` with ``StoreUnavailable``, and all
  waiters together ask as often as one would (``backoff``).

A lost holder's code may still run: its blocking calls are refused, the store guards its writes to shared
caches, and everything else needs the fencing token. A waiter whose session is lost queues again.

Source: the lock of etcd's ``client/v3/concurrency``, with one watch for all locks of a replica.

Threads and locks: no thread. ``_changed`` is a condition that guards ``_queues``, ``_revision``, ``_mine``
and ``_stopped``; the watch's thread notifies it, and no I/O is made under it.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    Get,
    GetPrefix,
    KeyValue,
    LeaseNotFound,
    Put,
    Snapshot,
    Store,
    Txn,
    WatchEvent,
)
from discordha.coordination.session import Grant, Session
from discordha.coordination.shared.backoff import Backoff
from discordha.errors import DiscordHAError, StoreUnavailable

__all__ = ["LockHold", "Locks"]

#: A waiter checks its session at least this often, seconds.
CHECK_SESSION_EVERY = 0.25
#: Pause before a waiter looks for a session again, seconds; also the least time that a request is given.
REQUEST_PAUSE = 0.05
#: How long the store may take to answer, however short the caller's timeout is, seconds: nothing else tells
#: whether the lock is free.
ANSWER_WITHIN = 1.0


class LockHold:
    """A lock while it is held. Its ``fencing_token`` is greater than that of every earlier holder."""

    __slots__ = ("_ended", "_grant", "fencing_token", "key", "name")

    def __init__(self, name: str, key: str, fencing_token: int, grant: Grant) -> None:
        self.name = name
        self.key = key
        self.fencing_token = fencing_token
        self._grant = grant
        self._ended = False

    @property
    def lost(self) -> bool:
        """Whether another replica may hold the lock by now. No I/O; any thread; never false again."""
        return self._ended or not self._grant.alive

    def guards(self) -> tuple[Compare, ...]:
        """Conditions that hold in the store while the lock is held."""
        return (Compare.create_revision(self.key, self.fencing_token),)

    def end(self) -> None:
        """Marks it as released, or taken away. For ``Locks`` only."""
        self._ended = True


class Locks:
    """All named locks of one replica. A ``WatchListener``.

    :param prefix: of their keys, ending in ``/``.
    :param retry_for: seconds to wait for the answer to a request, or for a session.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        commit: GroupCommit,
        prefix: str,
        replica_id: str,
        *,
        retry_for: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._session = session
        self._commit = commit
        self._prefix = prefix
        self._replica_id = replica_id
        # An earlier process may have had this replica's name: its keys are not ours.
        self._owner = f"{secrets.token_hex(6)}-"
        self._retry_for = retry_for
        self._clock = clock
        self._changed = threading.Condition()
        self._queues: dict[str, dict[str, int]] = {}  # folder of a lock: key to create revision
        self._revision = 0  # of the view
        self._mine: dict[str, LockHold | None] = {}  # keys of waiters (``None``) and of holders
        self._stopped = False
        self._numbers = itertools.count(1)
        self._backoff = Backoff(clock=clock)

    def acquire(self, name: str, timeout: float | None = None, *, space: str = "") -> LockHold:
        """Waits for the lock. Blocks; any thread except the gateway's. Not re-entrant.

        :param timeout: seconds; ``None``: for ever, while the store answers. In any case the first answer may
            take ``ANSWER_WITHIN`` seconds.
        :param space: begins the names of the library's own locks; a character that ``quote`` changes.
        :raises TimeoutError: others held the lock all the time.
        :raises StoreUnavailable: the store does not answer, or this replica's session was lost.
        :raises DiscordHAError: the bot stops.
        """
        deadline = self._clock() + timeout if timeout is not None else None
        folder = f"{self._prefix}{space}{quote(name, safe='')}/"
        while True:
            key = f"{folder}{self._owner}{next(self._numbers)}"
            with self._changed:
                self._mine[key] = None
            held = None
            try:
                held = self._acquire(name, folder, key, deadline)
                if held is not None:
                    return held
            finally:
                if held is None:
                    self._withdraw(key)
            # The session was lost meanwhile; its own thread may learn of it later. Queue again.
            if deadline is not None and self._clock() >= deadline:
                raise StoreUnavailable(_failed(name, "this replica's session was lost"))
            with self._changed:
                self._changed.wait(REQUEST_PAUSE)

    def release(self, held: LockHold) -> None:
        """Gives the lock to the next waiter. Blocks for a round trip; if the store does not answer, the lock
        is freed in the background, later. Idempotent.
        """
        lost = held.lost
        held.end()
        if lost:
            with self._changed:
                self._mine.pop(held.key, None)
            return
        operation = self._withdrawal(held.key)
        self._commit.execute((operation,))
        if operation.error is not None:
            self._withdraw(held.key)

    def stop(self) -> None:
        """Makes all waiters raise ``DiscordHAError``. Idempotent; any thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._backoff.stop()

    @property
    def under_way(self) -> int:
        """The number of locks that this replica holds or waits for."""
        return len(self._mine)

    # -- a waiter --------------------------------------------------------------------------------------------

    def _acquire(self, name: str, folder: str, key: str, deadline: float | None) -> LockHold | None:
        """One attempt under one grant; ``None``: the session was lost."""
        grant = self._wait_for_grant(name)
        place = self._queue(name, folder, key, grant, deadline)
        if place is None:
            return None
        token, first = place
        if not first:
            self._wait_for_turn(name, folder, key, token, grant, deadline)
        with self._changed:
            gone = self._revision >= token and self._queues.get(folder, {}).get(key) != token
            if gone or not grant.alive:
                return None
            held = self._mine[key] = LockHold(name, key, token, grant)
        return held

    def _check_open(self, name: str) -> None:
        if self._stopped:
            raise DiscordHAError(_failed(name, "the bot stops"))

    def _wait_for_grant(self, name: str) -> Grant:
        until = self._clock() + self._retry_for
        with self._changed:
            while True:
                self._check_open(name)
                grant = self._session.current
                if grant is not None:
                    return grant
                if self._clock() >= until:
                    raise StoreUnavailable(_failed(name, "this replica has no session"))
                self._changed.wait(REQUEST_PAUSE)

    def _queue(
        self, name: str, folder: str, key: str, grant: Grant, deadline: float | None
    ) -> tuple[int, bool] | None:
        """Queues up; returns the create revision and whether the queue was empty. ``None``: the session was
        lost. Repeating the request is harmless.
        """
        until = self._clock() + self._retry_for
        ask_until = until if deadline is None else min(until, deadline)
        put = Put(key, self._replica_id.encode(), grant.lease_id)
        while grant.alive:
            try:
                with self._backoff.attempt(ask_until):
                    now = self._clock()
                    left = until - now
                    if deadline is not None:
                        left = min(left, max(deadline - now, ANSWER_WITHIN))
                    result = self._store.txn(
                        (Compare.version(key, 0),),
                        (GetPrefix(folder), put),
                        (Get(key),),
                        timeout=max(left, REQUEST_PAUSE),
                    )
            except LeaseNotFound:
                return None
            except StoreUnavailable as error:
                self._check_open(name)
                if self._clock() >= ask_until:
                    raise StoreUnavailable(_failed(name, error)) from error
                continue
            found = result.responses[0]
            assert isinstance(found, list)
            if result.succeeded:
                return result.revision, not found
            return (found[0].create_revision, False) if found else None
        return None

    def _wait_for_turn(  # noqa: PLR0917
        self, name: str, folder: str, key: str, token: int, grant: Grant, deadline: float | None
    ) -> None:
        """Returns once the key is first in the queue, or is lost."""
        with self._changed:
            while grant.alive:
                self._check_open(name)
                queue = self._queues.get(folder, {})
                if self._revision >= token and (queue.get(key) != token or min(queue.values()) == token):
                    return
                left = deadline - self._clock() if deadline is not None else CHECK_SESSION_EVERY
                if left <= 0.0:
                    raise TimeoutError(f"the lock {name!r} was not free in time")
                self._changed.wait(min(left, CHECK_SESSION_EVERY))

    def _withdrawal(self, key: str, *, persistent: bool = False) -> Operation:
        with self._changed:
            self._mine.pop(key, None)
        return Operation(Txn((), (Delete(key),)), (key,), persistent=persistent)

    def _withdraw(self, key: str) -> None:
        """Deletes the key as soon as the store answers. Does not block."""
        self._commit.submit((self._withdrawal(key, persistent=True),))

    # -- the watch -------------------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        with self._changed:
            self._queues = {}
            self._revision = snapshot.revision
            for kv in snapshot.items:
                self._add(kv)
            for key, held in self._mine.items():
                if held is not None and snapshot.revision >= held.fencing_token and not self._knows(key):
                    held.end()
            self._changed.notify_all()
        self._drop_ghosts(snapshot.items)

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        with self._changed:
            for kind, kv in events:
                if kind == "put":
                    self._add(kv)
                    continue
                folder = _folder(kv.key)
                queue = self._queues.get(folder)
                if queue is not None:
                    queue.pop(kv.key, None)
                    if not queue:
                        del self._queues[folder]
                held = self._mine.get(kv.key)
                if held is not None:
                    held.end()  # taken away from outside
            self._revision = revision
            self._changed.notify_all()
        self._drop_ghosts(kv for kind, kv in events if kind == "put")

    def on_lost(self) -> None:
        """No action needed: an outdated view makes no waiter first that is not."""

    def _add(self, kv: KeyValue) -> None:
        self._queues.setdefault(_folder(kv.key), {})[kv.key] = kv.create_revision

    def _knows(self, key: str) -> bool:
        return key in self._queues.get(_folder(key), {})

    def _drop_ghosts(self, found: Iterable[KeyValue]) -> None:
        """Deletes the keys of abandoned requests that arrived all the same: they would block the queue."""
        for kv in found:
            if kv.key.rpartition("/")[2].startswith(self._owner):
                with self._changed:
                    wanted = kv.key in self._mine
                if not wanted:
                    self._withdraw(kv.key)


def _failed(name: str, reason: object) -> str:
    return f"the lock {name!r} could not be acquired: {reason}"


def _folder(key: str) -> str:
    return key[: key.rindex("/") + 1]

"""Named locks: one holder among all replicas, first come, first served. Keys ``k/<lock>/<owner>-<n>``.

Promises
- ``HeldLock.lost`` turns true no later than another can hold the lock: it hangs on the session's grant.
- Waiters get the lock in the order of their create revisions in etcd; the fencing token, the create revision
  of the holder's key, grows from holder to holder.
- A lock goes with the replica that held it: at once when it stops, within the session's TTL when it dies.
- A request whose answer got lost is repeated and known again by its key; one that was given up does not stay
  behind in the queue.
- While etcd does not answer, ``acquire`` ends within two ``patience`` with ``StoreUnavailable``, whatever its
  timeout.

Does not promise that the code of a lost holder has stopped: its blocking calls are refused, its writes to
shared caches are guarded by the lock in etcd itself, and whatever else it does needs the fencing token. Nor
to be fair to a waiter whose session is lost meanwhile: it queues anew.

Source: the lock of etcd's ``client/v3/concurrency``, with one watch for all locks of a replica.

Concurrency
- No thread of its own; a ``WatchListener`` of the coordination watch, for the component ``k``.
- ``_changed`` is a condition that guards ``_queues``, ``_revision``, ``_mine`` and ``_stopped``; the watch's
  thread notifies it. No call to etcd under it. A view that is old can only show holders that have gone since:
  whoever sees itself in it with nobody before it is first.
- At stop waiters get ``DiscordHAError``; keys go with the session. At a lost lease all locks are lost, and
  waiters queue again under the next grant. At a lost watch waiters wait until it is back.
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
from discordha.errors import DiscordHAError, StoreUnavailable

__all__ = ["EtcdLock", "Locks"]

#: A waiter looks at its session at least as often, seconds.
LOOK = 0.25
#: Pause before a request is repeated, seconds.
PAUSE = 0.05
#: How long etcd may take to answer, however little time a caller has, seconds: that a lock is free, or taken,
#: is told by its answer.
ANSWER = 1.0


class EtcdLock:
    """One holding of a lock. ``fencing_token`` is greater than that of every holder before."""

    __slots__ = ("_ended", "_grant", "fencing_token", "key", "name")

    def __init__(self, name: str, key: str, fencing_token: int, grant: Grant) -> None:
        self.name = name
        self.key = key
        self.fencing_token = fencing_token
        self._grant = grant
        self._ended = False

    @property
    def lost(self) -> bool:
        """Whether another may hold the lock by now. No I/O; any thread; never false again."""
        return self._ended or not self._grant.alive

    def guards(self) -> tuple[Compare, ...]:
        """What holds in etcd while the lock is held."""
        return (Compare.create_revision(self.key, self.fencing_token),)

    def end(self) -> None:
        """Released, or taken away. For ``Locks`` only."""
        self._ended = True


class Locks:
    """All named locks of one replica. A ``WatchListener``.

    :param prefix: of their keys, ending in ``/``.
    :param patience: seconds for which a request, or a session, is waited for.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        commit: GroupCommit,
        prefix: str,
        replica_id: str,
        *,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._session = session
        self._commit = commit
        self._prefix = prefix
        self._replica_id = replica_id
        # A replica's name may be that of a process before it: its keys are not ours.
        self._owner = f"{secrets.token_hex(6)}-"
        self._patience = patience
        self._clock = clock
        self._changed = threading.Condition()
        self._queues: dict[str, dict[str, int]] = {}  # folder of a lock: key to create revision
        self._revision = 0  # of the view
        self._mine: dict[str, EtcdLock | None] = {}  # keys that this replica waits with, or holds
        self._stopped = False
        self._numbers = itertools.count(1)

    def acquire(self, name: str, timeout: float | None = None, *, space: str = "") -> EtcdLock:
        """Waits for the lock. Blocks; any thread but the gateway's. Not re-entrant.

        :param timeout: seconds; ``None``: for ever, while etcd answers. Its first answer is waited for in any
            case, for ``ANSWER`` seconds.
        :param space: keeps locks of the library apart from the user's; what ``quote`` would not leave alone.
        :raises TimeoutError: others held it all the time.
        :raises StoreUnavailable: etcd does not answer, or this replica's session was lost.
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
            # The session was lost while it waited: it queues again. Its own thread may learn of it later.
            self._pause(name, deadline)

    def release(self, held: EtcdLock) -> None:
        """Gives the lock to the next. Blocks for a round trip; when etcd does not answer within its time-out,
        the lock goes later, by itself. Idempotent.
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
        """Whoever waits is told. Idempotent; any thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def under_way(self) -> int:
        """How many locks this replica holds or waits for."""
        return len(self._mine)

    # -- a waiter --------------------------------------------------------------------------------------------

    def _acquire(self, name: str, folder: str, key: str, deadline: float | None) -> EtcdLock | None:
        """``None``: the session was lost."""
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
            held = self._mine[key] = EtcdLock(name, key, token, grant)
        return held

    def _wait_for_grant(self, name: str) -> Grant:
        until = self._clock() + self._patience
        with self._changed:
            while not self._stopped:
                grant = self._session.current
                if grant is not None:
                    return grant
                left = until - self._clock()
                if left <= 0.0:
                    raise StoreUnavailable(f"the lock {name!r} is not to be had: this replica has no session")
                self._changed.wait(min(left, PAUSE))
        raise DiscordHAError(f"the lock {name!r} is not to be had: the bot stops")

    def _pause(self, name: str, deadline: float | None) -> None:
        if deadline is not None and self._clock() >= deadline:
            raise StoreUnavailable(f"the lock {name!r} is not to be had: this replica's session was lost")
        with self._changed:
            self._changed.wait(PAUSE)

    def _queue(
        self, name: str, folder: str, key: str, grant: Grant, deadline: float | None
    ) -> tuple[int, bool] | None:
        """Stands in line; returns the place and whether nobody was there before. ``None``: the session was
        lost. The request may be repeated."""
        until = self._clock() + self._patience
        put = Put(key, self._replica_id.encode(), grant.lease_id)
        while grant.alive:
            now = self._clock()
            left = until - now
            if deadline is not None:
                left = min(left, max(deadline - now, ANSWER))
            try:
                result = self._store.txn(
                    (Compare.version(key, 0),),
                    (GetPrefix(folder), put),
                    (Get(key),),
                    timeout=max(left, PAUSE),
                )
            except LeaseNotFound:
                return None
            except StoreUnavailable as error:
                if self._clock() + PAUSE >= (min(until, deadline) if deadline is not None else until):
                    raise StoreUnavailable(f"the lock {name!r} is not to be had: {error}") from error
                with self._changed:
                    if self._stopped:
                        raise DiscordHAError(f"the lock {name!r} is not to be had: the bot stops") from error
                    self._changed.wait(PAUSE)
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
        """Returns when it is this one's turn, or its place is lost."""
        with self._changed:
            while grant.alive:
                if self._stopped:
                    raise DiscordHAError(f"the lock {name!r} is not to be had: the bot stops")
                if self._revision >= token:
                    queue = self._queues.get(folder, {})
                    if queue.get(key) != token or min(queue.values()) == token:
                        return
                left = LOOK if deadline is None else min(deadline - self._clock(), LOOK)
                if left <= 0.0:
                    raise TimeoutError(f"the lock {name!r} was not free in time")
                self._changed.wait(left)

    def _withdrawal(self, key: str, *, persistent: bool = False) -> Operation:
        with self._changed:
            self._mine.pop(key, None)
        return Operation(Txn((), (Delete(key),)), (key,), persistent=persistent)

    def _withdraw(self, key: str) -> None:
        """Deletes the key as soon as etcd answers. Does not block."""
        self._commit.submit((self._withdrawal(key, persistent=True),))

    # -- the watch -------------------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces the view."""
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
        """Applies what waiters and holders did."""
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
                    held.end()  # somebody took it away
            self._revision = revision
            self._changed.notify_all()
        self._drop_ghosts(kv for kind, kv in events if kind == "put")

    def on_lost(self) -> None:
        """Waiters wait: an old view lets nobody in who is not first."""

    def _add(self, kv: KeyValue) -> None:
        self._queues.setdefault(_folder(kv.key), {})[kv.key] = kv.create_revision

    def _knows(self, key: str) -> bool:
        return key in self._queues.get(_folder(key), {})

    def _drop_ghosts(self, found: Iterable[KeyValue]) -> None:
        """A request that was given up may still arrive at etcd: it must not keep others waiting."""
        for kv in found:
            if kv.key.rpartition("/")[2].startswith(self._owner):
                with self._changed:
                    wanted = kv.key in self._mine
                if not wanted:
                    self._withdraw(kv.key)


def _folder(key: str) -> str:
    return key[: key.rindex("/") + 1]

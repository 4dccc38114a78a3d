"""The queue for IDENTIFYs: one turn at a time in each bucket, over all replicas and shards.

Promises
- At most one replica holds a bucket's turn. It is handed on in the order in which places were taken.
- The turn of a replica that dies is free after its lease has run out, which is no earlier than the pause that
  Discord wants: the IDENTIFY may have gone out.
- A place of a replica that dies vanishes with its session.

Does not promise anything when a holder stands still for longer than its lease and goes on: it must ask
``Turn.valid`` right before it acts.

Keys, all below ``iq/<bucket>/``: ``q/<lease>-<n>`` is a place, under the session; the lowest create revision
is next. ``turn`` is the turn, under a lease of its own.

Concurrency: no thread. The view is replaced as a whole on the watch's thread, which then calls ``changed``;
what writes to etcd blocks, and is called by one thread, the owner's.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    Op,
    Put,
    Snapshot,
    Store,
    WatchEvent,
)
from discordha.coordination.session import Grant
from discordha.errors import DiscordHAError

__all__ = ["IdentifyQueue", "Place", "Turn"]


class Place(NamedTuple):
    """A place in a bucket's queue."""

    bucket: int
    key: str
    revision: int
    grant: Grant


class Turn:
    """A bucket's turn."""

    def __init__(self, lease: int, ttl: float, begun: float, clock: Callable[[], float]) -> None:
        self.lease = lease
        self.ttl = ttl
        self.renewed_at = begun
        self._clock = clock

    @property
    def valid(self) -> bool:
        """Whether it certainly still is this replica's. No I/O; any thread."""
        return self._clock() < self.renewed_at + self.ttl


class IdentifyQueue:
    """The queues of all buckets. A ``WatchListener`` for the component ``iq``.

    :param root: key prefix of the bot, ending in ``/``.
    """

    def __init__(
        self, store: Store, root: str, replica_id: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._prefix = f"{root}iq/"
        self._name = replica_id.encode()
        self._clock = clock
        self._numbers = itertools.count(1)
        self._created: dict[str, int] = {}  # key: create revision
        self.changed: Callable[[], None] = lambda: None

    # -- writing; blocks on etcd -----------------------------------------------------------------------------

    def enter(self, bucket: int, grant: Grant) -> Place:
        """Takes the last place.

        :raises LeaseNotFound: the session is lost.
        :raises StoreUnavailable: etcd does not answer.
        """
        key = f"{self._prefix}{bucket}/q/{grant.lease_id:x}-{next(self._numbers)}"
        revision = self._store.put(key, self._name, lease=grant.lease_id)
        return Place(bucket, key, revision, grant)

    def leave(self, place: Place) -> None:
        """Gives a place up.

        :raises StoreUnavailable: etcd does not answer.
        """
        self._store.txn((Compare.create_revision(place.key, place.revision),), (Delete(place.key),))

    def take(
        self, place: Place, interval: float, guards: Sequence[Compare] = (), more: Sequence[Op] = ()
    ) -> Turn | None:
        """Turns a place into the turn; ``None`` when the turn is not free, or a guard does not hold.

        :param interval: seconds that a dead holder's turn must outlive it.
        :param more: done in the same transaction.
        :raises LeaseNotFound: a lease is gone.
        :raises StoreUnavailable: etcd does not answer.
        """
        begun = self._clock()
        lease = self._store.grant(2 * math.ceil(interval) + 2)
        key = f"{self._prefix}{place.bucket}/turn"
        mine = Compare.create_revision(place.key, place.revision)
        try:
            taken = self._store.txn(
                (mine, Compare.version(key, 0), *guards),
                (Put(key, self._name, lease.id), Delete(place.key), *more),
            ).succeeded
        except DiscordHAError:
            self._store.revoke(lease.id)
            raise
        if not taken:
            self._store.revoke(lease.id)
            return None
        return Turn(lease.id, lease.ttl, begun, self._clock)

    def renew(self, turn: Turn) -> None:
        """Keeps the turn.

        :raises StoreUnavailable: etcd does not answer.
        """
        sent = self._clock()
        if self._store.keep_alive(turn.lease) > 0.0:
            turn.renewed_at = sent

    def free(self, turn: Turn) -> None:
        """Lets the next one have it.

        :raises StoreUnavailable: etcd does not answer.
        """
        self._store.revoke(turn.lease)

    # -- the view; no I/O; any thread ------------------------------------------------------------------------

    def is_next(self, place: Place) -> bool:
        """Whether the turn is free and this place is the first, as far as the watch shows."""
        created, start = self._created, f"{self._prefix}{place.bucket}/"
        if place.key not in created or f"{start}turn" in created:
            return False
        return place.revision == min(
            revision for key, revision in created.items() if key.startswith(f"{start}q/")
        )

    @property
    def waiting(self) -> int:
        """How many places are taken."""
        return sum("/q/" in key[len(self._prefix) :] for key in self._created)

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces the view."""
        self._created = {kv.key: kv.create_revision for kv in snapshot.items}
        self.changed()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Follows the watch."""
        created = dict(self._created)
        for kind, kv in events:
            if kind == "put":
                created[kv.key] = kv.create_revision
            else:
                created.pop(kv.key, None)
        self._created = created
        self.changed()

    def on_lost(self) -> None:
        """Nobody's turn comes until the watch is back."""

"""The IDENTIFY queue: one turn at a time in each of Discord's buckets, over all replicas and shards.

Guarantees
- At most one replica holds a bucket's turn. Turns go in the order in which places were taken.
- The turn of a replica that dies is free once its lease has run out. That is no earlier than the pause that
  Discord demands, because the IDENTIFY may have gone out.
- The place of a replica that dies vanishes with its session.

A holder that stands still for longer than its lease has lost the turn without knowing: it must check
``TurnLease.valid`` right before it acts.

A place is a key under the session, and the one with the lowest create revision is next. The turn is a key
under a lease of its own.

Threads and locks: no thread, no lock; the view is a ``KeyView``. Methods that write block on etcd and are
called by one thread, the owner's; they raise ``StoreUnavailable`` or ``LeaseNotFound``. While the watch is
down, no turn is taken.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from discordha.coordination.etcd.router import KeyView
from discordha.coordination.etcd.store import Compare, Delete, Op, Put, Store
from discordha.coordination.session import Grant
from discordha.errors import DiscordHAError

__all__ = ["IdentifyQueue", "Place", "TurnLease"]


class Place(NamedTuple):
    """A place in a bucket's queue."""

    bucket: int
    key: str
    revision: int
    grant: Grant


class TurnLease:
    """A bucket's turn, held under a lease of its own."""

    def __init__(self, lease: int, ttl: float, begun: float, clock: Callable[[], float]) -> None:
        self.lease = lease
        self.ttl = ttl
        self.renewed_at = begun
        self._clock = clock

    @property
    def valid(self) -> bool:
        """Whether the turn is still this replica's for certain. No I/O; any thread."""
        return self._clock() < self.renewed_at + self.ttl


class IdentifyQueue(KeyView):
    """The queues of all buckets. Listens to the component ``iq`` below the key prefix ``root``."""

    def __init__(
        self, store: Store, root: str, replica_id: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._store = store
        self._prefix = f"{root}iq/"
        self._name = replica_id.encode()
        self._clock = clock
        self._numbers = itertools.count(1)

    # -- writing ---------------------------------------------------------------------------------------------

    def enter(self, bucket: int, grant: Grant) -> Place:
        """Takes the last place in a bucket's queue."""
        key = f"{self._prefix}{bucket}/q/{grant.lease_id:x}-{next(self._numbers)}"
        revision = self._store.put(key, self._name, lease=grant.lease_id)
        return Place(bucket, key, revision, grant)

    def leave(self, place: Place) -> None:
        """Gives up a place."""
        self._store.txn((Compare.create_revision(place.key, place.revision),), (Delete(place.key),))

    def drop(self, key: str) -> None:
        """Deletes the key of a place that ``strays`` has found."""
        self._store.delete(key)

    def take(
        self, place: Place, interval: float, guards: Sequence[Compare] = (), more: Sequence[Op] = ()
    ) -> TurnLease | None:
        """Exchanges a place for the turn; ``None`` if the turn is not free or a guard does not hold. After an
        error nobody knows whether the place is still there: the caller enters again.

        :param interval: seconds by which a dead holder's turn must outlive it.
        :param more: operations of the same transaction.
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
        return TurnLease(lease.id, lease.ttl, begun, self._clock)

    def renew(self, turn: TurnLease) -> None:
        """Renews the turn."""
        sent = self._clock()
        if self._store.keep_alive(turn.lease) > 0.0:
            turn.renewed_at = sent

    def free(self, turn: TurnLease) -> None:
        """Ends the turn, for the next one in the queue."""
        self._store.revoke(turn.lease)

    # -- the view; no I/O; any thread ------------------------------------------------------------------------

    def strays(self, grant: Grant, places: Collection[Place]) -> list[str]:
        """The keys of this replica's that are none of ``places``: the answers to their writes were lost, and
        they would hold up everybody behind them until the session ends.
        """
        own, known = f"/q/{grant.lease_id:x}-", {place.key for place in places}
        return [key for key in self.keys if own in key and key not in known]

    def is_next(self, place: Place) -> bool:
        """Whether the turn is free and this place is first, as far as the watch shows."""
        keys, start = self.keys, f"{self._prefix}{place.bucket}/"
        if place.key not in keys or f"{start}turn" in keys:
            return False
        places = (kv.create_revision for key, kv in keys.items() if key.startswith(f"{start}q/"))
        return place.revision == min(places)

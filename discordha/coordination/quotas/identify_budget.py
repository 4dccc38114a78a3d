"""The budget for IDENTIFYs: what is left of the day's, and who has used it up by crashing.

Promises
- What is left is one number for all replicas, spent in the transaction that takes a turn. It lives as long as
  Discord says that the day lasts: etcd's lease ends it, no clock of ours.
- Each replica has a *slot*, the lowest number that is free, so that a bot which crashes and is started again
  is known for the same one, whatever it calls itself.
- A run that has not lasted ``PROVEN`` seconds leaves a record of its IDENTIFYs in its slot for an hour.

Does not promise that the number is exact: other programs may use the same token. It is set right whenever a
replica starts, by what Discord says.

Keys below ``ib/``: ``day``, JSON, what Discord said, under a lease of its own; ``spent``, whose version
counts what was spent since, under the same; ``slot/<n>``, under the session; ``run/<n>/<replica>``, JSON,
under a lease of an hour.

Concurrency: no thread. The view is replaced as a whole on the watch's thread, which then calls ``changed``;
what writes to etcd blocks, and is called by one thread, the owner's. At a lost session the slot is gone, and
taken again.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    KeyValue,
    Op,
    Put,
    Snapshot,
    Store,
    WatchEvent,
)
from discordha.coordination.session import Grant

__all__ = ["PROVEN", "Day", "IdentifyBudget", "allowance", "delay", "free_crashes"]

#: A run that lasts so long is none of a crash loop, seconds: one that ends later uses 30 IDENTIFYs an hour.
PROVEN = 120.0
#: How long a run that did not is remembered, seconds.
REMEMBERED = 3600.0
#: The longest pause before a start, seconds.
LAST_DELAY = 300.0


class Day(NamedTuple):
    """What is left of the day's IDENTIFYs."""

    remaining: int
    total: int
    revision: int
    lease: int


def allowance(total: int) -> int:
    """IDENTIFYs an hour that a crash loop may use: 3 per cent of a day's, which is 30 of 1,000."""
    return max(30, total * 3 // 100)


def free_crashes(total: int) -> int:
    """Crashes that do not slow the next start down."""
    return allowance(total) // 10


def delay(crashes: int, total: int) -> float:
    """Seconds to wait before the first IDENTIFY after so many crashes at start within an hour."""
    over = crashes - free_crashes(total)
    return 0.0 if over < 0 else min(2.0 ** min(over + 1, 16), LAST_DELAY)


class IdentifyBudget:
    """The budget as one replica sees it. A ``WatchListener`` for the component ``ib``.

    :param root: key prefix of the bot, ending in ``/``.
    """

    def __init__(self, store: Store, root: str, replica_id: str) -> None:
        self._store = store
        self._prefix = f"{root}ib/"
        self._replica_id = replica_id
        self._view: dict[str, KeyValue] = {}
        self._slot: tuple[int, Grant] | None = None
        self._run_lease = 0
        self._spent = 0
        self.changed: Callable[[], None] = lambda: None

    # -- the view; no I/O; any thread ------------------------------------------------------------------------

    @property
    def day(self) -> Day | None:
        """What is left; ``None`` when nobody has asked Discord today."""
        kv = self._view.get(f"{self._prefix}day")
        record = _object(kv) if kv is not None else {}
        if kv is None or "remaining" not in record:
            return None
        spent = self._view.get(f"{self._prefix}spent")
        used = spent.version if spent is not None else 0
        return Day(max(record["remaining"] - used, 0), record["total"], kv.mod_revision, kv.lease)

    @property
    def slot(self) -> int | None:
        """This replica's slot."""
        return self._slot[0] if self._slot is not None else None

    def crashed(self, live: Collection[str]) -> tuple[int, int]:
        """Runs of the last hour that ended before they had proven themselves, and the IDENTIFYs that they
        used: those of this replica's slot, and of slots that nobody holds.

        :param live: the replicas that live.
        """
        view, prefix = self._view, self._prefix
        held = {
            key[len(prefix) + 5 :]: kv.value.decode()
            for key, kv in view.items()
            if key.startswith(f"{prefix}slot/")
        }
        runs = identifies = 0
        for key, kv in view.items():
            if not key.startswith(f"{prefix}run/"):
                continue
            slot, _, replica = key[len(prefix) + 4 :].partition("/")
            if replica == self._replica_id or replica in live:
                continue
            holder = held.get(slot)
            if holder is None or holder == self._replica_id:
                runs += 1
                identifies += int(_object(kv).get("identifies", 0))
        return runs, identifies

    # -- writing; blocks on etcd -----------------------------------------------------------------------------

    def open(self, remaining: int, total: int, reset_after: float) -> None:
        """Notes what Discord says: the lower number counts.

        :param reset_after: seconds until the day is over.
        :raises StoreUnavailable: etcd does not answer.
        """
        key = f"{self._prefix}day"
        value = json.dumps({"remaining": remaining, "total": total}).encode()
        day = self.day
        if day is not None and day.remaining <= remaining and day.total == total:
            return
        if day is not None:
            writes = (Put(key, value, day.lease), Delete(f"{self._prefix}spent"))
            self._store.txn((Compare.mod_revision(key, day.revision),), writes)
            return
        lease = self._store.grant(max(math.ceil(reset_after), 1))
        if not self._store.txn((Compare.version(key, 0),), (Put(key, value, lease.id),)).succeeded:
            self._store.revoke(lease.id)

    def spend(self, *, proven: bool) -> tuple[Sequence[Compare], Sequence[Op]]:
        """What a transaction that takes a turn must hold: the conditions, and the writes.

        :param proven: whether this run has proven itself.
        :raises StoreUnavailable: etcd does not answer.
        """
        guards: list[Compare] = []
        writes: list[Op] = []
        day = self.day
        if day is not None:
            # The key's version counts, so that replicas which spend at once don't get into each other's way.
            guards.append(Compare.mod_revision(f"{self._prefix}day", day.revision))
            writes.append(Put(f"{self._prefix}spent", self._replica_id.encode(), day.lease))
        if not proven and self._slot is not None:
            if not self._run_lease:
                self._run_lease = self._store.grant(REMEMBERED).id
            record = json.dumps({"identifies": self._spent + 1}).encode()
            writes.append(Put(self._run_key(), record, self._run_lease))
        return guards, writes

    def spent(self) -> None:
        """The transaction was applied."""
        self._spent += 1

    def take_slot(self, grant: Grant) -> int:
        """Takes the lowest free slot, unless this session has one.

        :raises LeaseNotFound: the session is lost.
        :raises StoreUnavailable: etcd does not answer.
        """
        if self._slot is not None and self._slot[1] is grant:
            return self._slot[0]
        taken = set(self._view)
        for number in itertools.count():
            key = f"{self._prefix}slot/{number}"
            if key in taken:
                continue
            put = Put(key, self._replica_id.encode(), grant.lease_id)
            if self._store.txn((Compare.version(key, 0),), (put,)).succeeded:
                self._slot = (number, grant)
                return number
        raise AssertionError("unreachable")

    def prove(self) -> None:
        """This run is none of a crash loop: its record goes.

        :raises StoreUnavailable: etcd does not answer.
        """
        if self._run_lease:
            self._store.revoke(self._run_lease)
            self._run_lease = 0

    def _run_key(self) -> str:
        return f"{self._prefix}run/{self.slot}/{self._replica_id}"

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces the view."""
        self._view = {kv.key: kv for kv in snapshot.items}
        self.changed()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Follows the watch."""
        view = dict(self._view)
        for kind, kv in events:
            if kind == "put":
                view[kv.key] = kv
            else:
                view.pop(kv.key, None)
        self._view = view
        self.changed()

    def on_lost(self) -> None:
        """The view grows old: what is spent on it is refused."""


def _object(kv: KeyValue) -> dict[str, int]:
    try:
        data = json.loads(kv.value)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}

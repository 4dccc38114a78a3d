"""The IDENTIFY budget: how many are left of Discord's daily limit, and which replicas used some up by
crashing.

Guarantees
- All replicas see one number of IDENTIFYs left, spent in the transaction that takes a turn. It lives as long
  as Discord says that the day lasts: etcd's lease ends it, no local clock.
- Each replica holds a *slot*, the lowest free number, so that a bot which crashes and restarts is recognized
  by the slot, whatever it calls itself.
- A run that has not lasted ``PROVEN`` seconds leaves a record of its IDENTIFYs in its slot for an hour.

The number is not exact, since other programs may use the same token. Whenever a replica starts, it is set to
what Discord says.

Threads and locks: no thread, no lock; the view is a ``KeyView``. Methods that write block on etcd and are
called by one thread, the owner's; they raise ``StoreUnavailable`` or ``LeaseNotFound``. If the session is
lost, the slot is taken again under the next grant.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from discordha.coordination.etcd.router import KeyView
from discordha.coordination.etcd.store import Compare, Delete, KeyValue, Op, Put, Store
from discordha.coordination.session import Grant

__all__ = ["CRASHES_KEPT", "PROVEN", "Day", "IdentifyBudget", "allowance", "delay", "free_crashes"]

#: A run that lasts this long is no part of a crash loop, seconds; ending later, it uses 30 IDENTIFYs an hour.
PROVEN = 120.0
#: How long a run that did not last is remembered, seconds.
CRASHES_KEPT = 3600.0
#: The longest pause before a start, seconds.
LONGEST_DELAY = 300.0


class Day(NamedTuple):
    """How many IDENTIFYs are left today."""

    remaining: int
    total: int
    revision: int
    lease: int


def allowance(total: int) -> int:
    """IDENTIFYs per hour that a crash loop may use: 3 percent of a day's, which is 30 of 1,000."""
    return max(30, total * 3 // 100)


def free_crashes(total: int) -> int:
    """How many crashes do not slow down the next start."""
    return allowance(total) // 10


def delay(crashes: int, total: int) -> float:
    """Seconds to wait before the first IDENTIFY after this many crashes at start within an hour."""
    over = crashes - free_crashes(total)
    return 0.0 if over < 0 else min(2.0 ** min(over + 1, 16), LONGEST_DELAY)


class IdentifyBudget(KeyView):
    """The budget as one replica sees it. Listens to the component ``ib`` below the key prefix ``root``."""

    def __init__(self, store: Store, root: str, replica_id: str) -> None:
        super().__init__()
        self._store = store
        self._prefix = f"{root}ib/"
        self._replica_id = replica_id
        self._slot: tuple[int, Grant] | None = None
        self._run_lease = 0
        self._spent = 0

    # -- the view; no I/O; any thread ------------------------------------------------------------------------

    @property
    def day(self) -> Day | None:
        """The number left; ``None`` if nobody has asked Discord today."""
        kv = self.keys.get(f"{self._prefix}day")
        record = _object(kv) if kv is not None else {}
        if kv is None or "remaining" not in record:
            return None
        spent = self.keys.get(f"{self._prefix}spent")
        used = spent.version if spent is not None else 0
        return Day(max(record["remaining"] - used, 0), record["total"], kv.mod_revision, kv.lease)

    @property
    def slot(self) -> int | None:
        """This replica's slot, if it holds one."""
        return self._slot[0] if self._slot is not None else None

    def crashed(self, live: Collection[str]) -> tuple[int, int]:
        """How many runs of the last hour ended before ``PROVEN``, and the IDENTIFYs that they used. Counts
        this replica's slot and slots that nobody holds.

        :param live: the living replicas.
        """
        view, prefix = self.keys, self._prefix
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

    # -- writing ---------------------------------------------------------------------------------------------

    def open(self, remaining: int, total: int, reset_after: float) -> None:
        """Notes what Discord says; the lower number counts. ``reset_after``: seconds until the day ends."""
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
        """The conditions and writes that take a turn. ``proven``: this run has lasted ``PROVEN`` seconds."""
        guards: list[Compare] = []
        writes: list[Op] = []
        day = self.day
        if day is not None:
            # The key's version counts, so that replicas which spend at the same time do not conflict.
            guards.append(Compare.mod_revision(f"{self._prefix}day", day.revision))
            writes.append(Put(f"{self._prefix}spent", self._replica_id.encode(), day.lease))
        if not proven and self._slot is not None:
            if not self._run_lease:
                self._run_lease = self._store.grant(CRASHES_KEPT).id
            record = json.dumps({"identifies": self._spent + 1}).encode()
            key = f"{self._prefix}run/{self._slot[0]}/{self._replica_id}"
            writes.append(Put(key, record, self._run_lease))
        return guards, writes

    def spent(self) -> None:
        """Counts one IDENTIFY: the transaction was applied."""
        self._spent += 1

    def take_slot(self, grant: Grant) -> int:
        """Takes the lowest free slot, unless this session holds one."""
        if self._slot is not None and self._slot[1] is grant:
            return self._slot[0]
        taken = set(self.keys)
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
        """Removes the record of this run, which is no part of a crash loop."""
        if self._run_lease:
            self._store.revoke(self._run_lease)
            self._run_lease = 0


def _object(kv: KeyValue) -> dict[str, int]:
    try:
        data = json.loads(kv.value)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}

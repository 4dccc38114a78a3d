"""Candidates: the keys of an election, as each replica sees them, and what it means to lead.

Promises: a ``Leadership`` dies with its session's grant, without asking anybody; ``Candidates`` shows whose
create revision is the lowest, as far as the watch has told.

A key without a lease is nobody's candidature, whoever wrote it: it would stand for ever.

Does not promise that a view is up to date: only a read from etcd tells who leads now.

Concurrency: no threads. ``Candidates`` is written on the watch's thread alone; ``first`` may be read by any,
since its table is replaced as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from discordha.coordination.etcd.store import (
    Compare,
    KeyValue,
    LeaseNotFound,
    Put,
    Snapshot,
    Store,
    WatchEvent,
)
from discordha.coordination.membership.shard_keys import is_number
from discordha.coordination.session import Grant

__all__ = ["Candidates", "Leadership", "request_resignation"]


class Leadership:
    """One term of leading a shard. Never begins again once it has ended; the next term is another object."""

    __slots__ = ("_ended", "fencing_token", "grant", "key", "shard_id")

    def __init__(self, shard_id: int, key: str, fencing_token: int, grant: Grant) -> None:
        self.shard_id = shard_id
        self.key = key
        self.fencing_token = fencing_token
        self.grant = grant
        self._ended = False

    def __repr__(self) -> str:
        state = "alive" if self.alive else "ended"
        return f"<Leadership of shard {self.shard_id} token {self.fencing_token} {state}>"

    @property
    def alive(self) -> bool:
        """Whether this replica still leads. No I/O; any thread; never true again once false."""
        return not self._ended and self.grant.alive

    @property
    def lost(self) -> bool:
        """The opposite of ``alive``."""
        return not self.alive

    @property
    def lease_id(self) -> int:
        """The lease of the session that the leadership stands on."""
        return self.grant.lease_id

    def guard(self) -> Compare:
        """A condition that makes etcd refuse a transaction once the leadership has ended there."""
        return Compare.create_revision(self.key, self.fencing_token)

    def end(self) -> None:
        """Ends it. For ``Elections`` only."""
        self._ended = True


class Candidates:
    """The candidates of all shards, from the watch.

    :param prefix: of their keys, ending in ``/``.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._view: dict[str, KeyValue] = {}
        self._first: dict[int, KeyValue] = {}
        self.unreadable = 0

    def replace(self, snapshot: Snapshot) -> None:
        """Begins anew from a snapshot."""
        self._view = {kv.key: kv for kv in snapshot.items}
        self._find_first()

    def apply(self, events: Sequence[WatchEvent]) -> None:
        """Follows the watch."""
        for kind, kv in events:
            if kind == "put":
                self._view[kv.key] = kv
            else:
                self._view.pop(kv.key, None)
        if events:
            self._find_first()

    def __contains__(self, key: str) -> bool:
        return key in self._view

    def first(self, shard_id: int) -> str | None:
        """The replica with the lowest create revision."""
        kv = self._first.get(shard_id)
        replica = self.read(kv).get("replica") if kv is not None else None
        return replica if isinstance(replica, str) else None

    @property
    def lowest(self) -> float:
        """The lowest shard key that has a candidate; infinite when there is none."""
        return min(self._first, default=float("inf"))

    def shard_of(self, key: str) -> int:
        """-1 for a key that is no candidate's."""
        shard = key[len(self._prefix) :].partition("/")[0]
        return int(shard) if is_number(shard) else -1

    def read(self, kv: KeyValue) -> Mapping[str, Any]:
        """What a candidate says of itself; nothing, when it can't be read."""
        try:
            record = json.loads(kv.value)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            return record
        self.unreadable += 1
        return {}

    def _find_first(self) -> None:
        found: dict[int, KeyValue] = {}
        for kv in self._view.values():
            if not kv.lease:
                continue
            shard_id = self.shard_of(kv.key)
            known = found.get(shard_id)
            if known is None or kv.create_revision < known.create_revision:
                found[shard_id] = kv
        self._first = found


def request_resignation(store: Store, root: str, shard_id: int) -> str | None:
    """Asks the leader of a shard to resign, from outside: for operators. Blocks on etcd.

    Marks the leader's own key, so the request dies with the leadership that it was meant for, and leadership
    is given up by its owner, never taken from one that still acts.

    :return: the replica that was asked; ``None`` when nobody leads, or leadership moved meanwhile.
    """
    candidates = [kv for kv in store.range(f"{root}l/{shard_id}/").items if kv.lease]
    if not candidates:
        return None
    leader = min(candidates, key=lambda kv: kv.create_revision)
    try:
        record = json.loads(leader.value)
        replica = str(record["replica"])
    except (ValueError, KeyError, TypeError):
        return None
    put = Put(leader.key, json.dumps({**record, "resign": True}).encode(), leader.lease)
    guard = Compare.create_revision(leader.key, leader.create_revision)
    try:
        return replica if store.txn((guard,), (put,)).succeeded else None
    except LeaseNotFound:
        return None

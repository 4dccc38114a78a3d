"""Points: up to which moment of Discord's clock every event of a shard is finished.

``p/<shard>`` says: each event of the shard that happened up to this moment, and that some replica received or
fetched, is done, is a dead letter, or was refused. A point never goes back, since the statement never becomes
false again: a replica that stood still between its decision and its write does no harm.

A replica's *reach* has two moments: since the first its gateway session has received everything, and up to
the second all of that is finished. Overlapping reaches carry the point on, whichever replicas they are of
(``carried``). A point that no reach overlaps stands before a *gap*.

Guarantees: a write compares with the point that it was computed from and, unless the replica drains, with the
leadership of the shard.

Threads and locks: no thread. The watch's thread replaces ``_points`` as a whole; any thread reads.
``advance`` blocks on etcd.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    WatchListener,
)
from discordha.coordination.membership.shard_keys import generation_of, is_number

__all__ = ["Point", "Points", "Reach", "carried"]


class Point(NamedTuple):
    """A shard's point.

    :param moment: of Discord's clock, seconds since 1970.
    :param revision: one of etcd that is older than this moment: a mark that was written later may be about an
        event behind the point.
    :param clean: everything was finished that its writer had received as it wrote.
    :param written: the revision of the write.
    """

    moment: float
    revision: int = 0
    clean: bool = False
    written: int = 0

    @classmethod
    def parse(cls, kv: KeyValue) -> Point | None:
        """Reads the stored form; ``None`` if something else wrote the key."""
        try:
            data = json.loads(kv.value)
            moment, revision = float(data["moment"]), int(data.get("revision", 0))
            return cls(moment, revision, bool(data.get("clean")), kv.mod_revision)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def value(self) -> bytes:
        """The stored form."""
        data = {"moment": int(self.moment * 1000) / 1000, "revision": self.revision}
        return json.dumps({**data, "clean": True} if self.clean else data).encode()


class Reach(NamedTuple):
    """What one replica knows of a shard: it received everything since ``since``, and up to ``until`` all of
    that is finished. Moments of Discord's clock.
    """

    since: float
    until: float
    connected: bool = True  # it receives events at the moment

    @classmethod
    def of(cls, record: Mapping[str, object], shard: int) -> Reach | None:
        """A member's reach, by its record."""
        reaches = record.get("reach")
        found = reaches.get(str(shard)) if isinstance(reaches, dict) else None
        if isinstance(found, list) and len(found) == 3 and all(isinstance(n, int | float) for n in found):
            return cls(found[0], found[1], bool(found[2]))
        return None


def carried(moment: float, reaches: Iterable[Reach]) -> float:
    """How far overlapping reaches carry a point."""
    for reach in sorted(reaches):
        if reach.since <= moment:
            moment = max(moment, reach.until)
    return moment


class Points(WatchListener):
    """The points of all shards. Listens to the component ``p`` below the key prefix ``root``."""

    def __init__(self, store: Store, root: str) -> None:
        self._store = store
        self._prefix = f"{root}p/"
        self._points: dict[int, Point] = {}
        #: Called on the watch's thread with each point that a replica writes; must not block.
        self.on_written: Callable[[int, Point], None] = lambda shard, point: None

    def get(self, shard: int) -> Point | None:
        """A shard's point. That of a shard which has none yet is the earliest of those that it was divided
        from: any of its guilds may have been theirs.
        """
        own = self._points.get(shard)
        if own is not None:
            return own
        parents = self.inherited(shard)
        return min(parents.values())._replace(clean=False, written=0) if parents else None

    def inherited(self, shard: int) -> dict[int, Point]:
        """The points that stand for that of a shard which has none yet: those of the generation before."""
        points, generation = self._points, generation_of(shard)
        earlier = [generation_of(other) for other in points if generation_of(other) < generation]
        if shard in points or not earlier:
            return {}
        return {other: point for other, point in points.items() if generation_of(other) == max(earlier)}

    def has(self, shard: int) -> bool:
        """Whether a shard has a point of its own."""
        return shard in self._points

    def of(self, generation: int) -> dict[int, Point]:
        """The points of a generation's shards."""
        return {shard: point for shard, point in self._points.items() if generation_of(shard) == generation}

    def knows_before(self, generation: int) -> bool:
        """Whether an earlier generation has points."""
        return any(generation_of(shard) < generation for shard in self._points)

    def advance(
        self, shard: int, point: Point, *, guard: Sequence[Compare] = (), more: Sequence[Op] = ()
    ) -> int:
        """Writes a point, and ``more`` with it. Returns the revision, 0 if it or the guard has changed
        meanwhile.

        :raises StoreUnavailable: etcd does not answer; the point may have been written.
        """
        key = f"{self._prefix}{shard}"
        known = self._points.get(shard)
        if known is not None and point.moment < known.moment:
            point = point._replace(moment=known.moment, revision=known.revision)
        unchanged = Compare.mod_revision(key, known.written if known is not None else 0)
        result = self._store.txn((unchanged, *guard), (Put(key, point.value()), *more))
        return result.revision if result.succeeded else 0

    def forget_before(self, generation: int, guard: Compare) -> None:
        """Deletes the points of earlier generations: all shards of this one have their own."""
        old = [shard for shard in self._points if generation_of(shard) < generation]
        for start in range(0, len(old), 100):
            deletes = tuple(Delete(f"{self._prefix}{shard}") for shard in old[start : start + 100])
            self._store.txn((guard,), deletes)

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        found = {}
        for kv in snapshot.items:
            point, shard = Point.parse(kv), kv.key[len(self._prefix) :]
            if point is not None and is_number(shard):
                found[int(shard)] = point
        self._points = found

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        points = dict(self._points)
        for kind, kv in events:
            shard, point = kv.key[len(self._prefix) :], Point.parse(kv)
            if not is_number(shard):
                continue
            known = points.get(int(shard))
            if kind == "delete":
                points.pop(int(shard), None)
            elif point is not None and (known is None or known.written < point.written):
                points[int(shard)] = point
                self.on_written(int(shard), point)
        self._points = points

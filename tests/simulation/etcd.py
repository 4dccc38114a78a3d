"""etcd for a simulated cluster, the server's side: the store in memory behind a consensus that fails.

Keys, revisions, transactions and watches' histories are ``Keyspace``'s, which a test compares with etcd.
Added here: times without a leader (after which leases begin anew), leases that end up to half a second late,
refusals of writes, requests that are committed long after their sender gave them up, looks at members that
are behind, compaction. What fails on the way is in ``etcd_client`` and ``etcd_stream``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from discordha.coordination.etcd.messages import WatchBatch, WatchRange
from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent
from discordha.coordination.memory.keyspace import Change, Keyspace
from discordha.coordination.memory.store import bare
from simulation.scheduler import Machine, Scheduler

if TYPE_CHECKING:
    from simulation.etcd_stream import SimulatedStream

__all__ = ["WAY_MEAN", "Link", "SimulatedEtcd", "parts_of"]

T = TypeVar("T")

#: How often etcd looks for leases that have run out, seconds.
LESSOR_INTERVAL = 0.5
#: One way through the network: the least, and what is added on average, seconds.
WAY = 0.0003
WAY_MEAN = 0.0007
#: How late a request that was swallowed arrives at the latest, seconds.
LATEST = 8.0
HISTORY = 4 * 1024 * 1024
#: No member is further behind, seconds.
FURTHEST_BEHIND = 10.0


class Link:
    """A machine's way to etcd. ``mode``: ``"open"``, ``"refused"`` or ``"swallowed"``.

    :ivar loses: how probably an answer gets lost.
    :ivar lag: how much later watches are at the most, and how far the members behind that answer looks,
        seconds.
    """

    def __init__(self) -> None:
        self.mode = "open"
        self.loses = 0.0
        self.lag = 0.0
        self.streams: set[SimulatedStream] = set()

    def set(self, mode: str) -> None:
        """Cuts or mends it."""
        self.mode = mode
        for stream in sorted(self.streams, key=lambda stream: stream.number):
            stream.on_link(mode)


def parts_of(change: Change, ranges: Sequence[WatchRange]) -> list[WatchBatch]:
    """What a change tells the watches of some ranges, for each that it concerns."""
    events = [(event.kv.key.encode(), event) for event in change.events]
    parts: list[WatchBatch] = []
    for number, (start, end, _, deletes_only) in enumerate(ranges):
        told = [event for key, event in events if start <= key < end]
        if deletes_only:
            told = [event for event in told if event.kind == "delete"]
        else:
            told = [bare(event) if event.kind == "delete" else event for event in told]
        if told:
            parts.append(WatchBatch(change.revision, told, watch=number))
    return parts


class SimulatedEtcd:
    """The server's side. Everything here runs between two marked points, and takes no lock."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.keys = Keyspace(history=HISTORY, on_change=self._publish)
        self.streams: list[SimulatedStream] = []
        self.links: dict[Machine, Link] = {}
        self.has_leader = True
        self.refuses: str | None = None
        self.calls = 0
        #: Told of every change, between two marked points.
        self.on_change: Callable[[Change], None] = lambda change: None
        self._numbers = 0
        self._commits: deque[tuple[float, int]] = deque()  # when which revision was made
        scheduler.after(LESSOR_INTERVAL, self._end_leases)

    def link(self, machine: Machine) -> Link:
        """A machine's way here."""
        return self.links.setdefault(machine, Link())

    def way(self) -> float:
        """How long a message takes, seconds."""
        return WAY + self.scheduler.random.expovariate(1 / WAY_MEAN)

    def number(self) -> int:
        """A new number, for an order of streams."""
        self._numbers += 1
        return self._numbers

    def apply(self, serve: Callable[[Keyspace, float], T]) -> T:
        """Commits a request."""
        self.calls += 1
        return serve(self.keys, self.scheduler.now)

    def apply_later(self, serve: Callable[[Keyspace, float], Any]) -> None:
        """Commits a request that nobody waits for."""

        def late() -> None:
            if self.has_leader and self.refuses is None:
                try:
                    self.apply(serve)
                except Exception:  # noqa: BLE001 - what etcd refuses: nobody hears of it
                    return

        self.scheduler.after(self.scheduler.random.uniform(0.0, LATEST), late)

    def look(self, keys: Sequence[str], lag: float) -> Snapshot:
        """Reads keys as a member has them that is so many seconds behind."""
        until, revision = self.scheduler.now - lag, self.keys.revision
        while self._commits and self._commits[0][0] < until - FURTHEST_BEHIND:
            self._commits.popleft()
        for at, made in reversed(self._commits):
            if at <= until:
                break
            revision = made - 1
        if revision < self.keys.compacted:
            revision = self.keys.revision
        found = [self._as_of(key, revision) for key in dict.fromkeys(keys)]
        return Snapshot(revision, [kv for kv in found if kv is not None])

    def _as_of(self, key: str, revision: int) -> KeyValue | None:
        after: WatchEvent | None = None
        for change in reversed(self.keys.history):
            if change.revision <= revision and after is None:
                break  # it has not changed since
            for event in change.events:
                if event.kv.key == key and change.revision > revision:
                    after = event
                elif event.kv.key == key:
                    return event.kv if event.kind == "put" else None
        if after is None:
            return self.keys.get(key)
        return None if after.kind == "put" and after.kv.version == 1 else self.keys.get(key)

    def lose_leader(self) -> None:
        """Nothing is committed until ``elect``."""
        self.has_leader = False

    def elect(self) -> None:
        """A new leader gives all leases their whole time again."""
        self.has_leader = True
        now = self.scheduler.now
        for lease in self.keys._leases.values():
            lease.ends_at = now + lease.ttl
        self.keys.next_end = min((lease.ends_at for lease in self.keys._leases.values()), default=math.inf)

    def compact(self) -> None:
        """Forgets all changes so far."""
        self.keys.compact(self.keys.revision)

    def break_watches(self) -> None:
        """All streams end, as at a member's restart."""
        for stream in list(self.streams):
            stream.break_off()

    def _publish(self, change: Change) -> None:
        self.on_change(change)
        self._commits.append((self.scheduler.now, change.revision))
        parts: dict[tuple[WatchRange, ...], list[WatchBatch]] = {}
        for stream in self.streams:
            if stream.spans not in parts:
                parts[stream.spans] = parts_of(change, stream.spans)
            stream.offer(parts[stream.spans])

    def _end_leases(self) -> None:
        if self.has_leader:
            self.keys.expire(self.scheduler.now)
        self.scheduler.after(LESSOR_INTERVAL, self._end_leases)

"""etcd for a simulated cluster: the store in memory behind a network, a consensus and disks that fail.

Keys, revisions, transactions and watches' histories are ``Keyspace``'s, which a test compares with etcd.
Added here: time on the way, links that are cut (at once refused, or swallowed without a sign), requests that
arrive long after their sender gave them up, answers that get lost after the commit, times without a leader
(after which leases begin anew), leases that end up to half a second late, refusals of writes, watches that
lag and break, looks at members that are behind, compaction.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

from discordha.coordination.etcd.messages import WatchBatch, WatchRange, prefix_end
from discordha.coordination.etcd.store import (
    KeyValue,
    Lease,
    Snapshot,
    StoreRefused,
    WatchEvent,
    WatchListener,
)
from discordha.coordination.etcd.watch import EtcdWatch
from discordha.coordination.memory.keyspace import Change, Keyspace
from discordha.coordination.memory.store import MemoryStore, bare
from discordha.errors import StoreUnavailable
from simulation.primitives import Event
from simulation.scheduler import Machine, Scheduler, Task, current
from simulation.threads import Thread

__all__ = ["Link", "SimulatedEtcd", "SimulatedStore"]

T = TypeVar("T")

#: How often etcd looks for leases that have run out, seconds.
LESSOR_INTERVAL = 0.5
#: One way through the network: the least, and what is added on average, seconds.
WAY = 0.0003
WAY_MEAN = 0.0007
#: How often a request that was swallowed arrives in the end, and how late at the latest, seconds.
LATE_CHANCE = 0.3
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
        until = self.scheduler.now - lag
        while self._commits and self._commits[0][0] < until - FURTHEST_BEHIND:
            self._commits.popleft()
        later = [revision for at, revision in self._commits if at > until]
        revision = min(later) - 1 if later else self.keys.revision
        if revision < self.keys.compacted:
            revision = self.keys.revision
        found = [self._as_of(key, revision) for key in dict.fromkeys(keys)]
        return Snapshot(revision, [kv for kv in found if kv is not None])

    def _as_of(self, key: str, revision: int) -> KeyValue | None:
        after: WatchEvent | None = None
        for change in reversed(self.keys.history):
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
        self._commits.append((self.scheduler.now, change.revision))
        for stream in self.streams:
            stream.offer(change)

    def _end_leases(self) -> None:
        if self.has_leader:
            self.keys.expire(self.scheduler.now)
        self.scheduler.after(LESSOR_INTERVAL, self._end_leases)


class SimulatedStore(MemoryStore):
    """One replica's client.

    :param timeout: seconds that a call takes at most, unless it says otherwise.
    """

    def __init__(self, etcd: SimulatedEtcd, machine: Machine, timeout: float = 5.0) -> None:
        self._etcd = etcd
        self._machine = machine
        self._link = etcd.link(machine)
        self._timeout = timeout
        self._streams: list[Any] = []
        self._ended = Event()
        self._closed = False
        self.calls = self.failures = 0

    def clone(self) -> Self:
        return type(self)(self._etcd, self._machine, self._timeout)

    def close(self) -> None:
        self._closed = True
        self._ended.set()
        for stream in list(self._streams):
            stream.cancel()

    def _call(self, serve: Callable[[Keyspace, float], T], timeout: float | None, *, write: bool) -> T:
        self.calls += 1
        try:
            return self._make(serve, self._timeout if timeout is None else timeout, write=write)
        except StoreUnavailable:
            self.failures += 1
            raise

    def _make(
        self, serve: Callable[[Keyspace, float], T], limit: float, *, write: bool, serializable: bool = False
    ) -> T:
        etcd, scheduler, link = self._etcd, self._etcd.scheduler, self._link
        chance = scheduler.random
        until = scheduler.now + limit
        scheduler.point()
        if self._closed:
            raise StoreUnavailable("the store is closed: the replica has stopped")
        if link.mode == "refused":
            self._go(etcd.way(), until, write)
            raise StoreUnavailable("etcd can't be reached: connection refused")
        self._go(etcd.way(), until, write)
        if link.mode != "open":
            if write and chance.random() < LATE_CHANCE:
                etcd.apply_later(serve)
            while link.mode == "swallowed":
                self._go(0.05, until, write)
            raise StoreUnavailable("etcd can't be reached: connection reset", maybe_applied=write)
        while not etcd.has_leader and not serializable:
            if write and until - scheduler.now <= 0.05 and chance.random() < LATE_CHANCE:
                etcd.apply_later(serve)
            self._go(0.02, until, write)
        if write and etcd.refuses is not None:
            self._go(etcd.way(), until, False)
            raise StoreRefused(etcd.refuses)
        try:
            answer: Any = etcd.apply(serve)
            error: Exception | None = None
        except Exception as raised:  # noqa: BLE001 - travels back like an answer
            error = raised
        if chance.random() < link.loses:
            self._go(etcd.way() if chance.random() < 0.85 else math.inf, until, write)
            raise StoreUnavailable("the answer is lost: connection reset", maybe_applied=write)
        self._go(etcd.way(), until, write)
        while link.mode != "open":
            if link.mode == "refused":
                raise StoreUnavailable("the answer is lost: connection reset", maybe_applied=write)
            self._go(0.05, until, write)
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]

    def _go(self, seconds: float, until: float, write: bool) -> None:
        """Lets time pass; raises when the call's time is over, or the store is closed."""
        left = until - self._etcd.scheduler.now
        if self._ended.wait(min(seconds, max(left, 0.0))):
            raise StoreUnavailable("the store is closed: the replica has stopped", maybe_applied=write)
        if seconds >= left:
            raise StoreUnavailable("etcd did not answer in time", maybe_applied=write)

    def look(self, keys: Sequence[str], *, timeout: float | None = None) -> Snapshot:
        lag = (WAY_MEAN + self._link.lag) * self._etcd.scheduler.random.random()
        limit = self._timeout if timeout is None else timeout
        self.calls += 1
        try:
            return self._make(lambda _, __: self._etcd.look(keys, lag), limit, write=False, serializable=True)
        except StoreUnavailable:
            self.failures += 1
            raise

    def grant(self, ttl: float, *, timeout: float | None = None) -> Lease:
        return self._call(lambda keys, now: keys.grant(ttl, now), timeout, write=True)

    def compact(self) -> None:
        self._etcd.compact()

    def watch(
        self,
        prefix: str,
        listener: WatchListener,
        *,
        silence: float,
        name: str = "discordha-watch",
        heartbeats: bool = False,
        quiet: str | None = None,
    ) -> EtcdWatch:
        store = self.clone()
        return EtcdWatch(
            store, prefix, listener, silence=silence, name=name, heartbeats=heartbeats, quiet=quiet
        )

    def open_watch(
        self,
        prefix: str,
        start_revision: int,
        pulse: Callable[[], bool] | None = None,
        ranges: Sequence[WatchRange] = (),
    ) -> Any:
        whole = WatchRange(prefix.encode(), prefix_end(prefix.encode()), start_revision)
        stream = SimulatedStream(self, self._link, self._etcd, ranges or [whole])

        def begin(keys: Keyspace, _: float) -> SimulatedStream:
            stream.begin(keys)
            return stream

        self._call(begin, None, write=False)
        self._streams.append(stream)
        if self._closed:
            stream.cancel()
        if pulse is not None:

            def pulses() -> None:
                while pulse():
                    stream.offer_progress()

            Thread(target=pulses, name="etcd-pulse", daemon=True).start()
        return stream

    def end_watch(self, stream: Any) -> None:
        if stream in self._streams:
            self._streams.remove(stream)


class SimulatedStream:
    """One stream: the changes of each range come in order, some time after their commit; several at once if
    the reader is late. What one commit changed in several ranges comes in any order.
    """

    endpoint = "simulated:2379"

    def __init__(
        self, store: SimulatedStore, link: Link, etcd: SimulatedEtcd, ranges: Sequence[WatchRange]
    ) -> None:
        self.number = etcd.number()
        self._store = store
        self._link = link
        self._etcd = etcd
        self._ranges = ranges
        self._batches: deque[tuple[float, WatchBatch]] = deque()
        self._last = 0.0
        self._reader: Task | None = None
        self._over: str | None = None

    def begin(self, keys: Keyspace) -> None:
        """Queues the changes since the start revision."""
        for number, range in enumerate(self._ranges):
            self._put(WatchBatch(0, [], created=True, store_revision=keys.revision, watch=number))
            if range.revision < keys.compacted:
                gone = keys.compacted
                self._put(WatchBatch(0, [], compacted=gone, cancelled="compacted", watch=number))
                return
        for change in keys.history:
            self.offer(change)
        if self._over is None:
            self._etcd.streams.append(self)
            self._link.streams.add(self)

    def offer(self, change: Change) -> None:
        """Queues the parts of a change that this stream is about."""
        parts: list[WatchBatch] = []
        for number, range in enumerate(self._ranges):
            events = [event for event in change.events if _concerns(range, event)]
            if not range.deletes_only:
                events = [bare(event) if event.kind == "delete" else event for event in events]
            if events and change.revision >= range.revision:
                parts.append(WatchBatch(change.revision, events, watch=number))
        if len(parts) > 1:
            self._etcd.scheduler.random.shuffle(parts)
        for part in parts:
            self._put(part)

    def offer_progress(self) -> None:
        """Queues a sign of life."""
        if self._link.mode == "open" and self._etcd.has_leader:
            self._put(WatchBatch(0, [], store_revision=self._etcd.keys.revision))

    def on_link(self, mode: str) -> None:
        """The link changed: what was swallowed comes late, or the connection is reset."""
        if mode == "refused" or (mode == "open" and self._etcd.scheduler.random.random() < 0.5):
            self.break_off()
        self._wake()

    def break_off(self) -> None:
        """Ends the stream."""
        self._end("the connection is lost")

    def cancel(self, *, blame: bool = False) -> None:
        """Ends the stream, from the reader's side."""
        self._store.end_watch(self)
        self._end("the watch was cancelled")

    def __iter__(self) -> Iterator[WatchBatch]:
        scheduler = self._etcd.scheduler
        while True:
            if self._over is not None:
                raise StoreUnavailable(self._over)
            wait: float | None = None
            if self._batches and self._link.mode == "open":
                wait = self._batches[0][0] - scheduler.now
                if wait <= 0:
                    yield self._take()
                    continue
            self._reader = scheduler.current
            scheduler.block(wait)
            self._reader = None

    def _take(self) -> WatchBatch:
        _, batch = self._batches.popleft()
        while batch.events and self._batches and self._etcd.scheduler.random.random() < 0.5:
            at, following = self._batches[0]
            if at > self._etcd.scheduler.now or not following.events or following.watch != batch.watch:
                break
            self._batches.popleft()
            batch = WatchBatch(following.revision, [*batch.events, *following.events], watch=batch.watch)
        return batch

    def _put(self, batch: WatchBatch) -> None:
        etcd = self._etcd
        self._last = max(
            self._last, etcd.scheduler.now + etcd.way() + self._link.lag * etcd.scheduler.random.random()
        )
        self._batches.append((self._last, batch))
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None:
            self._etcd.scheduler.wake(self._reader)

    def _end(self, why: str) -> None:
        if self._over is None:
            self._over = why
            if self in self._etcd.streams:
                self._etcd.streams.remove(self)
            self._link.streams.discard(self)
            self._wake()


def _concerns(range: WatchRange, event: WatchEvent) -> bool:
    if range.deletes_only and event.kind != "delete":
        return False
    return range.start <= event.kv.key.encode() < range.end


def store_of_this_machine(etcd: SimulatedEtcd) -> Callable[..., SimulatedStore]:
    """A stand-in for ``EtcdStore``'s constructor."""

    def make(settings: Any, **_: Any) -> SimulatedStore:
        task = current().current
        assert task is not None
        return SimulatedStore(etcd, task.machine, settings.timeout)

    return make

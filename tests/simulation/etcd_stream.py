"""The watch streams of the simulated etcd, which lag and break."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from discordha.coordination.etcd.messages import WatchBatch, WatchRange
from discordha.coordination.etcd.store import WatchEvent
from discordha.coordination.memory.keyspace import Change, Keyspace
from discordha.coordination.memory.store import bare
from discordha.errors import StoreUnavailable
from simulation.etcd import Link, SimulatedEtcd
from simulation.scheduler import Task

if TYPE_CHECKING:
    from simulation.etcd_client import SimulatedStore

__all__ = ["SimulatedStream"]


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

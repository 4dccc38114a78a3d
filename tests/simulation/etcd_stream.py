"""The watch streams of the simulated etcd, which lag and break."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from discordha.coordination.etcd.messages import WatchBatch, WatchRange
from discordha.coordination.memory.keyspace import Keyspace
from discordha.errors import StoreUnavailable
from simulation.etcd import Link, SimulatedEtcd, parts_of
from simulation.scheduler import Task

if TYPE_CHECKING:
    from simulation.etcd_client import SimulatedStore

__all__ = ["SimulatedStream"]


class SimulatedStream:
    """One stream: the changes of each range come in order, some time after their commit; several at once if
    the reader is late. One range may lag behind another.
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
        self.spans = tuple(range._replace(revision=0) for range in ranges)
        self._batches: list[tuple[float, WatchBatch]] = []  # by when they come
        self._last: dict[int, float] = {}  # when the last one of each range comes
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
        since, changes = min(range.revision for range in self._ranges), []
        for change in reversed(keys.history):
            if change.revision < since:
                break
            changes.append(change)
        for change in reversed(changes):
            self.offer(parts_of(change, self.spans))
        if self._over is None:
            self._etcd.streams.append(self)
            self._link.streams.add(self)

    def offer(self, parts: Sequence[WatchBatch]) -> None:
        """Queues the parts of a change that this stream is about."""
        parts = [part for part in parts if part.revision >= self._ranges[part.watch].revision]
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
        _, batch = self._batches.pop(0)
        while batch.events and self._batches and self._etcd.scheduler.random.random() < 0.5:
            at, following = self._batches[0]
            if at > self._etcd.scheduler.now or not following.events or following.watch != batch.watch:
                break
            self._batches.pop(0)
            batch = WatchBatch(following.revision, [*batch.events, *following.events], watch=batch.watch)
        return batch

    def _put(self, batch: WatchBatch) -> None:
        etcd = self._etcd
        comes = etcd.scheduler.now + etcd.way() + self._link.lag * etcd.scheduler.random.random()
        self._last[batch.watch] = comes = max(self._last.get(batch.watch, 0.0), comes)
        bisect.insort(self._batches, (comes, batch), key=lambda each: each[0])
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

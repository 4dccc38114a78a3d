"""Counters and latencies of one replica, which its parts keep and ``operations`` reads.

Guarantees: counting costs a dictionary update and takes no lock, on any number of threads. The counts of
ended threads remain. Memory is bounded by the live threads and the names in use.

Not guaranteed: that a reading is of one moment. It may miss counts that are made meanwhile.

Threads and locks: each thread alone writes its cell. ``_lock`` guards the list of cells and the counts of
ended threads; readers take it, and each thread at its first count.
"""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["BUCKETS", "STAGES", "Histogram", "Stats"]

#: Upper bounds of the latency buckets, seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: The stages of an event, in order: names of histograms.
STAGES = {
    "wait": "from its arrival to the claim: other replicas' turns, the queue, events before it",
    "claim": "from the request to etcd to its answer",
    "start": "from the claim to the start of its handlers: behind others of its batch",
    "handler": "from the start of its handlers to their end",
    "mark": "from the end of its handlers to the mark's answer",
}


class Histogram(NamedTuple):
    """The count of each bucket (not cumulative; the last is beyond all bounds), and the sum of all values."""

    counts: tuple[int, ...]
    total: float


class _Owner:
    """Lives for as long as its thread does."""

    __slots__ = ("__weakref__",)


class _Cell:
    """The counts of one thread. ``latencies``: the count of each bucket, then the sum."""

    __slots__ = ("counters", "latencies")

    def __init__(self) -> None:
        self.counters: dict[tuple[str, str], int] = {}
        self.latencies: dict[str, list[float]] = {}

    def take(self, other: _Cell) -> None:
        for key, count in other.counters.copy().items():
            self.counters[key] = self.counters.get(key, 0) + count
        for name, values in other.latencies.copy().items():
            mine = self.latencies.get(name, [0] * len(values))
            self.latencies[name] = [one + more for one, more in zip(mine, values, strict=True)]


class Stats:
    """Named counters with one optional label, and named latency histograms."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._local = threading.local()
        self._cells: list[tuple[weakref.ref[_Owner], _Cell]] = []
        self._ended = _Cell()

    def add(self, name: str, label: str = "", count: int = 1) -> None:
        """Adds to a counter. Never blocks for long; any thread."""
        try:
            counters = self._local.cell.counters
        except AttributeError:
            counters = self._new_cell().counters
        key = (name, label)
        counters[key] = counters.get(key, 0) + count

    def observe(self, name: str, seconds: float) -> None:
        """Adds one latency. Never blocks for long; any thread."""
        try:
            latencies = self._local.cell.latencies
        except AttributeError:
            latencies = self._new_cell().latencies
        values = latencies.get(name)
        if values is None:
            values = latencies[name] = [0] * (len(BUCKETS) + 2)
        values[bisect_left(BUCKETS, seconds)] += 1
        values[-1] += seconds

    def note(self, counts: Iterable[tuple[str, str]], latencies: Iterable[tuple[str, float]]) -> None:
        """Adds one to each counter, by name and label, and each latency, by name and seconds. Never blocks
        for long; any thread.
        """
        try:
            cell = self._local.cell
        except AttributeError:
            cell = self._new_cell()
        counters, known = cell.counters, cell.latencies
        for key in counts:
            counters[key] = counters.get(key, 0) + 1
        for name, seconds in latencies:
            values = known.get(name)
            if values is None:
                values = known[name] = [0] * (len(BUCKETS) + 2)
            values[bisect_left(BUCKETS, seconds)] += 1
            values[-1] += seconds

    def count(self, name: str, label: str | None = None) -> int:
        """One counter; the sum over all labels where ``label`` is ``None``."""
        counters = self.counters().items()
        return sum(count for (known, about), count in counters if known == name and label in (None, about))

    def counters(self) -> dict[tuple[str, str], int]:
        """A copy of all counters, by (name, label)."""
        return self._total().counters

    def histograms(self) -> dict[str, Histogram]:
        """A copy of all latencies."""
        return {
            name: Histogram(tuple(int(value) for value in values[:-1]), values[-1])
            for name, values in self._total().latencies.items()
        }

    def _new_cell(self) -> _Cell:
        cell, owner = _Cell(), _Owner()
        self._local.cell, self._local.owner = cell, owner
        with self._lock:
            self._cells.append((weakref.ref(owner), cell))
            self._tidy()
        return cell

    def _tidy(self) -> None:
        """Moves the counts of ended threads into one cell. The caller holds the lock."""
        gone = [cell for reference, cell in self._cells if reference() is None]
        for cell in gone:
            self._ended.take(cell)
        self._cells = [known for known in self._cells if known[1] not in gone]

    def _total(self) -> _Cell:
        total = _Cell()
        with self._lock:
            self._tidy()
            for cell in (self._ended, *(cell for _, cell in self._cells)):
                total.take(cell)
        return total

"""Counters and latencies of one replica, which its parts keep and ``operations`` reads.

Guarantees: counting costs a dictionary update and takes no lock, on any number of threads. A latency costs an
entry in a list: every ``FOLD`` of them are sorted into their buckets together, which takes a fifth of the
time that one by one takes. The counts of ended threads remain. Memory is bounded by the live threads and the
names in use.

Not guaranteed: that a reading is of one moment. It may miss counts that are made meanwhile.

Threads and locks: each thread alone writes its cell. The cell's own lock guards what is folded against its
readers. ``_lock`` guards the list of cells and the counts of ended threads; readers take it, and each thread
at its first count. A cell's lock is taken last.
"""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["BUCKETS", "STAGES", "Histogram", "Stats"]

#: Upper bounds of the latency buckets, seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: So many latencies of a thread are kept as they are.
FOLD = 64
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


#: Latencies as they were noted, by their names.
_Rows = dict[tuple[str, ...], list[tuple[float, ...]]]


class _Cell:
    """The counts of one thread. ``latencies``: the count of each bucket, then the sum; ``rows``: those that
    are not among them yet.
    """

    __slots__ = ("counters", "latencies", "lock", "rows")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counters: dict[tuple[str, str], int] = {}
        self.latencies: dict[str, list[float]] = {}
        self.rows: _Rows = {}

    def note(self, names: tuple[str, ...], seconds: tuple[float, ...]) -> None:
        rows = self.rows.get(names)
        if rows is None:
            with self.lock:
                rows = self.rows[names] = []
        rows.append(seconds)
        if len(rows) >= FOLD:
            with self.lock:
                _fold(self.latencies, names, rows)
                rows.clear()

    def add_latencies(self, total: dict[str, list[float]]) -> None:
        """Adds all latencies to others'. Any thread."""
        with self.lock:
            for name, values in self.latencies.items():
                known = total.get(name)
                if known is None:
                    total[name] = values.copy()
                else:
                    total[name] = [one + more for one, more in zip(known, values, strict=True)]
            for names, rows in self.rows.items():
                _fold(total, names, rows.copy())

    def add_counters(self, total: dict[tuple[str, str], int]) -> None:
        """Adds all counters to others'. Any thread."""
        for key, count in self.counters.copy().items():
            total[key] = total.get(key, 0) + count


def _fold(latencies: dict[str, list[float]], names: tuple[str, ...], rows: list[tuple[float, ...]]) -> None:
    """Adds rows of latencies to the buckets of each name."""
    for name, column in zip(names, zip(*rows, strict=True), strict=False):  # without rows there is no column
        values = latencies.get(name)
        if values is None:
            values = latencies[name] = [0] * (len(BUCKETS) + 2)
        ordered = sorted(column)
        values[-1] += sum(ordered)
        below = 0
        for bucket, bound in enumerate(BUCKETS):
            upto = bisect_right(ordered, bound, below)
            values[bucket] += upto - below
            below = upto
            if below == len(ordered):
                break
        values[-2] += len(ordered) - below


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
        self.note((), (name,), (seconds,))

    def note(
        self, counts: Iterable[tuple[str, str]], names: tuple[str, ...], seconds: tuple[float, ...]
    ) -> None:
        """Adds one to each counter, by name and label, and a latency for each of the names. Never blocks for
        long; any thread.
        """
        try:
            cell = self._local.cell
        except AttributeError:
            cell = self._new_cell()
        counters = cell.counters
        for key in counts:
            counters[key] = counters.get(key, 0) + 1
        cell.note(names, seconds)

    def count(self, name: str, label: str | None = None) -> int:
        """One counter; the sum over all labels where ``label`` is ``None``."""
        counters = self.counters().items()
        return sum(count for (known, about), count in counters if known == name and label in (None, about))

    def counters(self) -> dict[tuple[str, str], int]:
        """A copy of all counters, by (name, label)."""
        total: dict[tuple[str, str], int] = {}
        with self._lock:
            for cell in self._all_cells():
                cell.add_counters(total)
        return total

    def histograms(self) -> dict[str, Histogram]:
        """A copy of all latencies."""
        total: dict[str, list[float]] = {}
        with self._lock:
            for cell in self._all_cells():
                cell.add_latencies(total)
        return {
            name: Histogram(tuple(int(value) for value in values[:-1]), values[-1])
            for name, values in total.items()
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
        if not gone:
            return
        for cell in gone:
            cell.add_counters(self._ended.counters)
            cell.add_latencies(self._ended.latencies)
        self._cells = [known for known in self._cells if known[1] not in gone]

    def _all_cells(self) -> list[_Cell]:
        """The cells of all threads. The caller holds the lock."""
        self._tidy()
        return [self._ended, *(cell for _, cell in self._cells)]

"""Counters and latencies of one replica, kept by the parts themselves and read by ``operations``.

Thread-safe: ``_lock`` guards both tables; it is held for a dictionary update only.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from typing import NamedTuple

__all__ = ["BUCKETS", "Histogram", "Stats"]

#: Upper bounds of the latency buckets, seconds.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Histogram(NamedTuple):
    """Counts a bucket (not cumulative; the last one is beyond all bounds), and the sum of all values."""

    counts: tuple[int, ...]
    total: float


class Stats:
    """Named counters with one optional label, and named latency histograms."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: Counter[tuple[str, str]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add(self, name: str, label: str = "", count: int = 1) -> None:
        """Counts up. Never blocks for long; any thread."""
        with self._lock:
            self._counters[name, label] += count

    def observe(self, name: str, seconds: float) -> None:
        """Adds one latency. Never blocks for long; any thread."""
        with self._lock:
            buckets = self._buckets.get(name)
            if buckets is None:
                buckets = self._buckets[name] = [0] * (len(BUCKETS) + 1)
                self._sums[name] = 0.0
            buckets[bisect_left(BUCKETS, seconds)] += 1
            self._sums[name] += seconds

    def count(self, name: str, label: str | None = None) -> int:
        """One counter; the sum over all labels where ``label`` is ``None``."""
        with self._lock:
            if label is not None:
                return self._counters[name, label]
            return sum(count for (known, _), count in self._counters.items() if known == name)

    def counters(self) -> dict[tuple[str, str], int]:
        """A copy of all counters, by (name, label)."""
        with self._lock:
            return dict(self._counters)

    def histograms(self) -> dict[str, Histogram]:
        """A copy of all latencies."""
        with self._lock:
            return {
                name: Histogram(tuple(counts), self._sums[name]) for name, counts in self._buckets.items()
            }

"""OpenTelemetry's metrics of one replica: those of ``/metrics``, by the same names and labels.

Guarantees: a latency is recorded as it is measured; everything else is read when the author's SDK collects,
without a round trip. An error of the SDK's changes nothing for the event.

Threads and locks: ``note`` on any thread. The SDK's own thread reads the rest; ``_lock`` guards what it
read last, which serves all instruments of one collection.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from opentelemetry import metrics

from discordha._version import __version__
from discordha.operations.metrics import MetricsSource, families
from discordha.stats import BUCKETS, STAGES, Stats
from discordha.telemetry.guard import guarded

__all__ = ["MeteredStats", "observe_replica"]

#: One reading serves all instruments of a collection, seconds.
READING = 0.2


class MeteredStats(Stats):
    """``Stats`` whose latencies are OpenTelemetry's histograms, too."""

    def __init__(self) -> None:
        super().__init__()
        meter = metrics.get_meter("discordha", __version__)
        self._stages = meter.create_histogram(
            "discordha_stage_seconds",
            "s",
            "How long events were in each stage.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._whole = meter.create_histogram(
            "discordha_event_seconds",
            "s",
            "From arrival to the end of the handlers.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )

    def note(
        self, counts: Iterable[tuple[str, str]], names: tuple[str, ...], seconds: tuple[float, ...]
    ) -> None:
        """See ``Stats``."""
        super().note(counts, names, seconds)
        for name, value in zip(names, seconds, strict=True):
            self._record(name, value)

    @guarded
    def _record(self, name: str, seconds: float) -> None:
        if name == "event":
            self._whole.record(seconds)
        elif name in STAGES:
            self._stages.record(seconds, {"stage": name})


class _Family:
    """The values of one metric, made as prometheus-client's families are."""

    is_counter = False

    def __init__(
        self, name: str, text: str, value: float | None = None, labels: Sequence[str] | None = None
    ) -> None:
        self.name = name
        self.text = text
        self._labels = tuple(labels or ())
        self.values: list[tuple[float, dict[str, str]]] = [] if value is None else [(value, {})]

    def add_metric(self, labels: Sequence[str], value: float) -> None:
        self.values.append((value, dict(zip(self._labels, labels, strict=True))))


class _Counter(_Family):
    is_counter = True


def observe_replica(source: MetricsSource) -> None:
    """Makes an instrument of each metric that the replica has. Once, when it has started; does not block.

    OpenTelemetry has no way to take an instrument back: those of a replica that has ended show nothing.
    """
    reading = _Reading(source)
    meter = metrics.get_meter("discordha", __version__)
    for name, family in reading.now().items():
        make: Any = meter.create_observable_counter if family.is_counter else meter.create_observable_gauge
        make(name, [reading.callback(name)], description=family.text)


class _Reading:
    def __init__(self, source: MetricsSource) -> None:
        self._source = weakref.ref(source)
        self._lock = threading.Lock()
        self._families: dict[str, _Family] = {}
        self._until = 0.0

    def now(self) -> dict[str, _Family]:
        with self._lock:
            current, until = self._families, self._until
        if time.monotonic() < until:
            return current
        source = self._source()
        found = {family.name: family for family in families(source, _Counter, _Family)} if source else {}
        with self._lock:
            self._families, self._until = found, time.monotonic() + READING
        return found

    def callback(self, name: str) -> Callable[[metrics.CallbackOptions], Iterable[metrics.Observation]]:
        @guarded
        def read() -> list[metrics.Observation]:
            family = self.now().get(name)
            if family is None:
                return []
            return [metrics.Observation(value, labels) for value, labels in family.values]

        return lambda options: read() or ()

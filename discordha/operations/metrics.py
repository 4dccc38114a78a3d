"""Renders the Prometheus metrics of one replica from its counters and its status.

Guarantees: names and labels are stable; nothing is counted twice; rendering costs no round trip. Needs
``prometheus-client`` (``pip install 'discordha[operations]'``).

Threads and locks: no state; any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, Protocol

from discordha.stats import BUCKETS, STAGES, Histogram, Stats

__all__ = ["CONTENT_TYPE", "COUNTERS", "REST_COUNTERS", "REST_GAUGES", "MetricsSource", "families", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: The metrics of the counters in ``Stats``: name, description, label.
COUNTERS = {
    "received": ("events_received", "Events that arrived and have a handler.", "event"),
    "claimed": ("events_claimed", "Events that this replica claimed and started.", "event"),
    "handled": ("events_handled", "Events whose handlers all succeeded.", "event"),
    "failed": ("events_failed", "Events with a handler that raised an error.", "event"),
    "lost": ("events_lost", "Events whose handlers ended because the session was lost.", "event"),
    "taken_over": ("events_taken_over", "Events that another replica had started.", "event"),
    "parked": ("events_parked", "Events that waited for another replica, their owner.", "event"),
    "hedged": ("events_hedged", "Events taken because the preferred replica was late.", "event"),
    "session_lost": ("events_retried", "Events that were queued again after a lost session.", "event"),
    "dropped": ("events_dropped", "Events that were dropped, by reason.", "reason"),
    "dated_ahead": ("events_dated_ahead", "Events dated minutes ahead of this machine's clock.", "event"),
    "dead": ("dead_letters", "Events that became dead letters.", "event"),
    "handlers": ("handler_runs", "Runs of handlers, by outcome.", "outcome"),
    "interactions": (
        "interactions",
        "Interactions by answer: deferred, resumed, late, gone.",
        "how",
    ),
    "command_syncs": ("command_syncs", "How often Discord was told of changed commands.", "scope"),
    "gaps": ("gaps", "Times without any replica that this leader has begun to catch up.", "shard"),
    "caught_up": ("events_caught_up", "Events of such times that arrived here and have a handler.", "event"),
    "loop_runs": ("loop_runs", "Runs of periodic tasks.", "loop"),
    "loop_errors": ("loop_errors", "Runs of periodic tasks that raised an error.", "loop"),
}
#: The metrics of requests to Discord, while replicas share the limit.
REST_GAUGES = ("limit", "share", "in_flight", "waiting", "paused_for")
REST_COUNTERS = (
    "requests",
    "background",
    "delayed",
    "withheld",
    "refused",
    "limited_global",
    "limited_user",
    "limited_shared",
)
#: The metrics of each shard's connection: kind, name, description.
_GATEWAY = (
    ("gauge", "connected", "1 when the shard is connected to Discord."),
    ("gauge", "latency", "Seconds between a heartbeat and its acknowledgement."),
    ("counter", "disconnects", "Ends of the shard's connections."),
    ("counter", "resumes", "Sessions of the shard that RESUME continued."),
    ("counter", "identifies", "Sessions of the shard that IDENTIFY began."),
    ("counter", "frames", "Frames that arrived for the shard."),
    ("counter", "gaps", "Gaps in the shard's frames, which RESUME filled."),
)


class MetricsSource(Protocol):
    """A replica as health checks and metrics read it. Any thread; never blocks."""

    stats: Stats

    def status(self) -> dict[str, Any]:
        """State, reasons for not being ready, session, watch, gateway, queue, leaders."""


def render(source: MetricsSource) -> bytes:
    """The metrics in Prometheus's text format. Does not block.

    :raises ImportError: prometheus-client is not installed.
    """
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class ReplicaCollector(Collector):
        def collect(self) -> Iterable[Any]:
            return _all_families(source)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(ReplicaCollector())
    return bytes(generate_latest(registry))


def families(source: MetricsSource, counter: Any, gauge: Any) -> Iterator[Any]:
    """All metrics but the latencies. Does not block.

    :param counter: makes a metric as prometheus-client's ``CounterMetricFamily`` does; so does ``gauge``.
    """
    counters: dict[str, dict[str, int]] = {}
    for (name, label), count in source.stats.counters().items():
        counters.setdefault(name, {})[label] = count
    for name, (title, text, label) in COUNTERS.items():
        family = counter(f"discordha_{title}", text, labels=[label])
        for value, count in sorted(counters.get(name, {}).items()):
            family.add_metric([value], count)
        yield family
    yield from _gauges(source.status(), counter, gauge)


def _all_families(source: MetricsSource) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    yield from families(source, CounterMetricFamily, GaugeMetricFamily)
    histograms = source.stats.histograms()
    stages = HistogramMetricFamily(
        "discordha_stage_seconds",
        "How long events were in each stage: " + "; ".join(f"{name} {what}" for name, what in STAGES.items()),
        labels=["stage"],
    )
    for name in STAGES:
        _add(stages, [name], histograms.get(name))
    yield stages
    whole = HistogramMetricFamily("discordha_event_seconds", "From arrival to the end of the handlers.")
    _add(whole, [], histograms.get("event"))
    yield whole


def _add(family: Any, labels: list[str], histogram: Histogram | None) -> None:
    counts, seconds = histogram if histogram is not None else ((0,) * (len(BUCKETS) + 1), 0.0)
    cumulated = accumulate(counts)
    bounds = (*map(str, BUCKETS), "+Inf")
    family.add_metric(labels, list(zip(bounds, cumulated, strict=True)), sum_value=seconds)


def _gauges(status: dict[str, Any], counter: Any, gauge: Any) -> Iterator[Any]:
    def one(kind: Any, name: str, text: str, value: float) -> Any:
        return kind(f"discordha_{name}", text, value=value)

    def labelled(kind: Any, name: str, text: str, label: str, values: Mapping[Any, float]) -> Any:
        family = kind(f"discordha_{name}", text, labels=[label])
        for key, value in values.items():
            family.add_metric([str(key)], float(value))
        return family

    info = gauge("discordha_replica", "Always 1; the labels name the replica.", labels=["replica", "version"])
    info.add_metric([status["replica"], status["version"]], 1)
    yield info
    yield one(gauge, "ready", "1 when this replica is ready.", status["ready"])
    yield one(gauge, "uptime_seconds", "Seconds since the start.", status["uptime"])
    yield labelled(gauge, "events", "Events in this replica, by state.", "state", status["queue"])
    text = "Events of scope leader that this replica keeps, by shard."
    yield labelled(gauge, "journal_events", text, "shard", status["journal"])
    yield one(gauge, "handlers_running", "Running handlers.", len(status["running"]))
    leads = {shard: leader == status["replica"] for shard, leader in status["leader"].items()}
    yield labelled(gauge, "leads", "1 when this replica leads the shard.", "shard", leads)
    for kind, name, text in _GATEWAY:
        values = {shard: state[name] for shard, state in status["gateway"].items()}
        yield labelled(counter if kind == "counter" else gauge, f"gateway_{name}", text, "shard", values)
    for name, value in status.get("rest", {}).items():
        if name in REST_GAUGES:
            yield one(gauge, f"rest_{name}", f"This replica's requests to Discord: {name}.", value)
        elif name in REST_COUNTERS:
            yield one(counter, f"rest_{name}", f"This replica's requests to Discord: {name}.", value)
    for name, value in status.get("identify", {}).items():
        if isinstance(value, int | float):
            text = f"The budget for new sessions at Discord, which all replicas share: {name}."
            yield one(gauge, f"identify_{name}", text, value)
    if gaps := {shard: not gap["over"] for shard, gap in status.get("gaps", {}).items()}:
        yield labelled(gauge, "catching_up", "1 while a gap of the shard is caught up.", "shard", gaps)
    session = status.get("session")
    if session is not None:
        yield one(gauge, "session_alive", "1 while the session lives.", session["alive"])
        yield one(counter, "session_renewals", "Renewals of the session.", session["renewals"])
        yield one(counter, "session_losses", "Losses of the session.", session["losses"])
        watch = status["watch"]
        yield one(gauge, "watch_alive", "1 while the watch on etcd is up.", watch["alive"])
        yield one(counter, "watch_losses", "Losses of the watch.", watch["losses"])
        yield one(counter, "watch_messages", "Messages of the watch.", watch["messages"])
        for name, count in status["etcd"].items():
            yield one(counter, f"etcd_{name}", f"This replica's use of etcd: {name}.", count)

"""Prometheus metrics of one replica, made from its counters when they are asked for.

Promises: names and labels are stable; nothing is counted twice; asking costs no round trip. Needs
``prometheus-client`` (``pip install 'discordha[operations]'``).

Concurrency: no thread; ``render`` may be called by any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

from discordha.operations.source import Source
from discordha.stats import BUCKETS, STAGES, Histogram

__all__ = ["CONTENT_TYPE", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Counters of the replica: name here, what it counts, the label's name.
_COUNTERS = {
    "received": ("events_received", "Events that a handler wants, as they came in.", "event"),
    "claimed": ("events_claimed", "Events that this replica claimed and began.", "event"),
    "handled": ("events_handled", "Events whose handlers all ended well.", "event"),
    "failed": ("events_failed", "Events with a handler that raised an error.", "event"),
    "lost": ("events_lost", "Events whose handlers were stopped because the session was lost.", "event"),
    "taken_over": ("events_taken_over", "Events that another replica had begun.", "event"),
    "parked": ("events_parked", "Events that wait for another replica, which owns them.", "event"),
    "hedged": (
        "events_hedged",
        "Events taken because the preferred replica did not within its grace.",
        "event",
    ),
    "session_lost": (
        "events_retried",
        "Events that went back in line because the session was lost.",
        "event",
    ),
    "dropped": ("events_dropped", "Events that were let go, by reason.", "reason"),
    "dead": ("dead_letters", "Events that became dead letters.", "event"),
    "handlers": ("handler_runs", "Runs of handlers, by how they ended.", "outcome"),
    "interactions": (
        "interactions",
        "Interactions that were deferred for their handler, resumed after a crash, late, or unanswerable.",
        "how",
    ),
    "command_syncs": ("command_syncs", "How often Discord was told of changed commands.", "scope"),
    "loop_runs": ("loop_runs", "Runs of periodic tasks.", "loop"),
    "loop_errors": ("loop_errors", "Runs of periodic tasks that raised an error.", "loop"),
}
#: Of the requests to Discord, where the replicas share their limit.
_REST_GAUGES = ("limit", "share", "in_flight", "waiting", "paused_for")
_REST_COUNTERS = (
    "requests",
    "delayed",
    "withheld",
    "refused",
    "limited_global",
    "limited_user",
    "limited_shared",
)


def render(source: Source) -> bytes:
    """The text that Prometheus reads. Does not block.

    :raises ImportError: prometheus-client is not installed.
    """
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Replica(Collector):
        def collect(self) -> Iterable[Any]:
            return _families(source)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Replica())
    return bytes(generate_latest(registry))


def _families(source: Source) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    counters: dict[str, dict[str, int]] = {}
    for (name, label), count in source.stats.counters().items():
        counters.setdefault(name, {})[label] = count
    for name, (title, text, label) in _COUNTERS.items():
        family = CounterMetricFamily(f"discordha_{title}", text, labels=[label])
        for value, count in sorted(counters.get(name, {}).items()):
            family.add_metric([value], count)
        yield family
    histograms = source.stats.histograms()
    stages = HistogramMetricFamily(
        "discordha_stage_seconds",
        "How long events were in each stage: " + "; ".join(f"{name} {what}" for name, what in STAGES.items()),
        labels=["stage"],
    )
    for name in STAGES:
        _add(stages, [name], histograms.get(name))
    yield stages
    whole = HistogramMetricFamily("discordha_event_seconds", "From reception to the handlers' end.")
    _add(whole, [], histograms.get("event"))
    yield whole
    yield from _gauges(source.status(), CounterMetricFamily, GaugeMetricFamily)


def _add(family: Any, labels: list[str], histogram: Histogram | None) -> None:
    counts, seconds = histogram if histogram is not None else ((0,) * (len(BUCKETS) + 1), 0.0)
    cumulated = accumulate(counts)
    bounds = (*map(str, BUCKETS), "+Inf")
    family.add_metric(labels, list(zip(bounds, cumulated, strict=True)), sum_value=seconds)


def _gauges(status: dict[str, Any], counter: Any, gauge: Any) -> Iterator[Any]:
    info = gauge("discordha_replica", "1; who this replica is.", labels=["replica", "version"])
    info.add_metric([status["replica"], status["version"]], 1)
    yield info
    yield gauge("discordha_ready", "1 when this replica is ready.", value=int(status["ready"]))
    yield gauge("discordha_uptime_seconds", "Since the start.", value=status["uptime"])
    queue = gauge("discordha_events", "Events in this replica, by state.", labels=["state"])
    for state, count in status["queue"].items():
        queue.add_metric([state], count)
    yield queue
    journal = gauge("discordha_journal_events", "Leader's events kept, by shard.", labels=["shard"])
    for shard, count in status["journal"].items():
        journal.add_metric([str(shard)], count)
    yield journal
    yield gauge("discordha_handlers_running", "Handlers that run now.", value=len(status["running"]))
    leads = gauge("discordha_leads", "1 when this replica leads the shard.", labels=["shard"])
    for shard, replica in status["leader"].items():
        leads.add_metric([str(shard)], int(replica == status["replica"]))
    yield leads
    for name, text in (
        ("connected", "1 when the shard is connected to Discord."),
        ("latency", "Seconds between a heartbeat and its answer."),
    ):
        family = gauge(f"discordha_gateway_{name}", text, labels=["shard"])
        for shard, state in status["gateway"].items():
            family.add_metric([str(shard)], float(state[name]))
        yield family
    for name in ("disconnects", "resumes", "identifies", "frames", "gaps"):
        family = counter(f"discordha_gateway_{name}", f"Of the shard's connection: {name}.", labels=["shard"])
        for shard, state in status["gateway"].items():
            family.add_metric([str(shard)], state[name])
        yield family
    rest = status.get("rest", {})
    for name in _REST_GAUGES:
        if name in rest:
            yield gauge(
                f"discordha_rest_{name}", f"Of this replica's requests to Discord: {name}.", value=rest[name]
            )
    for name in _REST_COUNTERS:
        if name in rest:
            yield counter(f"discordha_rest_{name}", f"Of its requests to Discord: {name}.", value=rest[name])
    for name, number in status.get("identify", {}).items():
        if isinstance(number, int | float):
            text = f"Of the budget for new sessions at Discord, which all replicas share: {name}."
            yield gauge(f"discordha_identify_{name}", text, value=number)
    session = status.get("session")
    if session is not None:
        yield gauge("discordha_session_alive", "1 while the session lives.", value=int(session["alive"]))
        yield counter("discordha_session_renewals", "Renewals of the session.", value=session["renewals"])
        yield counter("discordha_session_losses", "Losses of the session.", value=session["losses"])
        watch = status["watch"]
        yield gauge("discordha_watch_alive", "1 while the watch on etcd is up.", value=int(watch["alive"]))
        yield counter("discordha_watch_losses", "Losses of the watch.", value=watch["losses"])
        for name, count in status["etcd"].items():
            yield counter(f"discordha_etcd_{name}", f"Of this replica's use of etcd: {name}.", value=count)

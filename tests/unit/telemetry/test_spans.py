"""Spans and metrics without a replica: contexts in etcd, names of requests, an SDK that fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.records import (
    Attempts,
    ClaimRequest,
    marked_at,
    parse_claim,
    traceparent_of,
)
from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.errors import ConfigError
from discordha.gateway.spans import title_of
from discordha.operations.metrics import render
from discordha.stats import STAGES
from discordha.telemetry import make_telemetry, meters, spans
from discordha.telemetry.guard import guarded

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans of tracers that are made meanwhile."""
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def begin(parent: str | None = None) -> spans.EventTrace:
    found = spans.Telemetry("r1").begin("message", "1", 0, 2, 1.0, parent)
    assert found is not None
    return found


def test_an_attempt_continues_the_trace_of_the_one_before(exported: InMemorySpanExporter) -> None:
    first = begin()
    second = begin(first.traceparent)
    for each in (first, second):
        each.claimed(1.0, 2.0, 7)
        each.handled("handled", 3.0)
    ended = [span for span in exported.get_finished_spans() if span.name == "event message"]
    assert len({span.context.trace_id for span in ended}) == 1
    assert ended[1].parent.span_id == ended[0].context.span_id


@pytest.mark.parametrize("parent", ["", "nonsense", "00-0-0-00", "x" * 10_000, "00-" + "é" * 50])
def test_what_is_no_context_begins_a_trace(exported: InMemorySpanExporter, parent: str) -> None:
    begin(parent).handled("handled", 3.0)
    (span,) = exported.get_finished_spans()
    assert span.parent is None


def test_a_handlers_error_ends_its_span_and_is_raised(exported: InMemorySpanExporter) -> None:
    def fails(argument: int) -> None:
        assert trace.get_current_span().get_span_context().is_valid
        raise ValueError(f"no {argument}")

    each = begin()
    with pytest.raises(ValueError, match="no 3"):
        each.runs(fails, "fails")(3)
    assert not trace.get_current_span().get_span_context().is_valid
    (span,) = exported.get_finished_spans()
    assert (span.name, span.status.is_ok) == ("handler fails", False)
    assert span.events[0].attributes["exception.message"] == "no 3"


class Broken(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("broken")

    def on_end(self, span: Any) -> None:
        raise RuntimeError("broken")


def test_a_broken_sdk_changes_nothing_for_the_handler(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    monkeypatch.setattr("discordha.telemetry.guard._reported", set())
    telemetry = spans.Telemetry("r1")
    each = telemetry.begin("message", "1", 0, 1, 1.0, None)
    provider.add_span_processor(Broken())
    assert each is not None
    calls: list[int] = []
    for _ in range(3):
        each.runs(calls.append, "handler")(1)
        assert telemetry.begin("message", "1", 0, 1, 1.0, None) is None
    each.waited(1.0, 2.0)
    each.claimed(2.0, 3.0, 7)
    each.handled("handled")
    each.marked(4.0, 5.0, True)
    assert calls == [1, 1, 1]
    assert 1 <= len(caplog.records) <= 6  # each place says it once


def test_errors_are_logged_once_each(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discordha.telemetry.guard._reported", set())

    @guarded
    def fails() -> None:
        raise RuntimeError("broken")

    assert [fails(), fails(), fails()] == [None, None, None]
    assert len(caplog.records) == 1


def test_a_claim_carries_its_context_and_older_replicas_pass_over_it() -> None:
    value = f"r host 1 {PARENT}".encode()
    assert parse_claim(value) == ("r", "host", 1)
    assert traceparent_of(value) == PARENT
    assert traceparent_of(b"r host 1") is None
    assert traceparent_of(f"d host 1 {PARENT}".encode()) is None
    assert marked_at(b"d host 1 1700000000000") == 1_700_000_000.0
    record = ClaimRequest("message/1", 2, None, traceparent=PARENT).record(None, "host", 3)
    assert record["trace"] == PARENT
    assert "trace" not in ClaimRequest("message/1", 2, None).record(None, "host", 3)
    for stored, known in ((b'{"attempt": 2, "trace": 7}', "7"), (b'{"attempt": 2}', None)):
        attempts = Attempts.parse(stored)
        assert attempts is not None
        assert attempts.traceparent == known


def test_a_claim_that_vanishes_leaves_its_context_until_the_event_is_done() -> None:
    hints = ClaimHints("/root/", retention=60.0)

    def put(key: str, value: str) -> WatchEvent:
        return WatchEvent("put", KeyValue(key, value.encode(), 1, 1, 1, 0))

    gone = WatchEvent("delete", KeyValue("/root/e/message/1", b"", 0, 2, 0, 0))
    hints.on_events(1, [put("/root/e/message/1", f"r host 1 {PARENT}")])
    assert hints.traceparent("message/1") is None
    hints.on_events(2, [gone])
    assert hints.traceparent("message/1") == PARENT
    later = PARENT.replace("00f067aa0ba902b7", "00f067aa0ba902b8")
    hints.on_events(3, [put("/root/a/message/1", f'{{"attempt": 2, "trace": "{later}"}}')])
    assert hints.traceparent("message/1") == later
    hints.on_events(
        4,
        [
            put("/root/e/message/1", "d host 2 17"),
            WatchEvent("delete", KeyValue("/root/a/message/1", b"", 0, 2, 0, 0)),
        ],
    )
    assert hints.traceparent("message/1") is None


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/channels/123/messages", "/channels/{id}/messages"),
        (
            "/channels/123/messages/4/reactions/%F0%9F%91%8D/@me",
            "/channels/{id}/messages/{id}/reactions/{emoji}/@me",
        ),
        ("/interactions/123/aW50ZXJhY3Rpb24/callback", "/interactions/{id}/{token}/callback"),
        ("/webhooks/123/se-cr_et/messages/@original", "/webhooks/{id}/{token}/messages/@original"),
        ("/webhooks/123/456", "/webhooks/{id}/{token}"),
        ("/users/@me", "/users/@me"),
    ],
)
def test_a_requests_name_has_no_ids_and_no_secrets(path: str, title: str) -> None:
    assert title_of(path) == title


class Source:
    """A replica as metrics see it."""

    def __init__(self, stats: Any) -> None:
        self.stats = stats

    def status(self) -> dict[str, Any]:
        return {
            **{"replica": "r", "version": "1", "ready": True, "uptime": 1.0, "queue": {"waiting": 3}},
            **{"journal": {}, "running": [], "leader": {0: "r"}, "gateway": {}, "identify": {"remaining": 5}},
        }


def test_metrics_have_the_names_and_values_of_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr("opentelemetry.metrics.get_meter", provider.get_meter)
    stats = meters.MeteredStats()
    source = Source(stats)
    stats.add("handled", "message", 2)
    stats.note((), (*STAGES, "event"), (*[0.003] * len(STAGES), 0.2))
    meters.observe_replica(source)
    data = reader.get_metrics_data()
    found = {
        metric.name: {tuple(point.attributes.items()): point for point in metric.data.data_points}
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    for family in text_string_to_metric_families(render(source).decode()):
        values = {
            tuple(sample.labels.items()): sample.value
            for sample in family.samples
            if not sample.name.endswith(("_created", "_bucket", "_sum", "_count"))
        }
        if values:
            assert {labels: point.value for labels, point in found[family.name].items()} == values, (
                family.name
            )
    assert found["discordha_events_handled"][("event", "message"),].value == 2
    stages = found["discordha_stage_seconds"]
    assert {labels[0][1] for labels in stages} == set(STAGES)
    assert stages[("stage", "claim"),].count == 1
    del source
    provider.shutdown()


def test_off_imports_nothing_and_a_missing_api_is_said_before_anything_connects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = (
        "import sys, discordha; discordha.DiscordHA(token='x.y.z', ha=False); "
        "sys.exit(any('opentelemetry' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert make_telemetry(False, "r") is None
    monkeypatch.setitem(sys.modules, "discordha.telemetry.spans", None)
    with pytest.raises(ConfigError, match=r"telemetry needs .*discordha\[otel\]"):
        make_telemetry(True, "r")

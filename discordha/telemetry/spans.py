"""Spans of an event on its way through a replica.

Guarantees
- Each attempt at an event is one span, ``event <name>``, from the arrival of its frame to the mark. Inside it
  lie ``wait``, ``claim``, ``handler <name>`` for each handler, and ``mark``; requests to Discord lie inside
  their handler (``gateway.spans``). A handler's own spans do, too.
- The context of an attempt is kept with its claim in etcd. The next attempt, on whichever replica, continues
  its trace.
- An error of the SDK's changes nothing for the event.

Not guaranteed: the spans of a process that is killed. Those that had ended may have been exported; the span
of the attempt itself had not. The leader writes nothing before it starts an event, so an attempt at an event
without identity begins a trace of its own.

Threads and locks: no lock, no thread. An ``EventTrace`` belongs to its item, and moves between threads with
it. Where spans go, and whether one is sampled, is up to the SDK that the author sets up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from discordha._version import __version__
from discordha.errors import LockLost
from discordha.operations.metrics import MetricsSource
from discordha.telemetry.guard import guarded
from discordha.telemetry.meters import MeteredStats, observe_replica

__all__ = ["EventTrace", "Telemetry"]

_HEADER = "traceparent"
_propagator = TraceContextTextMapPropagator()


class Telemetry:
    """The tracer of one replica.

    :ivar stats: counters and latencies that are OpenTelemetry's metrics, too.
    """

    def __init__(self, replica_id: str) -> None:
        self._replica_id = replica_id
        self._tracer = trace.get_tracer("discordha", __version__)
        self.stats = MeteredStats()

    @guarded
    def observe(self, source: MetricsSource) -> None:
        """Begins to show a replica's metrics, once it has started. Does not block."""
        observe_replica(source)

    @guarded
    def begin(  # noqa: PLR0917
        self, name: str, identity: str, shard_id: int, attempt: int, received_at: float, parent: str | None
    ) -> EventTrace:
        """Begins the span of one attempt. Does not block; any thread.

        :param received_at: when the event arrived, monotonic seconds.
        :param parent: the context of the attempt before, as that one's ``traceparent`` told it.
        """
        before = _propagator.extract({_HEADER: parent}) if parent else contexts.Context()
        # For display only: a span's times are those of this machine's clock.
        offset = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(
            f"event {name}",
            before,
            trace.SpanKind.CONSUMER,
            {
                "discordha.event.name": name,
                "discordha.event.id": identity,
                "discordha.attempt": attempt,
                "discordha.shard_id": shard_id,
                "discordha.replica_id": self._replica_id,
            },
            start_time=offset + int(received_at * 1e9),
        )
        return EventTrace(self._tracer, span, offset)


class EventTrace:
    """The spans of one attempt at an event. All times are monotonic seconds. Nothing blocks.

    :ivar traceparent: the attempt's context in the form of the W3C's header; ``None``: there is none.
    :ivar over: the attempt has ended here.
    """

    __slots__ = ("_context", "_offset", "_span", "_tracer", "over", "traceparent")

    def __init__(self, tracer: trace.Tracer, span: trace.Span, offset: int) -> None:
        self._tracer = tracer
        self._span = span
        self._offset = offset
        self._context = trace.set_span_in_context(span, contexts.Context())
        self.over = False
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, self._context)
        self.traceparent = carrier.get(_HEADER)

    @guarded
    def waited(self, since: float, until: float) -> None:
        """The event waited: for other replicas' turns, in the queue, behind others of its lane."""
        self._part("wait", since, until)

    @guarded
    def claimed(self, asked: float, answered: float, token: int | None) -> None:
        """etcd has answered a claim; the fencing token, or ``None``: another replica has the event."""
        self._part("claim", asked, answered)
        if token is None:
            self._end("held", answered)
        else:
            self._span.set_attribute("discordha.fencing_token", token)

    def runs(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A handler that runs inside a span of its own."""

        def run(*args: Any) -> Any:
            started = self._enter(name)
            try:
                result = function(*args)
            except BaseException as error:
                self._leave(started, error)
                raise
            self._leave(started, None)
            return result

        return run

    @guarded
    def handled(self, outcome: str, at: float | None = None) -> None:
        """The handlers have ended: with ``handled``, ``failed`` or ``lost``.

        :param at: ends the attempt, too; ``None``: its mark is still to come.
        """
        if at is None:
            self._span.set_attribute("discordha.outcome", outcome)
        else:
            self._end(outcome, at)

    @guarded
    def marked(self, ended: float, answered: float, marked: bool) -> None:
        """etcd has answered the mark. Ends the attempt."""
        self._part("mark", ended, answered)
        self._end(None if marked else "mark refused", answered)

    def _part(self, name: str, since: float, until: float) -> None:
        span = self._tracer.start_span(name, self._context, start_time=self._at(since))
        span.end(self._at(max(since, until)))

    def _at(self, moment: float) -> int:
        return self._offset + int(moment * 1e9)

    def _end(self, outcome: str | None, at: float) -> None:
        if outcome is not None:
            self._span.set_attribute("discordha.outcome", outcome)
        if outcome in {"failed", "lost", "mark refused"}:
            self._span.set_status(trace.Status(trace.StatusCode.ERROR, outcome))
        self.over = True
        self._span.end(self._at(at))

    @guarded
    def _enter(self, name: str) -> tuple[trace.Span, Any]:
        span = self._tracer.start_span(
            f"handler {name}", self._context, attributes={"code.function.name": name}
        )
        return span, contexts.attach(trace.set_span_in_context(span))

    @guarded
    def _leave(self, started: tuple[trace.Span, Any] | None, error: BaseException | None) -> None:
        if started is None:
            return
        span, token = started
        contexts.detach(token)
        if isinstance(error, LockLost):
            span.set_attribute("discordha.outcome", "lost")
        if error is not None:
            span.record_exception(error)
            span.set_status(trace.Status(trace.StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        span.end()

"""A span for each request to Discord that code with a span makes: a handler, or whatever the author traces.

Guarantees: no token reaches a span. The ids in a path, and the tokens of interactions and webhooks, are
replaced by the names of what they are.

Threads and locks: everything runs on the gateway's loop. The task of a blocking call has the context of the
handler that made it.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import aiohttp
from discord.http import Route
from opentelemetry import trace

from discordha._version import __version__
from discordha.telemetry.guard import guarded

__all__ = ["rest_spans", "title_of"]

_TOKEN = re.compile(r"/(interactions|webhooks)/(\d+)/[^/]+")
_REACTION = re.compile(r"/reactions/[^/]+")
_ID = re.compile(r"/\d+(?=/|$)")


def title_of(path: str) -> str:
    """A request's path without what is in it once only, or secret."""
    path = _TOKEN.sub(r"/\1/\2/{token}", path)
    return _ID.sub("/{id}", _REACTION.sub("/reactions/{emoji}", path))


def rest_spans() -> aiohttp.TraceConfig:
    """The hooks of aiohttp that make the spans."""
    tracer = trace.get_tracer("discordha", __version__)

    @guarded
    def begin(context: SimpleNamespace, params: aiohttp.TraceRequestStartParams) -> None:
        address = str(params.url)
        if (
            not address.startswith(f"{Route.BASE}/")
            or not trace.get_current_span().get_span_context().is_valid
        ):
            return
        path = title_of(params.url.path.removeprefix(_base_path()))
        context.discordha_span = tracer.start_span(
            f"{params.method} {path}",
            kind=trace.SpanKind.CLIENT,
            attributes={
                "http.request.method": params.method,
                "url.template": path,
                "server.address": params.url.host or "",
            },
        )

    @guarded
    def end(context: SimpleNamespace, status: int | None, error: BaseException | None) -> None:
        span: trace.Span | None = getattr(context, "discordha_span", None)
        if span is None:
            return
        context.discordha_span = None
        if status is not None:
            span.set_attribute("http.response.status_code", status)
            if status >= 400:
                span.set_status(trace.Status(trace.StatusCode.ERROR))
        if error is not None:  # its text may hold the address, with a token
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
        span.end()

    async def on_start(_session: Any, context: SimpleNamespace, params: Any) -> None:
        begin(context, params)

    async def on_end(_session: Any, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        end(context, params.response.status, None)

    async def on_exception(
        _session: Any, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
    ) -> None:
        end(context, None, params.exception)

    hooks = aiohttp.TraceConfig()
    hooks.on_request_start.append(on_start)
    hooks.on_request_end.append(on_end)
    hooks.on_request_exception.append(on_exception)
    return hooks


def _base_path() -> str:
    """The path of the API's address: ``/api/v10``."""
    return "/" + Route.BASE.split("://", 1)[-1].partition("/")[2]

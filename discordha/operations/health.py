"""Serves health and metrics over HTTP: ``/livez``, ``/readyz``, ``/metrics``.

Guarantees
- ``/livez`` answers 200 while the process can answer at all. ``/readyz`` answers 200 when this replica takes
  its share of events, else 503 with the reasons as JSON. ``/metrics`` answers in Prometheus's text format.
- Answers come from memory: they wait neither for etcd nor for Discord, nor for a lock that is held during
  I/O. Slow and silent clients harm no other: see ``http``.

Threads and locks: those of ``HttpServer``, whose thread ``discordha-http`` calls the handlers. No state.
"""

from __future__ import annotations

from aiohttp import web

from discordha.operations import metrics
from discordha.operations.http import HttpServer, Routes
from discordha.operations.metrics import MetricsSource

__all__ = ["HealthRoutes", "HealthServer"]


class HealthRoutes:
    """The health of one replica, as ``Routes``. Without a source, whether the process answers alone."""

    def __init__(self, source: MetricsSource | None = None) -> None:
        self._source = source

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/livez", self._live)
        if self._source is not None:
            app.router.add_get("/readyz", self._ready)
            app.router.add_get("/metrics", self._metrics)

    async def close(self) -> None:
        """Nothing runs beside the handlers."""

    async def _live(self, request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _ready(self, request: web.Request) -> web.Response:
        assert self._source is not None
        status = self._source.status()
        body = {name: status[name] for name in ("ready", "reasons", "replica", "state")}
        return web.json_response(body, status=200 if status["ready"] else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        assert self._source is not None
        try:
            body = metrics.render(self._source)
        except ImportError:
            text = "metrics need prometheus-client: pip install 'discordha[operations]'\n"
            return web.Response(status=501, text=text)
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})


class HealthServer(HttpServer):
    """Serves the health of one replica, and what else is given.

    :param address: ``host:port``, or ``:port`` for all interfaces, IPv4 and IPv6; port 0 takes a free one.
    :raises ConfigError: the address cannot be used.
    """

    def __init__(self, source: MetricsSource, address: str, *others: Routes) -> None:
        super().__init__(address, HealthRoutes(source), *others)

    # Steps of a replica's life, by their own names.
    def start(self) -> None:
        """Starts the server. Does not block."""
        super().start()

    def stop(self) -> None:
        """Ends the server. Blocks for a moment. Idempotent."""
        super().stop()

"""Serves health and metrics over HTTP: ``/livez``, ``/readyz``, ``/metrics``.

Guarantees
- ``/livez`` answers 200 while the process can answer at all. ``/readyz`` answers 200 when this replica takes
  its share of events, else 503 with the reasons as JSON. ``/metrics`` answers in Prometheus's text format.
- Answers come from memory: they wait neither for etcd nor for Discord, nor for a lock that is held during
  I/O.
- Slow and silent clients harm no other: each request has a thread of its own and ``REQUEST_TIMEOUT`` seconds.
  Beyond ``MAX_REQUESTS`` at once, the server closes new ones.

Threads and locks: ``HealthServer`` owns the thread ``discordha-http``: ``start`` starts it, ``stop`` joins
it. ``_lock`` guards ``_open``, the number of requests.
"""

from __future__ import annotations

import errno
import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from discordha.errors import ConfigError
from discordha.operations import metrics
from discordha.operations.metrics import MetricsSource

__all__ = ["HealthServer"]

_log = logging.getLogger(__name__)

#: How long a client may take to send its request, seconds.
REQUEST_TIMEOUT = 5.0
#: All interfaces; with both families on one socket, IPv4, too.
ANY = "::"
#: Requests at once.
MAX_REQUESTS = 32


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._free = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        if self.server_address[0] == ANY:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a health request failed", exc_info=True)


class HealthServer:
    """Serves the health of one replica.

    :param address: ``host:port``, or ``:port`` for all interfaces, IPv4 and IPv6; port 0 takes a free one.
    :raises ConfigError: the address cannot be used.
    """

    def __init__(self, source: MetricsSource, address: str) -> None:
        host, _, port = address.rpartition(":")
        handler = type("Handler", (_Handler,), {"source": source})
        try:
            self._server = _listen(host.strip("[]"), int(port), handler)
        except OSError as error:
            raise ConfigError(f"http_address {address!r} cannot be used: {error.strerror or error}") from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="discordha-http", daemon=True
        )

    def start(self) -> None:
        """Starts the server. Does not block."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the server. Blocks for a moment. Idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def _listen(host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> _Server:
    if not host and socket.has_dualstack_ipv6():
        try:
            return _Server((ANY, port), handler)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            # The kernel knows IPv6, and this host has no address of it.
    return _Server((host, port), handler)


class _Handler(BaseHTTPRequestHandler):
    source: MetricsSource
    timeout = REQUEST_TIMEOUT
    server_version = "discordha"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path == "/livez":
            self._answer(200, "application/json", b'{"alive": true}')
        elif path == "/readyz":
            status = self.source.status()
            body = {name: status[name] for name in ("ready", "reasons", "replica", "state")}
            self._answer(200 if status["ready"] else 503, "application/json", json.dumps(body).encode())
        elif path == "/metrics":
            try:
                self._answer(200, metrics.CONTENT_TYPE, metrics.render(self.source))
            except ImportError:
                text = b"metrics need prometheus-client: pip install 'discordha[operations]'\n"
                self._answer(501, "text/plain", text)
        else:
            self._answer(404, "text/plain", b"/livez, /readyz, /metrics\n")

    do_HEAD = do_GET

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug("%s %s", self.address_string(), format % args)

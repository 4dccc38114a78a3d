"""A small HTTP server on a thread of its own, which health, metrics and the operator's page share: aiohttp.

Guarantees
- Slow and silent clients harm no other. A connection without a request after ``REQUEST_TIMEOUT`` seconds is
  closed, and so are those beyond ``MAX_CONNECTIONS``.
- ``stop`` ends long answers, too, within ``STOP_TIMEOUT`` and a moment.

Threads and locks: ``HttpServer`` owns the thread ``discordha-http``, which runs the server's loop: ``start``
starts it, ``stop`` joins it. No lock: the loop's thread owns everything else. Handlers must not block; what
waits for etcd runs elsewhere. The server knows neither session nor watch.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Protocol

from aiohttp import web

from discordha.errors import ConfigError
from discordha.process.threads import unending

__all__ = ["MAX_CONNECTIONS", "HttpServer", "Routes"]

_log = logging.getLogger(__name__)

#: How long a client may take to send its request, seconds.
REQUEST_TIMEOUT = 5.0
#: How long an idle connection is kept for the next request, seconds.
KEEPALIVE = 15.0
#: How long answers under way have at the end, seconds.
STOP_TIMEOUT = 0.5
#: Connections at once.
MAX_CONNECTIONS = 256
#: The largest body of a request, bytes.
MAX_BODY = 64 * 1024
_BACKLOG = 64


class Routes(Protocol):
    """Something that answers requests."""

    def add_to(self, app: web.Application) -> None:
        """Adds the handlers; loop thread."""

    async def close(self) -> None:
        """Ends what runs beside the handlers, and every long answer; loop thread. Must not block."""


class _Refused(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class HttpServer:
    """Serves ``routes`` on one address.

    :param address: ``host:port``, or ``:port`` for all interfaces, IPv4 and IPv6; port 0 takes a free one.
    :raises ConfigError: the address cannot be used.
    """

    def __init__(self, address: str, *routes: Routes) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._socket = _listen(host.strip("[]"), int(port))
        except OSError as error:
            raise ConfigError(f"http_address {address!r} cannot be used: {error.strerror or error}") from None
        self._routes = routes
        self._stop = threading.Event()
        self._end: Callable[[], None] = lambda: None
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-http", daemon=True
        )

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Starts the server. Does not block."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the server. Blocks for ``STOP_TIMEOUT`` at most, and a moment. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._ready.wait(STOP_TIMEOUT)
            self._end()
            self._thread.join()
        self._socket.close()

    # -- the server's thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(_note)
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        self._end = lambda: _call(loop, end.set)
        self._ready.set()
        if self._stop.is_set():
            return
        async with self._listening():
            await end.wait()
            for routes in self._routes:
                await routes.close()
        self._end = lambda: None

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        guard = _Guard()
        app = web.Application(middlewares=[guard.middleware()], client_max_size=MAX_BODY)
        app.on_response_prepare.append(_sign)
        for routes in self._routes:
            routes.add_to(app)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            keepalive_timeout=KEEPALIVE,
            shutdown_timeout=STOP_TIMEOUT,
        )
        async with AsyncExitStack() as stack:
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            # A socket of its own, so that the server can be set up again after an error.
            server = await asyncio.get_running_loop().create_server(
                lambda: guard.connect(runner.server), sock=self._socket.dup()
            )
            stack.callback(server.close)
            yield


class _Guard:
    """Closes connections that bring no request in time, and those that are too many. Loop thread."""

    def __init__(self) -> None:
        self._expiries: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}

    def connect(self, server: Any) -> asyncio.BaseProtocol:
        """The protocol of a new connection."""
        if len(server.connections) >= MAX_CONNECTIONS:
            return _Refused()
        protocol: asyncio.BaseProtocol = server()
        self._expire(protocol, REQUEST_TIMEOUT)
        return protocol

    def _expire(self, protocol: Any, after: float) -> None:
        def close() -> None:
            self._expiries.pop(protocol, None)
            protocol.force_close()

        self._expiries[protocol] = asyncio.get_running_loop().call_later(after, close)

    def middleware(self) -> Any:
        """Keeps a connection while it is answered."""

        @web.middleware
        async def answer(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            expiry = self._expiries.get(request.protocol)
            if expiry is not None:
                expiry.cancel()
            try:
                return await handler(request)
            finally:
                self._expire(request.protocol, KEEPALIVE)

        return answer


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "discordha"
    response.headers["X-Content-Type-Options"] = "nosniff"


def _listen(host: str, port: int) -> socket.socket:
    if not host and socket.has_dualstack_ipv6():
        try:
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
            )
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            # The kernel knows IPv6, and this host has no address of it.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(function)


def _note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _log.debug("a request failed: %s", context.get("message"), exc_info=context.get("exception"))

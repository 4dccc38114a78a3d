"""The server's program: ``python -m discordha.testing.discord_server OPTIONS``, with the options as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from discordha.testing.discord_server.control import Control
from discordha.testing.discord_server.gateway import GatewayServer
from discordha.testing.discord_server.interactions import UserInteractions
from discordha.testing.discord_server.options import Options
from discordha.testing.discord_server.rest import RestServer
from discordha.testing.discord_server.sessions import GatewaySessions
from discordha.testing.discord_server.voice.server import VoiceServer
from discordha.testing.discord_server.world import World

__all__ = ["main"]

#: Thresholds of Python's garbage collector. It never walks the oldest objects, which are the record: that
#: would stop the server for 0.1 s after 10,000 actions and 0.2 s after 30,000, and look like a delay of the
#: bot.
GC_THRESHOLDS = (700, 10, 1_000_000)


class _Parts:
    """Everything that one Discord remembers."""

    def __init__(self, options: Options) -> None:
        self.sessions = GatewaySessions(options)
        self.world = World(options, self._emit)
        self.sessions.world = self.world
        self.voice = VoiceServer(options, self.world, self.sessions)
        self.gateway = GatewayServer(options, self.world, self.sessions, self.voice)
        self.rest = RestServer(options, self.world, self.gateway)
        self.interactions = UserInteractions(self.world)
        self.control = Control(
            self.world, self.sessions, self.gateway, self.rest, self.interactions, voice=self.voice
        )

    def _emit(self, name: str, payload: Mapping[str, Any]) -> None:
        if self.rest.pending_nonce is not None and name == "MESSAGE_CREATE":
            payload = {**payload, "nonce": self.rest.pending_nonce}
        self.sessions.emit(name, self.world.as_sent(name, payload))

    def expire(self) -> None:
        """Forgets what is over."""
        self.sessions.expire()
        self.voice.expire()
        self.interactions.trim()

    def close(self) -> None:
        """Nobody acts any more, and nothing is heard."""
        self.control.loads.close()
        self.voice.udp.close()


class _Server:
    """The listening sockets, and the Discord behind them, which ``reset`` replaces by a new one."""

    def __init__(self, options: Options) -> None:
        self._parts = _Parts(options)
        self._voice_endpoint = ""
        self._websockets: set[asyncio.BaseTransport] = set()

    async def serve(self, options: Options) -> None:
        """Serves until it is cancelled."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for path in ("/gateway/", "/gateway/{replica}", "/gateway"):
            app.router.add_get(path, self._gateway)
        for path in ("/api/v10/{path:.*}", "/r/{replica}/api/v10/{path:.*}"):
            app.router.add_route("*", path, self._rest)
        app.router.add_post("/control/reset", self._reset)
        app.router.add_post("/control/{name}", self._control)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", options.port, backlog=1024).start()
        await self._serve_voice(options)
        await self._open_voice(self._parts)
        gc.freeze()  # what is there now stays: collecting after a reset does not walk it
        print("local discord ready", flush=True)
        while True:
            await asyncio.sleep(5.0)
            self._parts.expire()

    async def _serve_voice(self, options: Options) -> None:
        """The voice gateway, on a port of its own, which VOICE_SERVER_UPDATE tells."""
        app = web.Application()
        app.router.add_get("/", self._voice)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.voice_cert, options.voice_key)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        self._voice_endpoint = f"127.0.0.1:{runner.addresses[0][1]}"

    async def _open_voice(self, parts: _Parts) -> None:
        await parts.voice.open_udp()
        parts.voice.endpoint = self._voice_endpoint

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        return await self._parts.rest.handle(request)

    async def _control(self, request: web.Request) -> web.StreamResponse:
        return await self._parts.control.handle(request)

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        with self._noted(request):
            return await self._parts.gateway.handle(request)

    async def _voice(self, request: web.Request) -> web.StreamResponse:
        with self._noted(request):
            return await self._parts.voice.handle(request)

    @contextmanager
    def _noted(self, request: web.Request) -> Iterator[None]:
        """While a WebSocket is served, ``reset`` can close it."""
        transport = request.transport
        if transport is None:  # the client has left already
            yield
            return
        self._websockets.add(transport)
        try:
            yield
        finally:
            self._websockets.discard(transport)

    async def _reset(self, request: web.Request) -> web.Response:
        """A new Discord with new options; the port and the voice gateway's certificate stay."""
        parts = _Parts(Options(**await request.json()))
        await self._open_voice(parts)
        old, self._parts = self._parts, parts
        old.close()
        for transport in self._websockets:
            transport.close()
        del old
        await asyncio.sleep(0)
        gc.collect()  # the record of all that happened is full of cycles; see GC_THRESHOLDS
        return web.Response(text="null")


async def _serve(options: Options) -> None:
    await _Server(options).serve(options)


def main() -> None:
    """Serves until it is killed."""
    gc.set_threshold(*GC_THRESHOLDS)
    options = Options(**json.loads(sys.argv[1]))
    asyncio.run(_serve(options))


if __name__ == "__main__":
    main()

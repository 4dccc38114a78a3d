"""The server's program: ``python -m discordha.testing.discord_server OPTIONS``, with the options as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
from collections.abc import Mapping
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


async def _serve(options: Options) -> None:
    sessions = GatewaySessions(options)
    rest: RestServer | None = None

    def emit(name: str, payload: Mapping[str, Any]) -> None:
        if rest is not None and rest.pending_nonce is not None and name == "MESSAGE_CREATE":
            payload = {**payload, "nonce": rest.pending_nonce}
        sessions.emit(name, payload)

    world = World(options, emit)
    sessions.world = world
    voice = VoiceServer(options, world, sessions)
    gateway = GatewayServer(options, world, sessions, voice)
    rest = RestServer(options, world, gateway)
    interactions = UserInteractions(world)
    control = Control(world, sessions, gateway, rest, interactions, voice=voice)

    app = web.Application(client_max_size=64 * 1024 * 1024)
    for path in ("/gateway/", "/gateway/{replica}", "/gateway"):
        app.router.add_get(path, gateway.handle)
    app.router.add_route("*", "/api/v10/{path:.*}", rest.handle)
    app.router.add_route("*", "/r/{replica}/api/v10/{path:.*}", rest.handle)
    app.router.add_post("/control/{name}", control.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port, backlog=1024).start()
    await _serve_voice(options, voice)
    print("local discord ready", flush=True)
    while True:
        await asyncio.sleep(5.0)
        sessions.expire()
        voice.expire()
        interactions.trim()


async def _serve_voice(options: Options, voice: VoiceServer) -> None:
    """Serves the voice gateway and UDP on ports of their own, which VOICE_SERVER_UPDATE tells."""
    app = web.Application()
    app.router.add_get("/", voice.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.voice_cert, options.voice_key)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    await voice.open_udp()
    voice.endpoint = f"127.0.0.1:{runner.addresses[0][1]}"


def main() -> None:
    """Serves until it is killed."""
    gc.set_threshold(*GC_THRESHOLDS)
    options = Options(**json.loads(sys.argv[1]))
    asyncio.run(_serve(options))


if __name__ == "__main__":
    main()

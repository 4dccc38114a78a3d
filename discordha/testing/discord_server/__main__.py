"""``python -m discordha.testing.discord_server OPTIONS``, with the options as JSON: serves until it is
killed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from .control import Control
from .gateway import GatewayServer
from .interactions import Interactions
from .options import Options
from .rest import RestServer
from .sessions import Sessions
from .voice import VoiceServer
from .world import World

__all__ = ["main"]

#: How many objects come before Python looks for cycles among the youngest, and how often it looks further.
#: Never among the oldest: those are the record of all that happened, and to walk it stops the server for
#: longer and longer (0.1 s after 10,000 actions, 0.2 s after 30,000), which looks like the bot's doing.
COLLECT = (700, 10, 1_000_000)


async def _serve(options: Options) -> None:
    sessions = Sessions(options)
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
    interactions = Interactions(world)
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
    """The voice gateway and its UDP port, each on a port of its own, which VOICE_SERVER_UPDATE tells."""
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
    """Serves."""
    gc.set_threshold(*COLLECT)
    options = Options(**json.loads(sys.argv[1]))
    asyncio.run(_serve(options))


if __name__ == "__main__":
    main()

"""A gateway session without discord.py: the frames as they come."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import discord

from discordha.testing import LocalDiscord, wait_for

__all__ = ["Frames", "raw_session"]


class Frames:
    """What one session has received."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of one type."""
        return [payload for name, payload in list(self.all) if name == kind]

    def wait(self, kind: str, count: int) -> list[dict[str, Any]]:
        """The payloads of one type, once there are so many."""
        wait_for(lambda: len(self.of(kind)) >= count, 20, f"{count} {kind}")
        return self.of(kind)


@contextmanager
def raw_session(local: LocalDiscord, intents: discord.Intents | None = None) -> Iterator[Frames]:
    """A session with all intents by default, which knows all guilds when the block begins."""
    frames = Frames()
    value = (intents or discord.Intents.all()).value

    async def receive() -> None:
        async with aiohttp.ClientSession() as http, http.ws_connect(local.gateway_url("raw")) as ws:
            await ws.send_json({"op": 2, "d": {"token": local.token, "intents": value}})
            async for message in ws:
                frame = json.loads(message.data)
                if frame["op"] == 0:
                    frames.all.append((frame["t"], frame["d"]))

    loop = asyncio.new_event_loop()
    task = loop.create_task(receive())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run, name="test-raw-gateway")
    thread.start()
    try:
        frames.wait("GUILD_CREATE", len(local.guild_ids))
        yield frames
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()

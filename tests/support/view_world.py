"""A guild on discord.py's connection state, without a network, for tests of views."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import discord

from discordha.blocking import LoopBridge, wrap
from discordha.context import CurrentEvent

__all__ = ["Http", "World", "event", "message_data"]


class Http:
    """Stands for discord.py's HTTP client, and records its requests."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.typing: list[int] = []
        self.threads: set[str] = set()

    async def send_message(self, channel_id: int, *, params: Any) -> dict[str, Any]:
        self.threads.add(threading.current_thread().name)
        payload = params.payload or {}
        self.sent.append({"channel": channel_id, **payload})
        return message_data(100 + len(self.sent), channel_id, payload.get("content", ""))

    async def send_typing(self, channel_id: int) -> None:
        self.typing.append(channel_id)

    async def logs_from(
        self, channel_id: int, limit: int, before: Any = None, **_: Any
    ) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        self.pages = [*getattr(self, "pages", []), limit]
        last = before if before is not None else 1000
        return [message_data(last - n, channel_id, "old") for n in range(1, min(limit, last) + 1)]


def message_data(message_id: int, channel_id: int, content: str) -> dict[str, Any]:
    author = {"id": "5", "username": "ann", "discriminator": "0", "avatar": None, "global_name": None}
    return {
        "id": str(message_id), "channel_id": str(channel_id), "content": content, "author": author,
        "type": 0, "attachments": [], "embeds": [], "mentions": [{**author, "id": "6"}], "mention_roles": [],
        "pinned": False, "mention_everyone": False, "tts": False, "timestamp": "2024-01-01T00:00:00+00:00",
        "edited_timestamp": None, "flags": 0, "components": [],
    }  # fmt: skip


class World:
    """A guild with a channel on a real connection state, over a fake HTTP client."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bridge: LoopBridge) -> None:
        self.loop = loop
        self.bridge = bridge
        self.http = Http()

        async def connect() -> discord.Client:
            client = discord.Client(intents=discord.Intents.all())
            client._connection.http = self.http  # type: ignore[assignment]
            client._connection.loop = loop
            return client

        self.client = bridge.call(connect())
        state = self.client._connection
        data: Any = {
            "id": "1", "name": "guild", "member_count": 3, "owner_id": "5",
            "roles": [{"id": "1", "name": "@everyone", "position": 0, "permissions": "0", "color": 0},
                      {"id": "2", "name": "mods", "position": 2, "permissions": "8", "color": 0}],
            "channels": [{"id": "7", "name": "general", "type": 0, "position": 0}],
            "members": [{"user": {"id": str(n), "username": f"u{n}", "discriminator": "0", "avatar": None},
                         "roles": ["2"], "joined_at": None, "flags": 0} for n in (5, 6)],
        }  # fmt: skip
        self.guild = discord.Guild(data=data, state=state)
        state._add_guild(self.guild)
        channel = self.guild.get_channel(7)
        assert isinstance(channel, discord.TextChannel)
        self.channel = channel
        self.message = discord.Message(state=state, channel=channel, data=message_data(50, 7, "hi"))  # type: ignore[arg-type]
        self.view: Any = wrap(self.message, bridge)


def event(is_lost: Any = lambda: False, token: int = 7, **changes: Any) -> CurrentEvent:
    values: dict[str, Any] = {
        "identity": "50",
        "name": "message",
        "attempt": 1,
        "shard_id": 0,
        "occurrence": 1,
    }
    return CurrentEvent(**{**values, "fencing_token": token, "is_lost": is_lost, **changes})

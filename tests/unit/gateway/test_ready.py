"""When a connection counts as ready: once discord.py knows all guilds that READY has listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import discord
from loop_thread import loop_thread

from discordha.config import Config
from discordha.gateway.tap import TappedClient


class Unheard:
    """A listener that takes everything."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


def test_a_session_whose_guilds_are_not_read_yet_is_not_ready() -> None:
    config = Config.build(
        token="MTA0.G.simulated-token-of-no-bot-0123456789abcdefghijkl",
        intents=discord.Intents.none(),
        ha=False,
    )
    found: list[bool] = []

    async def go_through(listener: Any) -> None:
        client = TappedClient(config, listener, None, key=0, number=0, shard_count=None)
        await client._async_setup_hook()
        client.dispatch("socket_event_type", "READY")
        found.append(client.state().ready)
        guild: Any = {"id": "1", "unavailable": True}
        client._connection._add_guild_from_data(guild)
        client.dispatch("connect")
        found.append(client.state().ready)
        client.dispatch("socket_event_type", "GUILD_CREATE")
        found.append(client.state().ready)

    with loop_thread() as (_, bridge):
        bridge.call(go_through(Unheard()))
    assert found == [False, False, True]

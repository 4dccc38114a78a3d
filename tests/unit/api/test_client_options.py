"""discord.py's options of a client: taken, checked, and held by every client from its beginning."""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import discord.state
import pytest
from loop_thread import loop_thread

import discordha
from discordha import Config, ConfigError, app_commands
from discordha.config import _CLIENT_OPTIONS, _NOT_TAKEN
from discordha.gateway.tap import TappedClient

BASE: dict[str, Any] = {"token": "x.y.z", "intents": discord.Intents.all(), "ha": False}


def test_every_option_of_discord_py_is_taken_or_refused_with_the_reason() -> None:
    theirs = set(re.findall(r"options\.(?:get|pop)\('(\w+)'", inspect.getsource(discord.Client)))
    theirs |= set(re.findall(r"options\.get\('(\w+)'", inspect.getsource(discord.state.ConnectionState)))
    assert {"activity", "proxy", "max_messages"} < theirs
    assert theirs - {"shard_count", "intents"} <= _CLIENT_OPTIONS | _NOT_TAKEN.keys()
    for name, reason in _NOT_TAKEN.items():
        with pytest.raises(ConfigError, match=f"{name} is an option of discord") as caught:
            discordha.DiscordHA(**BASE, **{name: 1})
        assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activity", "playing"),
        ("status", "idle"),
        ("allowed_mentions", {"everyone": False}),
        ("member_cache_flags", 7),
        ("max_messages", "many"),
    ],
)
def test_an_impossible_option_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^client_options: {name} can't be"):
        discordha.DiscordHA(**BASE, **{name: value})


def test_a_misspelt_option_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean allowed_mentions"):
        discordha.DiscordHA(**BASE, allow_mentions=None)


def test_a_client_has_them_from_its_beginning() -> None:
    seen: list[str] = []
    trace = aiohttp.TraceConfig()

    async def on_request_start(*_: Any) -> None:
        seen.append("start")

    trace.on_request_start.append(on_request_start)
    config = Config.build(
        **BASE,
        activity=discord.Game("chess"),
        status=discord.Status.idle,
        allowed_mentions=discord.AllowedMentions.none(),
        member_cache_flags=discord.MemberCacheFlags.none(),
        max_messages=None,
        chunk_guilds_at_startup=False,
        http_trace=trace,
        proxy="http://proxy.example:3128",
        assume_unsync_clock=False,
    )
    config = Config.build(config, max_messages=7)
    with loop_thread() as (_, bridge):

        async def make() -> TappedClient:
            return TappedClient(config, SimpleNamespace(), None, key=0, number=0, shard_count=None)  # type: ignore[arg-type]

        client = bridge.call(make())
        state = client._connection
        assert state._activity is not None
        assert state._activity["name"] == "chess"
        assert state._status == "idle"
        assert state.allowed_mentions == config.client_options["allowed_mentions"]
        assert state.member_cache_flags == discord.MemberCacheFlags.none()
        assert state.max_messages == 7
        assert not state._chunk_guilds
        assert client.http.proxy == "http://proxy.example:3128"
        assert client.http.use_clock
        assert on_request_start in client.http.http_trace.on_request_start  # type: ignore[union-attr]
        assert len(client.http.http_trace.on_request_start) == 2  # type: ignore[union-attr]


def test_a_tree_of_the_authors_own() -> None:
    class Mine(app_commands.CommandTree):
        def interaction_check(self, interaction: Any, /) -> bool:  # type: ignore[override]
            return False

    ha = discordha.DiscordHA(**BASE, tree_cls=Mine)
    assert type(ha.tree) is Mine
    with pytest.raises(ConfigError, match="delete every `await`"):

        class _Old(app_commands.CommandTree):
            async def interaction_check(self, interaction: Any, /) -> bool:
                return False

"""Bots written as subclasses, as ``discord.Client``'s are; and the client's names on ``DiscordHA``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import discord
import pytest
from loop_thread import loop_thread
from view_world import World

import discordha
from discordha.api.client import AllClients, ClientLookups
from discordha.blocking import View, wrap
from discordha.errors import ConfigError, DiscordHAError
from discordha.events import EVENTS

OPTIONS: dict[str, Any] = {"token": "token", "intents": discord.Intents.none(), "ha": False}


class Bot(discordha.DiscordHA):
    def __init__(self) -> None:
        super().__init__(**OPTIONS)
        self.seen: list[str] = []

    def on_message(self, message: Any) -> None:
        self.seen.append(message)

    def on_member_join(self, member: Any) -> None:
        self.seen.append(member)


class Louder(Bot):
    def on_message(self, message: Any) -> None:
        super().on_message(message.upper())


def handled(bot: discordha.DiscordHA) -> set[str]:
    """The events that have handlers; those of interactions are made from their arguments."""
    return {name for name in EVENTS.keys() - {"interaction"} if bot._registry.select(name, ())}


def test_methods_named_after_events_are_handlers() -> None:
    bot = Bot()
    assert handled(bot) == {"message", "member_join"}
    (handler,) = bot._registry.select("message", ["hi"])
    assert handler.name == f"{__name__}.Bot.on_message"
    handler.function("hi")
    assert bot.seen == ["hi"]
    louder = Louder()
    (handler,) = louder._registry.select("message", ["hi"])
    handler.function("hi")
    assert louder.seen == ["HI"]
    assert not handled(discordha.DiscordHA(**OPTIONS))


def test_methods_that_can_not_be_handlers_are_refused() -> None:
    class Asynchronous(discordha.DiscordHA):
        async def on_message(self, message: Any) -> None: ...

    class Misspelt(discordha.DiscordHA):
        def on_mesage(self, message: Any) -> None: ...

    class Short(discordha.DiscordHA):
        def on_message(self) -> None: ...

    class Erring(discordha.DiscordHA):
        def on_error(self, event: Any, *args: Any) -> None: ...  # type: ignore[override]

    for kind, words in (
        (Asynchronous, "delete every `await`"),
        (Misspelt, "message"),
        (Short, "on_message"),
        (Erring, "@ha.on_error"),
    ):
        with pytest.raises(ConfigError, match=words):
            kind(**OPTIONS)


def test_the_clients_names_are_views() -> None:
    with loop_thread() as (_, bridge):

        async def connect() -> discord.Client:
            return discord.Client(intents=discord.Intents.none())

        class Known(ClientLookups):
            def _running(self) -> Any:
                return SimpleNamespace(
                    client_view=wrap(client, bridge),
                    all_clients=AllClients(lambda: [client], lambda: client),
                    show=lambda value: wrap(value, bridge),
                )

        client = bridge.call(connect())
        known = Known()
        assert known.user is None
        assert list(known.guilds) == []
        assert (known.get_guild(1), known.get_channel(1), known.get_user(1)) == (None, None, None)
        channel = known.get_partial_messageable(7, guild_id=1)
        assert isinstance(channel, View)
        assert isinstance(channel, discord.PartialMessageable)
        assert (channel.id, channel.guild_id) == (7, 1)


def test_look_ups_go_over_all_clients() -> None:
    """A replica that hosts several shards has a client for each."""
    with loop_thread() as (loop, bridge):
        one, two = World(loop, bridge), World(loop, bridge)
        two.guild.id = 2
        two.client._connection._guilds = {2: two.guild}
        raw = AllClients(lambda: [one.client, two.client], lambda: one.client)
        assert raw.guilds == [one.guild, two.guild]
        assert raw.get_guild(2) is two.guild
        assert raw.get_guild(3) is None
        assert len(list(raw.get_all_channels())) == 2
        assert len(list(raw.get_all_members())) == 4
        assert raw.intents == one.client.intents


def test_the_clients_names_need_a_running_bot() -> None:
    bot = Bot()
    for ask in (lambda: bot.user, lambda: bot.get_guild(1), lambda: bot.fetch_user(1)):
        with pytest.raises(DiscordHAError, match="does not run"):
            ask()

"""``ordering`` of single handlers: which ones run under one claim, and in which lane."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from dispatcher_scene import OURS, Scene

from discordha import ConfigError, DiscordHA
from discordha.context import current_event
from discordha.ext import commands
from discordha.testing import wait_for


@pytest.fixture
def scene() -> Any:
    scene = Scene()
    yield scene
    scene.stop()


def keys(scene: Scene) -> list[tuple[str, str]]:
    known = scene.dispatcher._pending._known.values()
    return sorted((item.key, item.lane) for item in known)


def test_handlers_of_different_orders_run_under_claims_of_their_own(scene: Scene) -> None:
    scene.dispatcher._registry.add(lambda message: None, "message", ordering="none")
    scene.dispatcher._registry.add(lambda message: None, "message", ordering="guild")
    scene.dispatcher.begin_drain()
    scene.dispatcher._router.gives_back = lambda item: True  # type: ignore[method-assign]
    scene.receive(7, OURS)
    assert keys(scene) == [
        ("message/7", "claim/1"),
        ("message/7/=guild", "claim/1"),
        ("message/7/=none", "claim/message/7/=none"),
    ]


def test_a_handler_without_an_order_alone_has_the_events_own_claim(scene: Scene) -> None:
    began, gate, identities = threading.Event(), threading.Event(), list[str]()

    def alone(entry: Any) -> None:
        event = current_event()
        assert event is not None
        identities.append(event.identity)
        began.set()
        gate.wait(10)

    registry = scene.dispatcher._registry
    registry.add(alone, "audit_log_entry_create", ordering="none")
    entry = SimpleNamespace(id=OURS, guild=SimpleNamespace(id=OURS))
    scene.dispatcher.receive("audit_log_entry_create", (entry,), None, 0, 0)
    assert began.wait(10)
    ((key, lane),) = keys(scene)
    assert key == f"audit_log_entry_create/{identities[0]}"
    assert lane == f"claim/{key}"
    gate.set()
    wait_for(lambda: not keys(scene), 10, "its end")


def test_an_impossible_ordering_is_refused_where_it_is_written() -> None:
    ha = DiscordHA(token="x" * 60, ha=False)
    with pytest.raises(ConfigError, match=r"ordering of .* must be 'channel' or 'guild' or 'none'"):
        ha.listen("message", ordering="user")(lambda message: None)
    with pytest.raises(ConfigError, match="ordering of roll must be"):

        @ha.command(ordering="never")
        def roll(interaction: Any) -> None: ...

    with pytest.raises(ConfigError, match="ordering of"):
        commands.Cog.listener(ordering="never")(lambda self, message: None)
    with pytest.raises(ConfigError, match="ordering of pong must be"):

        @commands.command(name="pong", ordering="never")
        def ping(ctx: Any) -> None: ...


def test_every_way_to_declare_a_handler_takes_it() -> None:
    class Games(commands.Cog):
        @commands.Cog.listener(ordering="none")
        def on_message(self, message: Any) -> None: ...

        @commands.command(ordering="none")
        def play(self, ctx: Any) -> None: ...

    bot = commands.Bot("!", token="x" * 60, ha=False)
    bot.add_cog(Games())

    @bot.event(ordering="guild")
    def on_message_edit(before: Any, after: Any) -> None: ...

    def ordering(event: str) -> list[str | None]:
        return [handler.ordering for handler in bot._registry._by_event[event]]

    assert ordering("message") == ["none"]
    assert ordering("message_edit") == ["guild"]
    message = SimpleNamespace(content="!play", author=SimpleNamespace(bot=False))
    (handler,) = bot._handlers_for((message,))
    assert handler.ordering == "none"
    assert bot.get_command("play").copy().ordering == "none"

"""Calls that would wait for their own caller, or could never be ended, are refused at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from discordha import DiscordHA, DiscordHAError
from discordha.blocking import nonces
from discordha.context import CurrentEvent, check_fence, current_event, handler_scope
from discordha.coordination.voice.deliveries import VoiceDelivery
from discordha.dispatch.handlers import Handler
from discordha.dispatch.runner import Outcome, Runner
from discordha.events import Scope
from discordha.stats import Stats
from discordha.testing import wait_for
from discordha.voice.player import GuildPlayer
from discordha.voice.tracks import open_track


@pytest.fixture
def ha() -> DiscordHA:
    return DiscordHA(token="a.b.c", intents=discord.Intents.none(), ha=False)


def refusal(call: Callable[[], None]) -> str:
    """The error of a call on a thread of its own."""
    errors: list[str] = []

    def work() -> None:
        try:
            call()
        except DiscordHAError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    return errors[0] if errors else ""


@pytest.mark.parametrize("kind", ["message", "loop"])
def test_handlers_and_loops_cannot_stop_or_run_their_bot(ha: DiscordHA, kind: str) -> None:
    event = CurrentEvent("1", kind, 1, 0, 0, 1, lambda: False)
    for name, call in {"stop": ha.stop, "run": ha.run}.items():
        with handler_scope(event, "bot.on_message"), pytest.raises(DiscordHAError) as refused:
            call()
        assert f"{name}() was called by bot.on_message" in str(refused.value)
        assert "os.kill(os.getpid(), signal.SIGTERM)" in str(refused.value)
    ha.stop()  # outside of handlers it may be called


def fails() -> None:
    raise ValueError("of the handler")


def run_with_hook(hook: Callable[..., None], *, lost: bool = False) -> Outcome:
    event = CurrentEvent("1", "message", 1, 0, 7, 1, lambda: lost)
    runner = Runner(None, Stats(), on_error=hook)  # type: ignore[arg-type] - nothing calls Discord
    handler = Handler(fails, "message", Scope.CLAIM, None, "bot.on_message")
    return runner.run(event, [handler], (), started=time.monotonic())


def test_an_error_hook_cannot_stop_or_run_its_bot(ha: DiscordHA) -> None:
    refused: list[str] = []

    def hook(event: object, handler: object, error: object) -> None:
        for call in (ha.stop, ha.run):
            try:
                call()
            except DiscordHAError as no:
                refused.append(str(no))

    assert run_with_hook(hook) is Outcome.FAILED
    assert [text.partition(", which")[0] for text in refused] == [
        f"{name}() was called by on_error of bot.on_message" for name in ("stop", "run")
    ]


def test_an_error_hook_has_nonces_of_its_own() -> None:
    found: list[str] = []

    def hook(event: object, handler: object, error: object) -> None:
        current = current_event()
        assert current is not None
        found.append(nonces.nonce_for(current, 0))

    run_with_hook(hook)
    run_with_hook(hook)
    with handler_scope(CurrentEvent("1", "message", 1, 0, 7, 1, lambda: False), "bot.on_message") as current:
        assert current is not None
        found.append(nonces.nonce_for(current, 0))
    assert found[0] == found[1] != found[2]  # the handler may have sent a message before it failed


def test_an_event_whose_error_hook_was_refused_a_call_is_run_again() -> None:
    assert run_with_hook(lambda *_: check_fence("send"), lost=True) is Outcome.LOST
    assert run_with_hook(lambda *_: None, lost=True) is Outcome.FAILED


def test_a_voice_workers_callbacks_cannot_stop_their_bot(ha: DiscordHA) -> None:
    """A stop waits for the guild's thread, and that for the callback."""
    refused: list[str] = []

    def stops(*_: object) -> Any:
        try:
            ha.stop()
        except DiscordHAError as error:
            refused.append(str(error).partition(", which")[0])
        return b""

    class Source(discord.AudioSource):
        read = stops

    open_track(Source()).close()
    assert refused == ["stop() was called by the source of a sound"]

    class Delivery(VoiceDelivery):
        lost, owned, action, file, position, volume = (
            False,
            SimpleNamespace(lost=False),
            "play",
            "x",
            None,
            1.0,
        )

        def __init__(self) -> None: ...
        def ack(self) -> None: ...

    consumer: Any = SimpleNamespace(hold=lambda *_: None, waiting=lambda _: [])
    host: Any = SimpleNamespace()
    player = GuildPlayer(7, host, consumer, resolve=stops, linger=60.0, on_end=lambda _: None)
    player.put(Delivery())
    player.start()
    wait_for(lambda: len(refused) == 2, 10, "the refusal")
    player.stop()
    assert player.join(10)
    assert refused[1] == "stop() was called by the voice worker's resolve of guild 7"


def test_run_belongs_on_the_main_thread(ha: DiscordHA) -> None:
    assert "run() needs the main thread" in refusal(ha.run)

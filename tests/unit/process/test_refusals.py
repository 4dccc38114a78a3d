"""Calls that would wait for their own caller, or could never be ended, are refused at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import discord
import pytest

from discordha import DiscordHA, DiscordHAError
from discordha.context import CurrentEvent, handler_scope


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


def test_run_belongs_on_the_main_thread(ha: DiscordHA) -> None:
    assert "run() needs the main thread" in refusal(ha.run)

"""Each wrong declaration is refused where it is written, with the right one in the error, or works."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from loop_fleet import run_alone

import discordha
from discordha import ConfigError, app_commands
from discordha.api.wait_for import Waiters
from discordha.blocking import LoopBridge
from discordha.commands.trampoline import Trampoline, adapt
from discordha.context import CurrentEvent
from discordha.dispatch.handlers import Handler, HandlerRegistry
from discordha.dispatch.runner import Outcome, Runner
from discordha.events import Scope
from discordha.stats import Stats


@pytest.fixture
def ha() -> discordha.DiscordHA:
    return discordha.DiscordHA(token="x.y.z", intents=discord.Intents.none(), ha=False)


async def coroutine(*args: Any) -> bool:
    return False


def generator(*args: Any) -> Iterator[Any]:
    yield args


def nothing() -> None:
    """Takes nothing."""


def one(message: Any) -> None:
    """Takes one."""


Declare = Callable[[Any], Any]
WRONG: list[tuple[str, Declare, str]] = [
    ("loop of async def", lambda ha: ha.loop(seconds=1)(coroutine), r"Loops are plain.*def coroutine"),
    ("loop of a generator", lambda ha: ha.loop(seconds=1)(generator), "Loops are plain"),
    ("loop with an argument", lambda ha: ha.loop(seconds=1)(one), "can't be a loop.*without arguments"),
    ("listen bare", lambda ha: ha.listen(one), r"@ha.listen over one.*write @ha.listen\(\)"),
    ("component bare", lambda ha: ha.component(one), r'write @ha.component\("custom_id"\)'),
    ("an event that is no text", lambda ha: ha.add_handler(one, 7), "the event of one is 7.*write it as a"),
    ("where of async def", lambda ha: ha.listen("message", where=coroutine)(one), "Predicates are plain"),
    ("where of a generator", lambda ha: ha.listen("message", where=generator)(one), "Predicates are plain"),
    (
        "where of no argument",
        lambda ha: ha.listen("message", where=nothing)(one),
        "be the predicate.*message",
    ),
    (
        "where that is a value",
        lambda ha: ha.listen("message", where=True)(one),
        "where is True.*not callable",
    ),
    ("on_error of async def", lambda ha: ha.on_error(coroutine), "Error hooks are plain"),
    ("on_error of one argument", lambda ha: ha.on_error(one), "take errors.*event, handler, error"),
    ("a check of async def", lambda ha: ha.tree.interaction_check(coroutine), "Checks are plain"),
    ("a component of nothing", lambda ha: ha.component("x")(None), "the component 'x' needs a function"),
]


@pytest.mark.parametrize(("declare", "remedy"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_it_is_refused_with_the_remedy(ha: discordha.DiscordHA, declare: Declare, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        declare(ha)


class TestWhileTheBotRuns:
    LATE: tuple[Declare, ...] = (
        lambda ha: ha.command(name="late", description="x")(lambda interaction: None),
        lambda ha: ha.tree.add_command(app_commands.Group(name="late", description="x")),
        lambda ha: ha.tree.context_menu(name="late")(_on_user),
        lambda ha: ha.component("late")(lambda interaction: None),
        lambda ha: ha.loop(seconds=1)(nothing),
        lambda ha: ha.add_view(discord.ui.View(timeout=None)),
        lambda ha: ha.add_dynamic_items(),
        lambda ha: ha.on_error(lambda event, handler, error: None),
        lambda ha: ha.add_voice_worker(SimpleNamespace(module_id="m")),
    )

    @pytest.mark.parametrize("declare", LATE)
    def test_a_declaration_without_effect_is_refused(
        self, ha: discordha.DiscordHA, declare: Declare, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(ha, "_replica", object())
            with pytest.raises(ConfigError, match="declare it before start"):
                declare(ha)
        declare(ha)

    def test_handlers_come_and_go(self, ha: discordha.DiscordHA, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ha, "_replica", object())
        ha.add_handler(one, "message")()


def _on_user(interaction: discord.Interaction, user: discord.User) -> None:
    """A context menu."""


class TestResults:
    """A plain function that gives back something that did not run."""

    RESULTS: tuple[Callable[[], Any], ...] = (
        coroutine,
        generator,
        lambda: discord.abc.Messageable.send(None),
    )

    @pytest.mark.parametrize("result", RESULTS)
    def test_of_a_handler(self, result: Callable[[], Any]) -> None:
        errors: list[BaseException] = []
        runner = Runner(
            None,  # type: ignore[arg-type] - nothing calls Discord
            Stats(),
            on_error=lambda event, handler, error: errors.append(error),
        )
        handler = Handler(result, "ready", Scope.CLAIM, None, "bot.on_ready")
        event = CurrentEvent("1", "ready", 1, 0, 7, 1, lambda: False)
        assert runner.run(event, [handler], (), started=time.monotonic()) is Outcome.FAILED
        (error,) = errors
        assert str(error).startswith("bot.on_ready returned ")
        assert "ha.call(...)" in str(error)

    def test_a_coroutine_that_a_handler_drops_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        def sends(word: str) -> None:
            discord.abc.Messageable.send(None, word)  # type: ignore[arg-type,unused-coroutine] - the mistake

        shown: list[Any] = []
        event = CurrentEvent("1", "ready", 1, 0, 7, 1, lambda: False)
        with warnings.catch_warnings(), caplog.at_level(logging.ERROR):
            warnings.simplefilter("default")
            warnings.showwarning = lambda *said, **more: shown.append(said)
            for _ in range(2):  # the hook is put in once
                runner = Runner(None, Stats())  # type: ignore[arg-type] - nothing calls Discord
            for _ in range(2):
                handler = Handler(lambda: sends("x"), "ready", Scope.CLAIM, None, "bot.on_ready")
                assert runner.run(event, [handler], (), started=time.monotonic()) is Outcome.HANDLED
            coroutine()  # type: ignore[unused-coroutine] - not a handler's
        (record,) = caplog.records
        assert "bot.on_ready: coroutine 'Messageable.send' was never awaited" in record.getMessage()
        assert "ha.call(...)" in record.getMessage()
        assert len(shown) == 2

    def test_of_a_loop(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR):
            run_alone(lambda: coroutine(1))
        assert "the loop tick returned coroutine" in caplog.text

    @pytest.mark.parametrize("result", [coroutine, generator])
    def test_of_a_predicate(self, result: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
        registry = HandlerRegistry()
        registry.add(one, "message", where=lambda message: result())
        with caplog.at_level(logging.ERROR):
            assert not registry.select("message", [None])
        assert "where of" in caplog.text

    def test_of_a_commands_check(self, ha: discordha.DiscordHA) -> None:
        @ha.tree.interaction_check
        def check(interaction: Any) -> Any:
            return coroutine()

        with pytest.raises(TypeError, match="returned coroutine"):
            drive(lambda: ha.tree.interaction_check(SimpleNamespace()))


def test_an_autocomplete_may_return_a_generator_expression() -> None:
    thread = threading.current_thread()

    def complete(interaction: Any, current: str) -> Any:
        return (threading.current_thread() is thread for _ in range(3))

    adapted = adapt(complete, "Autocompletes", ends=True)
    assert drive(lambda: adapted(SimpleNamespace(), "x")) == [True, True, True]


def test_a_wait_for_a_coroutine_function_is_refused() -> None:
    with pytest.raises(ConfigError, match="Predicates are plain"):
        Waiters(None, hands_over=False, spec=HandlerRegistry().spec).wait("message", coroutine, 1.0)  # type: ignore[arg-type] - never reached


def drive(start: Callable[[], Any]) -> Any:
    """Runs a coroutine of discord.py's as a handler thread does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        return Trampoline(LoopBridge(loop)).drive(start)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class TestTheTreesCheck:
    """discord.py awaits ``tree.interaction_check``; a plain function works, however it is declared."""

    @pytest.mark.parametrize("allowed", [True, False])
    @pytest.mark.parametrize("how", ["decorator", "attribute"])
    def test_a_plain_function(self, ha: discordha.DiscordHA, how: str, allowed: bool) -> None:
        asked = []

        def check(interaction: Any) -> bool:
            asked.append(interaction)
            return allowed

        if how == "decorator":
            assert ha.tree.interaction_check(check) is check
        else:
            ha.tree.interaction_check = check
        interaction = SimpleNamespace()
        assert drive(lambda: ha.tree.interaction_check(interaction)) is allowed
        assert asked == [interaction]

    def test_without_one_all_are_allowed(self, ha: discordha.DiscordHA) -> None:
        assert drive(lambda: ha.tree.interaction_check(SimpleNamespace())) is True

    def test_of_a_group(self) -> None:
        group = app_commands.Group(name="g", description="g")
        group.interaction_check = lambda interaction: False  # type: ignore[assignment,method-assign] - as users do
        assert drive(lambda: group.interaction_check(SimpleNamespace())) is False

"""The names of what users declare."""

from __future__ import annotations

import functools
import operator
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import discord
import pytest

import discordha
from discordha import ConfigError, app_commands
from discordha.commands.components import Components
from discordha.dispatch.handlers import HandlerRegistry
from discordha.dispatch.handlers.callables import callable_name, own_name, refuse_coroutine, short_name


def on_message(message: Any) -> None:
    """A handler."""


def told(word: str, message: Any) -> None:
    """A handler with a word."""


class Handles:
    """Callable, and with a method."""

    def __call__(self, message: Any) -> None:
        """Handles."""

    def method(self, message: Any) -> None:
        """Handles."""


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


ONE = __name__
CALLABLES: list[tuple[Any, str]] = [
    (on_message, f"{ONE}.on_message"),
    (functools.partial(told, "x"), f"{ONE}.told"),
    (functools.partial(functools.partial(told), "x"), f"{ONE}.told"),
    (functools.partial(Handles(), "x"), f"{ONE}.Handles"),
    (functools.partial(Handles().method), f"{ONE}.Handles.method"),
    (Handles(), f"{ONE}.Handles"),
    (Handles().method, f"{ONE}.Handles.method"),
    (Handles, f"{ONE}.Handles"),
    (functools.lru_cache(on_message), f"{ONE}.on_message"),
    (decorated(on_message), f"{ONE}.on_message"),
    (lambda message: None, f"{ONE}.<lambda>"),
    (mock.Mock(), "unittest.mock.Mock"),
    (print, "builtins.print"),
    ([].append, "builtins.list.append"),
    (operator.methodcaller("x"), "operator.methodcaller"),
]


@pytest.mark.parametrize(("function", "name"), CALLABLES)
def test_names_hold_no_address(function: Any, name: str) -> None:
    assert callable_name(function) == name
    assert name.endswith(own_name(function))
    assert own_name(function).endswith(short_name(function))


def test_two_processes_give_equal_names_and_two_handlers_of_one_event_never() -> None:
    program = (
        "import functools\n"
        "from discordha.dispatch.handlers import HandlerRegistry\n"
        "class Handles:\n"
        "    def __call__(self, message): pass\n"
        "def told(word, message): pass\n"
        "registry = HandlerRegistry()\n"
        "many = [Handles(), Handles(), Handles().__call__]\n"
        "many += [functools.partial(told, word) for word in 'ab']\n"
        "many += [lambda message: 1, lambda message: 2]\n"
        "for each in many: registry.add(each, 'message')\n"
        "print(*[handler.name for handler in registry.select('message', [None])])\n"
    )
    outputs = {subprocess.check_output([sys.executable, "-c", program], text=True) for _ in range(2)}
    assert len(outputs) == 1
    names = outputs.pop().split()
    assert len(names) == len(set(names)) == 7
    assert "__main__.told#1" in names


def test_a_handler_that_comes_after_a_removed_one_shares_no_name() -> None:
    registry = HandlerRegistry()
    remove, *_ = [registry.add(functools.partial(told, word), "message") for word in "abc"]
    remove()
    registry.add(functools.partial(told, "d"), "message")
    names = [handler.name for handler in registry.select("message", [None])]
    assert sorted(names) == [f"{ONE}.told", f"{ONE}.told#1", f"{ONE}.told#2"]


def test_an_event_is_named_by_what_a_partial_wraps() -> None:
    registry = HandlerRegistry()
    registry.add(functools.partial(on_message))
    assert [handler.name for handler in registry.select("message", [None])] == [f"{ONE}.on_message"]


class Option:
    """Callables that are a command's function."""

    def method(self, interaction: discord.Interaction, what: str) -> None:
        """Buys."""

    def __call__(self, interaction: discord.Interaction, what: str) -> None:
        """Buys."""


@app_commands.describe(what="the thing")
def buy(shop: int, interaction: discord.Interaction, what: str, *, till: int) -> None:
    """Buys."""


@pytest.mark.parametrize("function", [Option(), Option().method, functools.partial(buy, 1, till=2)])
def test_a_command_of_a_callable_keeps_its_options(function: Any) -> None:
    ha = discordha.DiscordHA(token="x.y.z", intents=discord.Intents.none(), ha=False)
    made = ha.command(name="buy")(function)
    assert [parameter.name for parameter in made.parameters] == ["what"]
    assert made.description == "Buys."
    if isinstance(function, functools.partial):
        assert made.parameters[0].description == "the thing"
        assert app_commands.command()(function).name == "buy"


def test_components_and_loops_of_partials_are_named() -> None:
    components = Components()
    components.add("a:{word}", functools.partial(lambda interaction, word: None), "auto")
    found = components.find("a:1")
    assert found is not None
    assert (
        found[0].name
        == f"{ONE}.test_components_and_loops_of_partials_are_named.<locals>.<lambda>(a:{{word}})"
    )
    ha = discordha.DiscordHA(token="x.y.z", intents=discord.Intents.none(), ha=False)
    ha.loop(seconds=1)(functools.partial(told, "x", None))
    with pytest.raises(ConfigError, match="a loop 'told' already"):
        ha.loop(seconds=1)(functools.partial(told, "y", None))


async def _async(message: Any) -> None:
    """A coroutine function."""


def _generates(message: Any) -> Any:
    yield message


async def _generates_async(message: Any) -> Any:
    yield message


class Async:
    """Callable as a coroutine function."""

    async def __call__(self, message: Any) -> None:
        """A coroutine function."""


@pytest.mark.parametrize(
    "function",
    [
        *(_async, functools.partial(_async), Async(), functools.partial(Async()), Async().__call__),
        *(_generates, _generates_async, functools.partial(functools.partial(_generates))),
    ],
)
def test_functions_whose_body_would_not_run_are_refused(function: Any) -> None:
    with pytest.raises(ConfigError, match=r"plain functions.*delete every `(await|yield)`"):
        refuse_coroutine(function)
    with pytest.raises(ConfigError, match="plain functions"):
        HandlerRegistry().add(function, "message")

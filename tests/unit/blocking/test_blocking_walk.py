"""Every public coroutine and async iterator of discord.py's models blocks when it is called through a view.

Introspection of the installed discord.py finds the models, so a new one is tested without a change here. One
that neither becomes a view nor is excused fails.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from typing import Any

import discord
import pytest
from discord_models import CLASSES, METHODS, NO_VIEWS, VIEWED, excuse, title
from loop_thread import loop_thread

from discordha.blocking import LoopBridge, View, wrap
from discordha.blocking.iterators import BlockingIterator
from discordha.blocking.kinds import is_model


@pytest.fixture(scope="module")
def bridge() -> Iterator[LoopBridge]:
    with loop_thread() as (_, bridge):
        yield bridge


def arguments(function: Any) -> dict[str, Any]:
    """The required parameters, with their kinds."""
    return {
        name: parameter.kind
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        and name not in {"self", "cls"}
    }


def call(view: Any, name: str, function: Any) -> Any:
    wanted = arguments(function)
    positional = [object() for kind in wanted.values() if kind is not inspect.Parameter.KEYWORD_ONLY]
    named = {n: object() for n, kind in wanted.items() if kind is inspect.Parameter.KEYWORD_ONLY}
    return getattr(view, name)(*positional, **named)


@pytest.mark.parametrize(("kind", "name"), VIEWED, ids=[f"{title(k)[8:]}.{n}" for k, n in VIEWED])
def test_blocks(kind: type, name: str, bridge: LoopBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_model(kind), f"{title(kind)}.{name} would be handed out as it is, and could not be awaited"
    obj = object.__new__(kind)
    view = wrap(obj, bridge)
    assert isinstance(view, View)
    static = inspect.getattr_static(kind, name)
    function = getattr(static, "__func__", static)
    ran_on: list[str] = []

    async def answer(*args: Any, **kwargs: Any) -> Any:
        ran_on.append(threading.current_thread().name)
        return obj

    async def items(*args: Any, **kwargs: Any) -> Any:
        for _ in range(3):
            ran_on.append(threading.current_thread().name)
            yield obj

    iterates = inspect.isasyncgenfunction(function)
    # On the class, since most models have slots. The view was made from the real method.
    monkeypatch.setattr(kind, name, items if iterates else answer)
    result = call(view, name, function)
    if iterates:
        assert isinstance(result, BlockingIterator)
        assert not ran_on, "an async iterator starts when it is iterated over"
        assert all(isinstance(item, View) and item is not obj for item in result)
    else:
        assert isinstance(result, View)
        assert not inspect.iscoroutine(result)
    assert set(ran_on) == {"test-loop"}


def test_what_is_not_viewed_is_excused() -> None:
    viewed = sorted({title(kind) for kind, _ in METHODS if is_model(kind) and excuse(kind) is not None})
    assert not viewed, "excused though it is viewed: drop the excuse"
    used = {excuse(kind) for kind, _ in METHODS}
    assert not [name for name, why in NO_VIEWS.items() if why not in used], "nothing needs these excuses"


def test_the_search_finds_discord_pys_coroutines() -> None:
    """Guards the search: discord.py 2.7 has 480 coroutines."""
    assert len(VIEWED) > 450
    found = {f"{kind.__name__}.{name}" for kind, name in VIEWED}
    assert {
        "Message.reply",
        "TextChannel.history",
        "Guild.audit_logs",
        "Webhook.send",
        "Interaction.translate",
    } <= found


def test_plain_functions_that_return_awaitables_and_async_iterators_are_known() -> None:
    """Their results tell. The list notices a new kind of result."""
    marks = ("Async", "Awaitable", "Coro[", "Coroutine", "Future", "Task", "Typing", "_PinsIterator")
    found = {
        f"{kind.__name__}.{name}"
        for kind in CLASSES
        if is_model(kind)
        for name, function in vars(kind).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and any(mark in str(function.__annotations__.get("return", "")) for mark in marks)
        and not inspect.iscoroutinefunction(function)
        and not inspect.isasyncgenfunction(function)
    }
    assert found == {"Client.wait_for", "Messageable.pins", "Messageable.typing"}


def test_cached_properties_are_attributes(bridge: LoopBridge) -> None:
    """``interaction.response`` is an object whose methods block, not a method."""

    def in_view(kind: type, name: str) -> Any:
        return inspect.getattr_static(type(wrap(object.__new__(kind), bridge)), name)

    for kind, name in (
        (discord.Interaction, "response"),
        (discord.Interaction, "followup"),
        (discord.Message, "raw_mentions"),
        (discord.Message, "clean_content"),
    ):
        assert isinstance(in_view(kind, name), property), name
    assert inspect.isfunction(in_view(discord.Message, "reply"))

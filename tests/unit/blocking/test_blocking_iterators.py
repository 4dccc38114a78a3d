"""Views: async iterators and context managers of discord.py, as blocking ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from view_world import World, event

from discordha.blocking import View, wrap
from discordha.blocking.iterators import ITEMS_PER_TRIP, BlockingIterator
from discordha.context import handler_scope
from discordha.errors import LockLost


def test_history_is_lazy_and_comes_in_pages(world: World) -> None:
    history = world.view.channel.history(limit=250)
    assert isinstance(history, BlockingIterator)
    assert not hasattr(world.http, "pages")
    first = next(history)
    assert isinstance(first, View)
    assert isinstance(first, discord.Message)
    assert world.http.pages == [100]
    assert len([first, *(next(history) for _ in range(99))]) == 100
    assert world.http.pages == [100]
    assert len(list(history)) == 150
    assert world.http.pages == [100, 100, 50]
    assert list(history) == []


def test_a_page_is_one_trip(world: World) -> None:
    trips: list[Any] = []

    class Counting:
        def call(self, awaitable: Any, timeout: float | None = None) -> Any:
            trips.append(awaitable)
            return world.bridge.call(awaitable, timeout)

    async def numbers() -> AsyncIterator[int]:
        for number in range(3 * ITEMS_PER_TRIP):
            yield number

    assert list(wrap(numbers(), Counting())) == list(range(3 * ITEMS_PER_TRIP))
    assert len(trips) <= 4


def test_an_error_comes_after_the_items_before_it(world: World) -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise discord.ClientException("no more")

    items = wrap(failing(), world.bridge)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(discord.ClientException, match="no more"):
        next(items)
    assert list(items) == []


def test_an_iterator_can_be_closed_also_when_the_event_is_lost(world: World) -> None:
    closed: list[str] = []

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(0)
                yield 1
        finally:
            closed.append(threading.current_thread().name)

    lost: list[bool] = []
    with handler_scope(event(lambda: bool(lost)), "h"), wrap(endless(), world.bridge) as items:
        assert next(items) == 1
        lost.append(True)
    assert closed == ["test-loop"]
    assert list(items) == []
    items.close()


def test_fetching_a_page_of_a_lost_event_is_refused(world: World) -> None:
    with handler_scope(event(lambda: True), "h"), pytest.raises(LockLost):
        next(world.view.channel.history())


def test_an_object_that_is_an_async_iterable_is_a_lazy_iterator(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pins:
        def __aiter__(self) -> AsyncIterator[discord.Message]:
            return self.items()

        async def items(self) -> AsyncIterator[discord.Message]:
            yield world.message

        def __await__(self) -> Any:
            raise AssertionError("deprecated")

    monkeypatch.setattr(discord.TextChannel, "pins", lambda self: Pins())
    assert list(world.view.channel.pins()) == [world.message]


# -- context managers --------------------------------------------------------------------------------------


def test_typing_as_a_context_manager_types_once_and_ends(world: World) -> None:
    with world.view.channel.typing() as nothing:
        assert nothing is None
        tasks = [task for task in asyncio.all_tasks(world.loop) if "do_typing" in repr(task)]
        assert len(tasks) == 1
    assert world.http.typing == [7]
    world.bridge.call(asyncio.sleep(0))
    assert tasks[0].cancelled()


def test_typing_as_a_call_types_once(world: World) -> None:
    world.view.channel.typing()
    assert world.http.typing == [7]


def test_typing_ends_when_the_event_is_lost(world: World) -> None:
    lost: list[bool] = []
    tasks: list[asyncio.Task[Any]] = []

    def handle() -> None:
        with world.view.channel.typing():
            tasks.extend(task for task in asyncio.all_tasks(world.loop) if "do_typing" in repr(task))
            lost.append(True)
            world.view.channel.send("x")

    with handler_scope(event(lambda: bool(lost)), "h"), pytest.raises(LockLost):
        handle()
    world.bridge.call(asyncio.sleep(0))
    assert [task.cancelled() for task in tasks] == [True]
    assert not world.http.sent


def test_typing_that_is_entered_late_types_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("discordha.blocking.views.time", SimpleNamespace(monotonic=lambda: now[0]))
    typing = world.view.channel.typing()
    now[0] += 5.0
    with typing:
        assert world.http.typing == [7, 7]

"""The bridge: results, errors, refusals, timeouts, stop, and progress."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import traceback
from typing import Any

import discord
import pytest
from loop_thread import loop_thread
from view_world import event

from discordha.blocking import LoopBridge, note_progress
from discordha.context import CurrentEvent, current_event, handler_scope
from discordha.errors import DiscordHAError, LockLost
from discordha.testing import wait_for


async def value(result: Any = 1) -> Any:
    return result


def test_returns_what_the_coroutine_returns_and_runs_it_on_the_loop(bridge: LoopBridge) -> None:
    async def where() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert bridge.call(where()) == "test-loop"


def test_takes_any_awaitable(both: tuple[asyncio.AbstractEventLoop, LoopBridge]) -> None:
    loop, bridge = both

    class Awaitable:
        def __await__(self) -> Any:
            return value(5).__await__()

    assert bridge.call(Awaitable()) == 5
    future = loop.create_future()
    loop.call_soon_threadsafe(future.set_result, 6)
    assert bridge.call(future) == 6


def test_errors_keep_their_type_and_show_the_callers_line(bridge: LoopBridge) -> None:
    async def forbidden() -> None:
        raise discord.ClientException("no")

    with pytest.raises(discord.ClientException) as caught:
        bridge.call(forbidden())  # the handler's line
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[0].line == "bridge.call(forbidden())  # the handler's line"
    assert frames[-1].name == "forbidden"
    assert {frame.name for frame in frames[1:-1]} == {"call"}  # no future, no thread between them
    assert caught.value.__context__ is None


def test_the_awaitable_sees_the_callers_context(bridge: LoopBridge) -> None:
    async def inside() -> CurrentEvent | None:
        return current_event()

    with handler_scope(event(), "bot.on_message") as current:
        assert bridge.call(inside()) is current
    assert bridge.call(inside()) is None


def test_refused_on_the_loop_thread(bridge: LoopBridge) -> None:
    async def deadlock() -> None:
        bridge.call(value())

    with pytest.raises(
        RuntimeError, match=r"value was called as a blocking call on the thread of the event loop"
    ):
        bridge.call(deadlock())


def test_allowed_inside_another_loop(bridge: LoopBridge) -> None:
    async def elsewhere() -> int:
        return int(bridge.call(value(3)))

    assert asyncio.run(elsewhere()) == 3


def test_timeout_cancels_the_coroutine(bridge: LoopBridge) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    for timeout in (0.05, 0.5, 5.0):  # a loop whose thread stands still may not begin in time
        with pytest.raises(TimeoutError, match=rf"slow took longer than {timeout} s"):
            bridge.call(slow(), timeout)
        if begun.is_set():
            break
    assert cancelled.wait(10.0)
    assert bridge.pending == 0


def test_default_timeout_and_no_timeout() -> None:
    with loop_thread(call_timeout=0.05) as (_, bridge):
        with pytest.raises(TimeoutError):
            bridge.call(asyncio.sleep(60))
        assert bridge.call(asyncio.sleep(0.1, 9), math.inf) == 9


def test_a_call_that_timed_out_before_it_started_never_starts(
    both: tuple[asyncio.AbstractEventLoop, LoopBridge],
) -> None:
    loop, bridge = both
    gate, started = threading.Event(), []

    async def start() -> None:
        started.append(1)

    loop.call_soon_threadsafe(gate.wait, 10.0)
    with pytest.raises(TimeoutError):
        bridge.call(start(), 0.05)
    gate.set()
    assert bridge.call(value(2)) == 2
    assert not started


def test_errors_after_a_timeout_make_no_noise(bridge: LoopBridge, caplog: pytest.LogCaptureFixture) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ValueError("late") from None

    with pytest.raises(TimeoutError):
        bridge.call(stubborn(), 0.05)
    bridge.call(asyncio.sleep(0.01))
    gc.collect()
    assert not caplog.records


def test_close_fails_what_is_pending_and_refuses_what_comes(bridge: LoopBridge) -> None:
    begun: list[None] = []
    cancelled = threading.Event()
    errors: list[BaseException] = []

    async def wait() -> None:
        begun.append(None)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def call() -> None:
        try:
            bridge.call(wait())
        except DiscordHAError as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(begun) == 8, 5.0, "eight calls to begin")
    assert bridge.pending == 8
    bridge.close()
    bridge.close()
    for thread in threads:
        thread.join(5.0)
    assert len(errors) == 8
    assert "the bot stops" in str(errors[0])
    assert cancelled.wait(5.0)
    with pytest.raises(DiscordHAError, match="stopped"):
        bridge.call(value())


def test_a_closed_loop_is_an_error_and_not_a_hang() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(DiscordHAError, match="loop is closed"):
        LoopBridge(loop).call(value())


def test_a_task_cancelled_on_the_loop_is_an_error_of_ours(bridge: LoopBridge) -> None:
    async def suicide() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    with pytest.raises(DiscordHAError, match="cancelled on the loop"):
        bridge.call(suicide())


def test_an_exception_in_the_waiting_thread_cancels_the_call(
    bridge: LoopBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A KeyboardInterrupt, say, is raised out of the wait."""
    cancelled = threading.Event()
    running = threading.Event()

    async def slow() -> None:
        running.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    class Interrupted:
        def __init__(self) -> None:
            self.lock = threading._allocate_lock()  # type: ignore[attr-defined]
            self.acquired = 0

        def acquire(self, *args: Any, **kwargs: Any) -> bool:
            self.acquired += 1
            if self.acquired == 2:
                assert running.wait(5.0)
                raise KeyboardInterrupt
            return bool(self.lock.acquire(*args, **kwargs))

        def release(self) -> None:
            self.lock.release()

    monkeypatch.setattr("discordha.blocking.bridge.threading.Lock", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        bridge.call(slow())
    assert cancelled.wait(5.0)
    assert bridge.pending == 0


class TestBegin:
    """Calls without a blocked caller."""

    def test_the_outcome_is_there_when_on_done_is_called(self, bridge: LoopBridge) -> None:
        done = threading.Event()
        begun = bridge.begin(value(5), done.set)
        assert done.wait(10)
        assert begun.result() == 5

    def test_an_error_is_raised_by_result(self, bridge: LoopBridge) -> None:
        async def fail() -> None:
            raise KeyError("k")

        done = threading.Event()
        begun = bridge.begin(fail(), done.set)
        assert done.wait(10)
        with pytest.raises(KeyError):
            begun.result()

    def test_cancel_ends_the_call_and_is_idempotent(self, bridge: LoopBridge) -> None:
        started, ended, done = threading.Event(), threading.Event(), threading.Event()

        async def wait() -> None:
            started.set()
            try:
                await asyncio.sleep(100)
            finally:
                ended.set()

        begun = bridge.begin(wait(), done.set)
        assert started.wait(10)
        begun.cancel()
        begun.cancel()
        assert ended.wait(10)
        assert bridge.pending == 0
        assert not done.is_set()

    def test_close_ends_the_call(self, bridge: LoopBridge) -> None:
        done = threading.Event()
        begun = bridge.begin(asyncio.sleep(100), done.set)
        bridge.close()
        assert done.is_set()
        with pytest.raises(DiscordHAError, match="cancelled"):
            begun.result()

    def test_a_lost_event_begins_nothing(self, bridge: LoopBridge) -> None:
        with handler_scope(event(lambda: True), "handler"), pytest.raises(LockLost):
            bridge.begin(value(), lambda: None)


async def in_steps(count: int, seconds: float, *, progress: bool = True) -> int:
    for _ in range(count):
        await asyncio.sleep(seconds)
        if progress:
            note_progress()
    return count


def test_a_call_that_makes_progress_goes_on() -> None:
    with loop_thread(call_timeout=0.8) as (_, bridge):
        assert bridge.call(in_steps(6, 0.2)) == 6
        with pytest.raises(TimeoutError, match=r"in_steps made no progress for 0.8 s"):
            bridge.call(in_steps(6, 0.2, progress=False))
        with pytest.raises(TimeoutError, match=r"in_steps took longer than 0.8 s"):
            bridge.call(in_steps(6, 0.2), 0.8)  # a timeout of its own is for the whole
        assert bridge.pending == 0


def test_one_calls_progress_is_not_anothers() -> None:
    with loop_thread(call_timeout=0.3) as (_, bridge):
        ended = threading.Event()
        bridge.begin(in_steps(20, 0.05), ended.set)
        with pytest.raises(TimeoutError):
            bridge.call(in_steps(1, 0.8))
        assert ended.wait(5)

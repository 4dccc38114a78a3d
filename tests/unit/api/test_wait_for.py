"""Waits for events, without a replica."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from discordha import ConfigError, DiscordHAError, LockLost
from discordha.api.wait_for import Waiters
from discordha.context import CurrentEvent, handler_scope
from discordha.dispatch.handlers import HandlerRegistry
from discordha.dispatch.lanes import Lane, Lanes
from discordha.testing import wait_for


def waiters(*, hands_over: bool = True) -> Waiters:
    return Waiters(nullcontext, hands_over=hands_over, spec=HandlerRegistry().spec)


class Waiting:
    """One wait on a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.result: Any = None
        self._call = call
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.result = error

    def end(self) -> Any:
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.result


def event(lost: Callable[[], bool] = lambda: False) -> CurrentEvent:
    return CurrentEvent("1", "message", 1, 0, 7, 1, lost)


def until_waiting(all_waiters: Waiters, count: int = 1) -> None:
    wait_for(lambda: all_waiters.count == count, 10, "the wait to begin")


def test_the_first_matching_event_ends_the_wait() -> None:
    all_waiters = waiters()
    waiting = Waiting(lambda: all_waiters.wait("on_message", lambda value: value > 1, 10))
    until_waiting(all_waiters)
    all_waiters.offer("typing", (5,))
    all_waiters.offer("message", (1,))
    all_waiters.offer("message", (2,))
    all_waiters.offer("message", (3,))
    assert waiting.end() == (2,)
    assert all_waiters.count == 0


def test_a_failing_predicate_skips_the_event() -> None:
    all_waiters = waiters()
    waiting = Waiting(lambda: all_waiters.wait("message", lambda value: 1 / value, 10))
    until_waiting(all_waiters)
    all_waiters.offer("message", (0,))
    all_waiters.offer("message", (2,))
    assert waiting.end() == (2,)


def test_time_outs_and_unknown_events() -> None:
    with pytest.raises(TimeoutError, match="no matching message"):
        waiters().wait("message", None, 0.01)
    with pytest.raises(ConfigError, match="did you mean on_message"):
        waiters().wait("mesage", None, 1)


def test_a_lost_event_ends_its_handlers_wait() -> None:
    all_waiters = waiters()
    lost = threading.Event()

    def wait() -> Any:
        with handler_scope(event(lost.is_set), "handler"):
            return all_waiters.wait("message", None, None)

    waiting = Waiting(wait)
    until_waiting(all_waiters)
    lost.set()
    assert isinstance(waiting.end(), LockLost)


@pytest.mark.parametrize(("hands_over", "kind"), [(True, LockLost), (False, DiscordHAError)])
def test_closing_ends_every_wait(hands_over: bool, kind: type[Exception]) -> None:
    all_waiters = waiters(hands_over=hands_over)

    def wait() -> Any:
        with handler_scope(event(), "handler"):
            return all_waiters.wait("message", None, None)

    handler, other = Waiting(wait), Waiting(lambda: all_waiters.wait("message", None, None))
    until_waiting(all_waiters, 2)
    all_waiters.close()
    assert type(handler.end()) is kind
    assert type(other.end()) is DiscordHAError
    with pytest.raises(DiscordHAError, match="the bot stops"):
        all_waiters.wait("message", None, None)


class _Item:
    sequence = 0
    event_name = "message"
    attempt = 1
    is_late = False

    def __init__(self, lane: str) -> None:
        self.lane = lane


def test_a_waiting_thread_lends_its_place() -> None:
    go_on, done = threading.Event(), threading.Semaphore(0)

    def work(lane: Lane) -> None:
        lanes.take(lane, 1)
        if lane.key == "last":
            done.release()
            return
        with lanes.lend():
            done.release()
            go_on.wait(10)

    lanes = Lanes(workers=2, max_workers=2)
    lanes.start(work)
    try:
        for number in range(8):
            lanes.put(_Item(str(number)))
            assert done.acquire(timeout=10)
        lanes.put(_Item("last"))
        assert done.acquire(timeout=10)
        assert lanes.threads <= 10
    finally:
        go_on.set()
        assert lanes.stop(10)


def test_waiting_again_and_again_makes_no_more_threads() -> None:
    go_on, done = threading.Event(), threading.Event()

    def work(lane: Lane) -> None:
        lanes.take(lane, 1)
        if lane.key == "0":
            for _ in range(200):
                with lanes.lend():
                    pass
            done.set()
        go_on.wait(10)

    lanes = Lanes(workers=2, max_workers=3)
    lanes.start(work)
    try:
        for number in range(300):
            lanes.put(_Item(str(number)))
        assert done.wait(10)
        assert lanes.threads <= 4
    finally:
        go_on.set()
        assert lanes.stop(10)

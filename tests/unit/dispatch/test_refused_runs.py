"""A run in which a call was refused did not finish, whatever the handler caught."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from loop_fleet import LoopReplica, make_loop

from discordha.api.wait_for import Waiters
from discordha.context import CurrentEvent, check_fence
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.session import Grant
from discordha.dispatch.handlers import Handler, HandlerRegistry
from discordha.dispatch.runner import Outcome, Runner
from discordha.errors import LockLost
from discordha.events import Scope
from discordha.ext import tasks
from discordha.stats import Stats
from discordha.testing import wait_for


def swallows() -> None:
    with contextlib.suppress(Exception):
        check_fence("send")


def swallows_everything() -> None:
    with contextlib.suppress(BaseException):
        check_fence("send")


def says_something_else() -> None:
    try:
        check_fence("send")
    except LockLost as error:
        raise RuntimeError("could not send") from error


def lets_a_thread_swallow() -> None:
    thread = threading.Thread(target=contextvars.copy_context().run, args=(swallows,))
    thread.start()
    thread.join()


def run(function: Callable[[], Any], *, lost: bool = True) -> tuple[Outcome, list[str]]:
    begun = []

    def first() -> None:
        begun.append("first")
        function()

    handlers = [
        Handler(each, "ready", Scope.CLAIM, None, each.__name__)
        for each in (first, lambda: begun.append("second"))
    ]
    event = CurrentEvent("1", "message", 1, 0, 7, 1, lambda: lost)
    runner = Runner(None, Stats(), on_error=lambda *_: None)  # type: ignore[arg-type] - nothing calls Discord
    return runner.run(event, handlers, (), started=0.0), begun


@pytest.mark.parametrize(
    "function", [swallows, swallows_everything, says_something_else, lets_a_thread_swallow]
)
def test_a_refused_call_ends_the_event(function: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert run(function) == (Outcome.LOST, ["first"])
    assert "first on message 1 (attempt 1) did not finish" in caplog.text


def test_a_call_that_was_not_refused_ends_nothing() -> None:
    assert run(swallows, lost=False) == (Outcome.HANDLED, ["first", "second"])
    assert run(lambda: None) == (Outcome.HANDLED, ["first", "second"])  # lost, but it needed nothing more


def test_a_wait_that_a_drain_ends_did_not_finish() -> None:
    waiters = Waiters(contextlib.nullcontext, hands_over=True, spec=HandlerRegistry().spec)
    waiters.close()
    raised: list[Exception] = []

    def waits() -> None:
        try:
            waiters.wait("message", None, 5.0)
        except Exception as error:  # noqa: BLE001 - as bots do
            raised.append(error)

    assert run(waits, lost=False) == (Outcome.LOST, ["first"])
    assert [type(error) for error in raised] == [LockLost]


def test_a_loop_that_catches_it_is_logged_as_cut_off(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    loop = make_loop(tasks.loop(seconds=60, name="tick"), swallows)
    replica = LoopReplica("a", store, [loop])
    term = LeaderTerm(0, "/loops/leader", store.put("/loops/leader", b"a"), Grant(0, 0, -1.0, time.monotonic))
    monkeypatch.setattr(replica.loops, "permission", lambda loop: (True, term))  # whose session is over
    with caplog.at_level(logging.WARNING):
        replica.start()
        wait_for(lambda: "the loop tick was cut off" in caplog.text, 5, "the log line")
    replica.stop()

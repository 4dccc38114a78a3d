"""Errors that nobody expected: no long-lived thread ends without a word."""

from __future__ import annotations

import ast
import logging
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import discordha
from discordha.dispatch import Lanes
from discordha.errors import DiscordHAError
from discordha.process import threads
from discordha.process.threads import unending
from discordha.testing import wait_for

PACKAGE = Path(discordha.__file__).parent
#: Threads that are not ``unending``, and what stands for it.
OTHERS = {
    "gateway/core.py": "the replica is told",
    "dispatch/lanes.py": "each lane's work is caught",
    "coordination/etcd/watch.py": "each turn is caught; the pulse belongs to a stream",
    "commands/sync.py": "each turn is caught; ends when Discord knows the commands",
    "replica/starter.py": "the main thread is told",
    "replica/stop_clock.py": "each call has a timeout of its own",
    "operations/health.py": "the standard library's server catches each request's error",
    "voice/worker.py": "each delivery is caught",
    "voice/player.py": "ends with its guild's commands",
    "voice/tracks.py": "ends with its sound",
    "supervisor": "below discordha run",
    "testing": "not in a replica",
}


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), SystemExit(1), MemoryError()])
def test_work_that_fails_begins_again(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    stop, done, calls = threading.Event(), threading.Event(), []

    def run(name: str) -> None:
        calls.append(name)
        if len(calls) < 3:
            raise error
        done.set()

    thread = threading.Thread(target=unending(run, stop), args=("x",), name="discordha-x")
    with caplog.at_level(logging.ERROR):
        thread.start()
        assert done.wait(10)
        thread.join(10)
    assert calls == ["x"] * 3
    assert "the thread discordha-x failed" in caplog.text


class Failing:
    """An ``unending`` thread whose work fails at once, for as long as ``error`` is set."""

    def __init__(self) -> None:
        self.error: BaseException | None = RuntimeError("a bug")
        self.works = threading.Event()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=unending(self._run, self.stop), name="discordha-x")

    def _run(self) -> None:
        if self.error is not None:
            raise self.error
        self.works.set()
        self.stop.wait()

    def __enter__(self) -> Failing:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive()


def test_a_thread_that_keeps_failing_is_named_until_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SOUND_AFTER", 1.0)
    with Failing() as failing:
        wait_for(threads.failing, 10, "the report")
        assert threads.failing() == ["the thread discordha-x fails: a bug"]
        failing.error = None
        assert failing.works.wait(10)
        wait_for(lambda: not threads.failing(), 10, "the end of the report")
    assert not threads.failing()


def test_one_failure_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "FIRST_PAUSE", 60.0)
    told: list[DiscordHAError | None] = []
    end = threads.listen(told.append)
    with Failing():
        wait_for(lambda: told, 10, "the failure")
        assert not threads.failing()
    end()
    assert told == [None]


def test_a_thread_that_fails_for_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "GIVE_UP_AFTER", 0.25)
    told: list[DiscordHAError | None] = []
    end = threads.listen(told.append)
    with Failing():
        wait_for(lambda: told and told[-1], 10, "the end of patience")
    end()
    assert told[0] is None  # not at once
    assert "the thread discordha-x has failed again and again for" in str(told[-1])


def test_work_that_fails_ends_once_it_is_stopped() -> None:
    stop = threading.Event()
    stop.set()

    def run() -> None:
        raise OSError

    thread = threading.Thread(target=unending(run, stop))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_every_long_lived_thread_has_an_owner_of_its_errors() -> None:
    bare = []
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        if name in OTHERS or name.split("/", maxsplit=1)[0] in OTHERS:
            continue
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "threading.Thread":
                target = next(ast.unparse(each.value) for each in node.keywords if each.arg == "target")
                if "unending(" not in target and "unending(" not in text:
                    bare.append((name, target))
    assert bare == []


def test_a_handler_thread_that_cannot_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the limit of processes of a container: the item waits, and nothing counts a thread."""
    worked = threading.Event()
    lanes = Lanes(workers=1, max_workers=2, patience=0.0)

    def work(lane: Any) -> None:
        lanes.take(lane, 10)
        worked.set()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lanes.start(work)
    try:
        with monkeypatch.context() as limits:
            limits.setattr(threading.Thread, "start", refuse)
            lanes.put(SimpleNamespace(lane="a", sequence=1, is_late=False))  # type: ignore[arg-type]
            lanes.tend()
            assert lanes.threads == 0
        lanes.tend()
        assert worked.wait(10)
        assert lanes.threads == 1
    finally:
        assert lanes.stop(10.0)

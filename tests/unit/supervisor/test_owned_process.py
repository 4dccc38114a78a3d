"""A child process of ``discordha run``: what it may say, when it hangs, and what its death leaves."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fleet import BOTS

from discordha.supervisor.process import Backoff, BotProcess, EtcdAccess, OwnedProcess, describe_exit
from discordha.testing import wait_for

PRETENDS = str(BOTS / "pretends.py")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def started(clock: Clock) -> Iterator[list[BotProcess]]:
    found: list[BotProcess] = []
    yield found
    for process in found:
        process.kill()
        wait_for(lambda process=process: process.poll() is not None, 10, "its end")


def bot(started: list[BotProcess], clock: Clock, *arguments: str) -> BotProcess:
    read, write = os.pipe()
    environment = {**os.environ, "DISCORDHA_REPLICA_ID": "r1", "NOTIFY_SOCKET": "/run/notify"}
    process = BotProcess(
        "r1", 1, [sys.executable, PRETENDS, *arguments], environment, lifeline=write, clock=clock
    )
    started.append(process)
    os.close(read)
    os.close(write)
    return process


def test_a_process_tells_readiness_and_leases(started: list[BotProcess], clock: Clock) -> None:
    process = bot(started, clock, "ready", "lease=4711", "etcd=etcd:2379", "drain=9")
    wait_for(lambda: process.read() and process.ready, 10, "readiness")
    assert process.leases == [4711]
    assert process.etcd == EtcdAccess(("etcd:2379",), None, None, None, None, None)
    assert process.drain_timeout == 9.0
    assert process.replicas == ["r1"]
    process.signal(signal.SIGTERM)
    wait_for(lambda: process.poll() is not None, 10, "its end")
    assert process.status == 0
    assert process.fileno() == -1


def test_what_a_process_told_right_before_its_death_is_known(started: list[BotProcess], clock: Clock) -> None:
    process = bot(started, clock, "ready", "lease=5", "etcd=etcd:2379", "dies=3")
    wait_for(lambda: process.poll() is not None, 10, "its end")  # nobody has read before
    assert process.leases == [5]
    assert process.status == 3


def test_a_password_shows_nowhere() -> None:
    access = EtcdAccess(("etcd:2379",), None, None, None, "bot", "secret")
    assert "secret" not in repr(access)
    assert "secret" not in f"{access}"


def test_a_silent_process_hangs_but_not_while_the_parent_stood_still(
    started: list[BotProcess], clock: Clock
) -> None:
    process = bot(started, clock, "ready")
    process.look()
    clock.now += 100.0
    process.look()
    assert process.hangs(30.0) is None  # it has not shown a sign of life yet: it starts
    process._take(b'{"gateway": 0.1, "session": 0.0}')
    for _ in range(29):
        clock.now += 1.0
        process.look()
    assert process.hangs(30.0) is None
    clock.now += 3600.0  # the parent was stopped, or the machine slept
    process.look()
    why = process.hangs(30.0)
    assert why is not None
    assert "31" in why
    process._take(b'{"gateway": 0.1, "session": 0.0}')
    assert process.hangs(30.0) is None
    process._take(b'{"gateway": 30.5, "session": 0.0}')
    assert "gateway" in str(process.hangs(30.0))
    process._take(b'{"gateway": 0.0, "session": 31.0}')
    assert "session" in str(process.hangs(30.0))


def test_nonsense_is_reported_and_changes_nothing(
    started: list[BotProcess], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    process = bot(started, clock, "ready")
    for line in (b"x", b"[]", b'{"lease": 1}', b'{"lease": "a", "etcd": {}}', b'{"gateway": null}'):
        process._take(line)
    assert process.leases == []
    assert len(caplog.records) == 5


def test_what_a_dead_process_leaves_in_its_group_is_killed(tmp_path: Path) -> None:
    script = "import subprocess; print(subprocess.Popen(['sleep', '1000']).pid, flush=True)"
    out = tmp_path / "out"
    command = ["/bin/sh", "-c", f'exec {sys.executable} -c "{script}" > {out}']
    process = OwnedProcess("x", command, os.environ)
    wait_for(lambda: process.poll() is not None, 10, "its end")
    sleeper = int(out.read_text())
    wait_for(
        lambda: not psutil.pid_exists(sleeper) or psutil.Process(sleeper).status() == psutil.STATUS_ZOMBIE,
        5,
        "the end of what it left",
    )


def test_the_pauses_of_a_crash_loop_grow_and_a_steady_run_ends_it() -> None:
    backoff = Backoff()
    assert [backoff.pause(0.0) for _ in range(9)] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert backoff.pause(60.0) == 0.0
    assert backoff.pause(1.0) == 0.5


@pytest.mark.parametrize(
    ("status", "words"), [(0, "ended with status 0"), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-63, "signal 63")]
)
def test_an_exit_status_in_words(status: int, words: str) -> None:
    assert words in describe_exit(status)

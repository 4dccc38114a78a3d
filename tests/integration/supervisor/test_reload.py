"""Rolling reload on processes that only pretend to be bots: by command, by signal, by a changed file; rolled
back, too.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet import BOTS
from supervised import Run, base_environment

from discordha.testing import wait_for

PRETENDS = BOTS / "pretends.py"
Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def begin(*arguments: str | Path, **environment: str) -> Run:
        run = Run(
            arguments,
            environment={**base_environment(), "DISCORDHA_REPLICA_ID": "bot", **environment},
            directory=tmp_path,
        )
        runs.append(run)
        return run

    yield begin
    for run in runs:
        run.close()


@pytest.fixture
def version(tmp_path: Path) -> Path:
    file = tmp_path / "version"
    file.write_text("ready")
    return file


def test_replicas_are_replaced_one_after_another(start: Start, version: Path) -> None:
    run = start("-n", "2", PRETENDS, f"version={version}")
    before = run.wait_ready(2)
    done = run.reload()
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[-1] == "the new version runs"
    after = run.wait_ready(2)
    assert not set(before.values()) & set(after.values())
    order = [line.split("INFO discordha.run: reload: ")[1] for line in run.lines("reload: bot")]
    assert [" is ready" in line for line in order] == [True, False, True, False], order
    # At most one more than asked for ever runs, under one of so many names.
    assert {name for name, _ in run.started()} <= {"bot-1", "bot-2", "bot-3"}
    assert run.stop() == 0


def test_a_version_that_does_not_become_ready_is_rolled_back(start: Start, version: Path) -> None:
    run = start("-n", "2", "--reload-timeout", "5", PRETENDS, f"version={version}")
    before = run.wait_ready(2)
    version.write_text("nothing")
    done = run.reload()
    assert done.returncode == 1
    assert "was not ready within 5 s" in done.stdout
    assert run.replicas() == before
    version.write_text("dies=5")
    assert run.reload().returncode == 1
    assert run.lines("rolled back: .* ended with status 5")
    version.write_text("refuses")
    assert "the token is wrong" in run.reload().stdout
    assert run.replicas() == before
    assert run.alive
    version.write_text("ready")
    assert run.reload().returncode == 0
    assert run.stop() == 0


@pytest.mark.long
def test_a_new_version_that_ignores_its_end_is_killed(start: Start, version: Path) -> None:
    run = start("--reload-timeout", "1", PRETENDS, f"version={version}")
    before = run.wait_ready(1)
    version.write_text("stubborn")
    assert run.reload().returncode == 1
    assert run.replicas() == before


def test_a_hanging_up_terminal_is_no_reload_but_a_signal_is(start: Start, version: Path) -> None:
    run = start(PRETENDS, f"version={version}")
    before = run.wait_ready(1)
    run.signal(signal.SIGHUP)
    wait_for(lambda: run.ready() and not set(run.replicas().values()) & set(before.values()), 20, "a new one")
    assert run.stop() == 0


def test_a_changed_file_reloads(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "bot"
    folder.mkdir()
    bot = folder / "bot.py"
    bot.write_text(PRETENDS.read_text())
    run = start("--watch", bot, "ready")
    before = run.wait_ready(1)
    bot.write_text(PRETENDS.read_text() + "\n# changed\n")
    run.wait_line("files have changed", timeout=20)
    wait_for(lambda: run.ready() and not set(run.replicas().values()) & set(before.values()), 20, "a new one")


def test_a_bot_without_etcd_drains_before_its_successor_starts(start: Start, version: Path) -> None:
    run = start(PRETENDS, "alone", f"version={version}")
    run.wait_ready(1)
    done = run.reload()
    assert done.returncode == 0, done
    assert "drains before its successor starts" in done.stdout
    run.wait_ready(1)
    version.write_text("dies=1")
    assert run.reload().returncode == 1
    version.write_text("ready")  # what the file says counts, now that nothing runs
    run.wait_ready(1)


def test_a_replica_that_dies_while_its_successor_starts_is_not_followed_twice(
    start: Start, version: Path
) -> None:
    run = start("--reload-timeout", "20", PRETENDS, f"version={version}")
    (pid,) = run.wait_ready(1).values()
    version.write_text("nothing")
    run.signal(signal.SIGHUP)
    wait_for(lambda: len(run.replicas()) == 2, 10, "the successor")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(run.replicas()) == 1, 10, "the death")
    version.write_text("ready")
    os.kill(next(iter(run.replicas().values())), signal.SIGKILL)  # rolled back: nothing runs
    run.wait_line("rolled back")
    run.wait_ready(1)
    assert len(run.started()) == 3


def test_one_reload_at_a_time_and_none_at_the_end(start: Start, version: Path) -> None:
    run = start("--reload-timeout", "20", PRETENDS, f"version={version}")
    run.wait_ready(1)
    version.write_text("nothing")
    run.signal(signal.SIGHUP)
    wait_for(lambda: len(run.replicas()) == 2, 10, "the successor")
    done = run.reload()
    assert done.returncode == 1
    assert "not now" in done.stdout
    assert run.stop() == 0
    assert not run.left_over()
    assert run.reload().returncode == 1


def test_somebody_who_asks_and_does_not_listen_holds_nothing_up(start: Start, version: Path) -> None:
    run = start(PRETENDS, f"version={version}")
    run.wait_ready(1)
    (path,) = (Path(run.environment["XDG_RUNTIME_DIR"]) / "discordha").glob("run-*.sock")
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(path))
        asking.sendall(b"reload\n")
    run.wait_line("reload: the new version runs")
    for nonsense in (b"", b"x" * 1000, b"reload"):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(path))
            asking.sendall(nonsense)
    assert run.reload().returncode == 0
    assert run.stop() == 0


def test_systemd_hears_of_a_reload(start: Start, version: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        run = start(PRETENDS, f"version={version}", NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert manager.recv(1000).startswith(b"READY=1")
        run.signal(signal.SIGHUP)
        assert manager.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(1000).startswith(b"READY=1")

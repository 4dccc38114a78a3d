"""``discordha run`` on processes that only pretend to be bots: deaths, hangs, signals, ends, process 1."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from fleet import BOTS
from supervised import Run, base_environment, those, zombies_below

from discordha.testing import wait_for

PRETENDS = BOTS / "pretends.py"
Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []

    def begin(*arguments: str | Path, prefix: tuple[str, ...] = (), **environment: str) -> Run:
        run = Run(
            arguments,
            environment={**base_environment(), "DISCORDHA_REPLICA_ID": "bot", **environment},
            directory=tmp_path,
            prefix=prefix,
        )
        runs.append(run)
        return run

    yield begin
    for run in runs:
        run.close()


def memory(pid: int) -> int:
    """What a process has taken at the most, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def test_each_replica_has_an_id_and_a_port_of_its_own(start: Start) -> None:
    run = start("-n", "3", PRETENDS, "ready", DISCORDHA_HTTP_ADDRESS=":8080")
    assert set(run.wait_ready(3)) == {"bot-1", "bot-2", "bot-3"}
    assert sorted(run.lines("^settings")) == [
        "settings :8080 False",
        "settings :8081 False",
        "settings :8082 False",
    ]
    assert memory(run.pid) < 40
    assert run.stop() == 0
    assert not run.left_over()


def test_the_parent_imports_nothing_heavy() -> None:
    modules = (
        "discordha.operations.cli.main, discordha.operations.logs, discordha.operations.cli.run_commands"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env=base_environment(),
    )
    names = {name.split(".")[0] for name in loaded.stdout.split()}
    assert "discordha" in names
    assert not names & {"asyncio", "discord", "grpc", "etcd3", "click", "rich", "aiohttp", "simcord"}


def test_one_replica_keeps_the_id_that_it_was_given(start: Start) -> None:
    run = start(PRETENDS, "ready")
    assert set(run.wait_ready(1)) == {"bot"}


def test_a_replica_that_dies_is_followed_at_once(start: Start) -> None:
    run = start("-n", "2", PRETENDS, "ready")
    before = run.wait_ready(2)
    os.kill(before["bot-1"], signal.SIGKILL)
    wait_for(lambda: run.ready().keys() == before.keys() and run.ready() != before, 10, "a new one")
    assert run.ready()["bot-2"] == before["bot-2"]
    assert run.lines(r"bot-1 \(pid \d+\) was killed by SIGKILL .* starts again in 0 s")
    assert run.stop() == 0


def test_a_crash_loop_slows_down(start: Start) -> None:
    run = start(PRETENDS, "ready", "dies=3")
    lines = run.wait_line("ended with status 3", 4)
    assert [line.rsplit(" ", 2)[1] for line in lines[:4]] == ["0", "0.5", "1", "2"]
    assert run.stop() == 0


def test_a_replica_that_ends_by_itself_stays_down(start: Start) -> None:
    run = start("-n", "2", PRETENDS, "ready")
    pids = run.wait_ready(2)
    os.kill(pids["bot-1"], signal.SIGTERM)  # as an operator's drain ends it
    run.wait_line("bot-1 .* stays down")
    assert set(run.replicas()) == {"bot-2"}
    os.kill(pids["bot-2"], signal.SIGTERM)
    assert run.wait_exit(20) == 0


def test_a_configuration_that_is_refused_ends_the_run(start: Start) -> None:
    run = start("-n", "2", PRETENDS, "refuses")
    assert run.wait_exit(20) == 78
    assert run.lines("the token is wrong")
    assert len(run.started()) == 2


def test_two_replicas_of_one_id_do_not_run_together(start: Start) -> None:
    run = start("-n", "2", PRETENDS, "ready", "id=mine")
    run.wait_line("is ended: .* is called 'mine', too")
    wait_for(lambda: len(run.replicas()) == 1, 10, "one of them")


def test_two_replicas_that_share_nothing_do_not_run_together(start: Start) -> None:
    run = start("-n", "2", PRETENDS, "ready", "alone")
    run.wait_line("is ended: the bot says ha=False")
    wait_for(lambda: len(run.replicas()) == 1, 10, "one of them")


def test_a_replica_that_hangs_shows_its_stacks_and_is_followed(start: Start) -> None:
    run = start("--hang-after", "2", PRETENDS, "ready", "hangs")
    run.wait_line("hangs: the process has shown no sign of life", timeout=20)
    run.wait_line("was killed by SIGABRT", timeout=20)
    assert run.lines("Fatal Python error: Aborted")
    assert run.lines(r'File ".*pretends.py", line \d+ in <module>')
    wait_for(lambda: len(run.started()) > 1, 20, "the next")


def test_a_replica_that_is_stopped_is_killed(start: Start) -> None:
    run = start("--hang-after", "2", PRETENDS, "ready")
    (pid,) = run.wait_ready(1).values()
    wait_for(lambda: psutil.Process(pid).num_threads() > 1, 10, "its link")
    os.kill(pid, signal.SIGSTOP)
    run.wait_line("was killed by SIGKILL", timeout=20)


@pytest.mark.long
def test_hang_after_0_lets_it_hang(start: Start) -> None:
    run = start("--hang-after", "0", PRETENDS, "ready", "hangs")
    run.wait_ready(1)
    with pytest.raises(TimeoutError):
        run.wait_line("hangs", timeout=4)


def test_signals_are_passed_on(start: Start) -> None:
    run = start("-n", "2", PRETENDS, "ready")
    run.wait_ready(2)
    run.signal(signal.SIGUSR1)
    assert sorted(run.wait_line("^USR1 in", 2)) == ["USR1 in bot-1", "USR1 in bot-2"]


@pytest.mark.long
def test_a_replica_that_does_not_drain_is_killed(start: Start) -> None:
    run = start(PRETENDS, "ready", "stubborn", "drain=0.5")
    run.wait_ready(1)
    assert run.stop(20) == 1
    assert run.lines("does not end: it is killed")


def test_a_third_signal_ends_everything_at_once(start: Start) -> None:
    run = start("-n", "2", PRETENDS, "ready", "stubborn", "drain=60")
    run.wait_ready(2)
    for word in ("drain", "hurry", "are killed"):
        run.signal(signal.SIGTERM)
        run.wait_line(f"SIGTERM: all replicas {word}")
    assert run.wait_exit(10) == 1
    assert not run.left_over()


def test_what_a_replica_leaves_behind_is_ended_and_reaped(start: Start) -> None:
    run = start(PRETENDS, "ready", "orphans")
    (pid,) = run.wait_ready(1).values()
    sleepers: list[psutil.Process] = []

    def sleep() -> bool:
        sleepers[:] = those(run.descendants(), lambda each: each.name() == "sleep")
        return len(sleepers) == 1

    wait_for(sleep, 10, "what it leaves behind")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not sleepers[0].is_running(), 10, "its sleeper to end and be reaped")

    run.wait_ready(1)
    wait_for(lambda: not zombies_below(run.pid), 10, lambda: f"no zombies, not {zombies_below(run.pid)}")


def test_a_parent_that_is_killed_takes_its_replicas_along(start: Start) -> None:
    run = start("-n", "2", PRETENDS, "ready", "orphans")
    run.wait_ready(2)
    for each in those(run.descendants(), lambda each: each.name() == "sleep"):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()  # its own child's child is nobody's but the group's
    os.kill(run.pid, signal.SIGKILL)
    wait_for(lambda: not run.left_over(), 10, lambda: f"nothing, not {run.left_over()}")


@pytest.mark.skipif(os.name != "posix" or not shutil.which("unshare"), reason="needs unshare")
def test_as_process_1_of_a_container(start: Start, tmp_path: Path) -> None:
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may make no process namespace")
    run = start("-n", "2", PRETENDS, "ready", "orphans", prefix=unshare)
    run.wait_line("is ready", 2)
    (first,) = psutil.Process(run.pid).children()
    those(first.children(), lambda each: "pretends.py" in " ".join(each.cmdline()))[0].kill()
    run.wait_line("is ready", 3)

    wait_for(lambda: not zombies_below(first.pid), 10, lambda: f"no zombies, not {zombies_below(first.pid)}")
    run.descendants()
    first.send_signal(signal.SIGTERM)
    assert run.wait_exit(30) == 0
    assert not run.left_over()


def test_systemd_is_told(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        run = start("--wait-ready", PRETENDS, "ready", NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert manager.recv(1000).decode().startswith("READY=1")
        assert run.lines("^settings") == ["settings None False"]
        run.signal(signal.SIGTERM)
        assert manager.recv(1000) == b"STOPPING=1"
        assert run.wait_exit(20) == 0


def test_a_bot_that_is_never_ready_fails_the_start(start: Start) -> None:
    run = start("--wait-ready", "--reload-timeout", "1", PRETENDS)
    assert run.wait_exit(20) == 1
    assert run.lines("was not ready within 1 s")
    assert not run.left_over()


def test_a_refused_configuration_fails_the_start_at_once(start: Start) -> None:
    run = start("--wait-ready", PRETENDS, "refuses")
    assert run.wait_exit(20) == 78
    assert not run.lines("was not ready within")


def test_a_module_runs_with_its_arguments(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "bot.py").write_text(PRETENDS.read_text())
    path = base_environment()["PYTHONPATH"]
    run = start("-m", "package.bot", "--", "ready", PYTHONPATH=f"{tmp_path}{os.pathsep}{path}")
    run.wait_ready(1)
    assert run.stop() == 0

"""What the service manager, the operator and the file system say to ``discordha run``, and hear of it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from discordha.operations.cli.fleet_commands import cli
from discordha.supervisor import launch
from discordha.supervisor.command import reload_command, run_command
from discordha.supervisor.control import ControlServer, Reply, ask, runs
from discordha.supervisor.notify import Notifier
from discordha.supervisor.sources import Sources


def test_systemd_hears_of_start_reload_and_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        now = [100.0]
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4000000"}
        notifier = Notifier(environ, clock=lambda: now[0])
        notifier.watchdog()
        notifier.watchdog()  # not due
        now[0] += 2.0
        notifier.watchdog()
        notifier.ready("two")
        notifier.reloading()
        notifier.stopping()
        manager.setblocking(False)
        heard = [manager.recv(1000).decode() for _ in range(5)]
    assert heard[:3] == ["WATCHDOG=1", "WATCHDOG=1", "READY=1\nSTATUS=two"]
    assert heard[3].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert heard[4] == "STOPPING=1"


def test_a_manager_that_is_not_there_or_means_another_process_hears_nothing(tmp_path: Path) -> None:
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("x")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}
        Notifier(environ).watchdog()
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)


def serve(server: ControlServer) -> None:
    """One request."""
    assert server.socket is not None
    server.socket.setblocking(True)
    connection = server.accept()
    assert connection is not None
    connection.setblocking(True)
    server.read(connection)


@pytest.mark.parametrize("ok", [True, False])
def test_a_reload_is_asked_for_and_answered(tmp_path: Path, ok: bool) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}

    def on_reload(reply: Reply) -> None:
        reply.say("one is ready")
        reply.end(ok, "done")

    server = ControlServer(environ, on_reload)
    (path,) = runs(environ).values()
    assert path.stat().st_mode & 0o777 == 0o600
    assert server.socket is not None
    probe = server.accept()  # of ``runs``
    if probe is not None:
        probe.close()
    thread = threading.Thread(target=serve, args=(server,))
    thread.start()
    said: list[str] = []
    assert ask(path, said.append, 5.0) is ok
    assert said == ["one is ready", "done"]
    thread.join()
    server.close()
    assert runs(environ) == {}


def test_a_folder_that_others_may_write_to_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "discordha"
    folder.mkdir()
    folder.chmod(0o777)
    server = ControlServer({"XDG_RUNTIME_DIR": str(tmp_path)}, lambda reply: None)
    assert server.socket is None
    assert "SIGHUP can" in caplog.text
    server.close()


def test_the_socket_of_a_dead_run_is_removed(tmp_path: Path) -> None:
    (tmp_path / "discordha").mkdir(mode=0o700)
    stale = tmp_path / "discordha" / "run-1.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    assert runs({"XDG_RUNTIME_DIR": str(tmp_path)}) == {}
    assert not stale.exists()


def test_a_change_counts_once_and_when_it_has_settled(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("one")
    hidden = tmp_path / ".git"
    hidden.mkdir()
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / "pyvenv.cfg").touch()
    sources = Sources(tmp_path)
    assert not sources.changed()
    (hidden / "x.py").touch()
    (venv / "y.py").touch()
    (tmp_path / "data.db").touch()
    assert not sources.changed()
    bot.write_text("longer")
    assert not sources.changed()  # it may change on
    assert sources.changed()
    assert not sources.changed()
    (tmp_path / "new.py").touch()
    assert [sources.changed() for _ in range(3)] == [False, True, False]
    bot.unlink()
    assert [sources.changed() for _ in range(3)] == [False, True, False]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-n", "0", "bot.py"],
        ["-n", "x", "bot.py"],
        ["--hang-after", "-1", "bot.py"],
        ["-m", "there_is.no_such"],
        ["--unknown", "bot.py"],
    ],
)
def test_wrong_usage_ends_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["no_such_bot.py"]) == 1
    assert "no_such_bot.py" in capsys.readouterr().err


def test_a_reload_without_a_run_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert reload_command([]) == 1
    assert reload_command(["--pid", "5"]) == 1
    assert "no discordha run" in capsys.readouterr().err


def test_the_command_line_lists_both_commands() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    assert "\n  run " in shown
    assert "\n  reload " in shown
    assert CliRunner().invoke(cli, ["run", "no_such_bot.py"]).exit_code == 1


def test_a_launcher_whose_parent_has_gone_starts_nothing() -> None:
    with pytest.raises(SystemExit, match="gone"):
        launch.main([str(os.getpid()), "/bin/true"])  # its parent is another one
    assert launch.guard(0, os.getpid(), ["/bin/true"]) == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

"""Python programs of the tests begin as forks of a process that has imported what they import.

Importing discord.py, aiohttp, gRPC and this library costs more processor time than most tests do. ``install``
lets ``ChildProcess`` ask a *nursery*, one process for each pytest worker, for a fork instead of starting the
interpreter anew. What runs is a process like any other: with its own id, group, environment, log and signals.
Its parent is the nursery, with which it dies; the nursery dies with the pytest worker.

Anything else than ``python script.py ...`` and ``python -m module ...``, and what sets other ``PYTHON...``
variables than the worker's, starts as ever. So does a program with ``TESTS_COLD=1`` in its environment: one
that is measured, or that changes modules before this library imports them. In the worker's it switches all of
this off.

Threads: the nursery has one, and forks between two requests only. Any thread may start a process: ``_lock``
guards the control socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["WarmProcess", "install"]

_MODULES = (
    "discord.ext.commands",
    "discord.ext.tasks",
    "grpc",
    "discordha",
    "discordha.bot",
    "discordha.app_commands",
    "discordha.commands.components",
    "discordha.ext.commands",
    "discordha.ext.tasks",
    "discordha.replica.lifecycle",
    "discordha.testing.discord_server.control",
    "discordha.testing.discord_server.interactions",
    "discordha.testing.discord_server.rest.server",
    "discordha.testing.discord_server.voice.server",
    "discordha.testing.discord_server.world",
    "discordha.views",
)
_LARGEST = 1 << 18
_PR_SET_PDEATHSIG = 1


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


# -- the pytest worker's side --------------------------------------------------------------------------------


class WarmProcess:
    """What ``subprocess.Popen`` is to ``ChildProcess``, for a fork of the nursery.

    Any thread may call the methods, which do not wait for each other. ``_lock`` guards ``returncode``.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self.returncode: int | None = None
        self.pid = int(channel.recv(32))

    def poll(self) -> int | None:
        """The exit status, if it has ended. Does not block."""
        return self._read(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Blocks until it has ended.

        :raises subprocess.TimeoutExpired: it runs after ``timeout`` seconds.
        """
        code = self._read(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("a warm start", timeout or 0.0)
        return code

    def _read(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            ended = select.poll()
            with contextlib.suppress(ValueError):  # closed meanwhile, so the status is there
                ended.register(self._channel, select.POLLIN)
                if not ended.poll(None if timeout is None else max(timeout, 0.0) * 1000):
                    return None
            with self._lock:
                if self.returncode is None:
                    with self._channel:
                        told = self._channel.recv(32)
                    # Nothing is told where the nursery is gone, and its children with it.
                    self.returncode = int(told) if told else -signal.SIGKILL
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it is known to have ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class _Nursery:
    """The handle of the nursery."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], directory: str, output: int
    ) -> WarmProcess | None:
        """Starts a program. ``None`` where there is no nursery yet, and this thread may not begin one: the
        kernel binds it to the thread.
        """
        with self._lock:
            if self._control is None:
                if threading.current_thread() is not threading.main_thread():
                    return None
                self._begin()
            assert self._control is not None
            mine, its = socket.socketpair()
            request = json.dumps([list(command), dict(environment), directory]).encode()
            with its:
                socket.send_fds(self._control, [request], [its.fileno(), output])
        return WarmProcess(mine)

    def _begin(self) -> None:
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-u", __file__, str(its.fileno()), str(os.getpid())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def close(self) -> None:
        """Ends the nursery, and what it has started."""
        with self._lock:
            if self._control is not None and self._process is not None:
                self._control.close()
                self._control = None
                self._process.wait()


def _is_warm(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    if len(command) < 2 or command[0] != sys.executable or len(json.dumps(list(command))) > _LARGEST // 4:
        return False
    if command[1] == "-m":
        if len(command) < 3:
            return False
    elif not command[1].endswith(".py"):
        return False
    if environment.get("TESTS_COLD") or "DISCORDHA_SUPERVISOR" in environment:
        return False
    usual = {"PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER"}
    return all(
        os.environ.get(name) == value
        for name, value in environment.items()
        if name.startswith("PYTHON") and name not in usual
    )


def install() -> Callable[[], None]:
    """From now on this process starts Python programs warm, where the system can do it. Returns what ends
    the nursery.
    """
    from discordha.testing import processes

    nursery = _Nursery()
    if sys.platform != "linux" or os.environ.get("TESTS_COLD"):
        return nursery.close
    cold = processes.start_program

    def start(
        command: Sequence[str],
        output: int,
        environment: Mapping[str, str] | None,
        directory: Path | None,
        bound: bool,
    ) -> Any:
        variables = dict(os.environ if environment is None else environment)
        process = None
        if _is_warm(command, variables):
            process = nursery.start(command, variables, str(directory or Path.cwd()), output)
        return process or cold(command, output, environment, directory, bound)

    processes.start_program = start
    return nursery.close


# -- the nursery ---------------------------------------------------------------------------------------------


def _serve(control: socket.socket) -> tuple[list[str], dict[str, str], str]:
    """Forks for each request; returns in the fork only, with what it is to run."""
    channels: dict[int, socket.socket] = {}
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    nursery = os.getpid()
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is wake:
                    with contextlib.suppress(BlockingIOError):
                        wake.recv(4096)
                    _report(channels)
                    continue
                request, descriptors, *_ = socket.recv_fds(control, _LARGEST, 2)
                if not request:
                    sys.exit()
                channel, output = descriptors
                if (pid := os.fork()) == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _become_child(nursery, output)
                    for each in (control, wake, woken, *channels.values()):
                        each.close()
                    os.close(channel)
                    command, environment, directory = json.loads(request)
                    return command, environment, directory
                with contextlib.suppress(PermissionError, ProcessLookupError):
                    os.setpgid(pid, pid)
                os.close(output)
                channels[pid] = socket.socket(fileno=channel)
                channels[pid].send(str(pid).encode())


def _report(channels: dict[int, socket.socket]) -> None:
    """Tells of each child that has ended."""
    while channels:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with channels.pop(pid) as channel, contextlib.suppress(OSError):
            channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become_child(nursery: int, output: int) -> None:
    os.setpgid(0, 0)
    _die_with_parent(nursery)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _run(
    command: list[str], environment: dict[str, str], directory: str, set_by_imports: dict[str, str]
) -> None:
    """Becomes the program, as far as Python can tell."""
    os.chdir(directory)
    os.environ.clear()
    os.environ.update({**set_by_imports, **environment})
    if environment.get("PYTHONFAULTHANDLER"):
        faulthandler.enable()
    _renew_certificates()
    folders = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    del sys.path[0]  # this file's folder
    sys.path[:0] = [path for path in folders if path not in sys.path]
    if command[1] == "-m":
        sys.path.insert(0, directory)
        sys.argv = [command[2], *command[3:]]
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)
        return
    script = Path(command[1])
    sys.path.insert(0, str(script.parent))
    sys.argv = command[1:]
    main = types.ModuleType("__main__")
    main.__file__ = str(script)
    sys.modules["__main__"] = main
    exec(compile(script.read_bytes(), script, "exec"), main.__dict__)


def _renew_certificates() -> None:
    """aiohttp reads the trusted authorities when it is imported."""
    from aiohttp import connector

    connector._SSL_CONTEXT_VERIFIED = connector._make_ssl_context(True)  # type: ignore[attr-defined]


def _main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    _die_with_parent(int(sys.argv[2]))
    os.setpgid(0, 0)  # Ctrl-C is the worker's
    before = dict(os.environ)
    for name in _MODULES:
        importlib.import_module(name)
    set_by_imports = {name: value for name, value in os.environ.items() if before.get(name) != value}
    gc.freeze()  # else the first collection of each fork would copy everything
    command, environment, directory = _serve(control)
    _run(command, environment, directory, set_by_imports)


if __name__ == "__main__":
    _main()

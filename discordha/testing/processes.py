"""A child process of the test kit: in a group of its own, logged to a file, and never left behind.

Guarantees: ``kill`` ends the child, paused or not, and what it started in its group. On Linux the death of
the test process does so, too, and an exit handler covers its other ends.

The kernel binds "die with the parent" to the parent's *thread*. So only children of the main thread, or of a
thread that outlives them, are started that way.

Threads and locks: any thread may call the methods, which do not wait for each other; one thread drives.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from discordha.testing.waiting import wait_for

__all__ = ["ChildProcess"]

_LAUNCHER = str(Path(__file__).with_name("_launch.py"))


class _Program(Protocol):
    """What ``ChildProcess`` needs of ``subprocess.Popen``."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...


def start_program(
    command: Sequence[str],
    output: int,
    environment: Mapping[str, str] | None,
    directory: Path | None,
    bound: bool,
) -> _Program:
    """Starts a program in a process group of its own. This library's own tests put another in its place.

    :param output: the file descriptor of its stdout and stderr.
    :param bound: whether it dies with the calling thread.
    """
    if bound:
        command = [sys.executable, "-I", "-S", _LAUNCHER, str(os.getpid()), *command]
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=None if environment is None else dict(environment),
        cwd=directory,
        process_group=0,
    )


class ChildProcess:
    """A started program.

    :param command: program and arguments.
    :param log: file to which its stdout and stderr are appended.
    :param environment: its whole environment; ``None`` for this process's.
    :param outlived: whether the calling thread outlives the child; the main thread does.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        outlived: bool = False,
    ) -> None:
        self.log = log
        bound = sys.platform == "linux" and (
            outlived or threading.current_thread() is threading.main_thread()
        )
        with log.open("ab") as output:
            self._process = start_program(command, output.fileno(), environment, directory, bound)
        self.paused = False
        self._swept = False
        self._parent = os.getpid()
        _children.add(self)

    @property
    def pid(self) -> int:
        """The process id, which is also the group's."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or minus the signal that ended it; ``None`` while it runs. Does not block."""
        code = self._process.poll()
        if code is not None:
            self._sweep()
        return code

    @property
    def alive(self) -> bool:
        """Whether it runs, paused or not. Does not block."""
        return self.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the program alone, unless it has ended."""
        if self.alive:
            self._process.send_signal(number)

    def pause(self) -> None:
        """Stops it with SIGSTOP: its sockets stay open. Blocks until the kernel has stopped it."""
        self.signal(signal.SIGSTOP)
        self.paused = True
        if sys.platform == "linux":
            wait_for(
                lambda: not self.alive or self._state() in "TtX",
                5.0,
                f"process {self.pid} to stop",
                interval=0.001,
            )

    def resume(self) -> None:
        """Continues it with SIGCONT."""
        self.signal(signal.SIGCONT)
        self.paused = False

    def _state(self) -> str:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return "X"

    def kill(self) -> None:
        """Kills the whole group with SIGKILL, and blocks until the program has ended. Idempotent."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            self._sweep()
        self.paused = False

    def terminate(self, timeout: float = 10.0) -> bool:
        """Sends SIGTERM, also to a paused one, and blocks for up to ``timeout`` seconds; whether it ended."""
        self.signal(signal.SIGTERM)
        self.resume()
        return self.wait(timeout) is not None

    def wait(self, timeout: float) -> int | None:
        """Blocks until it has ended, and returns its exit status; ``None`` after ``timeout`` seconds."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self._sweep()
        return code

    def _sweep(self) -> None:
        """Kills what the program left in its group. Once only: later the id may be another group's."""
        if not self._swept:
            self._swept = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def log_text(self) -> str:
        """Its output, and that of earlier runs with the same log."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


# The children that are still referenced, for the exit handler.
_children: weakref.WeakSet[ChildProcess] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for child in list(_children):
        if child._parent == os.getpid():  # an exit handler runs in forks of this process, too
            child.kill()

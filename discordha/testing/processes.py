"""One child process of the harness: started in a group of its own, logged to a file, never left behind.

Promises: ``close`` (or the death of the harness, on Linux) ends the child and what it started in its group;
a stopped (paused) child can be ended too. Does not restart anything: see ``Replicas``.

The kernel's "die with the parent" is bound to the parent's *thread*, so it is asked for only when the main
thread or a thread that says it outlives its children starts one; an exit handler covers the rest of the ways
out.
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

from .waiting import wait_for

__all__ = ["ChildProcess"]

_LAUNCHER = str(Path(__file__).with_name("_launch.py"))
_TAIL = 20_000


class ChildProcess:
    """A started program. Any thread may call its methods; they do not wait for each other, so one driver is
    meant.

    :param command: program and arguments.
    :param log: file to append its stdout and stderr to.
    :param environment: its whole environment; the harness's own when ``None``.
    :param outlived: the calling thread promises to live longer than the child (true of the main thread
        anyway).
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
        if bound:
            command = [sys.executable, "-I", "-S", _LAUNCHER, str(os.getpid()), *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                cwd=directory,
                process_group=0,
            )
        self.paused = False
        self._swept = False
        self._parent = os.getpid()
        _children.add(self)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit status, minus the signal that ended it, or ``None`` while it runs. Does not block."""
        code = self._process.poll()
        if code is not None:
            self._sweep()
        return code

    @property
    def alive(self) -> bool:
        """Whether it runs (a paused one does). Does not block."""
        return self.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone; nothing happens when it has ended."""
        if self.alive:
            self._process.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP: it keeps its sockets and does nothing. Returns when the kernel has stopped it."""
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
        """SIGCONT."""
        self.signal(signal.SIGCONT)
        self.paused = False

    def _state(self) -> str:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return "X"

    def kill(self) -> None:
        """SIGKILL to the whole group, and wait for the end. Idempotent."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            self._sweep()
        self.paused = False

    def terminate(self, timeout: float = 10.0) -> bool:
        """SIGTERM (waking a paused one) and wait up to ``timeout`` seconds. True when it ended by itself."""
        self.signal(signal.SIGTERM)
        self.resume()
        return self.wait(timeout) is not None

    def wait(self, timeout: float) -> int | None:
        """Block until it has ended; its exit status, or ``None`` after ``timeout`` seconds."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self._sweep()
        return code

    def _sweep(self) -> None:
        """End what the program left in its group. Once only: later the number may belong to somebody else."""
        if not self._swept:
            self._swept = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def log_text(self) -> str:
        """Everything it (and earlier runs with the same log) printed."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def log_tail(self) -> str:
        """The end of the log, for an error message."""
        return self.log_text()[-_TAIL:]


# Children of this process that are still referenced; swept by the exit handler only.
_children: weakref.WeakSet[ChildProcess] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for child in list(_children):
        if child._parent == os.getpid():  # an exit handler runs in forked copies of the harness, too
            child.kill()

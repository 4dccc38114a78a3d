"""``discordha run`` as a process: its replicas, their deaths, and what it logs."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.processes import ChildProcess

__all__ = ["Run", "base_environment", "bot_environment", "dies", "lives", "those", "zombies_below"]

_STARTS = re.compile(r"replica (\S+) starts \(pid (\d+)\)")
_LIBRARY = str(Path(__file__).parents[2])


def base_environment() -> dict[str, str]:
    """The harness's environment without what would lead a bot elsewhere."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DISCORDHA_") and name not in ("BOT_TOKEN", "NOTIFY_SOCKET")
    }
    path = [_LIBRARY, *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def bot_environment(
    discord: LocalDiscord, etcd: LocalEtcd | None, namespace: str, **more: str
) -> dict[str, str]:
    """How a bot below ``discordha run`` finds the local Discord and etcd."""
    found = {**base_environment(), **discord.env("r0"), "DISCORDHA_NAME": namespace}
    found.update(etcd.env() if etcd is not None else {})
    return {**found, **more}


def dies(pid: int, trigger: Callable[[], object], timeout: float = 30.0) -> float:
    """Lets a process die, and waits for that: when the kernel said so, by the monotonic clock."""
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        trigger()
        assert poll.poll(timeout * 1000), f"process {pid} lives"
        return time.monotonic()
    finally:
        os.close(descriptor)


class Run:
    """One ``discordha run``. A context manager; leaving it ends the run and everything below it.

    :param directory: where its log lies, and its control socket.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        directory: Path,
        prefix: Sequence[str] = (),
    ) -> None:
        self.log = directory / "run.log"
        self.environment = {"XDG_RUNTIME_DIR": str(directory), "TESTS_COLD": "1", **environment}
        self.log.touch()
        command = [*prefix, sys.executable, "-m", "discordha", "run", *map(str, arguments)]
        self._process = ChildProcess(command, self.log, environment=self.environment)
        self._seen: set[psutil.Process] = set()

    @property
    def pid(self) -> int:
        """The parent's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the parent runs."""
        return self._process.alive

    def text(self) -> str:
        """Everything that the run and its replicas have logged."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def lines(self, pattern: str) -> list[str]:
        """The lines that a pattern fits."""
        return [line for line in self.text().splitlines() if re.search(pattern, line)]

    def started(self) -> list[tuple[str, int]]:
        """Every replica that was started, with its process id, in order."""
        return [(name, int(pid)) for name, pid in _STARTS.findall(self.text())]

    def replicas(self) -> dict[str, int]:
        """The replicas that live: process ids by name."""
        return {name: pid for name, pid in self.started() if lives(pid)}

    def descendants(self) -> list[psutil.Process]:
        """All living processes below it; remembered for the end."""
        try:
            found = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        self._seen.update(found)
        return [each for each in found if lives(each.pid)]

    def ready(self) -> dict[str, int]:
        """The living replicas that have said that they are ready."""
        living = self.replicas()
        text = self.text()
        return {
            name: pid
            for name, pid in living.items()
            if f"replica {name} is ready" in text[text.rindex(f"replica {name} starts (pid {pid})") :]
        }

    def wait_ready(self, count: int, timeout: float = 60.0) -> dict[str, int]:
        """Blocks until so many replicas are ready."""
        wait_for(
            lambda: len(self.ready()) == count or not self.alive,
            timeout,
            lambda: f"{count} ready replicas; the log ends:\n{self.text()[-4000:]}",
            interval=0.02,
        )
        assert self.alive, self.text()[-4000:]
        self.descendants()
        return self.ready()

    def wait_line(self, pattern: str, count: int = 1, timeout: float = 60.0) -> list[str]:
        """Blocks until so many lines fit a pattern."""
        wait_for(
            lambda: len(self.lines(pattern)) >= count,
            timeout,
            lambda: f"{count} lines like {pattern!r}; the log ends:\n{self.text()[-4000:]}",
            interval=0.02,
        )
        return self.lines(pattern)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the parent."""
        self._process.signal(number)

    def wait_exit(self, timeout: float = 60.0) -> int:
        """Blocks until the parent has ended: its exit status."""
        self.descendants()
        status = self._process.wait(timeout)
        assert status is not None, f"it still runs; the log ends:\n{self.text()[-4000:]}"
        return status

    def stop(self, timeout: float = 60.0) -> int:
        """SIGTERM; its exit status."""
        self.descendants()
        self.signal(signal.SIGTERM)
        return self.wait_exit(timeout)

    def reload(self, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
        """``discordha reload``."""
        return subprocess.run(
            [sys.executable, "-m", "discordha", "reload"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def left_over(self) -> list[psutil.Process]:
        """Processes that were below it once and live still."""
        return [each for each in self._seen if each.is_running() and lives(each.pid)]

    def close(self) -> None:
        """Ends it and everything below it. Idempotent."""
        self.descendants()
        if self.alive:
            self._process.kill()
        for each in self._seen:
            if each.is_running():
                each.kill()
        wait_for(lambda: not self.left_over(), 10, lambda: f"the end of {self.left_over()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"--- discordha run, end of its log:\n{self.text()[-6000:]}")
        self.close()


def those(
    processes: Iterable[psutil.Process], wanted: Callable[[psutil.Process], bool]
) -> list[psutil.Process]:
    """Those of the processes that are wanted. A process that ends in this moment is not."""
    found = []
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if wanted(each):
                found.append(each)
    return found


def zombies_below(pid: int) -> list[psutil.Process]:
    """The processes below one that have ended and were not reaped."""
    found = psutil.Process(pid).children(recursive=True)
    return those(found, lambda each: each.status() == psutil.STATUS_ZOMBIE)


def lives(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""N real processes of a bot script: started, killed, paused, drained, restarted, and never left behind.

Guarantees: each replica is a process group of its own with a log in a file. Leaving the context ends all of
them, and an error that leaves it carries the end of each log. Not guaranteed: that a replica works; see
``wait_ready``. A replica is ready once it has logged ``discordha ready replica=<id>``, which ``DiscordHA``
does (INFO, logger ``discordha``).

Threads and locks: one thread drives. With ``restart=True`` the thread ``discordha-test-restarter`` shares the
replicas with it; each replica has a lock.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from discordha.testing.processes import ChildProcess
from discordha.testing.waiting import WaitTimeout, wait_for

__all__ = ["HasEnvironment", "HasReplicaEnvironment", "Replica", "Replicas"]

_READY = re.compile(rb"discordha ready replica=([\w.-]+)")
_LOG_TAIL = 3_000
_LIBRARY = str(Path(__file__).parents[2])


class HasEnvironment(Protocol):
    """A server that replicas reach by environment variables: ``LocalEtcd``."""

    def env(self) -> Mapping[str, str]:
        """The ``DISCORDHA_*`` variables."""
        ...


class HasReplicaEnvironment(Protocol):
    """A server that tells the replicas apart by their addresses: ``LocalDiscord``."""

    def env(self, replica: str = "") -> Mapping[str, str]:
        """The ``DISCORDHA_*`` variables for one replica."""
        ...


class Replica:
    """One of the ``Replicas``. Each start is a new *run*; the log goes on over all runs. One thread drives
    it; methods block only where they say so.

    ``_lock`` guards the process and ``_wanted``. It is held while a process is started or killed, so that
    neither thread starts a process that the other has just ended.
    """

    def __init__(self, index: int, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.index = index
        self.log = log
        self.runs = 0
        self.revived = False
        self._command = list(command)
        self._environment = dict(environment)
        self._lock = threading.RLock()
        self._process: ChildProcess | None = None
        self._wanted = False
        self._run_offset = 0
        self._ready_id: str | None = None

    # State

    @property
    def pid(self) -> int:
        """The process id of the current run.

        :raises RuntimeError: there was no run.
        """
        return self._started().pid

    @property
    def alive(self) -> bool:
        """Whether the process runs, paused or not."""
        return self._process is not None and self._process.alive

    @property
    def paused(self) -> bool:
        """Whether ``pause`` holds the process."""
        return self._process is not None and self._process.paused

    @property
    def returncode(self) -> int | None:
        """The exit status of the current run, or minus the signal that ended it; ``None`` while it runs."""
        return self._started().returncode

    @property
    def replica_id(self) -> str | None:
        """The id that the current run has reported as ready; ``None`` until then."""
        if self._ready_id is None:
            found = _READY.search(self._run_bytes())
            self._ready_id = found.group(1).decode() if found else None
        return self._ready_id

    @property
    def environment(self) -> dict[str, str]:
        """The environment; changes apply from the next start on."""
        return self._environment

    def log_text(self) -> str:
        """The output of all runs."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def run_text(self) -> str:
        """The output of the current run."""
        return self._run_bytes().decode(errors="replace")

    def _run_bytes(self) -> bytes:
        if not self.log.exists():
            return b""
        with self.log.open("rb") as file:
            file.seek(self._run_offset)
            return file.read()

    def _started(self) -> ChildProcess:
        if self._process is None:
            raise RuntimeError(f"replica {self.index} has not been started")
        return self._process

    # Actions

    def start(self, *, outlived: bool = False) -> None:
        """Starts a run unless one is under way. Does not wait until it is ready."""
        with self._lock:
            self._wanted = True
            if self.alive:
                return
            self.runs += 1
            self._run_offset = self.log.stat().st_size if self.log.exists() else 0
            self._ready_id = None
            environment = {"DISCORDHA_REPLICA_ID": f"r{self.index}-{self.runs}", **self._environment}
            self._process = ChildProcess(self._command, self.log, environment=environment, outlived=outlived)

    def kill(self) -> None:
        """Kills its process group with SIGKILL, and blocks until it has ended."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def end(self) -> None:
        """Kills it with SIGKILL for good, even with ``restart=True``. Idempotent."""
        with self._lock:
            self._wanted = False
            self.kill()

    def pause(self) -> None:
        """Stops it with SIGSTOP: its sockets stay open."""
        self._started().pause()

    def resume(self) -> None:
        """Continues it with SIGCONT."""
        self._started().resume()

    def drain(self) -> None:
        """Sends SIGTERM, for good even with ``restart=True``. Does not wait; see ``wait_exit``."""
        with self._lock:
            self._wanted = False
            self._started().signal(signal.SIGTERM)

    def restart(self, *, ready_timeout: float | None = None) -> None:
        """Kills it and starts a new run. With ``ready_timeout``, in seconds, blocks until that is ready."""
        with self._lock:
            self.kill()
            self.start()
        if ready_timeout is not None:
            self.wait_ready(ready_timeout)

    def revive(self) -> bool:
        """Starts it if it has died by itself. For the restarter, whose thread outlives its children."""
        with self._lock:
            if not self._wanted or self.alive:
                return False
            self.start(outlived=True)
            return True

    def wait_ready(self, timeout: float = 30.0) -> str:
        """Blocks until the current run reports ready, and returns its replica id.

        :raises WaitTimeout: it is not ready in time, or has ended; the error has the end of its log.
        """

        def settled() -> bool:
            return self.replica_id is not None or (not self.alive and self._rests())

        wait_for(settled, timeout, lambda: f"replica {self.index} to be ready; its log ends:\n{self.tail()}")
        if (ready := self.replica_id) is None:
            code = self.returncode
            raise WaitTimeout(
                f"replica {self.index} ended with status {code} and was not ready; log:\n{self.tail()}"
            )
        return ready

    def _rests(self) -> bool:
        """Whether a dead replica stays dead, since no restarter starts it."""
        return not self._wanted or not self.revived

    def wait_exit(self, timeout: float = 30.0) -> int:
        """Blocks until the current run has ended, and returns its exit status.

        :raises WaitTimeout: it still runs; the error has the end of its log.
        """
        code = self._started().wait(timeout)
        if code is None:
            raise WaitTimeout(f"replica {self.index} runs after {timeout:g} s; its log ends:\n{self.tail()}")
        return code

    def tail(self) -> str:
        """The end of its log."""
        return self.log_text()[-_LOG_TAIL:]

    def __repr__(self) -> str:
        state = "paused" if self.paused else "alive" if self.alive else "dead"
        return f"<Replica {self.index} run {self.runs} {state}>"


class Replicas:
    """``count`` processes of one bot. A context manager and a sequence of ``Replica``. One thread drives
    them; methods block only where they say so.

    With ``restart=True`` a thread restarts every replica that dies by itself, as a supervisor would;
    ``close`` stops and joins it. Otherwise there is no thread.

    :param script: a path that ends in ``.py``, or a module's name.
    :param env: environment of all replicas; wins over that of ``etcd`` and ``discord``.
    :param etcd: the etcd; ``None`` gives them no endpoints.
    :param discord: the Discord; its records call the replicas ``r0``, ``r1``, ...
    :param per_replica_env: gives the environment of one replica by its index (a proxy's address, say); wins
        over ``env``.
    :param restart: whether replicas that die are restarted.
    :param restart_delay: seconds between a death and the restart, at most.
    :param arguments: command line arguments of the script.
    :param directory: the folder of the logs; ``None`` for a temporary one, which ``close`` removes.
    """

    def __init__(
        self,
        script: str | Path,
        count: int,
        *,
        env: Mapping[str, str] | None = None,
        etcd: HasEnvironment | None = None,
        discord: HasReplicaEnvironment | None = None,
        per_replica_env: Callable[[int], Mapping[str, str]] | None = None,
        restart: bool = False,
        restart_delay: float = 0.2,
        arguments: Sequence[str] = (),
        directory: Path | None = None,
    ) -> None:
        self._holder = None if directory else tempfile.TemporaryDirectory(prefix="discordha-replicas-")
        self.directory = directory or Path(self._holder.name if self._holder else "")
        shared = _base_environment()
        shared.update(etcd.env() if etcd is not None else {})
        self._replicas = [
            Replica(
                index,
                _command(script, arguments),
                self.directory / f"replica-{index}.log",
                {
                    **shared,
                    **(discord.env(f"r{index}") if discord is not None else {}),
                    **(env or {}),
                    **(per_replica_env(index) if per_replica_env else {}),
                },
            )
            for index in range(count)
        ]
        self._restart = restart
        self._restart_delay = restart_delay
        self._stop = threading.Event()
        self._restarter: threading.Thread | None = None
        self.restarts = 0
        """The number of restarts."""

    def start(self, *, ready_timeout: float | None = None) -> None:
        """Starts all replicas. With ``ready_timeout``, in seconds, blocks until all are ready."""
        for replica in self._replicas:
            replica.revived = self._restart
            replica.start()
        if self._restart and self._restarter is None:
            self._restarter = threading.Thread(
                target=self._revive, name="discordha-test-restarter", daemon=True
            )
            self._restarter.start()
        if ready_timeout is not None:
            self.wait_ready(ready_timeout)

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Blocks until all replicas are ready.

        :raises WaitTimeout: see ``Replica.wait_ready``.
        """
        for replica in self._replicas:
            replica.wait_ready(timeout)

    def close(self) -> None:
        """Kills all replicas and removes their logs. Idempotent. For a graceful end, call ``drain`` and
        ``wait_exit`` of each before.
        """
        for replica in self._replicas:
            replica.end()
        self._stop.set()
        if self._restarter is not None:
            self._restarter.join()
            self._restarter = None
        if self._holder is not None:
            self._holder.cleanup()
            self._holder = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            for replica in self._replicas:
                error.add_note(f"--- {replica!r}, end of its log:\n{replica.tail()}")
        self.close()

    def __getitem__(self, index: int) -> Replica:
        return self._replicas[index]

    def __len__(self) -> int:
        return len(self._replicas)

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._replicas)

    def _revive(self) -> None:
        while not self._stop.wait(self._restart_delay):
            self.restarts += sum(replica.revive() for replica in self._replicas)


def _command(script: str | Path, arguments: Sequence[str]) -> list[str]:
    name = str(script)
    program = [str(Path(name).resolve())] if name.endswith(".py") else ["-m", name]
    return [sys.executable, *program, *arguments]


def _base_environment() -> dict[str, str]:
    """This process's environment without the variables that name an etcd, a bot or a token."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DISCORDHA_") and name != "BOT_TOKEN"
    }
    path = [_LIBRARY, *filter(None, [environment.get("PYTHONPATH")])]
    environment.update(PYTHONPATH=os.pathsep.join(path), PYTHONUNBUFFERED="1", PYTHONFAULTHANDLER="1")
    return environment

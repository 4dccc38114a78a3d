"""One etcd process of a ``LocalEtcd``: its life and its faults.

Guarantees: data, ports and log stay over restarts. A member does not know the others; the cluster gives its
command line.

Threads and locks: none; one thread drives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from discordha.testing.etcd.api import EtcdApi, EtcdApiError
from discordha.testing.ports import ReservedPort
from discordha.testing.processes import ChildProcess
from discordha.testing.waiting import WaitTimeout, wait_for

__all__ = ["EtcdMember"]


class EtcdMember:
    """One etcd process of a ``LocalEtcd``."""

    def __init__(
        self, index: int, directory: Path, api: EtcdApi, command: Callable[[EtcdMember], Sequence[str]]
    ) -> None:
        self.index = index
        self._api = api
        self._command = command
        self._process: ChildProcess | None = None
        self.directory = directory / f"member-{index}"
        self.log = directory / f"member-{index}.log"
        self._ports: list[ReservedPort] = []
        self.reserve_ports()

    def reserve_ports(self) -> None:
        """Takes three new ports (client, peer, metrics) and releases the old ones."""
        taken = [ReservedPort() for _ in range(3)]
        self.release_ports()
        self._ports = taken

    def release_ports(self) -> None:
        """Releases the ports."""
        for port in self._ports:
            port.release()

    @property
    def name(self) -> str:
        """The name within the cluster."""
        return f"member-{self.index}"

    @property
    def endpoint(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.client_port}"

    @property
    def client_port(self) -> int:
        """The port that clients use."""
        return self._ports[0].number

    @property
    def peer_url(self) -> str:
        """The address for the other members."""
        return f"http://127.0.0.1:{self._ports[1].number}"

    @property
    def metrics_url(self) -> str:
        """The address of health and metrics: plain HTTP, even if clients need TLS."""
        return f"http://127.0.0.1:{self._ports[2].number}"

    @property
    def alive(self) -> bool:
        """Whether the process runs, paused or not."""
        return self._process is not None and self._process.alive

    @property
    def paused(self) -> bool:
        """Whether ``pause`` holds the process."""
        return self._process is not None and self._process.paused

    @property
    def pid(self) -> int | None:
        """The process id; ``None`` while the process does not run."""
        return self._process.pid if self._process is not None and self._process.alive else None

    def start(self) -> None:
        """Starts the process, unless it runs. Does not wait until it answers."""
        if not self.alive:
            self._process = ChildProcess(self._command(self), self.log)

    def kill(self) -> None:
        """Kills the process with SIGKILL, as a crash. Idempotent."""
        if self._process is not None:
            self._process.kill()

    def stop(self, timeout: float = 10.0) -> None:
        """Ends the process with SIGTERM, on which a leader hands over, and with SIGKILL after ``timeout``
        seconds. Idempotent.
        """
        if self._process is not None and not self._process.terminate(timeout):
            self._process.kill()

    def pause(self) -> None:
        """Stops the process with SIGSTOP: connections stay open and nothing answers."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """Continues the process with SIGCONT."""
        if self._process is not None:
            self._process.resume()

    def restart(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Kills the process if it runs, starts it with its data, and blocks until it is healthy."""
        self.kill()
        self.start()
        if wait:
            self.wait_ready(timeout)

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Blocks until the member is healthy, which needs a leader.

        :raises WaitTimeout: it is not healthy in time; the error has the end of its log.
        """
        wait_for(
            self._healthy_or_dead,
            timeout,
            lambda: f"etcd {self.name} to be healthy; its log ends:\n{self._tail()}",
        )
        if not self.alive:
            raise WaitTimeout(f"etcd {self.name} ended by itself; its log ends:\n{self._tail()}")

    def _healthy_or_dead(self) -> bool:
        return not self.alive or self._api.healthy(self.metrics_url)

    def is_leader(self) -> bool:
        """Whether the member believes that it leads; false if it does not answer. Blocks up to a second."""
        if not self.alive or self.paused:
            return False
        try:
            values = self._api.raw_metrics(self.metrics_url)
        except EtcdApiError:
            return False
        return values.get("etcd_server_is_leader") == 1.0

    def log_text(self) -> str:
        """The output of all its runs."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def _tail(self) -> str:
        return self.log_text()[-4_000:]

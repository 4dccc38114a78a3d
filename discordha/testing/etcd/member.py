"""One etcd process of a ``LocalEtcd``: its life and its faults.

Promises: the same data, ports and log over restarts. Knows nothing of the other members; its command line
comes from the cluster. No threads; one driver is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..ports import ReservedPort
from ..processes import ChildProcess
from ..waiting import WaitTimeout, wait_for
from .api import EtcdApi, EtcdApiError

__all__ = ["EtcdMember"]


class EtcdMember:
    """One etcd process of a ``LocalEtcd``. Its data, ports and log stay the same over restarts."""

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
        """Take three new ports (client, peer, metrics), giving back those it had."""
        taken = [ReservedPort() for _ in range(3)]
        self.release_ports()
        self._ports = taken

    def release_ports(self) -> None:
        """Give the ports back."""
        for port in self._ports:
            port.release()

    @property
    def name(self) -> str:
        """Its name within the cluster."""
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
        """Where the other members reach it."""
        return f"http://127.0.0.1:{self._ports[1].number}"

    @property
    def metrics_url(self) -> str:
        """Health and metrics, plain HTTP even when clients need TLS."""
        return f"http://127.0.0.1:{self._ports[2].number}"

    @property
    def alive(self) -> bool:
        """Whether the process runs; a paused one does."""
        return self._process is not None and self._process.alive

    @property
    def paused(self) -> bool:
        """Whether it is stopped by ``pause``."""
        return self._process is not None and self._process.paused

    @property
    def pid(self) -> int | None:
        """Its process id, ``None`` while it does not run."""
        return self._process.pid if self._process is not None and self._process.alive else None

    def start(self) -> None:
        """Start the process; does not wait until it answers. Nothing happens when it runs."""
        if not self.alive:
            self._process = ChildProcess(self._command(self), self.log)

    def kill(self) -> None:
        """SIGKILL, as a crash of the process. Idempotent."""
        if self._process is not None:
            self._process.kill()

    def stop(self, timeout: float = 10.0) -> None:
        """SIGTERM, as a clean shutdown (a leader hands over first); SIGKILL after ``timeout`` seconds.

        Idempotent.
        """
        if self._process is not None and not self._process.terminate(timeout):
            self._process.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            self._process.resume()

    def restart(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Start it again with its data (killing it first when it runs) and wait until it is healthy."""
        self.kill()
        self.start()
        if wait:
            self.wait_ready(timeout)

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Block until it reports healthy, which needs a leader.

        :raises WaitTimeout: with the end of its log.
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
        """Whether it believes to lead; false when it does not answer. Blocks up to a second."""
        if not self.alive or self.paused:
            return False
        try:
            values = self._api.raw_metrics(self.metrics_url)
        except EtcdApiError:
            return False
        return values.get("etcd_server_is_leader") == 1.0

    def log_text(self) -> str:
        """What it has printed, over all its runs."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def _tail(self) -> str:
        return self.log_text()[-4_000:]

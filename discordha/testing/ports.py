"""Loopback ports that stay reserved while the server behind them is down.

Guarantees: a reserved port is outside of the kernel's range for outgoing connections. No other test kit on
the machine reserves it until it is released or the process ends. Not guaranteed: that other programs leave
the port alone. A server that can't bind is started on another one.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

__all__ = ["ReservedPort"]

_LOWEST = 10_240
_FALLBACK_EPHEMERAL_START = 32_768


def _highest() -> int:
    """The last port below the kernel's range for outgoing connections."""
    try:
        start = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        start = _FALLBACK_EPHEMERAL_START
    return start - 1 if start > _LOWEST + 1_000 else _FALLBACK_EPHEMERAL_START - 1


class ReservedPort:
    """A free TCP port on 127.0.0.1, held by a lock file and not by a socket, so that a server can bind it."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._path = Path()
        directory = Path(tempfile.gettempdir()) / f"discordha-ports-{os.getuid()}"
        directory.mkdir(exist_ok=True)
        chooser = random.SystemRandom()
        for _ in range(1_000):
            self.number = chooser.randint(_LOWEST, _highest())
            if self._take(directory / str(self.number)):
                return
        raise RuntimeError("no free port on 127.0.0.1")

    def _take(self, path: Path) -> bool:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", self.number))
            if not path.exists() or os.fstat(file.fileno()).st_ino != path.stat().st_ino:
                raise OSError("its last owner removed the file while we took it")
        except OSError:
            file.close()
            return False
        self._path, self._file = path, file
        return True

    def release(self) -> None:
        """Releases the port. Idempotent."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def __repr__(self) -> str:
        return f"ReservedPort({self.number})"

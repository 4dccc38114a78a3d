"""systemd's notification protocol (``sd_notify``): READY, RELOADING, STOPPING, STATUS and WATCHDOG.

Guarantees: without ``NOTIFY_SOCKET`` nothing happens; a service manager that does not read loses messages
and holds nothing up. Threads and locks: none; never blocks.

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping

__all__ = ["Notifier"]


class Notifier:
    """Tells the service manager above this process.

    :param environ: names the socket, and the watchdog's time.
    """

    def __init__(self, environ: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._clock = clock
        self._interval = 0.0
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with contextlib.suppress(ValueError):
                self._interval = int(environ.get("WATCHDOG_USEC", "0")) / 2_000_000
        self._due = clock()

    def ready(self, status: str) -> None:
        """The start, or a reload, is over."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload begins."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """What goes on, for people."""
        self._send(f"STATUS={text}")

    def watchdog(self) -> None:
        """A sign of life, when one is due. Call it once a second; more often where the watchdog wants it."""
        if self._interval and self._clock() >= self._due:
            self._due = self._clock() + self._interval
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
            sender.setblocking(False)
            sender.sendto(text.encode(), self._address)

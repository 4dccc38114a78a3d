"""The link of a replica to the ``discordha run`` above it: what the replica tells, and the end of its parent.

The parent learns of each session's lease and of how to revoke it, of readiness, and once a second how long
the gateway's loop and the session's thread have not moved. A socket pair that only the two hold carries all
this. Without a parent every method does nothing.

Guarantees
- Telling never blocks and never raises. Messages that the parent does not read at once wait in memory;
  signs of life are left out meanwhile.
- etcd's password goes through the socket only. The variable that names the socket is gone from the
  environment once discordha is imported, and programs that the bot starts do not inherit the socket.
- Once the parent is gone, the process drains: by the kernel's SIGTERM on Linux, by one of its own
  elsewhere. If it has not ended ``ORPHAN_TIME`` seconds after the drain's time, it is killed.

Threads and locks: ``discordha-link`` starts with the first ``hello`` and lives as long as the process.
``_lock`` guards the unsent bytes and the socket. Methods may be called from any thread.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

__all__ = ["VARIABLE", "Link", "adopt", "current"]

_log = logging.getLogger(__name__)

#: Names the descriptors of the socket and of the lifeline, and the process that they are meant for.
VARIABLE = "DISCORDHA_SUPERVISOR"
#: How often the replica shows that it moves, seconds.
BEAT = 1.0
#: How long a process may live beyond its drain's time once its parent is gone, seconds.
ORPHAN_TIME = 5.0
#: Unsent bytes at which nothing more is told but leases.
MOST_UNSENT = 65_536


class _Session(Protocol):
    """The part of ``Session`` that the link uses."""

    @property
    def overdue(self) -> float: ...
    def add_listener(self, on_begin: Callable[[Any], None], on_lost: Callable[[Any], None]) -> None: ...


class _EtcdSettings(Protocol):
    """The part of ``StoreSettings`` that is needed to revoke a lease."""

    @property
    def endpoints(self) -> Sequence[str]: ...
    @property
    def ca_cert(self) -> str | None: ...
    @property
    def cert(self) -> str | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def user(self) -> str | None: ...
    @property
    def password(self) -> str | None: ...


class _Loop(Protocol):
    """The part of an event loop that the link uses."""

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object: ...


class Link:
    """See the module.

    :param channel: the socket to the parent; ``None``: there is no parent.
    """

    def __init__(self, channel: socket.socket | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._channel = channel
        self._clock = clock
        self._lock = threading.Lock()
        self._unsent = b""
        self._sessions: list[_Session] = []
        self._loops: dict[_Loop, float] = {}  # when each moved last
        self._drain_timeout = 25.0
        self._thread: threading.Thread | None = None
        self._parent = os.getppid()

    @property
    def is_orphan(self) -> bool:
        """Whether the parent is dead. The kernel may send SIGTERM once for each of its threads then.
        No I/O; any thread, signal handlers too.
        """
        return self._channel is not None and os.getppid() != self._parent

    # -- what the replica tells ------------------------------------------------------------------------------

    def hello(self, replica_id: str, *, ha: bool, drain_timeout: float) -> None:
        """Tells that a replica starts in this process. Does not block.

        :param ha: whether it shares its events with others.
        :param drain_timeout: seconds that it may take to end.
        """
        if self._channel is None:
            return
        self._drain_timeout = drain_timeout
        self._tell({"replica": replica_id, "ha": ha, "drain": drain_timeout})
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="discordha-link", daemon=True)
            thread.start()
            self._thread = thread  # only now: one that could not start is none

    def state(self, replica_id: str, state: str) -> None:
        """Tells a replica's state, such as ``ready``. Does not block."""
        self._tell({"replica": replica_id, "state": state})

    def refused(self, reason: str) -> None:
        """Tells that this process can't work before somebody changes its configuration. Does not block."""
        self._tell({"refused": reason})

    def watch_session(self, session: _Session, settings: _EtcdSettings) -> None:
        """Tells the lease of each grant from now on, and watches the session's thread. Call it before
        anything else listens to the session: then the parent knows a lease before anything is owned under it.
        """
        if self._channel is None:
            return

        def path(name: str | None) -> str | None:
            return os.path.abspath(name) if name is not None else None

        etcd = {
            "endpoints": list(settings.endpoints),
            "ca_cert": path(settings.ca_cert),
            "cert": path(settings.cert),
            "key": path(settings.key),
            "user": settings.user,
            "password": settings.password,
        }
        session.add_listener(
            lambda grant: self._tell({"lease": grant.lease_id, "etcd": etcd}), lambda _: None
        )
        self._sessions.append(session)

    def watch_loop(self, loop: _Loop) -> None:
        """Watches an event loop from now on, until it is closed. Does not block."""
        if self._channel is not None:
            self._loops[loop] = self._clock()

    # -- how -------------------------------------------------------------------------------------------------

    def _tell(self, message: dict[str, object]) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            if self._channel is not None and (len(self._unsent) < MOST_UNSENT or "lease" in message):
                self._unsent += line
                self._flush()

    def _flush(self) -> None:
        """With the lock held."""
        assert self._channel is not None
        while self._unsent:
            try:
                self._unsent = self._unsent[self._channel.send(self._unsent) :]
            except BlockingIOError:
                return
            except OSError:  # the parent is gone: the thread sees that, too
                self._unsent = b""

    def _run(self) -> None:
        channel = self._channel
        assert channel is not None
        while True:
            try:
                self._beat()
            except Exception:  # noqa: BLE001 - without beats the parent would take the process for hung
                _log.exception("a sign of life failed; the next one follows")
            try:
                if not select.select([channel], [], [], BEAT)[0] or channel.recv(4096):
                    continue
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                _log.debug("the link to discordha run broke: %s", error)
            break
        self._orphaned()

    def _beat(self) -> None:
        now = self._clock()
        for loop in list(self._loops):

            def moved(loop: _Loop = loop) -> None:
                self._loops[loop] = self._clock()

            try:
                loop.call_soon_threadsafe(moved)
            except RuntimeError:  # closed: its gateway has stopped
                self._loops.pop(loop, None)
        if self._unsent:
            with self._lock:
                self._flush()
        if not self._unsent:
            gateway = _largest(now - moved for moved in list(self._loops.values()))
            session = _largest(session.overdue for session in list(self._sessions))
            self._tell({"gateway": round(gateway, 3), "session": round(session, 3)})

    def _orphaned(self) -> None:
        _log.warning("discordha run has ended: this replica drains and ends, too")
        if sys.platform != "linux":  # there the kernel has sent it
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(self._drain_timeout + ORPHAN_TIME)
        _log.error(
            "this replica has not ended %g s after discordha run did: it is killed",
            self._drain_timeout + ORPHAN_TIME,
        )
        with contextlib.suppress(Exception):
            faulthandler.dump_traceback(sys.__stderr__ or sys.stderr)
        os.kill(os.getpid(), signal.SIGKILL)


def _largest(values: Iterable[float]) -> float:
    return max(values, default=0.0)


_links = [Link(None)]


def current() -> Link:
    """The link of this process. No I/O; any thread."""
    return _links[-1]


def adopt() -> None:
    """Takes the link over that ``discordha run`` gave to this process, and removes its traces from the
    environment. Called once, by the import of ``discordha``.
    """
    given = os.environ.pop(VARIABLE, "").split(",")
    if len(given) != 3 or given[2] != str(os.getpid()):
        return  # it was meant for the process that started this one
    descriptor, lifeline = int(given[0]), int(given[1])
    for each in (descriptor, lifeline):
        os.set_inheritable(each, False)
    channel = socket.socket(fileno=descriptor)
    channel.setblocking(False)
    _links.append(Link(channel))

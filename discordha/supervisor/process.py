"""One child process of ``discordha run``: how it is started, what it tells, and that it has ended.

Guarantees
- A process counts as dead only once the kernel says so: ``poll`` has waited for it. Everything that it had
  told before is known then, its last lease included.
- Whatever a process left behind in its process group is killed before its number can belong to another one.
- A child gets no descriptor of the parent but its own link and the lifeline, and nothing of systemd's.

Threads and locks: none; the parent's main thread owns every process, since the kernel ties the child's life
to the thread that started it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from discordha.supervisor.link import VARIABLE

__all__ = ["Backoff", "BotProcess", "EtcdAccess", "OwnedProcess", "describe_exit"]

_log = logging.getLogger("discordha.run")

_LAUNCHER = str(Path(__file__).with_name("launch.py"))
#: Variables that the parent's own supervisor meant for the parent alone.
_FOR_THE_PARENT = (
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)
#: A message that is longer than this is no message, bytes.
_LONGEST_MESSAGE = 1_000_000
#: The leases of a process that are remembered: each session revokes the one before it by itself.
_LEASES = 8
#: The longest time without a look at the children that counts as their silence, seconds: the parent itself
#: may have been stopped.
_LONGEST_LOOK = 2.0
#: A program that has worked for so long is in no crash loop, seconds.
STEADY = 10.0
#: Pauses of a crash loop, seconds: none after the first end, then doubled from the first to the last.
FIRST_RESTART, LAST_RESTART = 0.5, 30.0


class EtcdAccess(NamedTuple):
    """How to reach a replica's etcd."""

    endpoints: tuple[str, ...]
    ca_cert: str | None
    cert: str | None
    key: str | None
    user: str | None
    password: str | None

    def __repr__(self) -> str:
        return f"EtcdAccess({','.join(self.endpoints)})"


class OwnedProcess:
    """A started program in a process group of its own.

    :param name: for the log.
    :param command: program and arguments.
    :param launcher: arguments of the launcher before the program.
    :param keep: descriptors that the child inherits.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        launcher: Sequence[str] = (),
        keep: Sequence[int] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._clock = clock
        self.started_at = clock()
        self.status: int | None = None
        for descriptor in keep:
            os.set_inheritable(descriptor, True)
        try:
            arguments = [sys.executable, "-I", "-S", _LAUNCHER, *launcher, str(os.getpid()), *command]
            self.pid = os.posix_spawn(
                sys.executable,
                arguments,
                {name: value for name, value in environment.items() if name not in _FOR_THE_PARENT},
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
                setpgroup=0,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE,),
            )
        finally:
            for descriptor in keep:
                os.set_inheritable(descriptor, False)

    @property
    def alive(self) -> bool:
        """Whether ``poll`` has not seen its end."""
        return self.status is None

    @property
    def age(self) -> float:
        """Seconds since its start."""
        return self._clock() - self.started_at

    def signal(self, number: int) -> None:
        """Sends a signal to the program alone; nothing happens when it has ended. Does not block."""
        if self.alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to its group. Does not wait."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def poll(self) -> int | None:
        """Its exit status, minus the signal that ended it; ``None`` while it runs. Does not block."""
        if self.status is not None:
            return self.status
        if hasattr(os, "waitid"):
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return None
            self._end()  # the kernel keeps its number until it is waited for
            _, status = os.waitpid(self.pid, 0)
        else:  # macOS before Python 3.13
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return None
            self._end()
        self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def _end(self) -> None:
        """It is dead: ends what it left in its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} pid {self.pid} {'alive' if self.alive else self.status}>"


class BotProcess(OwnedProcess):
    """A process with replicas of the bot in it; as a rule with one.

    :param number: which of the parent's replicas it is, from 1.
    :param lifeline: the pipe's end whose last holder's death ends etcd.
    """

    def __init__(
        self,
        name: str,
        number: int,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        lifeline: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.number = number
        self.leases: list[int] = []
        self.etcd: EtcdAccess | None = None
        self.drain_timeout = 25.0
        self.ha = True
        self.refusal: str | None = None
        self.ready_at: float | None = None
        #: For how long each of its threads has not moved, seconds, by its own account.
        self.stuck: dict[str, float] = {}
        self.silence = 0.0
        self._states: dict[str, str] = {}
        self._beats = False
        self._looked_at = clock()
        self._received = b""
        self._channel, theirs = socket.socketpair()
        try:
            self._channel.setblocking(False)
            descriptor = theirs.fileno()
            super().__init__(
                name,
                command,
                {"PYTHONFAULTHANDLER": "1", **environment, VARIABLE: f"{descriptor},{lifeline}"},
                keep=(descriptor, lifeline),
                clock=clock,
            )
        except BaseException:
            self._channel.close()
            raise
        finally:
            theirs.close()

    def fileno(self) -> int:
        """The link's descriptor, for a selector; -1 after the end."""
        return self._channel.fileno()

    @property
    def replicas(self) -> list[str]:
        """The replicas that it has told of."""
        return list(self._states)

    @property
    def ready(self) -> bool:
        """Whether all of its replicas are ready."""
        return self.alive and bool(self._states) and all(s == "ready" for s in self._states.values())

    def read(self) -> bool:
        """Takes in what it has told. Does not block. False when it will tell no more."""
        while True:
            try:
                data = self._channel.recv(65_536)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            *lines, self._received = (self._received + data)[-_LONGEST_MESSAGE:].split(b"\n")
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            message: dict[str, Any] = json.loads(line)
            if "lease" in message:
                etcd = message["etcd"]
                self.etcd = EtcdAccess(
                    tuple(etcd["endpoints"]), *(etcd[name] for name in EtcdAccess._fields[1:])
                )
                self.leases = [*self.leases[-_LEASES + 1 :], int(message["lease"])]
            elif "ha" in message:
                self._states.setdefault(str(message["replica"]), "starting")
                self.ha = self.ha and bool(message["ha"])
                self.drain_timeout = float(message["drain"])
            elif "state" in message:
                self._states[str(message["replica"])] = str(message["state"])
                if self.ready_at is None and self.ready:
                    self.ready_at = self._clock()
            elif "refused" in message:
                self.refusal = str(message["refused"])
            else:
                self._beats = True
                self.silence = 0.0
                self.stuck = {name: float(message[name]) for name in ("gateway", "session")}
        except (ValueError, KeyError, TypeError) as error:
            _log.warning(
                "%s tells what this version does not understand: %r (%s)", self.name, line[:80], error
            )

    def look(self) -> None:
        """Counts the silence since the last look. Call it about once a second."""
        now = self._clock()
        if self._beats:
            self.silence += min(now - self._looked_at, _LONGEST_LOOK)
        self._looked_at = now

    def hangs(self, after: float) -> str | None:
        """Which of its parts has not moved for so many seconds; ``None``: none, or its start is still under
        way.
        """
        if self.silence >= after:
            return f"the process has shown no sign of life for {self.silence:.1f} s"
        for part, name in (("gateway", "its gateway's loop"), ("session", "its session's thread")):
            stuck = self.stuck.get(part, 0.0)
            if stuck >= after:
                return f"{name} has not moved for {stuck:.1f} s"
        return None

    def _end(self) -> None:
        self.read()
        self._channel.close()
        super()._end()


def describe_exit(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}{' (by hand, or for want of memory)' if name == 'SIGKILL' else ''}"


class Backoff:
    """Pauses before a program that ends by itself is started again: none at first, then longer ones."""

    def __init__(self) -> None:
        self._ends = 0

    def pause(self, steady: float) -> float:
        """Seconds to wait after one more end.

        :param steady: for how many seconds the program had done its work.
        """
        self._ends = 1 if steady >= STEADY else self._ends + 1
        return 0.0 if self._ends == 1 else min(FIRST_RESTART * 2.0 ** (self._ends - 2), LAST_RESTART)

    def reset(self) -> None:
        """Forgets the ends before."""
        self._ends = 0

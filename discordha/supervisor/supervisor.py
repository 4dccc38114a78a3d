"""The parent of ``discordha run``: one loop over signals, links, deaths and requests.

Guarantees
- SIGTERM and SIGINT drain all replicas; a second one makes them hurry, a third kills them. SIGHUP reloads,
  unless its cause is a terminal that has gone: then it drains. SIGUSR1, SIGUSR2 and SIGWINCH are passed on.
- Orphans are reaped, also where this is no container's process 1 (Linux: it adopts what its replicas leave
  behind).
- etcd, where it is kept here, is up before the replicas start and ends after them.

Threads and locks: the main thread alone, but for the revoker's. What takes several steps (start, reload,
stop) is a generator; see ``rollout``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from discordha.supervisor.control import ControlServer, Reply
from discordha.supervisor.etcd_process import EtcdKeeper, find_etcd
from discordha.supervisor.notify import Notifier
from discordha.supervisor.revoker import Revoker
from discordha.supervisor.rollout import Procedure, rollout
from discordha.supervisor.slots import RunOptions, Slots
from discordha.supervisor.sources import Sources

__all__ = ["CONFIG", "FAILED", "Supervisor"]

_log = logging.getLogger("discordha.run")

#: Exit statuses.
FAILED, CONFIG = 1, 78
#: Pauses of the loop, seconds: while something is awaited, and while not.
BUSY_TURN, IDLE_TURN = 0.05, 1.0
#: How long etcd may take to start, and to end, seconds.
ETCD_START, ETCD_STOP = 60.0, 12.0
#: How long the end waits for leases that are still to be revoked, seconds.
LAST_LEASES = 2.0
_PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
_PR_SET_CHILD_SUBREAPER = 36


class _Task:
    """A procedure under way."""

    def __init__(
        self, procedure: Procedure, done: Callable[[bool], None], clock: Callable[[], float]
    ) -> None:
        self._procedure = procedure
        self._done = done
        self._clock = clock
        self._condition: Callable[[], object] = lambda: True
        self._until = clock()
        self.over = False
        self._send(None)

    def step(self) -> None:
        """Goes on when there is something to go on with."""
        if not self.over and (self._condition() or self._clock() >= self._until):
            self._send(bool(self._condition()))

    def cancel(self) -> None:
        """Ends it without a result."""
        self.over = True
        self._procedure.close()

    def _send(self, answer: bool | None) -> None:
        try:
            self._condition, seconds = self._procedure.send(answer)  # type: ignore[arg-type]
        except StopIteration as stop:
            self.over = True
            self._done(bool(stop.value))
        else:
            self._until = self._clock() + seconds


class Supervisor:
    """See the module. One use.

    :param environ: for the replicas, and of the service manager.
    :raises ConfigError: etcd can't be started as asked for.
    """

    def __init__(self, options: RunOptions, environ: Mapping[str, str]) -> None:
        self._options = options
        self._clock = time.monotonic
        self._selector = selectors.DefaultSelector()
        self._arrived: deque[int] = deque()
        self._awake, self._wake = socket.socketpair()
        self._lifeline = os.pipe()
        self._revoker = Revoker()
        self._notifier = Notifier(environ)
        self._etcd: EtcdKeeper | None = None
        environment = dict(environ)
        if options.etcd_directory is not None:
            binary = find_etcd(allow_test=options.allow_test_etcd)
            self._etcd = EtcdKeeper(options.etcd_directory, binary, self._lifeline[0], environ)
            environment["DISCORDHA_ETCD_ENDPOINTS"] = self._etcd.endpoint
        self._slots = Slots(
            options,
            environment,
            selector=self._selector,
            revoker=self._revoker,
            lifeline=self._lifeline[1],
        )
        self._control = ControlServer(environ, self._reload)
        self._sources = Sources(_folder(options.program)) if options.watch else None
        self._has_terminal = os.isatty(0)
        self._stops = 0
        self._status = 0
        self._task: _Task | None = None
        self._is_over = False
        self._said_ready = False
        self._looked_at = self._clock()

    def run(self) -> int:
        """Runs until the end; its exit status. Blocks; main thread only."""
        with self._signals():
            _adopt_orphans()
            self._revoker.start()
            self._watch(self._awake, self._woken)
            if self._control.socket is not None:
                self._watch(self._control.socket, self._connected)
            self._begin(self._start(), self._started)
            try:
                while not self._is_over:
                    self._turn()
            finally:
                self._close()
        return self._status

    # -- the loop --------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._pause()):
            key.data()
        self._slots.look()
        if self._etcd is not None and not self._slots.stopping:
            self._etcd.look()
        self._reap()
        while self._arrived:
            self._on_signal(self._arrived.popleft())
        self._notifier.watchdog()
        if self._task is not None:
            self._task.step()
            if self._task.over:
                self._task = None
        if self._task is None and self._clock() - self._looked_at >= IDLE_TURN:
            self._looked_at = self._clock()
            if self._sources is not None and self._sources.changed():
                _log.info("the bot's files have changed")
                self._reload(None)
        if not self._said_ready and self._ready() == len(self._slots.slots):
            self._said_ready = True
            self._notifier.ready(f"{self._ready()} replicas are ready")
        if self._slots.is_over and not self._slots.stopping and self._task is None:
            _log.info("all replicas have ended")
            self._stop(self._verdict(0))

    def _pause(self) -> float:
        if self._task is not None:
            return BUSY_TURN
        due = self._slots.next_start
        return IDLE_TURN / 2 if due is None else max(min(due - self._clock(), IDLE_TURN / 2), 0.0)

    def _begin(self, procedure: Procedure, done: Callable[[bool], None]) -> None:
        self._task = _Task(procedure, done, self._clock)

    def _reap(self) -> None:
        """Waits for orphans that were left to this process. Those that it watches itself are not touched."""
        if not hasattr(os, "waitid"):
            return
        own = {process.pid for process in self._slots.processes}
        if self._etcd is not None and self._etcd.process is not None:
            own.add(self._etcd.process.pid)
        with contextlib.suppress(ChildProcessError):
            while True:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is None or ended.si_pid in own:
                    return
                os.waitpid(ended.si_pid, os.WNOHANG)

    # -- start, reload, end ----------------------------------------------------------------------------------

    def _start(self) -> Procedure:
        etcd, slots = self._etcd, self._slots.slots
        if etcd is not None:
            etcd.start()
            healthy = yield lambda: etcd.is_healthy() or etcd.starts > 3, ETCD_START
            if not healthy or not etcd.is_healthy():
                _log.error("etcd does not start; its messages stand above")
                return False
            _log.info("etcd answers at %s", etcd.endpoint)
        for slot in slots:
            self._slots.start(slot)
            if self._options.wait_ready:
                yield lambda slot=slot: slot.ready or slot.ended, self._options.reload_timeout  # type: ignore[misc]
                if not slot.ready:
                    if not slot.ended:
                        _log.error("the bot was not ready within %g s", self._options.reload_timeout)
                    return False
        yield lambda: True, 0.0
        return True

    def _started(self, ok: bool) -> None:
        if not ok:
            self._stop(self._verdict(FAILED))

    def _verdict(self, status: int) -> int:
        """The exit status, unless the configuration is at fault."""
        if not self._slots.refusals or self._slots.was_ready:
            return status
        _log.error("the bot's configuration is refused: %s", self._slots.refusals[-1])
        return CONFIG

    def _ready(self) -> int:
        return sum(slot.ready for slot in self._slots.slots)

    def _reload(self, reply: Reply | None) -> None:
        """Begins a reload, unless something else is under way."""

        def say(text: str) -> None:
            _log.info("reload: %s", text)
            if reply is not None:
                reply.say(text)

        def done(ok: bool) -> None:
            text = "the new version runs" if ok else "the version before goes on"
            _log.info("reload: %s", text)
            self._notifier.ready(f"{self._ready()} replicas are ready; {text}")
            if reply is not None:
                reply.end(ok, text)

        if self._slots.stopping or self._task is not None:
            text = (
                "not now: it stops" if self._slots.stopping else "not now: a start or a reload is under way"
            )
            _log.warning("reload: %s", text)
            if reply is not None:
                reply.end(False, text)
            return
        self._notifier.reloading()
        self._begin(rollout(self._slots, self._options.reload_timeout, say), done)

    def _stop(self, status: int = 0) -> None:
        """Begins the end, once."""
        if self._slots.stopping:
            return
        if self._task is not None:
            self._task.cancel()
        self._status = status
        self._notifier.stopping()
        self._begin(self._end(), self._ended)

    def _end(self) -> Procedure:
        self._slots.stop()
        yield lambda: not self._slots.processes, float("inf")  # the slots kill what does not drain in time
        yield lambda: self._revoker.is_idle, LAST_LEASES
        etcd = self._etcd
        if etcd is not None and etcd.process is not None:
            process = etcd.process
            etcd.stop()
            ended = yield lambda: process.poll() is not None, ETCD_STOP
            if not ended:
                process.kill()
                yield lambda: process.poll() is not None, ETCD_STOP
        return True

    def _ended(self, _: bool) -> None:
        if self._slots.killed and not self._status:
            self._status = FAILED
        self._is_over = True

    def _close(self) -> None:
        self._slots.kill()
        self._control.close()
        self._revoker.stop(0.0)
        self._selector.close()
        for each in (self._awake, self._wake):
            each.close()
        for descriptor in self._lifeline:
            os.close(descriptor)

    # -- signals and requests --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Any:
        """Signals go to the loop while the context lasts."""

        def arrived(number: int, frame: FrameType | None) -> None:
            self._arrived.append(number)

        for each in (self._awake, self._wake):
            each.setblocking(False)
        wakes = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        handled = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, *_PASSED_ON)
        before = {number: signal.signal(number, arrived) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakes)

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP and self._has_terminal and not _terminal_is_there():
            number = signal.SIGTERM
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stops += 1
            _log.info("%s: all replicas %s", signal.Signals(number).name, _ENDS[min(self._stops, 3)])
            if self._stops == 1:
                self._stop()
            elif self._stops == 2:
                self._slots.signal(signal.SIGTERM)
            else:
                self._slots.kill()
        elif number == signal.SIGHUP:
            self._reload(None)
        elif number in _PASSED_ON:
            self._slots.signal(number)

    def _watch(self, source: socket.socket, call: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, call)

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._awake.recv(4096)

    def _connected(self) -> None:
        connection = self._control.accept()
        if connection is not None:

            def asked() -> None:
                self._selector.unregister(connection)
                self._control.read(connection)

            self._watch(connection, asked)


_ENDS = {1: "drain", 2: "hurry", 3: "are killed"}


def _folder(program: tuple[str, ...]) -> Path:
    """Where the bot's files are."""
    if program[0] != "-m":
        return Path(program[0]).absolute().parent
    first = Path(program[1].split(".")[0])
    return first.absolute() if first.is_dir() else Path.cwd()


def _terminal_is_there() -> bool:
    try:
        os.tcgetpgrp(0)
    except OSError:
        return False
    return True


def _adopt_orphans() -> None:
    """What replicas leave behind becomes this process's child, as it does for a container's process 1."""
    if sys.platform == "linux" and os.getpid() != 1:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

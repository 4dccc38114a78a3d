"""The replicas that ``discordha run`` keeps running, and the processes that are them.

Guarantees
- A process that ends unasked is followed by another one: at once, or after a pause that grows while it ends
  again and again. One that ended with status 0, drained by an operator for instance, stays ended.
- The leases of a dead process are handed to the revoker in the moment in which its death is known.
- A process that hangs is told to show the stacks of all threads (SIGABRT, which ends it), and killed if it
  does not.
- No two living processes bear one replica id, or share events without etcd.

Threads and locks: none; the parent's main thread only. Nothing here blocks.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from discordha.process.host import host_name
from discordha.supervisor.process import Backoff, BotProcess, describe_exit
from discordha.supervisor.revoker import Revoker

__all__ = ["RunOptions", "Slot", "Slots"]

_log = logging.getLogger("discordha.run")

#: How long a process may live beyond its drain's time before it is killed, seconds.
KILL_AFTER = 4.0
#: How long a hanging process may take to show its stacks, seconds.
STACKS = 2.0
#: The pause before a process whose configuration was refused is started again, seconds.
REFUSED = 30.0


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What ``discordha run`` was asked for. Durations are seconds.

    :param program: the script and its arguments, or ``-m``, a module and its arguments.
    :param hang_after: 0: never.
    """

    program: tuple[str, ...]
    replicas: int = 1
    etcd_directory: Path | None = None
    allow_test_etcd: bool = False
    hang_after: float = 30.0
    reload_timeout: float = 60.0
    watch: bool = False
    wait_ready: bool = False


class Slot:
    """One of the replicas that should run."""

    def __init__(self) -> None:
        self.process: BotProcess | None = None
        self.successor: BotProcess | None = None
        self.backoff = Backoff()
        self.start_at: float | None = None
        self.ended = False

    @property
    def ready(self) -> bool:
        """Whether its process is ready."""
        return self.process is not None and self.process.ready


class Slots:
    """See the module.

    :param selector: where links are watched; the data of each is a function to call.
    :param lifeline: inherited by each process; see ``launch``.
    """

    def __init__(
        self,
        options: RunOptions,
        environment: Mapping[str, str],
        *,
        selector: selectors.BaseSelector,
        revoker: Revoker,
        lifeline: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._environment = dict(environment)
        self._selector = selector
        self._revoker = revoker
        self._lifeline = lifeline
        self._clock = clock
        self._leaving: dict[BotProcess, float] = {}  # until when each may drain
        self._hanging: dict[BotProcess, float] = {}  # until when each may show its stacks
        self.slots = [Slot() for _ in range(options.replicas)]
        self.processes: list[BotProcess] = []
        self.was_ready = False
        self.stopping = False
        self.refusals: list[str] = []
        self.killed = 0

    # -- starting --------------------------------------------------------------------------------------------

    def start(self, slot: Slot) -> None:
        """Starts a slot's process."""
        slot.start_at = None
        slot.ended = False
        slot.process = self._spawn()

    def start_successor(self, slot: Slot) -> BotProcess:
        """Starts the process that shall follow the slot's."""
        slot.successor = self._spawn()
        return slot.successor

    def _spawn(self) -> BotProcess:
        taken = {process.number for process in self.processes}
        number = next(n for n in range(1, len(taken) + 2) if n not in taken)
        name = self._name(number)
        environment = {**self._environment, "DISCORDHA_REPLICA_ID": name}
        address = environment.get("DISCORDHA_HTTP_ADDRESS", "")
        host, _, port = address.rpartition(":")
        if port.isdigit() and int(port):
            environment["DISCORDHA_HTTP_ADDRESS"] = f"{host}:{int(port) + number - 1}"
        process = BotProcess(
            name,
            number,
            [sys.executable, *self._options.program],
            environment,
            lifeline=self._lifeline,
            clock=self._clock,
        )
        self.processes.append(process)
        self._selector.register(process, selectors.EVENT_READ, lambda: self._hear(process))
        _log.info("replica %s starts (pid %d)", name, process.pid)
        return process

    def _name(self, number: int) -> str:
        """The replica id of the process with a number. Unique among the living; few, for metrics' sake."""
        given = self._environment.get("DISCORDHA_REPLICA_ID", "").strip()
        if given and number == 1 and self._options.replicas == 1:
            return given
        return f"{given or f'{host_name()}-{os.getpid()}'}-{number}"

    # -- hearing ---------------------------------------------------------------------------------------------

    def _hear(self, process: BotProcess) -> None:
        leases, ready = process.leases, process.ready
        if not process.read():
            self._unwatch(process)
        if process.leases != leases and process.etcd is not None:
            self._revoker.expect(process.etcd, process.leases[-1])
        if process.ready and not ready:
            self.was_ready = True
            _log.info("replica %s is ready, %.1f s after its start", process.name, process.age)
        if process.replicas and process.refusal is None:
            process.refusal = self._conflict(process)
            if process.refusal is not None:
                _log.error("replica %s is ended: %s", process.name, process.refusal)
                process.kill()

    def _conflict(self, process: BotProcess) -> str | None:
        """Why a process can't run beside the other ones."""
        others = [other for other in self.processes if other is not process and other.refusal is None]
        for other in others:
            shared = set(process.replicas) & set(other.replicas)
            if shared:
                return (
                    f"{other.name} is called {shared.pop()!r}, too: leave replica_id out of the bot's code, "
                    "or use DiscordHA.from_env()"
                )
            if other.replicas and not (process.ha and other.ha):
                return "the bot says ha=False, and two replicas would handle each event twice"
        return None

    def _unwatch(self, process: BotProcess) -> None:
        if process.fileno() in self._selector.get_map():
            self._selector.unregister(process)

    # -- looking ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Notices deaths, hangs, and drains that take too long, and starts what is due."""
        now = self._clock()
        for process in list(self.processes):
            descriptor = process.fileno()
            if process.poll() is not None:
                if descriptor in self._selector.get_map():
                    self._selector.unregister(descriptor)
                self.processes.remove(process)
                self._on_end(process)
                continue
            process.look()
            if now >= min(self._leaving.get(process, now + 1), self._hanging.get(process, now + 1)):
                _log.error("replica %s does not end: it is killed", process.name)
                self.killed += process in self._leaving
                process.kill()
            elif self._options.hang_after and process not in self._hanging and process.refusal is None:
                why = process.hangs(self._options.hang_after)
                if why is not None:
                    _log.error("replica %s hangs: %s; its stacks follow", process.name, why)
                    self._hanging[process] = now + STACKS
                    process.signal(signal.SIGABRT)
        for slot in self.slots:
            if slot.start_at is not None and now >= slot.start_at and slot.successor is None:
                self.start(slot)

    @property
    def next_start(self) -> float | None:
        """When the next process is due, by the clock."""
        return min((slot.start_at for slot in self.slots if slot.start_at is not None), default=None)

    @property
    def is_over(self) -> bool:
        """Whether nothing runs, and nothing will be started."""
        return not self.processes and all(slot.start_at is None for slot in self.slots)

    def _on_end(self, process: BotProcess) -> None:
        if process.etcd is not None:
            self._revoker.revoke(process.etcd, process.leases, process.name)
        leaving = self._leaving.pop(process, None) is not None
        self._hanging.pop(process, None)
        slot = next((each for each in self.slots if each.process is process), None)
        if slot is None:  # a predecessor that has drained, or a successor: the reload knows what to do
            return
        slot.process = None
        assert process.status is not None
        if leaving or self.stopping or slot.successor is not None:
            return
        if process.refusal is not None and process.status < 0:  # by ``_hear``
            slot.ended = True
            return
        what = f"replica {process.name} (pid {process.pid}) {describe_exit(process.status)}"
        if process.status == 0:
            _log.info("%s: it stays down", what)
            slot.ended = True
            return
        if process.refusal is not None:
            self.refusals.append(process.refusal)
            if not self.was_ready and not self.processes:  # nobody ever managed to start: nobody will
                for each in self.slots:
                    each.start_at, each.ended = None, True
                return
            pause = REFUSED
        else:
            steady = self._clock() - process.ready_at if process.ready_at is not None else 0.0
            pause = slot.backoff.pause(steady)
        _log.error("%s after %.1f s: it starts again in %g s", what, process.age, pause)
        slot.start_at = self._clock() + pause

    # -- ending ----------------------------------------------------------------------------------------------

    def drain(self, process: BotProcess) -> None:
        """Asks a process to drain; kills it when that takes much longer than it said."""
        self._leaving.setdefault(process, self._clock() + process.drain_timeout + KILL_AFTER)
        process.signal(signal.SIGTERM)

    def stop(self) -> None:
        """Asks all to drain, and starts none any more."""
        self.stopping = True
        for slot in self.slots:
            slot.start_at = None
        for process in self.processes:
            self.drain(process)

    def signal(self, number: int) -> None:
        """Passes a signal on to all."""
        for process in self.processes:
            process.signal(number)

    def kill(self) -> None:
        """SIGKILL to all."""
        for process in self.processes:
            self.killed += 1
            process.kill()

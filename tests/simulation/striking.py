"""What each fault of a script does to a simulated cluster."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from simulation.record import Record, Trouble
from simulation.script import OUTAGES, Fault

if TYPE_CHECKING:
    from discordha.bot import DiscordHA
    from simulation.discord_side import Connection, SimulatedDiscord
    from simulation.etcd import SimulatedEtcd
    from simulation.gateway import SimulatedGateway
    from simulation.scheduler import Machine, Scheduler

__all__ = ["Replica", "Striking"]

#: These hit the cluster, not a replica.
_OF_ETCD = {"no-etcd-leader", "etcd-refuses", "watches-break", "compaction", "lost-posts", *OUTAGES}
#: After a time without any replica new sessions begin one after another, and miss nothing after so many
#: seconds.
RECOVERS = 30.0
#: These excuse nothing.
_HARMLESS = {"drain"}


class Replica:
    """One slot of the cluster: its present process."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lives = 0
        self.began = 0.0
        self.machine: Machine | None = None
        self.bot: DiscordHA | None = None
        self.gateway: SimulatedGateway | None = None
        self.draining = False
        self.lost_answers = 0


class Striking(ABC):
    """The part of a cluster that breaks it."""

    scheduler: Scheduler
    record: Record
    etcd: SimulatedEtcd
    discord: SimulatedDiscord
    replicas: list[Replica]

    @abstractmethod
    def _start(self, replica: Replica) -> None:
        """Begins the next life of a replica."""

    @abstractmethod
    def _note(self, text: str) -> None:
        """Adds a line to the history."""

    def _trouble(self, fault: Fault, who: str | None, lasts: float) -> None:
        now = self.scheduler.now
        self.record.troubles.append(Trouble(fault.kind, now, now + lasts, who))

    def _strike(self, fault: Fault) -> None:
        replica = self.replicas[fault.target]
        machine, gateway = replica.machine, replica.gateway
        self.record.faults += 1
        self._note(f"fault {fault.kind} of r{fault.target} for {fault.lasts} s")
        act = getattr(self, "_" + fault.kind.replace("-", "_"))
        if fault.kind in _OF_ETCD:
            self._trouble(fault, None, fault.lasts + (RECOVERS if fault.kind in OUTAGES else 0.0))
            act(fault)
        elif machine is not None and machine.alive and not machine.paused and not replica.draining:
            if fault.kind not in _HARMLESS:
                self._trouble(fault, machine.name, fault.lasts)
            act(fault, replica, machine, gateway)

    def _kill(self, fault: Fault, replica: Replica, machine: Machine, gateway: Any) -> None:
        self._bury(replica, machine, "killed")
        self.scheduler.after(fault.lasts, functools.partial(self._start, replica))

    def _bury(self, replica: Replica, machine: Machine, how: str) -> None:
        self.scheduler.kill(machine)
        self.record.ended[machine.name] = (how, self.scheduler.now)
        self.etcd.link(machine).set("refused")
        if replica.gateway is not None:
            for client in replica.gateway.clients.values():
                client.end()

    def _drain(self, fault: Fault, replica: Replica, machine: Machine, gateway: Any) -> None:
        bot = replica.bot
        if bot is None:
            return
        replica.draining = True
        self.record.draining[machine.name] = self.scheduler.now

        def over() -> None:
            self._note(f"{machine.name} has drained")
            self._bury(replica, machine, "drained")
            self.scheduler.after(fault.lasts, functools.partial(self._start, replica))

        def drain() -> None:
            bot.stop()
            self.scheduler.after(0.0, over)  # between two threads: one of a dead machine would not go on
            self.scheduler.block()

        self.scheduler.spawn(machine, "drain", drain)

    def _pause(self, fault: Fault, replica: Replica, machine: Machine, gateway: Any) -> None:
        self.scheduler.pause(machine)
        self.scheduler.after(fault.lasts, functools.partial(self.scheduler.resume, machine))

    def _cut(
        self, fault: Fault, replica: Replica, machine: Machine, gateway: Any, mode: str = "refused"
    ) -> None:
        link = self.etcd.link(machine)
        link.set(mode)
        self.scheduler.after(fault.lasts, lambda: link.set("open") if machine.alive else None)

    def _swallow(self, fault: Fault, replica: Replica, machine: Machine, gateway: Any) -> None:
        self._cut(fault, replica, machine, gateway, "swallowed")

    def _watch_lag(self, fault: Fault, replica: Replica, machine: Machine, gateway: Any) -> None:
        link = self.etcd.link(machine)
        link.lag = self.scheduler.random.choice((0.05, 0.5, 2.0))
        self.scheduler.after(fault.lasts, functools.partial(setattr, link, "lag", 0.0))

    def _lost_answers(self, fault: Fault, replica: Replica, machine: Machine, gateway: Any) -> None:
        link = self.etcd.link(machine)
        link.loses = self.scheduler.random.choice((0.1, 0.4))
        self.scheduler.after(fault.lasts, functools.partial(setattr, link, "loses", 0.0))

    def _no_etcd_leader(self, fault: Fault) -> None:
        self.etcd.lose_leader()
        self.scheduler.after(fault.lasts, self.etcd.elect)

    def _etcd_refuses(self, fault: Fault) -> None:
        self.etcd.refuses = "etcd refuses writes: database space exceeded"
        self.scheduler.after(fault.lasts, functools.partial(setattr, self.etcd, "refuses", None))

    def _watches_break(self, fault: Fault) -> None:
        self.etcd.break_watches()

    def _compaction(self, fault: Fault) -> None:
        self.etcd.compact()

    def _gateway_drops(
        self, fault: Fault, replica: Replica, machine: Machine, gateway: Any, *, valid: bool = True
    ) -> None:
        for client in gateway.clients.values() if gateway is not None else ():
            connection: Connection | None = client._connection
            client.down_until = self.scheduler.now + fault.lasts
            if connection is not None:
                connection.open = False
                if not valid and client._session is not None:
                    client._session.valid = False
                gateway.inbox_put(client.drop)

    def _session_invalid(self, fault: Fault, replica: Replica, machine: Machine, gateway: Any) -> None:
        self._gateway_drops(fault, replica, machine, gateway, valid=False)

    def _gateway_lag(self, fault: Fault, replica: Replica, machine: Machine, gateway: Any) -> None:
        if gateway is None:
            return
        lag = self.scheduler.random.choice((0.05, 0.3, 1.5))

        def set_lag(seconds: float) -> None:
            gateway.lag = seconds
            for client in gateway.clients.values():
                if client._connection is not None:
                    client._connection.lag = seconds

        set_lag(lag)
        self.scheduler.after(fault.lasts, functools.partial(set_lag, 0.0))

    def _lost_posts(self, fault: Fault) -> None:
        self.discord.loses = 0.3
        self.scheduler.after(fault.lasts, functools.partial(setattr, self.discord, "loses", 0.0))

    def _everybody_dies(self, fault: Fault) -> None:
        for replica in self.replicas:
            machine = replica.machine
            if machine is None or not machine.alive:
                continue
            self._bury(replica, machine, "killed")
            late = self.scheduler.random.uniform(0.0, 2.0)
            self.scheduler.after(fault.lasts + late, functools.partial(self._start, replica))

    def _all_sessions_end(self, fault: Fault) -> None:
        for replica in self.replicas:
            machine, gateway = replica.machine, replica.gateway
            if machine is not None and machine.alive and gateway is not None:
                self._gateway_drops(fault, replica, machine, gateway, valid=False)

    def _mend(self) -> None:
        """Ends all faults at once."""
        self._note("all faults end")
        if not self.etcd.has_leader:
            self.etcd.elect()
        self.etcd.refuses, self.discord.loses = None, 0.0
        for replica in self.replicas:
            machine = replica.machine
            if machine is not None and machine.alive:
                if machine.paused:
                    self.scheduler.resume(machine)
                link = self.etcd.link(machine)
                link.loses = link.lag = 0.0
                if link.mode != "open":
                    link.set("open")

"""Shards and leaders of a simulated cluster: who leads which shard, what waits in journals, a reshard."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from discordha.coordination.membership.shard_keys import generation_of
from discordha.coordination.membership.shard_plan import request_reshard
from discordha.errors import DiscordHAError
from discordha.limits.session_limits import IDENTIFY_INTERVAL, SessionLimits
from simulation.etcd_client import SimulatedStore
from simulation.primitives import sleep
from simulation.scheduler import Task

if TYPE_CHECKING:
    from simulation.etcd import SimulatedEtcd
    from simulation.plan import Plan
    from simulation.record import Record
    from simulation.scheduler import Scheduler
    from simulation.striking import Replica

__all__ = [
    "CHANNELS",
    "FLEET_READY",
    "ROOT",
    "WATCHED_EVERY",
    "Leading",
    "channels_of",
    "guild_of",
    "limits_for",
]

#: Where the bot's keys lie.
ROOT = "/discordha/v1/simulated/"

#: Channels of a bot without shards, and of a guild of a bot with shards.
CHANNELS = 4
IN_GUILD = 2
#: How often leaders are compared, seconds: for a few shards, and for each shard more.
WATCHED_EVERY = 0.01
#: All first sessions of a large fleet have begun after so many seconds.
FLEET_READY = 20.0
REPLICATION = 2
#: Seconds between two IDENTIFYs in short runs.
SHORT_INTERVAL = 0.5


def channels_of(shards: int) -> int:
    """How many channels there are: of two guilds for each shard."""
    return 2 * shards * IN_GUILD if shards else CHANNELS


def guild_of(channel: int) -> int:
    """The guild of a channel."""
    return ((channel - 1) // IN_GUILD + 1) << 22


def limits_for(replicas: int, shards: int, *, short: bool = False) -> SessionLimits:
    """The limits that Discord tells. A large fleet would take minutes to identify.

    :param short: for a short run.
    """
    if not shards:
        interval = SHORT_INTERVAL if short else min(IDENTIFY_INTERVAL, 40 / replicas)
        return SessionLimits(1, 1000, 1000, 86400.0, 1, interval)
    concurrency = 16 if shards >= 64 else 1
    interval = min(IDENTIFY_INTERVAL, FLEET_READY * concurrency / (REPLICATION * shards))
    if short:
        interval = min(interval, SHORT_INTERVAL)
    return SessionLimits(shards, 100_000, 100_000, 86400.0, concurrency, interval)


class Leading(ABC):
    """The part of a cluster that looks at leaders."""

    plan: Plan
    scheduler: Scheduler
    record: Record
    etcd: SimulatedEtcd
    replicas: list[Replica]
    _resharded: bool

    @abstractmethod
    def _note(self, text: str) -> None:
        """Adds a line to the history."""

    @abstractmethod
    def _as(self, task: Task, ask: Callable[[], Any], busy: Any = None) -> Any:
        """Asks as another thread would; ``busy`` if a lock is held."""

    def _living(self) -> list[tuple[str, Task, Any]]:
        """The replicas that run: name, one of their threads, their parts."""
        found = []
        for replica in self.replicas:
            machine, bot = replica.machine, replica.bot
            if machine is None or not machine.alive or bot is None or bot._replica is None:
                continue
            if machine.tasks:
                found.append((machine.name, next(iter(machine.tasks)), bot._replica.parts))
        return found

    def _watch_leaders(self) -> None:
        """Never two replicas that lead a shard by their own clocks, nor two generations that act."""
        self.scheduler.after(WATCHED_EVERY * max(1, self.plan.shards // 8), self._watch_leaders)
        leads: dict[int, list[str]] = {}
        acts: dict[int, str] = {}  # by generation
        for name, task, parts in self._living():
            leaders = parts.leaders

            def ask(leaders: Any = leaders, name: str = name) -> None:
                for key in leaders._shards:
                    if leaders.leads(key):
                        leads.setdefault(key, []).append(name)
                        if self._resharded and leaders.acting(key) is not None:
                            acts[generation_of(key)] = f"{name} for {key}"

            if leaders is not None:
                self._as(task, ask)
        for key, names in leads.items():
            if len(names) > 1:
                text = f"{', '.join(names)}{f' of shard {key}' if self.plan.shards else ''}"
                self.record.violation(self.scheduler.now, "two leaders", text)
        if len(acts) > 1 and any(generation_of(key) == min(acts) for key in leads):
            self.record.violation(self.scheduler.now, "two generations", "; ".join(acts.values()))

    def _look_into_journals(self) -> None:
        for name, task, parts in self._living():
            leaders = parts.leaders
            assert leaders is not None
            kept = self.record.kept.setdefault(name, set())
            for key, shard in leaders._shards.items():
                if self._as(task, functools.partial(leaders.leads, key)):
                    continue
                keys: list[str] = self._as(task, shard.journal.keys, [])
                named = [key.split("/") for key in keys]
                kept |= {f"{part[2]}/{part[1]}/{part[4]}" for part in named}

    # -- a reshard -------------------------------------------------------------------------------------------

    def _reshard(self) -> None:
        """An operator asks for another number of shards, until etcd has taken it."""
        machine = self.scheduler.machine("operator")
        self._resharded = True

        def ask() -> None:
            store = SimulatedStore(self.etcd, machine)
            while True:
                try:
                    request_reshard(store, ROOT, self.plan.reshard)
                    break
                except DiscordHAError as error:
                    self._note(f"reshard: {error}")
                    sleep(1.0)
            self._note(f"the bot shall have {self.plan.reshard} shards")
            self.scheduler.block()

        self.scheduler.spawn(machine, "operator", ask)

    def _look_for_shards(self) -> list[tuple[str, str]]:
        """What is wrong if this is the end: each shard has its hosts, and there are as many as were asked
        for.
        """
        if not self.plan.shards:
            return []
        count = self.plan.reshard or self.plan.shards
        hosts: dict[int, int] = {}
        for name, _, parts in self._living():
            plan = parts.node.plan
            if plan.count != count:
                return [("not resharded", f"{name} has {plan.count} of {count} shards")]
            for number, client in parts.shards.clients().items():
                hosts[number] = hosts.get(number, 0) + client.state().ready
        wanted = min(REPLICATION, len(self._living()))
        bare = [number for number in range(count) if hosts.get(number, 0) < wanted]
        if bare:
            text = f"shards {bare[:10]} have too few hosts: {[hosts.get(number, 0) for number in bare[:10]]}"
            return [("not hosted", text)]
        return []

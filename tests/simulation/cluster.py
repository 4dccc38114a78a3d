"""One simulated run: replicas of a bot, their load, their faults, and what happened."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import discord

import discordha.coordination.node
import discordha.limits.identify
import discordha.replica.parts
from discordha.bot import DiscordHA
from discordha.config import Config
from discordha.context import current_event
from discordha.errors import DiscordHAError, LockLost
from discordha.replica.status import reasons
from simulation import per_machine
from simulation.client import Waits
from simulation.discord_side import SimulatedDiscord
from simulation.etcd import SimulatedEtcd
from simulation.etcd_client import store_of_this_machine
from simulation.gateway import SimulatedGateway, send
from simulation.leading import FLEET_READY, WATCHED_EVERY, Leading, channels_of, guild_of, limits_for
from simulation.on_time import OnTime, OnTimeRecord
from simulation.plan import Plan
from simulation.primitives import sleep
from simulation.record import Record, Run
from simulation.scheduler import Machine, Scheduler, Task, begin
from simulation.script import Fault
from simulation.settling import LINGERS, LOOKS_EVERY, unsettled
from simulation.striking import Replica, Striking
from simulation.threads import Thread
from simulation.verdict import waits_after_crashes
from simulation.voice import Playing, VoiceRecord, Voicing
from simulation.workload import Loading

__all__ = ["Cluster"]

#: Faults begin when all replicas are ready, or so many seconds after the start.
FIRST_READY = 90.0
#: A replica is ready so many seconds after its start, and after the last fault.
READY_WITHIN = 30.0
#: What a fault of etcd's or of a link does to promises lasts for so long after its end, seconds.
SETTLES = 8.0
#: How probably another thread goes on at a marked point: drawn for each run. So many replicas have enough
#: threads that wake up by themselves.
OVERTAKES = (0.01, 0.05, 0.2)
MANY = 16
#: The handler of one message in so many schedules a timer.
SCHEDULES = 8
#: The handler of one message in so many sends a voice command.
SINGS = 5


class Cluster(OnTime, Voicing, Leading, Striking, Loading):
    """See the module. ``run`` gives the record."""

    def __init__(self, seed: int | str, faults: Sequence[Fault], plan: Plan) -> None:
        self.seed = seed
        self.faults = list(faults)
        self.plan = plan
        self.record = Record(OnTimeRecord(), VoiceRecord())
        scheduler = self.scheduler = Scheduler(f"cluster {seed}")
        scheduler.overtake(scheduler.random.choice(OVERTAKES if plan.replicas < MANY else OVERTAKES[:2]))
        begin(scheduler)
        per_machine.forget()
        Thread._numbers = itertools.count(1)
        self.etcd = SimulatedEtcd(scheduler)
        self.etcd.on_change = self._note_change
        self.discord = SimulatedDiscord(scheduler)
        self.discord.limits = limits_for(plan.replicas, max(plan.shards, plan.reshard), short=plan.short)
        self.replicas = [Replica(number) for number in range(plan.replicas)]
        self.by_machine: dict[Machine, Replica] = {}
        self._open_runs: dict[str, list[tuple[Run, Any, Task]]] = {}
        self._numbers = itertools.count(1)
        self._register: dict[str, int] = {}
        self._leader_token: dict[str, int] = {}  # by shard, and by guild
        self._resharded = False
        self._held: dict[str, tuple[int, Any, Task]] = {}
        self._plays: dict[int, tuple[str, Any, Task, Playing]] = {}
        self._ends = math.inf
        self._emitting = True
        self._grace = scheduler.random.choice((0.01, 0.05))
        self._ttl = scheduler.random.choice((2.0, 5.0))
        self.record.ttl = self._ttl
        self.record.catches_up = plan.catch_up
        shards = max(plan.shards, plan.reshard)
        self.discord.channels = {number + 1: guild_of(number + 1) for number in range(channels_of(shards))}
        self._choose_times(plan.seconds + plan.calm + 20.0)
        self._connect_parts()

    def _connect_parts(self) -> None:
        discordha.coordination.node.EtcdStore = store_of_this_machine(self.etcd)  # type: ignore
        discordha.replica.parts.Gateway = SimulatedGateway  # type: ignore
        discordha.limits.identify.asyncio = _Asyncio  # type: ignore
        SimulatedGateway.discord = self.discord
        SimulatedGateway.on_client = self._note_gateway  # type: ignore[assignment]
        SimulatedGateway.received = self._note_received  # type: ignore[assignment]

    # -- the run ---------------------------------------------------------------------------------------------

    def run(self) -> Record:
        """Runs everything, and ends all threads."""
        scheduler = self.scheduler
        try:
            for replica in self.replicas:
                scheduler.after(0.05 * replica.number, functools.partial(self._start, replica))
            scheduler.after(0.1, self._emit)
            scheduler.after(WATCHED_EVERY, self._watch_leaders)
            first = scheduler.now + FIRST_READY
            while scheduler.now < first and not all(map(self._is_ready, self.replicas)):
                scheduler.run(scheduler.now + 1.0)
            began = self.record.began = scheduler.now
            for fault in self.faults:
                scheduler.at(began + fault.at, functools.partial(self._strike, fault))
            if self.plan.reshard:
                scheduler.at(began + self.plan.seconds / 3, self._reshard)
            scheduler.run(began + self.plan.seconds)
            self._ends = self.record.calm_since = scheduler.now
            self._mend()
            if self.plan.short:
                self._settle()
            else:
                scheduler.run(scheduler.now + self.plan.calm * 0.75)
                self._emitting = False
                scheduler.run(scheduler.now + self.plan.calm * 0.25)
            self.record.over = scheduler.now
            self._look_into_journals()
            self._look_for_unready(scheduler.now)
            for kind, text in self._look_for_shards():
                self.record.violation(scheduler.now, kind, text)
            for error in scheduler.errors:
                self.record.violation(scheduler.now, "a thread ended", error)
            return self.record
        finally:
            scheduler.close()

    def _settle(self) -> None:
        """Goes on until nothing is left to do, and a little longer: until what is done is not done again."""
        scheduler = self.scheduler
        until = scheduler.now + self.plan.calm
        scheduler.run(scheduler.now + 1.0)
        self._emitting = False
        left = "nothing"
        while scheduler.now < until:
            left = str(
                [each for each in self.replicas if not self._is_ready(each)] or self._look_for_shards()
            )
            if left == "[]":
                left = unsettled(self.record, self.discord.messages, self._open_runs, scheduler.now)
            if not left:
                scheduler.run(min(scheduler.now + self._ttl + LINGERS, until))
                return
            scheduler.run(scheduler.now + LOOKS_EVERY)
        self._note(f"left to do: {left}")

    def _is_ready(self, replica: Replica) -> bool:
        bot, machine = replica.bot, replica.machine
        if machine is None or not machine.alive or replica.draining:
            return False
        return bot is not None and bot._replica is not None and bot._replica.parts.readiness.state == "ready"

    def _note(self, text: str) -> None:
        self.record.line(self.scheduler.now, text)

    # -- replicas --------------------------------------------------------------------------------------------

    def _start(self, replica: Replica) -> None:
        replica.lives += 1
        replica.began = self.scheduler.now
        chance = self.scheduler.random
        machine = self.scheduler.machine(
            f"r{replica.number}-{replica.lives}",
            offset=chance.uniform(0, 1e5),
            wall_offset=chance.uniform(-2.0, 2.0),
        )
        replica.machine, replica.bot, replica.gateway, replica.draining = machine, None, None, False
        self.by_machine[machine] = replica
        self.record.started[machine.name] = self.scheduler.now
        self._note(f"{machine.name} starts")
        self.scheduler.spawn(machine, "main", functools.partial(self._live, replica, machine))

    def _live(self, replica: Replica, machine: Machine) -> None:
        config = Config(
            token="MTA0.G.simulated-token-of-no-bot-0123456789abcdefghijkl",
            intents=discord.Intents.none(),
            name="simulated",
            replica_id=machine.name,
            etcd_endpoints=("simulated:2379",),
            session_ttl=self._ttl,
            grace=self._grace,
            workers=4,
            catch_up=600.0 if self.plan.catch_up else 0.0,
            requests_per_second=0,
            drain_timeout=10.0,
            shard_count=self.plan.shards or None,
        )
        while True:
            bot = DiscordHA(config)
            bot.event(self._handler(bot, machine, "on_message"))
            bot.event(self._handler(bot, machine, "on_raw_reaction_add"))
            self._declare_on_time(bot, machine)
            if self.plan.catch_up:
                bot.event(self._on_gap(machine))
            try:
                bot.start()
                break
            except DiscordHAError as error:
                self._note(f"{machine.name} could not start: {error}")
                sleep(1.0)
        replica.bot = bot
        self._note(f"{machine.name} has started")
        Thread(target=self._listen, args=(bot, machine), name="listener").start()
        for number in range(2):
            Thread(target=self._work, args=(bot, f"{machine.name}/{number}"), name=f"worker-{number}").start()

    def _handler(self, bot: DiscordHA, machine: Machine, name: str) -> Callable[[Any], None]:
        def handle(what: Any) -> None:
            event = current_event()
            assert event is not None
            key = str(what.id) if name == "on_message" else f"{what.message_id}/{what.user_id}/{what.emoji}"
            run = self._begin(key, name, machine, event, what)
            chance = self.scheduler.random
            try:
                sleep(chance.expovariate(1 / 0.02) if chance.random() < 0.95 else chance.uniform(0.2, 1.5))
                if name == "on_message" and what.id % SCHEDULES == 0:
                    self._schedule(bot, f"after/{key}", 3.0)
                if name == "on_message" and what.id % SINGS == 0:
                    self._send_voice(bot, f"for/{key}")
                    sleep(chance.expovariate(1 / 0.1))
                channel = what.channel.id if name == "on_message" else what.channel_id
                send(self.discord, channel, key)
            except LockLost:
                run.error = "LockLost"
                raise
            finally:
                if not self.scheduler.closing:
                    self._end(key, run)

        handle.__name__ = handle.__qualname__ = name
        return handle

    def _on_gap(self, machine: Machine) -> Callable[[Any], None]:
        def on_gap(gap: Any) -> None:
            self._note(f"{machine.name} is told of a gap from {gap.since} to {gap.until}")

        return on_gap

    def _begin(self, key: str, name: str, machine: Machine, event: Any, what: Any) -> Run:
        now, record = self.scheduler.now, self.record
        run = Run(key, machine.name, event.attempt, event.fencing_token, now)
        self._note_begin(run, event, alone=name == "on_message")
        if name == "on_message":
            self._check_order(key, machine, now)
        else:
            for whose in (f"shard {event.shard_id}", f"guild {record.by_name[key][0].guild}"):
                last = self._leader_token.get(whose, 0)
                if event.fencing_token < last and not event.lost:
                    text = f"{key} by {machine.name}: {event.fencing_token} after {last} of {whose}"
                    record.violation(now, "token went back", text)
                self._leader_token[whose] = max(last, event.fencing_token)
        record.runs.setdefault(key, []).append(run)
        return run

    def _note_begin(self, run: Run, event: Any, *, alone: bool = True) -> None:
        task, key, now = self.scheduler.current, run.name, self.scheduler.now
        assert task is not None
        self._note(f"{run.machine} begins {key} attempt {run.attempt} token {run.token}")
        for other, context, holder in self._open_runs.get(key, ()) if alone else ():
            if holder.machine.alive and not self._as(holder, lambda context=context: context.lost, True):
                self.record.violation(now, "two at a time", f"{key} by {other.machine} and {run.machine}")
        self._open_runs.setdefault(key, []).append((run, event, task))

    def _end(self, key: str, run: Run) -> None:
        run.ended = self.scheduler.now
        self._note(f"{run.machine} ends {key}{f' by {run.error}' if run.error else ''}")
        self._open_runs[key] = [each for each in self._open_runs[key] if each[0] is not run]

    def _check_order(self, key: str, machine: Machine, now: float) -> None:
        """P13: an older event of the channel that this process has received is done."""
        this = self.record.by_name[key][0]
        if self.record.troubled(now - SETTLES - self._ttl, now):
            return
        for older in self.record.by_channel[this.channel]:
            if older.number >= this.number:
                return
            runs = self.record.runs.get(older.name, ())
            if machine.name not in older.received or any(run.ended and not run.error for run in runs):
                continue
            if now - older.at > 60.0:
                continue
            self.record.violation(now, "out of order", f"{key} begins before {older.name} is done")

    def _as(self, task: Task, ask: Callable[[], Any], busy: Any = None) -> Any:
        return self.scheduler.ask_as(task, ask, busy)

    def _look_for_unready(self, now: float) -> None:
        within = READY_WITHIN + (FLEET_READY if self.plan.shards else 0.0)
        waits = waits_after_crashes(self.record, self.discord.limits.total)
        for replica in self.replicas:
            machine = replica.machine
            if machine is None or now - max(replica.began, self._ends) < within:
                continue
            if not machine.alive:
                self.record.violation(now, "not ready", f"{machine.name} has ended, and nobody came after it")
            elif self._is_ready(replica):
                continue
            elif now < replica.began + waits + within:
                self.record.excused["a start waits after crashes (sharding.md)"] += 1
            else:
                self.record.violation(now, "not ready", f"{machine.name}: {self._why_unready(replica)}")

    def _why_unready(self, replica: Replica) -> str:
        machine, bot = replica.machine, replica.bot
        if machine is None or bot is None or bot._replica is None or not machine.tasks:
            return "it has not started"
        parts = bot._replica.parts
        return str(self._as(next(iter(machine.tasks)), lambda: reasons(parts)))

    # -- what the stand-ins tell -----------------------------------------------------------------------------

    def _note_gateway(self, machine: Machine, gateway: SimulatedGateway) -> None:
        self.by_machine[machine].gateway = gateway

    def _note_received(self, machine: str, kind: str, data: Any, now: float) -> None:
        number = data["token"]
        happening = next(each for each in reversed(self.record.happenings) if each.number == number)
        happening.received.setdefault(machine, now)


class _Asyncio:
    wrap_future = staticmethod(Waits)

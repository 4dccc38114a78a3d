"""Timers and loops of a simulated cluster: the load, and the record of it. ``verdict_on_time`` judges.

Every few messages a handler schedules a timer, which its second run must not schedule again; replicas
schedule more, and cancel some. One loop runs each second, another at times of day. Each run of a timer and
each run for a time of day sends a message.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from discordha.context import current_event
from discordha.coordination.shared.timers import timer_prefix
from discordha.errors import DiscordHAError, LockLost
from simulation.gateway import send
from simulation.leading import ROOT
from simulation.primitives import EPOCH, sleep
from simulation.record import Run

if TYPE_CHECKING:
    from discordha.bot import DiscordHA
    from discordha.coordination.memory.keyspace import Change
    from simulation.discord_side import SimulatedDiscord
    from simulation.plan import Plan
    from simulation.record import Record
    from simulation.scheduler import Machine, Scheduler

__all__ = ["EVERY", "Cancelling", "OnTime", "OnTimeRecord", "Timer", "TimerRun", "due_of"]

#: Seconds between two runs of the loop with an interval.
EVERY = 1.0
#: The least pause between two times of day, seconds; and how many there are at most.
TIMES_EVERY = 15.0
TIMES = 8
#: In short runs timers are due sooner by this factor, and there are fewer times of day.
SOONER = 4.0
TIMES_SHORT, TIMES_SHORT_EVERY = 3, 5.0
#: Seconds by which wall clocks are off at most.
CLOCKS = 2.0
CHANNEL = 9
TIMERS = timer_prefix(ROOT)


@dataclasses.dataclass
class TimerRun(Run):
    """One run of a timer or a loop. ``wall``: what its replica's clock showed at the begin, since 1970."""

    wall: float = 0.0
    id: str = ""


@dataclasses.dataclass
class Cancelling:
    """One call that cancels a timer. ``found``: its answer; ``None`` while there is none, also once the call
    has failed or its process has died.
    """

    machine: str
    begun: float
    ended: float = math.inf
    found: bool | None = None


@dataclasses.dataclass
class Timer:
    """One timer. ``scheduled``: when the first call that wrote it surely returned.

    :ivar cancelled: when a call had surely deleted it; ``deleted``: when its key went, for whatever reason.
    """

    name: str
    asked: float
    delay: float
    scheduled: float = math.inf
    cancelled: float = math.inf
    cancellings: list[Cancelling] = dataclasses.field(default_factory=list)
    ids: set[str] = dataclasses.field(default_factory=set)
    runs: list[TimerRun] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class OnTimeRecord:
    """Everything about timers and loops. ``times``: the times of day, by the simulation's clock."""

    timers: dict[str, Timer] = dataclasses.field(default_factory=dict)
    ticks: list[TimerRun] = dataclasses.field(default_factory=list)
    dailies: dict[str, list[TimerRun]] = dataclasses.field(default_factory=dict)
    times: list[float] = dataclasses.field(default_factory=list)
    deleted: dict[str, float] = dataclasses.field(default_factory=dict)  # when etcd deleted a timer, by id

    def gone(self, timer: Timer) -> float:
        """When etcd deleted a timer."""
        return min((self.deleted.get(id, math.inf) for id in timer.ids), default=math.inf)


def due_of(timer_id: str) -> float:
    """When a timer is due, in seconds since 1970."""
    return int(timer_id.partition("-")[0]) / 1000


class OnTime(ABC):
    """The part of a cluster that schedules."""

    plan: Plan
    scheduler: Scheduler
    record: Record
    discord: SimulatedDiscord

    @abstractmethod
    def _note(self, text: str) -> None:
        """Adds a line to the history."""

    @abstractmethod
    def _note_begin(self, run: Run, event: Any) -> None:
        """Notes that a run has begun, and looks for another one beside it."""

    @abstractmethod
    def _end(self, key: str, run: Run) -> None:
        """Notes that a run has ended."""

    def _choose_times(self, seconds: float) -> None:
        """Spreads the times of day over the run."""
        many, every = (TIMES, max(TIMES_EVERY, seconds / TIMES))
        if self.plan.short:
            many, every = TIMES_SHORT, TIMES_SHORT_EVERY
        first = self.scheduler.now + every
        self.record.on_time.times = [float(int(first + every * number)) for number in range(many)]

    def _declare_on_time(self, bot: DiscordHA, machine: Machine) -> None:
        @bot.timer("remind")
        def remind(payload: str) -> None:
            event = current_event()
            assert event is not None
            timer = self.record.on_time.timers[payload]
            timer.ids.add(event.identity)
            self._run_on_time(payload, machine, timer.runs)

        @bot.loop(seconds=EVERY)
        def tick() -> None:
            self._run_on_time("tick", machine, self.record.on_time.ticks)

        times = [
            (datetime.datetime.fromtimestamp(EPOCH + at, datetime.UTC)).timetz()
            for at in self.record.on_time.times
        ]

        @bot.loop(time=times)
        def daily() -> None:
            event = current_event()
            assert event is not None
            name = f"daily/{event.occurrence - int(EPOCH)}"
            self._run_on_time(name, machine, self.record.on_time.dailies.setdefault(name, []))

    def _run_on_time(self, name: str, machine: Machine, runs: list[TimerRun]) -> None:
        event, scheduler = current_event(), self.scheduler
        assert event is not None
        wall = EPOCH + scheduler.now + machine.wall_offset
        run = TimerRun(
            name,
            machine.name,
            event.attempt,
            event.fencing_token,
            scheduler.now,
            wall=wall,
            id=event.identity,
        )
        self._note_begin(run, event)
        runs.append(run)
        chance = scheduler.random
        try:
            slow = chance.random() < (0.5 if name == "tick" else 0.1)
            sleep(chance.uniform(0.2, 1.8) if slow else chance.expovariate(1 / 0.02))
            if name != "tick":
                send(self.discord, CHANNEL, name)
        except LockLost:
            run.error = "LockLost"
            raise
        finally:
            if not scheduler.closing:
                self._end(name, run)

    # -- scheduling ------------------------------------------------------------------------------------------

    def _schedule(self, bot: DiscordHA, name: str, delay: float) -> None:
        """Schedules a timer; a handler's second run asks for the same one."""
        now = self.scheduler.now
        timer = self.record.on_time.timers.setdefault(name, Timer(name, now, delay))
        try:
            id = bot.schedule(delay, "remind", name)
        except LockLost:
            raise
        except DiscordHAError as error:
            self._note(f"schedule {name} failed: {type(error).__name__}")
            return
        timer.ids.add(id)
        timer.scheduled = min(timer.scheduled, self.scheduler.now)
        self._note(f"timer {name} is due in {delay:.3f} s: {id}")

    def _schedule_or_cancel(self, bot: DiscordHA, client: str, number: Callable[[], int]) -> None:
        chance, now = self.scheduler.random, self.scheduler.now
        if chance.random() < 0.8:
            delay = chance.choice((chance.uniform(0, 0.3), chance.uniform(0.3, 8), chance.uniform(8, 40)))
            delay /= SOONER if self.plan.short else 1.0
            self._schedule(bot, f"timer/{number()}", delay)
            return
        known = [timer for timer in self.record.on_time.timers.values() if timer.scheduled <= now]
        if not known:
            return
        waiting = [timer for timer in known if not timer.runs and timer.cancelled == math.inf]
        timer = chance.choice(waiting or known[-20:])
        call = Cancelling(client.partition("/")[0], now)
        timer.cancellings.append(call)
        try:
            call.found = bot.unschedule(min(timer.ids))
        except DiscordHAError as error:
            self._note(f"{client} cancels {timer.name}: {type(error).__name__}")
            return
        finally:
            call.ended = self.scheduler.now
        self._note(f"{client} cancels {timer.name}: {call.found}")
        if call.found:
            timer.cancelled = min(timer.cancelled, call.ended)

    def _note_change(self, change: Change) -> None:
        """Notes which timers etcd has deleted."""
        for event in change.events:
            if event.kind == "delete" and event.kv.key.startswith(TIMERS):
                self.record.on_time.deleted.setdefault(event.kv.key.removeprefix(TIMERS), self.scheduler.now)

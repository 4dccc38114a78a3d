"""The scheduler: threads as greenlets, one at a time, in an order that a seed draws, in virtual time.

Every blocking call is a marked point, and so is every call that may let another thread overtake: taking a
lock, setting an event, reading a clock. At some of them, as the seed says, another thread goes on. Time
moves only when no thread can run, apart from two microseconds a switch, so that whoever polls without a
pause lets time go by, too.

A ``Machine`` is one process of the simulated cluster: it has clocks of its own, can stand still (SIGSTOP)
and can be killed (its threads are never resumed, and its locks are nobody's).
"""

from __future__ import annotations

import heapq
import math
import random
from asyncio.events import _set_running_loop
from collections.abc import Callable
from typing import Any

import greenlet

__all__ = ["RUNNING", "Busy", "Killed", "Machine", "Scheduler", "Task", "current"]

#: Seconds that a switch takes.
SWITCH_TIME = 2e-6
#: How often a thread that is overtaken at a marked point rests for a while, and for how long on average,
#: seconds: the operating system has other things to do.
REST_CHANCE = 0.01
REST_MEAN = 0.002


class Killed(BaseException):
    """Ends the threads of a simulation that is over."""


class Busy(BaseException):
    """Who asks between two threads meets a lock that one of them holds."""


class Machine:
    """One process: see the module.

    :param offset: what its monotonic clock shows at the start, seconds.
    :param wall_offset: how wrong its wall clock is, seconds.
    """

    def __init__(self, name: str, *, offset: float = 0.0, wall_offset: float = 0.0) -> None:
        self.name = name
        self.offset = offset
        self.wall_offset = wall_offset
        self.alive = True
        self.paused = False
        self.parked: list[Task] = []
        self.tasks: dict[Task, None] = {}  # in the order of their starts
        self.troubled: list[tuple[float, float]] = []  # when it was paused or cut off

    def __repr__(self) -> str:
        return f"<Machine {self.name}>"


class Task:
    """One thread."""

    __slots__ = (
        "blocked",
        "greenlet",
        "locals",
        "loop",
        "machine",
        "name",
        "number",
        "over",
        "thread",
        "token",
        "woken",
    )

    def __init__(self, name: str, machine: Machine, number: int) -> None:
        self.name = name
        self.machine = machine
        self.number = number
        self.greenlet: Any = None
        self.loop: Any = None  # of asyncio, while the thread runs one
        self.thread: Any = None
        self.blocked = False
        self.woken = False
        self.over = False
        self.token = 0
        self.locals: dict[int, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return f"<Task {self.name} of {self.machine.name}>"


class Scheduler:
    """See the module.

    :param overtakes: how probably another thread goes on at a marked point.
    """

    def __init__(self, seed: int | str, *, overtakes: float = 0.1) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.current: Task | None = None
        self.switches = 0
        self.points = 0
        self.closing = False
        self.errors: list[str] = []
        self._draw = self.random.random
        self.overtake(overtakes)
        self._timers: list[tuple[float, int, Any, int]] = []
        self._number = 0
        self._runnable: list[Task] = []
        self._machines: list[Machine] = []
        self._hub: Any = greenlet.getcurrent()
        self._asking = False
        self._trace = 0
        self._tasks = 0

    # -- from outside ----------------------------------------------------------------------------------------

    def overtake(self, chance: float) -> None:
        """Sets how probably another thread goes on at a marked point."""
        self._log_of_none = math.log1p(-chance)
        self._left = self._next_overtaking()

    def machine(self, name: str, **clocks: float) -> Machine:
        """Makes a process without threads."""
        made = Machine(name, **clocks)
        self._machines.append(made)
        return made

    def spawn(self, machine: Machine, name: str, run: Callable[[], Any]) -> Task:
        """Starts a thread."""
        self._tasks += 1
        task = Task(name, machine, self._tasks)

        def main() -> None:
            try:
                if not self.closing:
                    run()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - whatever a thread ends by is part of the result
                self.errors.append(f"{task} ended: {error!r}")
            finally:
                task.over = True
                machine.tasks.pop(task, None)

        task.greenlet = greenlet.greenlet(main, self._hub)  # which goes on when the thread ends
        machine.tasks[task] = None
        self._runnable.append(task)
        return task

    def at(self, moment: float, call: Callable[[], Any]) -> None:
        """Calls a function at a moment, between two threads. It must not block."""
        self._number += 1
        heapq.heappush(self._timers, (max(moment, self.now), self._number, call, -1))

    def after(self, seconds: float, call: Callable[[], Any]) -> None:
        """See ``at``."""
        self.at(self.now + seconds, call)

    def run(self, until: float) -> None:
        """Goes on until a moment, or until nothing is left to do."""
        begin(self)
        assert greenlet.getcurrent() is self._hub, "a simulation runs where it was made"
        timers, runnable, draw, pop = self._timers, self._runnable, self._draw, heapq.heappop
        while True:
            while timers and timers[0][0] <= self.now:
                _, _, what, token = pop(timers)
                if token < 0:
                    what()
                elif what.blocked and what.token == token:
                    what.blocked = what.woken = False
                    runnable.append(what)
            if not runnable:
                if not timers or timers[0][0] > until:
                    self.now = max(self.now, until)
                    return
                self.now = max(self.now, timers[0][0])
                continue
            if self.now > until:
                return
            index = int(draw() * len(runnable))
            task = runnable[index]
            runnable[index] = runnable[-1]
            runnable.pop()
            machine = task.machine
            if not machine.alive:
                continue
            if machine.paused:
                machine.parked.append(task)
                continue
            self.switches += 1
            self.now += SWITCH_TIME
            self._trace = hash((self._trace, task.number, self.now))
            self.current = task
            if task.loop is not None:  # asyncio knows one loop for each real thread
                _set_running_loop(task.loop)
            task.greenlet.switch()
            if task.loop is not None:
                _set_running_loop(None)
            self.current = None

    def kill(self, machine: Machine) -> None:
        """kill -9."""
        machine.alive = False

    def pause(self, machine: Machine) -> None:
        """SIGSTOP."""
        machine.paused = True

    def resume(self, machine: Machine) -> None:
        """SIGCONT."""
        machine.paused = False
        self._runnable.extend(machine.parked)
        machine.parked.clear()

    def close(self) -> None:
        """Ends all threads, also those of killed machines."""
        self.closing = True
        for machine in self._machines:
            for task in sorted(machine.tasks, key=lambda task: task.name):
                for _ in range(20):
                    if task.over or not task.greenlet:
                        break
                    self.current = task
                    task.greenlet.throw(Killed)
            machine.alive = False
            machine.tasks.clear()
        self.current = None
        self._timers.clear()
        self._runnable.clear()

    def ask_as(self, task: Task, ask: Callable[[], Any], busy: Any = None) -> Any:
        """Asks as a thread would, without letting another one go on.

        :return: ``busy`` if somebody holds a lock that it needs.
        """
        before, self.current = self.current, task
        left, self._left, self._asking = self._left, math.inf, True
        try:
            return ask()
        except Busy:
            return busy
        finally:
            self.current, self._left, self._asking = before, left, False

    @property
    def trace(self) -> str:
        """A digest of every switch so far: of numbers, whose hash is the same in every process."""
        return f"{self._trace & (1 << 64) - 1:016x}"

    # -- for the calling thread ------------------------------------------------------------------------------

    def point(self) -> None:
        """A marked point: perhaps another thread goes on."""
        if self.closing:
            raise Killed
        task = self.current
        if task is None:
            return
        self.points += 1
        self._left -= 1
        if self._left >= 0:
            return
        self._left = self._next_overtaking()
        if self._draw() < REST_CHANCE:
            self.block(self.random.expovariate(1 / REST_MEAN))
        else:
            self._runnable.append(task)
            self._hub.switch()
            if self.closing:
                raise Killed

    def _next_overtaking(self) -> float:
        """At how many marked points nothing happens. Drawn at once, since that is cheaper than at each."""
        return int(math.log(1.0 - self._draw()) / self._log_of_none)

    def block(self, timeout: float | None = None) -> bool:
        """Blocks until ``wake``, or for so many seconds: whether it was woken."""
        if self.closing:
            raise Killed
        task = self.current
        assert task is not None, "the scheduler itself must not block"
        if self._asking:
            raise Busy
        task.token += 1
        task.blocked, task.woken = True, False
        if timeout is not None and timeout < math.inf:
            self._number += 1
            heapq.heappush(self._timers, (self.now + max(timeout, 0.0), self._number, task, task.token))
        self._hub.switch()
        if self.closing:
            raise Killed
        return task.woken

    def wake(self, task: Task) -> None:
        """Ends a ``block``; false alarms are ignored."""
        if task.blocked:
            task.blocked, task.woken = False, True
            self._runnable.append(task)


#: The simulation that runs now, if one does. Read at each marked point.
RUNNING: list[Scheduler | None] = [None]


def current() -> Scheduler:
    """The simulation that runs now."""
    scheduler = RUNNING[0]
    assert scheduler is not None, "no simulation runs"
    return scheduler


def begin(scheduler: Scheduler) -> None:
    """Makes a simulation the one that runs now."""
    RUNNING[0] = scheduler


def running() -> Scheduler | None:
    """The simulation that runs now, if one does."""
    return RUNNING[0]

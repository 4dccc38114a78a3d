"""``ha.loop``: a periodic task that runs on the leader only.

Guarantees
- Never two runs of a task at once over all replicas. A run is due ``seconds`` after the last one began,
  whichever replica ran it; after a longer run the next begins at once, and missed runs are not made up.
- A task's error is logged, and the task goes on.
- A run whose replica lost its session gets ``LockLost`` from its next blocking call.

Threads and locks: ``LeaderLoops`` owns one thread a task, ``discordha-loop-<name>``: started by ``start``,
joined by ``stop`` within its timeout. Tasks share nothing.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from discordha.context import CurrentEvent, handler_scope
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.election.task_runs import TaskRuns
from discordha.dispatch.callables import check_arguments, refuse_coroutine, refuse_result
from discordha.errors import ConfigError, LockLost
from discordha.process.threads import unending
from discordha.stats import Stats

__all__ = ["LeaderLoops", "Task"]

_log = logging.getLogger(__name__)

#: How often a task checks whether it may run, seconds.
LOOP_CHECK = 0.05


class Task:
    """A periodic task as its author declared it.

    :param seconds: from the beginning of one run to that of the next.
    :raises ConfigError: the name or the period is impossible, or the function no plain one without arguments.
    """

    def __init__(self, function: Callable[[], Any], name: str, seconds: float) -> None:
        if not seconds > 0:
            raise ConfigError(f"seconds of the loop {name} must be above 0, not {seconds!r}")
        if not name or "/" in name:
            raise ConfigError(f"a loop's name may not be empty or hold a slash, as {name!r} does")
        refuse_coroutine(function, "Loops")
        check_arguments(function, (), f"be the loop {name}")
        self.function = function
        self.name = name
        self.seconds = seconds


class LeaderLoops:
    """The tasks of one replica.

    :param runs: ``None`` without etcd: this replica leads.
    :param leadership: gives the present term of leading shard 0.
    """

    def __init__(
        self,
        tasks: list[Task],
        runs: TaskRuns | None,
        leadership: Callable[[], LeaderTerm | None],
        stats: Stats,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks = tasks
        self._runs = runs
        self._leadership = leadership
        self._stats = stats
        self._clock = clock
        self._stop = threading.Event()
        self._numbers = itertools.count(1)
        # Without etcd each process counts its runs anew, and Discord remembers the nonces of the last one.
        self._epoch = secrets.randbits(62) if runs is None else 0
        self._threads = [
            threading.Thread(
                target=unending(self._run, self._stop),
                args=(task,),
                name=f"discordha-loop-{task.name}",
                daemon=True,
            )
            for task in tasks
        ]

    def start(self) -> None:
        """Starts all tasks. Does not block."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> bool:
        """Begins no run any more, and waits for running ones for at most ``timeout`` seconds; true when all
        have ended. Idempotent.
        """
        self._stop.set()
        deadline = self._clock() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(deadline - self._clock(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, task: Task) -> None:
        last: float | None = None
        while not self._stop.is_set():
            if self._runs is not None:
                seen = self._runs.begun_at(task.name)
                last = seen if last is None or (seen is not None and seen > last) else last
                leadership = self._leadership()
                if leadership is None:
                    self._stop.wait(LOOP_CHECK)
                    continue
            else:
                leadership = None
            due = last + task.seconds if last is not None else self._clock()
            wait = due - self._clock()
            if wait > 0:
                self._stop.wait(min(wait, LOOP_CHECK))
                continue
            last = self._once(task, leadership) or last

    def _once(self, task: Task, leadership: LeaderTerm | None) -> float | None:
        """Makes one run, if that is possible; returns when it began."""
        begun = self._clock()
        if self._runs is None or leadership is None:
            self._call(task, next(self._numbers), 0, lambda: False)
            return begun
        run = self._runs.begin(task.name, leadership)
        if run is None:
            self._stop.wait(LOOP_CHECK / 10)
            self._runs.wait_free(task.name, LOOP_CHECK)
            return None
        try:
            self._call(task, run.number, leadership.fencing_token, lambda: run.lost)
        finally:
            self._runs.end(run)
        return begun

    def _call(self, task: Task, number: int, token: int, is_lost: Callable[[], bool]) -> None:
        event = CurrentEvent(task.name, "loop", 1, 0, token, number, is_lost, epoch=self._epoch)
        self._stats.add("loop_runs", task.name)
        scope = handler_scope(event, task.name)
        try:
            with scope:
                refuse_result(task.function(), f"the loop {task.name}")
            if scope.refused:
                raise LockLost("a call was refused, and the loop caught LockLost; let it pass")
        except LockLost as error:
            _log.warning("the loop %s was cut off: %s", task.name, error)
        except Exception:  # noqa: BLE001 - the next run may succeed
            self._stats.add("loop_errors", task.name)
            _log.exception("the loop %s failed; its next run is in %g s", task.name, task.seconds)

"""The loops of one replica: each has a thread that makes the runs which are due.

Guarantees
- Scope ``leader``: never two runs of a loop at once over all replicas, whichever leads. Scope ``every``:
  never two at once on one replica.
- An interval's run is due so many seconds after the last one began, whichever replica ran it; after a longer
  run the next begins at once. A time of day is run for once, by one replica, by the leader's clock.
- A run that is overdue for longer than ``ON_TIME`` was missed: it is made up for once, or skipped. A run for
  a time of day that its replica did not end is made again, ``MAX_ATTEMPTS`` times in all.
- A run's error is logged or goes to the loop's ``error``, and the loop goes on. A run whose replica lost its
  session gets ``LockLost`` from its next blocking call.

Threads and locks: one thread for each loop that was started, ``discordha-loop-<name>``: started by ``start``
and ``launch``, joined by ``stop`` within its timeout. ``_lock`` guards the table of threads. Loops share
nothing else.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable

from discordha.context import CurrentEvent, handler_scope
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.election.task_runs import Point, TaskRun, TaskRuns, TaskState
from discordha.coordination.memory.store import MemoryStore
from discordha.errors import LockLost
from discordha.leader.loop import Loop
from discordha.process.threads import unending
from discordha.stats import Stats

__all__ = ["LeaderLoops"]

_log = logging.getLogger(__name__)

#: How often a loop checks whether it may run, seconds.
LOOP_CHECK = 0.05
#: The pause between two tries to write a run's end, seconds.
SETTLE_PAUSE = 0.5
#: A run that begins so many seconds after it was due is on time.
ON_TIME = 1.0
#: How often a run for a time of day begins before it is given up.
MAX_ATTEMPTS = 3
#: The longest pause before a run is tried again after an error that passes, seconds.
MAX_BACKOFF = 60.0


class _Due:
    """What a run is due for: an interval, or a point of a schedule with times of day."""

    def __init__(self, point: Point | None = None) -> None:
        self.point = point
        self.attempt = point.attempt if point is not None else 1


class _Thread:
    """One loop on this replica. ``LoopThread`` of its loop."""

    def __init__(self, loop: Loop, loops: LeaderLoops) -> None:
        self._loop = loop
        self._loops = loops
        self._runs = loops.runs_of(loop)
        self._prepared = False
        self._thread = threading.Thread(target=self._main, name=f"discordha-loop-{loop.name}", daemon=True)
        loop.attach(self)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    # -- for the loop; any thread ----------------------------------------------------------------------------

    @property
    def alone(self) -> bool:
        return self._loop.scope == "every" or not self._loops.has_peers

    def state(self) -> TaskState:
        return self._runs.state(self._loop.name)

    def control(self, change: Callable[[TaskState], TaskState]) -> None:
        self._runs.control(self._loop.name, change)

    def next_due(self) -> float | None:
        now = self._loops.wall()
        schedule = self._loop.schedule
        if schedule.seconds is None:
            return schedule.next_after(now)
        begun = self._runs.begun_at(self._loop.name)
        if begun is None:
            return now
        return now + max(begun + schedule.seconds - self._loops.clock(), 0.0)

    # -- the thread ------------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            unending(self._run, self._loops.ending)()
        finally:
            self._loop.attach(None)

    def _run(self) -> None:
        loop, loops = self._loop, self._loops
        while not loops.pausing:
            if not self._runs.settle(loop.name):
                loops.wait(SETTLE_PAUSE)
                continue
            if not loop.is_running():
                if not self._runs.is_running(loop.name):
                    self._finish()
                loops.wait(LOOP_CHECK)
                continue
            may, term = loops.permission(loop)
            if not may:
                loops.wait(LOOP_CHECK)
                continue
            due = self._due(term)
            if isinstance(due, float):
                loops.wait(min(due, LOOP_CHECK))
            elif self._prepare():
                self._once(due, term)
        loops.ending.wait()
        if self._prepared:
            loop.note(cancelled=True)
        self._finish()

    def _due(self, term: LeaderTerm | None) -> _Due | float:
        """What a run is due for now, or the seconds until one is."""
        loop, loops, runs = self._loop, self._loops, self._runs
        schedule = loop.schedule
        if schedule.seconds is not None:
            begun = runs.begun_at(loop.name)
            if begun is None:
                return _Due()
            late = loops.clock() - begun - schedule.seconds
            if late > ON_TIME and loop.missed == "skip":
                late = late % schedule.seconds
                late -= schedule.seconds if late > ON_TIME else 0.0
            return -late if late < 0 else _Due()
        now, dump, known = loops.wall(), schedule.dump(), runs.point(loop.name)
        if known is None or known.schedule != dump:
            # Nothing was due yet. Whoever leads from now on knows when that began.
            revision = known.revision if known is not None else 0
            runs.note_point(loop.name, Point(schedule.last_until(now), dump, 0, revision), term)
            return LOOP_CHECK
        if known.attempt and loop.missed == "run":
            return self._again(known, term)
        since = known.due if loop.missed == "run" else max(known.due, now - ON_TIME)
        upcoming = schedule.next_after(since)
        if upcoming > now:
            return upcoming - now
        return _Due(Point(schedule.last_until(now), dump, 1, known.revision))

    def _again(self, known: Point, term: LeaderTerm | None) -> _Due | float:
        """The run for a point whose replica has gone before it ended."""
        if self._runs.is_running(self._loop.name):
            return LOOP_CHECK
        if known.attempt < MAX_ATTEMPTS:
            return _Due(known._replace(attempt=known.attempt + 1))
        if self._runs.note_point(self._loop.name, known._replace(attempt=0), term):
            _log.error(
                "the loop %s is given up until it is due again: %d replicas went away during its run",
                self._loop.name,
                known.attempt,
            )
        return LOOP_CHECK

    def _prepare(self) -> bool:
        """Calls ``before_loop`` before this replica's first run; whether the run may follow."""
        if not self._prepared:
            self._prepared = True
            self._call_hook("before_loop")
            return False  # it took its time: see anew what is due
        return True

    def _finish(self) -> None:
        if self._prepared:
            self._prepared = False
            self._call_hook("after_loop")

    def _once(self, due: _Due, term: LeaderTerm | None) -> None:
        """Makes one run, if that is possible."""
        name = self._loop.name
        run = self._runs.begin(name, term, due.point)
        if run is None:
            self._loops.wait(LOOP_CHECK / 10)
            self._runs.wait_free(name, LOOP_CHECK)
            return
        ended = False
        try:
            ended = self._attempts(due, run, term)
        finally:
            self._runs.end(run, due.point if ended else None)

    def _attempts(self, due: _Due, run: TaskRun, term: LeaderTerm | None) -> bool:
        """Calls the function until it ends otherwise than with an error that passes; false: cut off."""
        pause = 1.0
        while True:
            try:
                self._call(due, run, term)
            except LockLost as error:
                _log.warning("the loop %s was cut off: %s", self._loop.name, error)
                return False
            except Exception as error:  # noqa: BLE001 - the next run may succeed
                self._loop.note(failed=True)
                self._loops.stats.add("loop_errors", self._loop.name)
                if not isinstance(error, self._loop.retried):
                    self._report(error)
                    return True
                _log.warning(
                    "the loop %s failed; it is tried again in %g s", self._loop.name, pause, exc_info=error
                )
                if self._loops.wait(pause) or run.lost or not self._loops.permission(self._loop)[0]:
                    return False
                if not self._loop.is_running():
                    return True
                pause = min(2 * pause, MAX_BACKOFF)
            else:
                self._loop.note(failed=False)
                return True

    def _call(self, due: _Due, run: TaskRun, term: LeaderTerm | None) -> None:
        # A run that is made again is known by what it is due for: its messages are those of the first one.
        occurrence = int(due.point.due) if due.point is not None else run.number
        event = self._event(due.attempt, occurrence, term, lambda: run.lost)
        self._loops.stats.add("loop_runs", self._loop.name)
        scope = handler_scope(event, self._loop.name)
        try:
            with scope:
                self._loop.run_once()
        except Exception as error:
            if scope.refused and not isinstance(error, LockLost):
                raise LockLost(f"a call was refused; then the loop raised {error!r}") from error
            raise
        if scope.refused:
            raise LockLost("a call was refused, and the loop caught LockLost; let it pass")

    def _event(
        self, attempt: int, occurrence: int, term: LeaderTerm | None, is_lost: Callable[[], bool]
    ) -> CurrentEvent:
        token = term.fencing_token if term is not None else 0
        for_itself = self._loop.scope == "every"
        return CurrentEvent(
            self._loop.name,
            "loop",
            attempt,
            0,
            token,
            occurrence,
            is_lost,
            for_itself=for_itself,
            epoch=self._loops.epoch,
        )

    def _report(self, error: Exception) -> None:
        hook = self._loop.hook("error")
        if hook is None:
            _log.error("the loop %s failed; it goes on", self._loop.name, exc_info=error)
            return
        self._call_hook("error", error)

    def _call_hook(self, kind: str, *args: object) -> None:
        hook = self._loop.hook(kind)
        if hook is None:
            return
        event = CurrentEvent(self._loop.name, "loop", 1, 0, 0, 0, lambda: False, for_itself=True)
        try:
            with handler_scope(event, f"{self._loop.name}.{kind}"):
                hook(*args)
        except Exception:  # noqa: BLE001 - the loop goes on
            _log.exception("%s of the loop %s failed", kind, self._loop.name)


class LeaderLoops:
    """The loops of one replica.

    :param loops: those that are declared; ``launch`` adds more.
    :param runs: the runs of all replicas.
    :param leadership: gives the present term of leading shard 0.
    :param has_peers: without peers, this replica makes all runs.
    :param clock: monotonic seconds; ``wall``: seconds since 1970.
    """

    def __init__(
        self,
        loops: Iterable[Loop],
        runs: TaskRuns,
        leadership: Callable[[], LeaderTerm | None],
        stats: Stats,
        *,
        has_peers: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._declared = list(loops)
        self._fleet_runs = runs
        self._own_runs = TaskRuns(MemoryStore(), "/", "", clock=clock, wall=wall)
        self._leadership = leadership
        self.has_peers = has_peers
        self.stats = stats
        self.clock = clock
        self.wall = wall
        # Without etcd each process counts its runs anew, and Discord remembers the nonces of the last one.
        self.epoch = 0 if has_peers else secrets.randbits(62)
        self._pause = threading.Event()
        self.ending = threading.Event()
        self._lock = threading.Lock()
        self._threads: dict[str, _Thread] = {}

    def start(self) -> None:
        """Starts the loops that are declared or were started before. Does not block."""
        for loop in self._declared:
            self.launch(loop)

    def launch(self, loop: Loop) -> None:
        """Gives a loop its thread, if it has none. Does not block; any thread."""
        with self._lock:
            if loop.name in self._threads or self.pausing:
                return
            thread = self._threads[loop.name] = _Thread(loop, self)
        thread.start()

    def pause(self) -> None:
        """Begins no run any more. Does not block. Idempotent."""
        self._pause.set()

    def stop(self, timeout: float) -> bool:
        """Waits for running runs, then for ``after_loop``, for at most ``timeout`` seconds; true when all
        have ended. Idempotent.
        """
        self._pause.set()
        self.ending.set()
        deadline = time.monotonic() + timeout
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))
        return not any(thread.alive for thread in threads)

    # -- for the threads -------------------------------------------------------------------------------------

    @property
    def pausing(self) -> bool:
        """Whether no run begins any more."""
        return self._pause.is_set()

    def wait(self, timeout: float) -> bool:
        """Blocks for so many seconds; true if no run may begin any more."""
        return self._pause.wait(timeout)

    def runs_of(self, loop: Loop) -> TaskRuns:
        """The table of the loop's runs."""
        return self._own_runs if loop.scope == "every" else self._fleet_runs

    def permission(self, loop: Loop) -> tuple[bool, LeaderTerm | None]:
        """Whether this replica makes the loop's runs just now, and by which term."""
        if loop.scope == "every" or not self.has_peers:
            return True, None
        term = self._leadership()
        return term is not None, term

"""Judges timers and loops by docs/on-time.md and docs/guarantees.md."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Callable, Sequence

from simulation.etcd import LATEST
from simulation.on_time import CLOCKS, EVERY, Cancelling, Timer, due_of
from simulation.primitives import EPOCH
from simulation.record import Record, Run

__all__ = ["judge_on_time"]

#: What a fault does lasts for so long after its end, seconds: a session, and its next grant.
SETTLES = 8.0
#: While nothing is wrong, a timer or a loop is so late at the most, seconds.
LATE = 5.0
#: Replicas find a timer of which they were not told within so many seconds.
FOUND_WITHIN = 32.0
#: A run may begin so many seconds after a cancellation that it did not see.
ASKED_BEFORE = 1.0
MAX_ATTEMPTS = 3

Violations = list[tuple[float, str, str]]
JudgeRuns = Callable[[Record, str, Sequence[Run], Violations, collections.Counter[str]], None]


def judge_on_time(
    record: Record,
    made: dict[str, list[float]],
    violations: Violations,
    excused: collections.Counter[str],
    judge_runs: JudgeRuns,
) -> None:
    """Adds what is wrong with timers and loops.

    :param made: the moments of messages, by content.
    :param judge_runs: judges the runs of one event by P2 and P3.
    """
    known = record.on_time
    for timer in known.timers.values():
        _judge_timer(record, timer, made.get(timer.name, []), violations, excused)
        judge_runs(record, timer.name, timer.runs, violations, excused)
    _judge_ticks(record, violations)
    for at in known.times:
        _judge_time(record, at, made.get(f"daily/{int(at)}", []), violations, excused)


def _judge_timer(
    record: Record,
    timer: Timer,
    made: list[float],
    violations: Violations,
    excused: collections.Counter[str],
) -> None:
    name, runs = timer.name, timer.runs
    if len(timer.ids) > 1:
        violations.append((timer.asked, "scheduled twice", f"{name}: {sorted(timer.ids)}"))
    for run in runs:
        if run.wall < due_of(run.id) - 0.001:
            text = f"{name} by {run.machine}, {due_of(run.id) - run.wall:.3f} s"
            violations.append((run.begun, "early", text))
        if run.begun > timer.cancelled + ASKED_BEFORE and not record.troubled(
            timer.cancelled - SETTLES, run.begun, run.machine
        ):
            violations.append((run.begun, "ran though cancelled", f"{name} by {run.machine}"))
    if len(made) > 1:
        violations.append((made[-1], "repeated", f"{name}: {len(made)} messages"))
    gone, deaths = record.on_time.gone(timer), _deaths(record, runs)
    cancelled = any(_may_delete(record, each, gone) for each in timer.cancellings)
    ran = any(run.ended is not None and run.ended <= gone and not run.error for run in runs)
    if gone < math.inf and not ran and not cancelled and deaths < MAX_ATTEMPTS:
        violations.append((gone, "lost", f"{name} was deleted, and has not run"))
    if timer.scheduled == math.inf or cancelled:
        return
    due = max((due_of(id) for id in timer.ids), default=0.0) - EPOCH + CLOCKS
    if gone == math.inf and not ran and max(due, timer.scheduled) + FOUND_WITHIN < record.over:
        if deaths >= MAX_ATTEMPTS:
            excused["dead letter (P8)"] += 1
        else:
            violations.append((due, "lost", f"{name}, due at {due - CLOCKS:.3f} by the clocks"))
    ready = max(due, timer.scheduled)
    since = max(timer.scheduled - SETTLES, due - FOUND_WITHIN - SETTLES)
    if runs and runs[0].begun > ready + LATE and not record.troubled(since, runs[0].begun):
        violations.append((runs[0].begun, "late", f"{name}: {runs[0].begun - ready:.3f} s"))


def _deaths(record: Record, runs: Sequence[Run]) -> int:
    return sum(record.ended.get(run.machine, ("",))[0] == "killed" for run in runs)


def _may_delete(record: Record, call: Cancelling, at: float) -> bool:
    """Whether a cancellation may have deleted its timer at a moment. One whose answer was lost, or whose
    process died before it came, may have been taken, and may have been on its way for seconds.
    """
    ended = min(call.ended, record.ended.get(call.machine, ("", math.inf))[1])
    return call.found is not False and call.begun <= at <= ended + (0.0 if call.found else LATEST)


def _judge_ticks(record: Record, violations: Violations) -> None:
    """A loop with an interval goes on."""
    begun = [run.begun for run in record.on_time.ticks if run.begun >= record.began]
    for before, after in itertools.pairwise([*begun, record.over]):
        if after - before > EVERY + LATE and not record.troubled(before - SETTLES, after):
            violations.append((after, "loop stalled", f"no run for {after - before:.3f} s"))


def _judge_time(
    record: Record, at: float, made: list[float], violations: Violations, excused: collections.Counter[str]
) -> None:
    """A time of day is run for once."""
    name = f"daily/{int(at)}"
    runs = record.on_time.dailies.get(name, [])
    if len(made) > 1:
        violations.append((made[-1], "repeated", f"{name}: {len(made)} messages"))
    for run in runs:  # a later attempt follows the first, by whichever clock that one began
        if run.attempt == 1 and run.wall < EPOCH + int(at):
            violations.append((run.begun, "early", f"{name} by {run.machine}"))
    ended = [run for run in runs if run.ended is not None and not run.error]
    for before, after in itertools.pairwise(ended):
        assert before.ended is not None
        died = record.ended.get(before.machine, ("", math.inf))
        if died[0] == "killed" and died[1] < before.ended + 1.0:
            excused["a loop's run that ended as its replica died"] += 1
        elif record.troubled(before.begun - SETTLES, before.ended + 1.0, before.machine):
            excused["a loop's run whose end was not written"] += 1
        else:
            violations.append((after.begun, "started again", f"{name} by {after.machine}"))
    inside = record.began + SETTLES < at < record.over - LATE - CLOCKS
    if inside and not runs and not record.troubled(at - SETTLES - record.ttl, at + CLOCKS + LATE):
        violations.append((at, "loop missed", name))

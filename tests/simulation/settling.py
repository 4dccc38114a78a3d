"""Whether a simulated cluster has something left to do. A short run ends once it has not.

Nothing is judged here: if something is missing for good, the run goes on for its whole calm, and the verdict
says so.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence
from typing import Any

from simulation.on_time import CLOCKS, due_of
from simulation.primitives import EPOCH
from simulation.record import Record
from simulation.verdict import survives

__all__ = ["LINGERS", "LOOKS_EVERY", "unsettled"]

#: How often a run looks whether it is over, seconds.
LOOKS_EVERY = 0.5
#: For how much longer than the session's TTL it goes on then, seconds.
LINGERS = 1.0


def unsettled(
    record: Record,
    messages: Sequence[tuple[float, int, str, str]],
    open_runs: Mapping[str, Sequence[tuple[Any, Any, Any]]],
    now: float,
) -> str:
    """The first thing that the cluster has left to do; empty: there is none.

    :param messages: what Discord created.
    :param open_runs: the runs that have not ended, with their contexts and threads, by event.
    """
    for name, runs in open_runs.items():
        if name != "tick" and any(task.machine.alive for _, _, task in runs):
            return f"{name} runs"
    made = collections.Counter(content for _, _, content, _ in messages)
    for name, happenings in record.by_name.items():
        kind = happenings[0].kind
        caught_up = record.catches_up and kind == "message" and happenings[0].at >= record.began
        due = [
            each
            for each in happenings
            if caught_up or any(survives(record, who, kind) for who in each.received)
        ]
        if made[name] < len(due):
            return f"{kind} {name} has {made[name]} of {len(due)} messages"
    for timer in record.on_time.timers.values():
        if timer.scheduled == math.inf or record.on_time.gone(timer) < math.inf:
            continue
        due_at = max((due_of(id) for id in timer.ids), default=0.0) - EPOCH + CLOCKS
        done = any(run.ended is not None and not run.error for run in timer.runs)
        if not done and due_at < now:
            return f"{timer.name} has not run"
    for command in record.voice.commands.values():
        if command.sent < math.inf and command.asked_done == math.inf:
            return f"{command.name} has not been played"
    return ""

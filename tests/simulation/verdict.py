"""Judges a record by docs/guarantees.md. What a promise excepts is counted as excused, with its reason."""

from __future__ import annotations

import bisect
import collections
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from linearizability import MODELS, Call, Model, TooManyStates, check

from discordha.coordination.quotas.identify_budget import PROVEN, delay
from discordha.limits.session_limits import SessionLimits
from simulation.discord_side import Begun
from simulation.record import Happening, Record, Run
from simulation.verdict_on_time import judge_on_time
from simulation.verdict_voice import judge_voice

__all__ = ["Verdict", "judge", "survives", "waits_after_crashes"]

#: A mark is written this long after its run's end, while nothing is wrong, seconds.
MARKED_WITHIN = 1.0
#: What a fault does to claims may last for so long after its end, seconds: a session, and its next grant.
SETTLES = 8.0
#: A reaction that came so shortly before or after the beginning of a gateway session may be run again.
SESSION_BEFORE, SESSION_AFTER = 4.0, 5.0
MAX_ATTEMPTS = 3
#: How much more than its TTL a takeover may take, seconds.
TAKEN_WITHIN = 1.5
#: What nobody received is caught up within so many seconds of its moment.
CAUGHT_UP_WITHIN = 40.0
#: Discord delivers an event within so many seconds, or it may be lost in an outage.
DELIVERED_WITHIN = 3.0
#: A dead host of a shard is replaced within so many seconds.
REPLACED_WITHIN = 30.0
#: A replica is connected so many seconds after its start.
CONNECTED_WITHIN = 10.0
#: While nothing is wrong, also during drains, an event is answered within so many seconds.
LATE = 5.0


class Verdict(NamedTuple):
    """What is wrong with a run: (when, kind, text); what is excused, by reason; what was counted."""

    violations: list[tuple[float, str, str]]
    excused: dict[str, int]
    counted: dict[str, int]


def judge(
    record: Record,
    messages: list[tuple[float, int, str, str]],
    identified: list[Begun],
    limits: SessionLimits,
) -> Verdict:
    """The verdict on a run.

    :param messages: what Discord created: (when, channel, content, nonce).
    :param identified: the gateway sessions.
    :param limits: what Discord wants of them.
    """
    violations = list(record.violations)
    excused = collections.Counter(record.excused)
    made: dict[str, list[float]] = {}
    for at, _, content, _ in messages:
        made.setdefault(content, []).append(at)
    for name, happenings in record.by_name.items():
        begun = _begun_for(identified, happenings[0].guild)
        _judge_event(record, name, happenings, made.get(name, []), begun, violations, excused)
        if happenings[0].kind == "message":
            _judge_runs(record, name, record.runs.get(name, []), violations, excused)
    if record.catches_up:
        _judge_catch_up(record, made, violations, excused)
    judge_on_time(record, made, violations, excused, _judge_runs)
    judge_voice(record, violations, excused)
    _judge_identifies(record, identified, limits, violations)
    checked = _judge_histories(record, violations)
    counted = {
        "events": len(record.happenings),
        "messages": len(messages),
        "operations": checked,
        "runs": sum(map(len, record.runs.values())),
        "timers": len(record.on_time.timers),
        "runs of timers": sum(len(timer.runs) for timer in record.on_time.timers.values()),
        "runs of loops": len(record.on_time.ticks) + sum(map(len, record.on_time.dailies.values())),
        "voice commands": len(record.voice.commands),
        "deliveries of voice commands": sum(len(each.playings) for each in record.voice.commands.values()),
        "faults": record.faults,
    }
    return Verdict(sorted(violations), dict(excused), counted)


def survives(record: Record, process: str, kind: str) -> bool:
    """Whether an event that a process received must be handled. One that drains hands its events to the
    others: while these die or are cut off, there may be nobody to take them.
    """
    how, at = record.ended.get(process, ("", 0.0))
    if how == "drained" and kind == "message":
        return not record.troubled(record.draining[process] - SETTLES, at + 1.0)
    return not how


def waits_after_crashes(record: Record, total: int) -> float:
    """How long a start waits at most before its first IDENTIFY, seconds: docs/sharding.md.

    :param total: IDENTIFYs a day.
    """
    crashes = sum(
        how == "killed" and at - record.started[who] < PROVEN for who, (how, at) in record.ended.items()
    )
    return delay(crashes, total)


def _judge_event(  # noqa: PLR0917
    record: Record,
    name: str,
    happenings: list[Happening],
    made: list[float],
    identified: list[float],
    violations: list[tuple[float, str, str]],
    excused: collections.Counter[str],
) -> None:
    """P2 and P5. Equal reactions are counted: nobody can tell them apart."""
    kind, first = happenings[0].kind, happenings[0].at
    for each in happenings:
        alone = not each.sessions and each.at >= record.began
        lived = record.somebody_lived(each.at - CONNECTED_WITHIN, each.at)
        if alone and lived and not record.troubled(each.at - REPLACED_WITHIN, each.at):
            violations.append((each.at, "nobody connected", f"{kind} {name}"))
    covered = [each for each in happenings if any(survives(record, who, kind) for who in each.received)]
    if len(made) < len(covered):
        runs = record.runs.get(name, [])
        if _broken_off(record, runs) >= MAX_ATTEMPTS:
            excused["dead letter (P8)"] += 1
        elif any(name in record.kept.get(who, ()) for each in happenings for who in each.received):
            excused["kept until its replica leads (P4)"] += 1
        else:
            text = f"{kind} {name}: {len(made)} of {len(covered)} that a survivor received"
            violations.append((first, "lost", text))
    elif len(made) < len(happenings):
        excused["no survivor received it (P2)"] += len(happenings) - len(made)
    elif len(happenings) == 1 and made[0] - first > LATE and not record.troubled(first - SETTLES, made[0]):
        violations.append((made[0], "late", f"{kind} {name}: {made[0] - first:.3f} s after it happened"))
    if len(made) > len(happenings):
        begins = bisect.bisect_left(identified, first - SESSION_AFTER)
        young = begins < len(identified) and identified[begins] <= happenings[-1].at + SESSION_BEFORE
        if kind == "reaction" and young:
            excused["as a gateway session began (P4)"] += len(made) - len(happenings)
        else:
            violations.append((made[-1], "repeated", f"{kind} {name}: {len(made)} messages"))


def _broken_off(record: Record, runs: Iterable[Run]) -> int:
    """How many runs ended with their replica, or with its session."""
    return sum(
        run.error == "LockLost" or (run.ended is None and record.ended.get(run.machine, ("",))[0] == "killed")
        for run in runs
    )


def _judge_catch_up(
    record: Record,
    made: dict[str, list[float]],
    violations: list[tuple[float, str, str]],
    excused: collections.Counter[str],
) -> None:
    """P11: messages that no survivor received are caught up."""
    for name, happenings in record.by_name.items():
        first = happenings[0]
        early = first.at < record.began or record.over - first.at < CAUGHT_UP_WITHIN
        if first.kind != "message" or made.get(name) or early:
            continue
        if any(survives(record, who, first.kind) for who in first.received):
            continue  # judged by P2
        arrived = min(first.received.values(), default=math.inf)
        runs = record.runs.get(name, [])
        if _broken_off(record, runs) >= MAX_ATTEMPTS:
            excused["dead letter (P8)"] += 1
        elif math.inf > arrived > first.at + DELIVERED_WITHIN:
            excused["delivered after more than 3 s (P11)"] += 1
        else:
            violations.append((first.at, "not caught up", f"message {name} in {first.channel}"))


def _judge_runs(
    record: Record,
    name: str,
    runs: Sequence[Run],
    violations: list[tuple[float, str, str]],
    excused: collections.Counter[str],
) -> None:
    """P3: what was finished, and must have been marked, begins once. P2: what a dead replica ran is run again
    within its TTL and a second, and etcd's own half a second.
    """
    for number, run in enumerate(runs):
        how, when = record.ended.get(run.machine, ("", math.inf))
        if run.ended is None and how == "killed" and len(runs) > number + 1:
            begun = runs[number + 1].begun
            others = any(
                trouble.begun <= begun and trouble.ended >= when - SETTLES and trouble.who != run.machine
                for trouble in record.troubles
            )
            if begun > when + record.ttl + TAKEN_WITHIN and not others:
                text = f"{name}, which {run.machine} ran as it died, after {begun - when:.3f} s"
                violations.append((begun, "taken over late", text))
        if run.ended is None or run.error is not None:
            continue
        later = [each for each in runs[number + 1 :] if each.begun > run.ended]
        if not later:
            continue
        died = how == "killed" and when < run.ended + MARKED_WITHIN
        if died or record.troubled(run.begun - SETTLES, run.ended + MARKED_WITHIN, run.machine):
            excused["finished, but its mark was not written (P3)"] += 1
        else:
            text = f"{name} by {run.machine} until {run.ended:.3f}, and again by {later[0].machine}"
            violations.append((later[0].begun, "started again", text))


def _begun_for(identified: list[Begun], guild: int) -> list[float]:
    """When the sessions began that receive a guild's events."""
    number = guild >> 22
    return [each.at for each in identified if each.count is None or number % each.count == each.shard]


def _judge_identifies(
    record: Record,
    identified: list[Begun],
    limits: SessionLimits,
    violations: list[tuple[float, str, str]],
) -> None:
    """One IDENTIFY of each bucket in each interval; without etcd each replica spaces its own only."""
    buckets: dict[int, list[float]] = {}
    for each in identified:
        buckets.setdefault(each.shard % limits.max_concurrency, []).append(each.at)
    for begun in buckets.values():
        for before, after in itertools.pairwise(begun):
            close = after - before < limits.interval - 0.01
            if close and not record.troubled(before - 2 * SETTLES, after):
                violations.append((after, "identified too soon", f"{after - before:.3f} s after the last"))


def model_of(key: str) -> Model:
    """The object behind a key of the workload's."""
    return MODELS[key.partition("/")[0]]


def _judge_histories(record: Record, violations: list[tuple[float, str, str]]) -> int:
    """Counters, registers and values computed once are linearizable."""
    by_key: dict[str, list[Call]] = {}
    for each in record.operations:
        call = Call(each.what, each.argument, each.invoked, each.returned, each.result, each.client)
        by_key.setdefault(each.key, []).append(call)
    for key, calls in by_key.items():
        try:
            bad = check(calls, model_of(key))
        except TooManyStates:
            continue
        if bad is not None:
            shown = "; ".join(
                f"{call.who} {call.what}({call.argument}) = {call.result} "
                f"from {call.invoked:.3f} to {call.returned:.3f}"
                for call in bad[-8:]
            )
            violations.append((bad[-1].invoked, "not linearizable", f"{key}: {shown}"))
    return len(record.operations)

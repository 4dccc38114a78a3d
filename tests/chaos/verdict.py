"""The verdict on a chaos run, from outside: what users did, against what reached Discord.

What is judged
- *lost*: an event with no message (interactions: only when nothing was broken while they could be answered;
  deletions, reactions and typing: only when some replica was connected). Messages, edits and joins of a time
  in which no replica was connected must have been caught up, once.
- *repeated*: more messages than events.
- *started again*: more runs of the handlers than events, where a run is known by what its request says, also
  when Discord recognised the nonce and made no message. A run may be run again when its replica died or lost
  its session soon after it: those are *retried*. Everything else is a violation of P1 or P3.
- *acted after its loss*: runs that were under way when their replica was paused for longer than its TTL, and
  whose first request came after it woke up. One for each pause is let through: a request may be leaving
  when the pause begins.
- *out of order*: for the events that leaders handle, in each channel, but for those that may be lost: who
  received one handles it when it leads. For the others it is counted only: a takeover may change their order.
- *late*: an event from around a fault was answered later than the fault's promise and the machine's noise
  allow. Where faults overlap there is no such bound: only an event that nobody answers counts, as lost.

Whether a session was lost is taken from the logs, and counts as an excuse only; whether a replica was killed
or paused, the harness knows.

Pure: no I/O, no clock. All times are those of the machine's monotonic clock.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from evidence import Evidence, Run, describe, history_of, runs_of, split
from faults import FAULTS
from observer import BEST_EFFORT, worst
from order import Asked, disorder
from pairing import late_answers, unanswered_of, without
from world import TTL, Hit

__all__ = ["Answer", "Judgement", "Tally", "Violation", "judge", "quantile"]

#: A mark is in etcd so many seconds after the answer, when etcd can be reached.
SETTLE = TTL + 1.0
#: What Discord does not keep: lost in a gap (P11). Interactions are beside these, see ``BEST_EFFORT``.
NOT_KEPT = frozenset({"delete", "reaction", "typing"})
#: A gap begins so much earlier for what dead replicas had received and not finished, and for what was on its
#: way as sessions ended, seconds; it ends so much later than the first new session identifies.
UNFINISHED = 1.0
ON_ITS_WAY = 0.1
YOUNG = 0.5
#: What comes so long after a new session began may have been received, or caught up, seconds.
OVERLAP = 2.0
_COSTLY = frozenset(fault.name for fault in FAULTS if fault.costs_sessions)
#: Handled by the leader, in order.
ORDERED = frozenset({"edit", "reaction"})
#: Answered in the channel in which they happened.
IN_CHANNEL = frozenset({"message", "edit", "delete", "reaction"})
#: A voice command waits for the handler that sends it, then for its worker: seconds beyond a fault's bound.
VOICE = 2.0
#: An interaction has to be answered in this time, seconds.
INTERACTION = 3.0


class Answer(NamedTuple):
    """One event and its message. ``None``: there is none."""

    kind: str
    key: str
    sent: float
    answered: float | None
    process: str


@dataclass
class Tally:
    """One kind of event."""

    sent: int = 0
    handled: int = 0
    lost: int = 0
    excused: int = 0
    repeated: int = 0
    again: int = 0
    retried: int = 0
    out_of_order: int = 0
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


@dataclass
class Violation:
    """Something that was promised not to happen, and the shortest history around it."""

    what: str
    at: float
    history: list[tuple[float, str]] = field(default_factory=list)


@dataclass
class Judgement:
    """See the module."""

    events: dict[str, Tally] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    quiet: float = 0.0
    acted: int = 0


def quantile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank; 0.0 of nothing."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def judge(evidence: Evidence) -> Judgement:
    """Everything; see the module. Fills in ``recovery`` and ``noise`` of the hits."""
    result = Judgement()
    runs = runs_of(evidence.requests)
    by_key: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for message in evidence.messages:
        kind, key, _ = split(message.content)
        by_key[kind, key].append(message)
    for kind, actions in evidence.sent.items():
        _judge_kind(kind, actions, by_key, runs, evidence, result)
    unknown = [name for name in by_key if name[0] not in evidence.sent]
    for kind, key in unknown:
        result.violations.append(Violation(f"answered, and never asked: {kind} {key}", 0.0))
    _judge_fence(runs, by_key, evidence, result)
    _judge_recovery(evidence, result)
    result.violations.sort(key=lambda violation: violation.at)
    return result


def _judge_kind(  # noqa: PLR0917
    kind: str,
    actions: Sequence[Any],
    by_key: Mapping[tuple[str, str], Sequence[Any]],
    runs: Mapping[tuple[str, str], Sequence[Run]],
    evidence: Evidence,
    result: Judgement,
) -> None:
    tally = result.events[kind] = Tally(sent=len(actions))
    when: dict[str, list[float]] = defaultdict(list)
    for action in actions:
        when[action.key].append(action.at)

    def violation(what: str, key: str, at: float, count: int = 1) -> None:
        text = f"{what}: {kind} {key}" + (f" x{count}" if count > 1 else "")
        known = runs.get((kind, key), ())
        history = history_of(when[key], by_key.get((kind, key), ()), known, evidence, at)
        result.violations.append(Violation(text, at, history))

    latencies = []
    for key, sent in when.items():
        messages, known = by_key.get((kind, key), ()), runs.get((kind, key), ())
        unanswered, extra = unanswered_of(sent, [message.at for message in messages], evidence.hits)
        # Only a follower had received some events of a gap: it runs them once it leads, however late (P11),
        # as events that an earlier leader may have begun, and newer equal ones behind them.
        again = [message.at for message in messages if int(split(message.content)[2][3]) > 1]
        gone = [at for at in unanswered if _is_excused(kind, at, evidence)]
        late = late_answers(gone, again, extra)
        tally.handled += len(sent) - len(unanswered)
        once = without([message.at for message in messages], [*extra, *late])
        by_time = {message.at: message for message in messages}
        for at, message in zip(without(sent, unanswered), map(by_time.__getitem__, once), strict=False):
            latencies.append(message.at - at)
            process = split(message.content)[2][0]
            result.answers.append(Answer(kind, key, at, message.at, process))
        for at in unanswered:
            result.answers.append(Answer(kind, key, at, None, ""))
            if _is_excused(kind, at, evidence):
                tally.excused += 1
                continue
            tally.lost += 1
            violation("lost", key, at)
        if extra:
            tally.repeated += len(extra)
            violation("repeated", key, extra[0], len(extra))
        more = len(known) - len(sent)
        if more > 0:
            allowed = min(more, sum(_may_run_again(run, evidence) for run in known))
            tally.retried += allowed
            if more > allowed:
                tally.again += more - allowed
                violation("started again", key, known[-1].first, more - allowed)
    latencies.sort()
    tally.p50, tally.p99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
    tally.max = latencies[-1] if latencies else 0.0
    if kind in IN_CHANNEL and not tally.lost and not tally.repeated:
        disorders = [
            each
            for group in _in_one_order(kind, actions, evidence)
            for each in _disorder(kind, group, evidence.messages, evidence)
        ]
        for channel, at, text in disorders:
            tally.out_of_order += 1
            if kind in ORDERED:
                known = runs.get((kind, text), ())
                history = history_of(when[text], by_key.get((kind, text), ()), known, evidence, at)
                result.violations.append(Violation(f"out of order in {channel}: {kind} {text}", at, history))


def _is_excused(kind: str, at: float, evidence: Evidence) -> bool:
    """Whether an event without an answer is one that nobody promised to handle."""
    if kind in BEST_EFFORT:
        return _broken(evidence, at - SETTLE, at + INTERACTION)
    return kind in NOT_KEPT and any(
        hit.gap[0] - (UNFINISHED if hit.name in _COSTLY else ON_ITS_WAY) <= at <= hit.gap[1] + YOUNG
        for hit in evidence.hits
        if hit.gap is not None
    )


def _judge_fence(
    runs: Mapping[tuple[str, str], Sequence[Run]],
    by_key: Mapping[tuple[str, str], Sequence[Any]],
    evidence: Evidence,
    result: Judgement,
) -> None:
    """A replica that lost its session can't act any more (P5)."""
    for hit in evidence.hits:
        if not hit.stops_for_longer_than_ttl:
            continue
        stale = [
            (name, run)
            for name, known in runs.items()
            for run in known
            if run.replica == hit.target and run.started < hit.begun and hit.woken < run.first
        ]
        result.acted += len(stale)
        for (kind, key), run in stale if len(stale) > 1 else ():
            messages, known = by_key.get((kind, key), ()), runs[kind, key]
            history = history_of((), messages, known, evidence, run.first)
            what = f"acted after its loss: {kind} {key} by {run.process}"
            result.violations.append(Violation(what, run.first, history))


def _may_run_again(run: Run, evidence: Evidence) -> bool:
    """Whether the replica of a run died, or lost its session, before its mark could be expected."""
    due = _mark_due(run, evidence)
    died = any(
        hit.name in _COSTLY
        and hit.target in {None, run.replica}
        and run.started <= _died_at(hit) + 0.2
        and _died_at(hit) <= due
        for hit in evidence.hits
    )
    return died or any(
        loss.process == run.process and run.started - 0.5 <= loss.at <= due + TTL for loss in evidence.losses
    )


def _died_at(hit: Hit) -> float:
    return hit.begun if hit.gap is not None else hit.since


def _mark_due(run: Run, evidence: Evidence) -> float:
    """When a run's mark can be expected: later where its replica's way to etcd was broken meanwhile."""
    due = run.first + SETTLE
    for hit in sorted(evidence.hits, key=lambda hit: hit.begun):
        is_in_the_way = hit.name.startswith("etcd") and hit.target in {None, run.replica}
        if is_in_the_way and hit.begun <= due and hit.ended >= run.started:
            due = max(due, hit.ended + SETTLE)
    return due


def _broken(evidence: Evidence, start: float, end: float) -> bool:
    """Whether something was, or a session was lost."""
    return any(hit.begun <= end and hit.overcome >= start for hit in evidence.hits) or any(
        start <= loss.at <= end + SETTLE for loss in evidence.losses
    )


def _in_one_order(kind: str, actions: Sequence[Any], evidence: Evidence) -> list[list[Any]]:
    """Parts of the events that have an order. Edits that were caught up are in order among themselves; those
    that came as they happened do not wait for them (guarantees.md).
    """
    gaps = [hit.gap for hit in evidence.hits if hit.gap is not None]
    if kind != "edit":
        return [list(actions)]
    live = [
        action
        for action in actions
        if not any(begun - UNFINISHED <= action.at <= ended + OVERLAP for begun, ended in gaps)
    ]
    return [
        live,
        *([action for action in actions if begun < action.at < ended] for begun, ended in gaps),
    ]


def _disorder(
    kind: str, actions: Sequence[Any], messages: Sequence[Any], evidence: Evidence
) -> list[tuple[int, float, str]]:
    """Answers to events after which another of their channel was answered first."""
    asked: dict[int, list[Asked]] = defaultdict(list)
    for action in actions:
        excused = _is_excused(kind, action.at, evidence)
        asked[action.channel_id].append(Asked(action.at, action.key, excused))
    answers: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for message in messages:
        this, key, _ = split(message.content)
        if this == kind:
            answers[message.channel_id].append((message.at, key))
    return [
        (channel, at, key)
        for channel, events in asked.items()
        for at, key in disorder(events, answers[channel])
    ]


def _more(answer: Answer) -> float:
    return VOICE if answer.kind == "voice" else 0.0


# -- recovery ------------------------------------------------------------------------------------------------


def _judge_recovery(evidence: Evidence, result: Judgement) -> None:
    """How long an event had to wait at the most because of each fault, counted from the fault or from its
    own time.
    """
    bounds = {fault.name: fault.bound for fault in FAULTS}
    if evidence.overlap > 1:  # no bound is known for several faults at once
        bounds = dict.fromkeys(bounds, math.inf)
    answered = sorted(
        (
            answer
            for answer in result.answers
            if answer.answered is not None and answer.kind not in BEST_EFFORT
        ),
        key=lambda answer: answer.sent,
    )
    moments = [answer.sent for answer in answered]
    quiet = sorted(
        (answer.answered or 0.0) - answer.sent
        for answer in answered
        if not any(hit.begun - 1.0 <= answer.sent <= hit.overcome + 0.5 for hit in evidence.hits)
    )
    result.quiet = quantile(quiet, 0.99)
    for hit in evidence.hits:
        first = bisect.bisect_left(moments, hit.begun - 1.0)
        last = bisect.bisect_right(moments, hit.overcome)
        waits = [
            ((answer.answered or 0.0) - max(answer.sent, hit.since) - _more(answer), answer)
            for answer in answered[first:last]
        ]
        hit.recovery, slowest = max(waits, key=lambda wait: wait[0], default=(0.0, None))
        hit.recovery = max(hit.recovery, 0.0)
        hit.noise = worst(evidence.noise, hit.begun, hit.overcome) + result.quiet
        if slowest is not None and hit.recovery > bounds[hit.name] + hit.noise:
            text = (
                f"late: {slowest.kind} {slowest.key} waited {hit.recovery:.2f} s after {hit.name!r} "
                f"(bound {bounds[hit.name]:.1f} s, noise {hit.noise:.2f} s)"
            )
            history = [
                (hit.begun, f"fault {describe(hit)}"),
                (slowest.sent, "sent"),
                (slowest.answered or 0.0, f"answered by {slowest.process}"),
            ]
            result.violations.append(Violation(text, slowest.sent, sorted(history)))

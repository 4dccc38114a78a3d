"""Records the events sent and the answers seen from outside, and judges them.

Guarantees: no I/O and no clock. The recorder gives the times, all from one monotonic clock, and records an
answer under the key of its event.

Threads and locks: any thread may record. ``_lock`` guards the records; nothing is called under it.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

__all__ = ["EventVerdict", "History", "Verdict"]

_SAMPLE = 20


class _Sent(NamedTuple):
    key: str
    channel: str
    at: float


class _Answer(NamedTuple):
    at: float
    attempt: int
    replica: str


@dataclass(frozen=True)
class EventVerdict:
    """The numbers of one event type, or of all."""

    sent: int
    """Events sent."""
    handled: int
    """Events answered at least once."""
    lost: int
    """Events never answered."""
    repeated: int
    """Answers after the first to their event."""
    unexpected: int
    """Answers to events that were not sent."""
    out_of_order: int
    """Events answered after a later event of their type and channel."""
    retried: int
    """Events answered by a second or later attempt."""
    latency_p50: float
    """Median of the seconds from sending to the first answer; 0.0 without answers, as the next three."""
    latency_p95: float
    """Their 95th percentile."""
    latency_p99: float
    """Their 99th percentile."""
    latency_max: float
    """Their maximum."""
    longest_gap: float
    """The longest time in seconds without an answer while an event waited that was answered later."""
    answered_by: dict[str, int]
    """First answers by replica, where the recorder knows it."""

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, repeated or unexpected."""
        return not (self.lost or self.repeated or self.unexpected)


@dataclass(frozen=True)
class Verdict:
    """The result of a run. Plain data; any thread."""

    total: EventVerdict
    events: dict[str, EventVerdict]
    """By event type."""
    lost: list[str] = field(default_factory=list)
    """The first lost events, as ``event key``."""
    repeated: list[str] = field(default_factory=list)
    """The first repeated events."""

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, repeated or unexpected. ``total.out_of_order`` tells of the order."""
        return self.total.ok

    def to_json(self) -> str:
        """The verdict as one JSON object, with ``ok``."""
        return json.dumps({"ok": self.ok, **asdict(self)})

    def table(self) -> str:
        """The verdict as a text table: a line for each event type, the total, and examples of failures."""
        header = ["event", "sent", "handled", "lost", "repeated", "unexpected", "disorder", "retried"]
        header += ["p50 ms", "p99 ms", "max ms", "gap s"]
        lines = [header, *(_row(name, each) for name, each in sorted(self.events.items()))]
        lines.append(_row("total", self.total))
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
        text = [
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines
        ]
        if self.lost:
            text.append("lost: " + ", ".join(self.lost))
        if self.repeated:
            text.append("repeated: " + ", ".join(self.repeated))
        return "\n".join(text)


class History:
    """Records events and answers. No I/O; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[str, dict[str, _Sent]] = defaultdict(dict)
        self._answers: dict[str, dict[str, list[_Answer]]] = defaultdict(lambda: defaultdict(list))

    def sent(self, event: str, key: str, *, at: float, channel: str = "") -> None:
        """Records an event.

        :param key: unique within the event type.
        :param at: seconds of the run's monotonic clock.
        :param channel: events of one channel are ordered; the empty string is a channel, too.
        :raises ValueError: the key is recorded already.
        """
        with self._lock:
            if key in self._sent[event]:
                raise ValueError(f"{event} {key} was sent before")
            self._sent[event][key] = _Sent(key, channel, at)

    def answered(self, event: str, key: str, *, at: float, attempt: int = 1, replica: str = "") -> None:
        """Records an answer, possibly before its event.

        :param at: seconds of the run's monotonic clock.
        :param attempt: the attempt that gave it.
        :param replica: the replica that gave it, if known.
        """
        with self._lock:
            self._answers[event][key].append(_Answer(at, attempt, replica))

    def unanswered(self) -> int:
        """The number of events without an answer."""
        with self._lock:
            return sum(
                key not in self._answers.get(event, ())
                for event, known in self._sent.items()
                for key in known
            )

    def verdict(self) -> Verdict:
        """The verdict on the records so far."""
        with self._lock:
            names = sorted({*self._sent, *self._answers})
            tallies = {
                name: _Tally(
                    sorted(self._sent.get(name, {}).values(), key=lambda sent: sent.at),
                    {key: sorted(seen) for key, seen in self._answers.get(name, {}).items()},
                )
                for name in names
            }
        return Verdict(
            total=_judge(list(tallies.values())),
            events={name: _judge([tally]) for name, tally in tallies.items()},
            lost=_sample(f"{name} {key}" for name, tally in tallies.items() for key in tally.lost()),
            repeated=_sample(f"{name} {key}" for name, tally in tallies.items() for key in tally.repeated()),
        )


class _Tally(NamedTuple):
    """One event type: its events by time, and the answers to each key by time."""

    sent: list[_Sent]
    answers: dict[str, list[_Answer]]

    def lost(self) -> list[str]:
        return [sent.key for sent in self.sent if sent.key not in self.answers]

    def repeated(self) -> list[str]:
        return [sent.key for sent in self.sent if len(self.answers.get(sent.key, ())) > 1]

    def first_answers(self) -> list[tuple[_Sent, _Answer]]:
        return [(sent, self.answers[sent.key][0]) for sent in self.sent if sent.key in self.answers]

    def unexpected(self) -> int:
        known = {sent.key for sent in self.sent}
        return sum(len(seen) for key, seen in self.answers.items() if key not in known)

    def out_of_order(self) -> int:
        """The number of events answered after a later one of their channel."""
        channels: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for position, (sent, answer) in enumerate(self.first_answers()):
            channels[sent.channel].append((answer.at, position))
        late = 0
        for answered in channels.values():
            latest = -1
            for _, position in sorted(answered):
                late += position < latest
                latest = max(latest, position)
        return late


def _judge(tallies: Sequence[_Tally]) -> EventVerdict:
    firsts = [pair for tally in tallies for pair in tally.first_answers()]
    sent = sum(len(tally.sent) for tally in tallies)
    latencies = sorted(max(0.0, answer.at - event.at) for event, answer in firsts)
    return EventVerdict(
        sent=sent,
        handled=len(firsts),
        lost=sent - len(firsts),
        repeated=sum(
            len(tally.answers[event.key]) - 1 for tally in tallies for event, _ in tally.first_answers()
        ),
        unexpected=sum(tally.unexpected() for tally in tallies),
        out_of_order=sum(tally.out_of_order() for tally in tallies),
        retried=sum(
            any(answer.attempt > 1 for answer in tally.answers[event.key])
            for tally in tallies
            for event, _ in tally.first_answers()
        ),
        latency_p50=_percentile(latencies, 50),
        latency_p95=_percentile(latencies, 95),
        latency_p99=_percentile(latencies, 99),
        latency_max=_percentile(latencies, 100),
        longest_gap=_longest_gap([(event.at, answer.at) for event, answer in firsts]),
        answered_by=dict(sorted(Counter(answer.replica for _, answer in firsts if answer.replica).items())),
    )


def _percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that ``percent`` of all do not exceed."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _longest_gap(spans: Sequence[tuple[float, float]]) -> float:
    """The longest silence while an event waits, of (sent, answered) times."""
    moments = sorted(
        [(start, 0) for start, _ in spans] + [(max(start, end), 1) for start, end in spans],
    )
    waiting, quiet_since, longest = 0, 0.0, 0.0
    for at, is_answer in moments:
        if is_answer:
            longest = max(longest, at - quiet_since)
            waiting -= 1
            quiet_since = at
        else:
            quiet_since = quiet_since if waiting else at
            waiting += 1
    return longest


def _sample(found: Iterable[str]) -> list[str]:
    return [text for text, _ in zip(found, range(_SAMPLE), strict=False)]


def _row(name: str, numbers: EventVerdict) -> list[str]:
    counts = (
        numbers.sent,
        numbers.handled,
        numbers.lost,
        numbers.repeated,
        numbers.unexpected,
        numbers.out_of_order,
        numbers.retried,
    )
    milliseconds = (numbers.latency_p50, numbers.latency_p99, numbers.latency_max)
    return [
        name,
        *(str(count) for count in counts),
        *(f"{value * 1000:.0f}" for value in milliseconds),
        f"{numbers.longest_gap:.2f}",
    ]

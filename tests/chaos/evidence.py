"""What is known of a chaos run: what users did, what reached Discord, what was broken. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from observer import LogLine
from world import Hit

__all__ = ["Evidence", "Run", "describe", "history_of", "near", "runs_of", "split"]

#: Of one key, around a violation.
_LINES = 16


class Run(NamedTuple):
    """One run of a handler, as its requests tell: by which process, from when to when."""

    process: str
    number: str
    started: float
    attempt: int
    first: float
    statuses: tuple[str, ...]

    @property
    def replica(self) -> int:
        """Index."""
        return int(self.process[1:].partition("-")[0])


class Evidence(NamedTuple):
    """All that is known of a run. ``sent``, ``messages`` and ``requests`` are as LocalDiscord has them; up to
    ``overlap`` faults came at once.
    """

    sent: Mapping[str, Sequence[Any]]
    messages: Sequence[Any]
    requests: Sequence[Any]
    hits: Sequence[Hit]
    losses: Sequence[LogLine]
    noise: Sequence[tuple[float, float]]
    overlap: int = 1


def split(content: str) -> tuple[str, str, list[str]]:
    """Kind, key, and the words that tell the run, of what a bot says."""
    head, _, tail = content.partition("\n")
    kind, _, key = head.partition(" ")
    return kind, key, tail.split()


def runs_of(requests: Sequence[Any]) -> dict[tuple[str, str], list[Run]]:
    """The runs of each kind and key, in the order of their first request."""
    found: dict[tuple[str, str], dict[tuple[str, str], Run]] = defaultdict(dict)
    for request in requests:
        if request.method != "POST" or not isinstance(request.body, dict):
            continue
        data = request.body.get("data") if request.path.endswith("/callback") else request.body
        content = data.get("content") if isinstance(data, dict) else None
        if not content or "\n" not in content:
            continue
        kind, key, tag = split(content)
        if len(tag) != 4:
            continue
        process, number, started, attempt = tag
        status = f"{request.status}{' known' if request.duplicate else ''}"
        known = found[kind, key].get((process, number))
        if known is None:
            run = Run(process, number, float(started), int(attempt), request.at, (status,))
        else:
            run = known._replace(statuses=(*known.statuses, status))
        found[kind, key][process, number] = run
    return {name: sorted(runs.values(), key=lambda run: run.first) for name, runs in found.items()}


def near(hits: Sequence[Hit], at: float) -> list[Hit]:
    """The faults around a moment."""
    return [hit for hit in hits if hit.begun - 2.0 <= at <= hit.overcome + 2.0]


def describe(hit: Hit) -> str:
    """One fault in a line."""
    whom = "all" if hit.target is None else f"r{hit.target}"
    ended, overcome = hit.ended - hit.begun, hit.overcome - hit.begun
    return f"{hit.name} of {whom} for {ended:.2f} s, overcome after {overcome:.2f} s"


def history_of(
    sent: Sequence[float], messages: Sequence[Any], runs: Sequence[Run], evidence: Evidence, at: float
) -> list[tuple[float, str]]:
    """Everything about one key, around a moment, by time."""
    lines = [(when, "sent") for when in sent]
    lines += [(message.at, f"message {message.id} by {split(message.content)[2][0]}") for message in messages]
    for run in runs:
        requests = ", ".join(run.statuses)
        lines.append((run.started, f"begun by {run.process} (attempt {run.attempt}, run {run.number})"))
        lines.append((run.first, f"first request of {run.process}, run {run.number}: {requests}"))
    nearest = sorted(lines, key=lambda line: abs(line[0] - at))[:_LINES]
    lines = [*nearest, *((hit.begun, f"fault {describe(hit)}") for hit in near(evidence.hits, at))]
    lines += [
        (loss.at, f"{loss.process}: {loss.text}") for loss in evidence.losses if abs(loss.at - at) < 5.0
    ]
    return sorted(lines)

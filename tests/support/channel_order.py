"""Tells from the trace of the bot ``traced`` whether each channel's events ran in order and one at a time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Run", "disorder", "read_trace"]


@dataclass
class Run:
    """One run of a handler."""

    channel: int
    message: int
    content: str
    replica: str
    began: float
    ended: float | None = None


def read_trace(path: Path) -> list[Run]:
    """The runs so far, in order of their beginning."""
    runs: list[Run] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        what, when, channel, message, replica, content = line.split(" ", 5)
        if what == "begin":
            runs.append(Run(int(channel), int(message), content, replica, float(when)))
            continue
        run = next(
            each for each in reversed(runs) if each.message == int(message) and each.replica == replica
        )
        run.ended = float(when)
    return sorted(runs, key=lambda run: run.began)


def disorder(runs: list[Run]) -> list[str]:
    """Runs that began after a newer event of their channel, or while another of their channel ran."""
    found: list[str] = []
    channels: defaultdict[int, list[Run]] = defaultdict(list)
    for run in runs:
        channels[run.channel].append(run)
    for channel, ordered in channels.items():
        last = ordered[0]
        for run in ordered[1:]:
            if run.message < last.message:
                found.append(
                    f"{channel}: {run.message} ({run.replica}) after {last.message} ({last.replica})"
                )
            if last.ended is None or run.began < last.ended:
                found.append(
                    f"{channel}: {run.message} ({run.replica}) while {last.message} ({last.replica}) ran"
                )
            last = run
    return found

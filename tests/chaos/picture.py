"""The timeline of a chaos run as one picture: load, faults, latency, leader, who handled what.

Four bars above each other over the same time. Pure but for matplotlib, which draws without a display.
"""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import matplotlib

matplotlib.use("Agg")

from faults import FAULTS
from matplotlib import pyplot
from report import Report

__all__ = ["draw"]

REPLICAS = ("#3b6fb6", "#d9822b", "#4a9a5b")
BROKEN, GOOD, BAD = "#b0b0b0", "#555555", "#c0392b"


def draw(report: Report) -> bytes:
    """The picture as PNG."""
    end = report.seconds
    width = min(max(14.0, end / 12), 60.0)
    names = list(report.faults())
    heights = [2.0, max(1.5, 0.22 * len(names)), 3.0, 0.9, 2.0]
    figure, axes = pyplot.subplots(
        5, 1, figsize=(width, sum(heights) + 1.5), sharex=True, height_ratios=heights, layout="constrained"
    )
    load, faults, latency, leader, who = axes
    _load(load, report)
    _faults(faults, report, names)
    _latency(latency, report)
    _leader(leader, report)
    _who(who, report)
    for axis in axes:
        axis.set_xlim(0, end)
        axis.spines[["top", "right"]].set_visible(False)
        for hit in report.evidence.hits:
            axis.axvspan(hit.begun - report.begun, hit.ended - report.begun, color=BROKEN, alpha=0.25, lw=0)
    verdict = "OK" if report.ok else f"{len(report.judgement.violations)} VIOLATIONS"
    broken = f", broken build: {report.broken}" if report.broken else ""
    figure.suptitle(f"chaos, seed {report.seed}, {end:.0f} s{broken}: {verdict}", fontsize=14)
    who.set_xlabel("seconds")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=90)
    pyplot.close(figure)
    return picture.getvalue()


def _per_second(axis: Any, report: Report, moments: list[float], **style: Any) -> None:
    counts = Counter(int(moment - report.begun) for moment in moments)
    seconds = range(int(report.seconds) + 1)
    axis.plot([second + 0.5 for second in seconds], [counts[second] for second in seconds], **style)


def _load(axis: Any, report: Report) -> None:
    answers = report.judgement.answers
    _per_second(axis, report, [answer.sent for answer in answers], color=GOOD, lw=1.2, label="sent")
    answered = [answer.answered for answer in answers if answer.answered is not None]
    _per_second(axis, report, answered, color=REPLICAS[0], lw=1.2, label="answered")
    axis.set_ylabel("events/s")
    axis.set_ylim(bottom=0)
    axis.legend(loc="upper right", fontsize=8, ncols=2)


def _faults(axis: Any, report: Report, names: list[str]) -> None:
    for hit in report.evidence.hits:
        row, begun = names.index(hit.name), hit.begun - report.begun
        colour = GOOD if hit.target is None else REPLICAS[hit.target]
        axis.barh(row, max(hit.overcome - hit.begun, 0.2), left=begun, height=0.7, color=colour, alpha=0.35)
        axis.barh(row, max(hit.ended - hit.begun, 0.2), left=begun, height=0.7, color=colour)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.invert_yaxis()
    axis.set_ylabel("faults\n(pale: until overcome)")


def _latency(axis: Any, report: Report) -> None:
    for index, colour in enumerate(REPLICAS):
        mine = [
            (answer.answered - report.begun, max(answer.answered - answer.sent, 0.001))
            for answer in report.judgement.answers
            if answer.answered is not None and answer.process.startswith(f"r{index}-")
        ]
        axis.scatter(*zip(*mine, strict=True) if mine else ([], []), s=3, color=colour, label=f"r{index}")
    for violation in report.judgement.violations:
        axis.axvline(violation.at - report.begun, color=BAD, lw=1)
    axis.set_yscale("log")
    axis.set_ylabel("seconds to the answer")
    axis.grid(axis="y", alpha=0.3)
    axis.legend(loc="upper right", fontsize=8, ncols=3, markerscale=3)


def _leader(axis: Any, report: Report) -> None:
    terms = [*report.leaders]
    costly = {fault.name for fault in FAULTS if fault.costs_sessions}
    for term, following in zip(terms, [*terms[1:], None], strict=True):
        start = max(term.at - report.begun, 0.0)
        end = following.at - report.begun if following is not None else report.seconds
        for hit in report.evidence.hits:  # until the leader died, or stood still
            if hit.name in costly and hit.target == term.replica and term.at < hit.since:
                end = min(end, hit.since - report.begun)
        axis.barh(term.replica, max(end - start, 0.0), left=start, height=0.8, color=REPLICAS[term.replica])
    axis.set_yticks(range(3), ["r0", "r1", "r2"], fontsize=8)
    axis.set_ylim(2.6, -0.6)
    axis.set_ylabel("leader")


def _who(axis: Any, report: Report) -> None:
    seconds = range(int(report.seconds) + 1)
    counts = [Counter[int]() for _ in REPLICAS]
    for answer in report.judgement.answers:
        if answer.answered is not None:
            counts[int(answer.process[1])][int(answer.answered - report.begun)] += 1
    axis.stackplot(
        [second + 0.5 for second in seconds],
        *([count[second] for second in seconds] for count in counts),
        colors=REPLICAS,
        labels=["r0", "r1", "r2"],
    )
    axis.set_ylabel("handled/s by")
    axis.legend(loc="upper right", fontsize=8, ncols=3)

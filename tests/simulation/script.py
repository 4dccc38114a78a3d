"""A script of faults: what happens to a simulated cluster, and when. A seed draws one; shrinking cuts it
down."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["ALL", "KINDS", "OUTAGES", "Fault", "draw", "shrink"]


class Fault(NamedTuple):
    """One fault.

    :param at: seconds after the cluster's start.
    :param target: the number of the replica that it hits, if it hits one.
    :param lasts: seconds; a killed or drained replica begins anew after so many.
    """

    at: float
    kind: str
    target: int
    lasts: float

    def __str__(self) -> str:
        return f"{self.at}:{self.kind}:{self.target}:{self.lasts}"

    @classmethod
    def read(cls, text: str) -> Fault:
        """The fault that ``str`` shows."""
        at, kind, target, lasts = text.split(":")
        return cls(float(at), kind, int(target), float(lasts))


#: Each kind with how often it comes, and how long it lasts.
KINDS = {
    "kill": (4, 0.5, 8.0),
    "drain": (3, 0.5, 6.0),
    "pause": (3, 0.2, 9.0),
    "cut": (3, 0.2, 9.0),
    "swallow": (3, 0.2, 9.0),
    "watch-lag": (3, 1.0, 8.0),
    "lost-answers": (3, 1.0, 8.0),
    "no-etcd-leader": (2, 0.2, 6.0),
    "etcd-refuses": (2, 0.5, 6.0),
    "watches-break": (2, 0.0, 0.0),
    "compaction": (3, 0.0, 0.0),
    "gateway-drops": (3, 0.0, 3.0),
    "session-invalid": (2, 0.0, 2.0),
    "gateway-lag": (3, 1.0, 8.0),
    "lost-posts": (2, 1.0, 6.0),
}


#: These come in runs with a catch-up only: nothing brings back what no replica received otherwise.
OUTAGES = {
    "everybody-dies": (2, 0.5, 12.0),
    "all-sessions-end": (2, 0.2, 6.0),
}
ALL = {**KINDS, **OUTAGES}


def draw(
    seed: int | str,
    *,
    replicas: int,
    seconds: float,
    pause: float = 3.0,
    lasts: float = 1.0,
    only: Sequence[str] = (),
    outages: bool = False,
) -> list[Fault]:
    """The faults of a seed: one every ``pause`` seconds on average, several at a time as it comes.

    :param lasts: how much of its usual time each lasts.
    :param only: these kinds; empty: all.
    :param outages: also those that no replica lives through, if all kinds are asked for.
    """
    chance = random.Random(f"faults {seed}")
    kinds = list(only) or list(ALL if outages else KINDS)
    weights = [ALL[kind][0] for kind in kinds]
    faults: list[Fault] = []
    at = chance.expovariate(1 / pause)
    while at < seconds:
        kind = chance.choices(kinds, weights)[0]
        _, least, most = ALL[kind]
        target, time = chance.randrange(replicas), chance.uniform(least, most)
        faults.append(Fault(round(at, 3), kind, target, round(time * lasts, 3)))
        at += chance.expovariate(1 / pause)
    return faults


def shrink(
    faults: Sequence[Fault], fails: Callable[[Sequence[Fault]], bool], *, tries: int = 200
) -> list[Fault]:
    """The fewest faults with which a run still fails, by delta debugging (Zeller and Hildebrandt, 2002)."""
    found, parts = list(faults), 2
    while len(found) >= 2 and tries > 0:
        size = max(len(found) // parts, 1)
        for start in range(0, len(found), size):
            without = found[:start] + found[start + size :]
            tries -= 1
            if fails(without):
                found, parts = without, max(parts - 1, 2)
                break
            if tries <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(found))
    if len(found) == 1 and fails([]):
        return []
    return found

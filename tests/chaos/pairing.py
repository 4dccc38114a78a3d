"""Pairs equal events with their answers: nothing tells which answer is whose. Pure."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

from evidence import near
from world import Hit

__all__ = ["late_answers", "unanswered_of", "without"]

#: The longest that an answer takes, seconds: one that comes later is that of no equal event before it.
ANSWERED = 15.0


def unanswered_of(
    sent: Sequence[float], answered: Sequence[float], hits: Sequence[Hit]
) -> tuple[list[float], list[float]]:
    """Which of equal events have no answer, and which answers have no event: each is taken for that of the
    last one before it, of at most ``ANSWERED`` seconds ago, where several are equal. So a lost event hides no
    answer that comes twice. What comes during a fault may be worked off behind newer ones, until that is
    overcome.
    """

    def latest(at: float) -> float:
        if len(sent) == 1:
            return math.inf
        return max([at + ANSWERED, *(hit.overcome for hit in near(hits, at))])

    waiting: list[float] = []
    extra: list[float] = []
    moments = [(at, 0) for at in sent] + [(at, 1) for at in answered]
    for at, is_answer in sorted(moments):
        if not is_answer:
            waiting.append(at)
        elif waiting and at <= latest(waiting[-1]):
            waiting.pop()
        else:
            extra.append(at)
    return waiting, extra


def late_answers(unanswered: Sequence[float], again: Sequence[float], extra: list[float]) -> list[float]:
    """The answers of second runs, ``again``, that are of events without an answer. Takes one out of ``extra``
    for each: of equal answers, another one may have no event.
    """
    found: list[float] = []
    for at in unanswered:
        left = [late for late in without(again, found) if at < late]
        pairs = ((late, more) for late in left for more in extra if late <= more)
        for late, more in itertools.islice(pairs, 1):
            extra.remove(more)
            found.append(late)
    return found


def without(moments: Sequence[float], some: Sequence[float]) -> list[float]:
    """The moments without some of them."""
    left = Counter(some)
    kept = []
    for at in moments:
        if left[at]:
            left[at] -= 1
        else:
            kept.append(at)
    return kept

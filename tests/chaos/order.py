"""Whether answers came in the order of their events, where some events need none and equal ones can't be told
apart. Pure.

All ways to explain the answers are followed at once, as by a nondeterministic automaton: a state says how
many events are behind, and how many answers were taken for late ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["LEADS_WITHIN", "Asked", "disorder"]

#: Who has received an event of a gap, and its leader not, leads within so many seconds.
LEADS_WITHIN = 60.0


class Asked(NamedTuple):
    """An event. ``excused``: it may have no answer, or one behind those of newer events."""

    at: float
    key: str
    excused: bool


def disorder(events: Sequence[Asked], answers: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """The answers, each by its moment and key, to events after which another one was answered first.

    :param events: those of one lane, in their order.
    :param answers: in their order; what answers none of the events is passed over.
    """
    found: list[tuple[float, str]] = []
    passed: Counter[str] = Counter()  # the keys of events that were passed over, and need an answer
    states = {0: 0}  # the least number of late answers, by how many events are behind
    for at, key in answers:
        following: dict[int, int] = {}
        room = sum(each.excused and each.key == key and 0.0 < at - each.at < LEADS_WITHIN for each in events)
        for behind, late in states.items():
            for number in _next(events, behind, at, key):
                following[number + 1] = min(late, following.get(number + 1, late))
            if late < room:
                following[behind] = min(late + 1, following.get(behind, late + 1))
        if passed[key] and not any(number not in states for number in following):
            passed[key] -= 1
            found.append((at, key))
        elif following:
            states = following
        else:
            behind = min(states)
            ahead = (
                number
                for number in range(behind, len(events))
                if events[number].key == key and events[number].at <= at
            )
            found_at = next(ahead, None)
            if found_at is not None:
                passed.update(each.key for each in events[behind:found_at] if not each.excused)
                states = {found_at + 1: states[behind]}
    return found


def _next(events: Sequence[Asked], behind: int, at: float, key: str) -> Iterator[int]:
    """The events that an answer may be of if nothing is passed over that needs an answer."""
    for number in range(behind, len(events)):
        event = events[number]
        if event.at > at:
            return
        if event.key == key:
            yield number
        if not event.excused:
            return

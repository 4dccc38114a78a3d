"""The order of answers to events of which some are equal, and some may be lost or late."""

from __future__ import annotations

import random

import pytest
from order import Asked, disorder


def _explained(chance: random.Random) -> tuple[list[Asked], list[tuple[float, str]]]:
    """Equal events around a gap, and answers in order: a part of the gap's events has none, and one may come
    late.
    """
    events, answers = [], []
    late: list[tuple[float, str]] = []
    for number in range(40):
        at, key = float(number), chance.choice("ab")
        excused = 10 <= number < 18
        events.append(Asked(at, key, excused))
        if not excused or chance.random() < 0.4:
            answers.append((at + 0.5, key))
        elif not late and chance.random() < 0.3:
            late.append((at + chance.randrange(5, 20) + 0.6, key))
    return events, sorted(answers + late)


@pytest.mark.parametrize("seed", range(200))
def test_answers_in_order_are_explained(seed: int) -> None:
    events, answers = _explained(random.Random(seed))
    assert disorder(events, answers) == []


@pytest.mark.parametrize("seed", range(100))
def test_one_behind_a_newer_one_is_found(seed: int) -> None:
    """Two events that are like no others; the first is answered last."""
    chance = random.Random(seed)
    events, answers = _explained(chance)
    first = chance.choice([*range(9), *range(18, 38)])
    last = first + chance.randrange(1, 3)
    for number, key in ((first, "x"), (last, "y")):
        answers.remove((number + 0.5, events[number].key))
        events[number] = Asked(events[number].at, key, excused=False)
    answers = sorted([*answers, (last + 0.5, "y"), (last + 0.6, "x")])
    assert (last + 0.6, "x") in disorder(events, answers)


def test_an_answer_of_the_gap_does_not_make_later_equal_ones_look_early() -> None:
    """From a run of ten minutes: each is one of the equal events behind it, where the gap's are left out."""
    events = [Asked(float(at), key, at < 4) for at, key in enumerate("abababababab")]
    answers = [(at + 0.5, events[at].key) for at in (2, 3, *range(4, 12))]
    assert disorder(events, answers) == []

"""When an event that another replica runs is looked at again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.dispatch.items import ClaimItem, State
from discordha.dispatch.look_times import BLOCKING_PAUSE, LAST_PAUSE, LATE_STEP, LookTimes
from discordha.events import CaughtUp

FIRST = 0.025


@pytest.fixture
def make() -> Callable[[float], ClaimItem]:
    numbers = itertools.count()

    def item(received_at: float) -> ClaimItem:
        event: Any = SimpleNamespace(name="message", received_at=received_at, caught_up=None)
        return ClaimItem(event, (), "lane", next(numbers), key=str(received_at))

    return item


def about(pause: float) -> Any:
    """A pause from 1000.0 on, up to the next multiple of ``FIRST``."""
    return pytest.approx(1000.0 + pause + FIRST / 2, abs=FIRST / 2 + 1e-6)


def test_the_pauses_grow_with_the_events_age(make: Callable[[float], ClaimItem]) -> None:
    times = LookTimes(FIRST)
    for age, pause in [(0.01, FIRST), (1.0, 0.25), (2.0, 0.5), (100.0, LAST_PAUSE)]:
        assert times.add(make(1000.0 - age), 1000.0) == about(pause)


def test_what_holds_up_others_is_looked_at_more_often(make: Callable[[float], ClaimItem]) -> None:
    for age, pause in [
        (0.4, 0.1),
        (1.0, BLOCKING_PAUSE),
        (1.6, BLOCKING_PAUSE),
        (4.0, 0.5),
        (100.0, LAST_PAUSE),
    ]:
        old = make(1000.0 - age)
        old.younger = make(1000.0)
        assert LookTimes(FIRST).add(old, 1000.0) == about(pause)
    item = make(998.5)
    item.younger = make(998.5)
    assert LookTimes(FIRST).add(item, 1000.0) == about(BLOCKING_PAUSE)
    item.event.received_at = 900.0
    item.excused = True
    assert LookTimes(FIRST).add(item, 1000.0) == about(BLOCKING_PAUSE)  # it is earlier
    item.look_at = None
    assert LookTimes(FIRST).add(item, 1000.0) == about(LAST_PAUSE)


def test_what_one_look_finds_under_way_is_looked_at_together(make: Callable[[float], ClaimItem]) -> None:
    times = LookTimes(FIRST)
    dues = {times.add(make(1000.003 - age), 1000.003) for age in (0.01, 0.03, 0.05, 0.1, 0.13)}
    assert len(dues) <= 2
    (first, *_), ends = sorted(dues), max(dues)
    assert first >= 1000.003 + FIRST
    assert ends <= first + FIRST + 1e-6


def test_caught_up_events_are_looked_at_together(make: Callable[[float], ClaimItem]) -> None:
    times, now = LookTimes(FIRST), 1000.0
    items = [make(1000.0 + 0.001 * number) for number in range(100)]
    for item in items:
        item.event.caught_up = CaughtUp(0.0, 0.0)
        times.add(item, now)
        now += 0.001
    due = {item.look_at for item in items}
    assert len(due) == 1
    (at,) = due
    assert at is not None
    assert now + LATE_STEP - 0.1 <= at <= now + 2 * LATE_STEP
    live = make(1000.0)
    assert times.add(live, now) < at


def test_each_is_due_once_at_its_earliest_time(make: Callable[[float], ClaimItem]) -> None:
    times = LookTimes(FIRST)
    assert times.next_due() is None
    item, gone = make(998.5), make(900.0)
    times.add(item, 1000.0)
    item.younger = gone
    times.add(item, 1000.0)  # sooner
    times.add(gone, 1000.0)
    gone.state = State.GONE
    assert times.next_due() == about(BLOCKING_PAUSE)
    assert times.due(1000.0) == []
    assert times.due(1000.0 + BLOCKING_PAUSE + FIRST) == [item]
    assert times.due(2000.0) == []
    assert times.next_due() is None


def test_all_are_due_when_it_hurries(make: Callable[[float], ClaimItem]) -> None:
    times = LookTimes(FIRST)
    items = [make(900.0), make(999.0)]
    for item in items:
        times.add(item, 1000.0)
    times.hurry(1000.0)
    assert set(map(id, times.due(1000.0))) == set(map(id, items))
    assert times.next_due() is None

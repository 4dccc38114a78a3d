"""The age guard: what is older than its mark is refused, and one event alone moves no time."""

from __future__ import annotations

import logging

import pytest
from dispatcher_scene import OURS, Scene
from hypothesis import given
from hypothesis import strategies as st

from discordha.dispatch.age_guard import AGREE, EPOCH, MARGIN, SHIFT, AgeGuard
from discordha.testing import wait_for

RETENTION = 600.0
#: A moment, in seconds of Discord's epoch, and by the clocks of a machine.
BEGAN = 5_000_000.0
DAYS = 30 * 86_400.0


def snowflake(seconds: float) -> int:
    return int(seconds * 1000) << SHIFT


class Machine:
    """A guard on a machine whose clocks the test sets. ``wrong``: seconds that its wall clock is fast."""

    def __init__(self, wrong: float = 0.0) -> None:
        self.now = 1000.0
        self.wrong = wrong
        self.slept = 0.0
        self.ahead: list[str] = []
        self.guard = AgeGuard(
            RETENTION,
            lambda: self.now,
            lambda: self.now - 1000.0 + self.slept + BEGAN + EPOCH + self.wrong,
            self.ahead.append,
        )

    def refuses(self, ago: float) -> bool:
        """Whether an event is refused that happened so many seconds before the right moment."""
        created = snowflake(BEGAN + self.now - 1000.0 + self.slept - ago)
        return self.guard.refuses(self.guard.note(created, "message"))


def test_refuses_an_event_that_is_older_than_its_mark(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    assert not machine.refuses(0)
    assert not machine.refuses(599)
    with caplog.at_level(logging.WARNING):
        assert machine.refuses(601)
        assert machine.refuses(700)
    assert len(caplog.records) == 1
    assert "too_old" in caplog.text


def test_time_goes_on_by_the_local_clock() -> None:
    machine = Machine()
    assert not machine.refuses(0)
    machine.now += 400
    assert not machine.refuses(400)
    machine.now += 201
    assert machine.refuses(601)


@pytest.mark.parametrize("ahead", [MARGIN + 1, RETENTION + 1, DAYS])
@pytest.mark.parametrize("times", [1, AGREE - 1])
def test_an_event_dated_ahead_makes_no_other_too_old(
    ahead: float, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine()
    with caplog.at_level(logging.WARNING):
        for first in (True, False):
            for _ in range(times):
                assert not machine.refuses(-ahead)
            assert not machine.refuses(0), first
            assert not machine.refuses(500), first
    assert machine.ahead == ["message"] * 2 * times
    assert len(caplog.records) == 1
    assert machine.refuses(601)


def test_an_event_within_the_margin_moves_time_and_no_further() -> None:
    machine = Machine()
    assert not machine.refuses(0)
    assert not machine.refuses(-MARGIN + 1)
    assert not machine.refuses(RETENTION - MARGIN)
    assert machine.refuses(RETENTION - MARGIN + 2)


def test_a_newer_event_moves_time_forward_and_an_older_one_not_back() -> None:
    machine = Machine()
    assert not machine.refuses(9_000)
    assert not machine.refuses(1_000)
    assert machine.refuses(9_000)


@pytest.mark.parametrize("slow", [MARGIN + 60, DAYS, BEGAN + EPOCH])
def test_many_events_show_that_the_local_clock_is_slow(slow: float) -> None:
    """A container whose clock is years behind guards itself all the same, and against one event, too."""
    machine = Machine(wrong=-slow)
    for _ in range(AGREE):
        assert not machine.refuses(0)
    assert machine.refuses(601)
    assert not machine.refuses(-DAYS)
    assert not machine.refuses(500)
    assert machine.refuses(601)


def test_a_local_clock_that_is_fast_refuses_nothing_by_itself() -> None:
    machine = Machine(wrong=DAYS)
    for _ in range(3):
        assert not machine.refuses(0)
        assert not machine.refuses(599)
    assert machine.refuses(601)


def test_a_machine_that_slept_learns_of_it_by_its_next_event() -> None:
    machine = Machine()
    assert not machine.refuses(0)
    machine.slept = 3600.0  # the monotonic clock stood still
    assert not machine.refuses(0)
    assert machine.refuses(601)


@given(st.lists(st.sampled_from([0.0, 1.0, 300.0, -1.0, -400.0, -DAYS]), max_size=60), st.integers(0, 59))
def test_no_mixture_makes_an_event_of_now_too_old(ages: list[float], every: int) -> None:
    """As long as an event of now is among each ``AGREE`` events, it is not refused, and old ones are."""
    machine = Machine()
    for number, ago in enumerate(ages):
        machine.now += 1
        if number % (AGREE - 1) == every % (AGREE - 1) or not number:
            assert not machine.refuses(0)
        assert not machine.refuses(ago)
    machine.now += 1
    assert not machine.refuses(0)
    assert machine.refuses(601 + MARGIN)


def test_the_dispatcher_handles_what_follows_an_event_dated_ahead() -> None:
    scene = Scene()
    try:
        base = BEGAN
        numbers = [snowflake(base), snowflake(base + 20 * 365 * 86_400), snowflake(base + 1)]
        for number in numbers:
            scene.receive(number, OURS)
        wait_for(lambda: scene.begun == numbers, 10, "all three to begin")
        assert scene.stats.count("dated_ahead") == 1
        assert scene.stats.count("dropped") == 0
    finally:
        scene.stop()

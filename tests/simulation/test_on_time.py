"""What the verdict makes of timers that are gone."""

from __future__ import annotations

import collections
import math
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.errors import StoreUnavailable
from simulation.on_time import TIMERS, Cancelling, OnTime, OnTimeRecord, Timer, TimerRun
from simulation.record import Record
from simulation.verdict_on_time import judge_on_time

ID = "001767226601000-x"


class Scene(OnTime):
    """A timer, and a bot that cancels it."""

    def __init__(self, *, answered: bool = True) -> None:
        voice: Any = None
        self.answered = answered
        self.scheduler = SimpleNamespace(  # type: ignore[assignment]
            random=SimpleNamespace(random=lambda: 0.9, choice=lambda items: items[0]), now=1010.0
        )
        self.record = Record(OnTimeRecord(), voice)
        self.record.over = 1100.0
        self.timer = Timer("t", 1000.0, 1.0, scheduled=1000.0, ids={ID})
        self.record.on_time.timers["t"] = self.timer

    def cancel(self) -> None:
        bot: Any = self
        self._schedule_or_cancel(bot, "r0-1/0", lambda: 1)

    def unschedule(self, id: str) -> bool:
        self.delete()
        if not self.answered:
            raise StoreUnavailable("the answer is lost", maybe_applied=True)
        return True

    def delete(self) -> None:
        event = SimpleNamespace(kind="delete", kv=SimpleNamespace(key=TIMERS + ID))
        change: Any = SimpleNamespace(events=[event])
        self._note_change(change)

    def lost(self) -> list[str]:
        violations: list[tuple[float, str, str]] = []
        judge_on_time(self.record, {}, violations, collections.Counter(), lambda *_: None)
        return [text for _, kind, text in violations if kind == "lost"]

    def _note(self, text: str) -> None:
        pass

    def _note_begin(self, run: Any, event: Any) -> None:
        raise AssertionError

    def _end(self, key: str, run: Any) -> None:
        raise AssertionError


@pytest.mark.parametrize("answered", [True, False])
def test_a_timer_that_was_cancelled_is_not_lost(answered: bool) -> None:
    scene = Scene(answered=answered)
    scene.cancel()
    assert not scene.lost()


@pytest.mark.parametrize(
    ("begun", "died", "lost"), [(1009.0, 1010.5, False), (1009.0, 1001.0, True), (1010.1, 1010.5, True)]
)
def test_a_process_may_die_after_it_has_cancelled(begun: float, died: float, lost: bool) -> None:
    scene = Scene()
    scene.timer.cancellings.append(Cancelling("r0-1", begun))
    scene.record.ended["r0-1"] = ("killed", died)
    scene.delete()
    assert bool(scene.lost()) == lost


def test_a_cancellation_that_found_nothing_has_deleted_nothing() -> None:
    scene = Scene()
    scene.timer.cancellings.append(Cancelling("r0-1", 1009.0, 1011.0, found=False))
    scene.delete()
    assert scene.lost() == ["t was deleted, and has not run"]


@pytest.mark.parametrize(("ended", "lost"), [(1009.9, False), (1010.1, True), (None, True)])
def test_a_timer_goes_after_its_run(ended: float | None, lost: bool) -> None:
    scene = Scene()
    scene.timer.runs.append(TimerRun("t", "r0-1", 1, 1, 1009.0, ended, wall=math.inf, id=ID))
    scene.delete()
    assert bool(scene.lost()) == lost


def test_a_timer_that_was_perhaps_cancelled_and_is_still_there_must_run() -> None:
    scene = Scene()
    scene.timer.cancellings.append(Cancelling("r0-1", 1009.0, 1011.0))
    assert scene.lost() == ["t, due at 1001.000 by the clocks"]

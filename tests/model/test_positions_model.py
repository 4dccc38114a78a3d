"""All interleavings of young gateway sessions with messages among the events: marks tell positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import broken_tallies
import pytest
from beginnings import DOUBT, ENDED
from explore import Violation, explore, follow
from questions_model import LANDMARK, QuestionsModel
from sessions_state import State

M = LANDMARK
NO_QUESTIONS: dict[str, Any] = {**ENDED, "asks": 0}
#: Leaders die one after another, and may know less than those that follow.
DEATHS: dict[str, Any] = {**NO_QUESTIONS, "polite": False, "deaths": 2, "lively": False}


class Exact(QuestionsModel):
    """No doubt excuses that an event is run again."""

    def _doubts(self, state: State, number: int, content: str) -> int:
        return 0


def check(
    replicas: int,
    stream: str,
    begins: Sequence[str] = (),
    *,
    kind: type[QuestionsModel] = QuestionsModel,
    **options: Any,
) -> int:
    model = kind(replicas, stream, **options)
    initial = follow(model.initial(), model.steps, begins)
    result = explore(initial, model.steps, model.invariant, model.goal, most=1_500_000)
    print(f"{replicas} replicas, {stream}, {options}: {result}")
    return result.states


#: A leader handled the first event unaware of the second replica's session, and that one runs it again. The
#: third replica was in no doubt.
RUNS_AGAIN = (
    *("1 has a new session from 0", "0 receives a (0)", "0 runs a", "1 receives a (0)"),
    *("the mark of a (0)", "1 sees", "2 receives a (0)", "2 sees", "0 dies", "etcd ends the lease of 0"),
    *("1 leads", "1 runs a (0)"),
)
#: The same, behind a message that all have received.
KNOWN = ("1 has a new session from 0", "0 receives M0", "1 receives M0", "2 receives M0")


def test_an_event_behind_a_message_is_not_run_again() -> None:
    """However young the session is, and however few heartbeats were answered."""
    begins = ("1 has a new session from 0", "1 receives M0")
    assert check(2, f"{M}aa", begins, kind=Exact, **NO_QUESTIONS) > 1_000
    options = {**NO_QUESTIONS, "tally": broken_tallies.IgnoresUnknownMessages}
    with pytest.raises(Violation, match="run again"):
        check(2, f"{M}a", begins[:1], **options)


def test_a_second_run_behind_a_message_costs_no_equal_one() -> None:
    assert check(3, f"a{M}a", RUNS_AGAIN, repeats=False, **DEATHS) > 500


def test_events_from_before_a_message_have_no_position() -> None:
    """Two sessions that began at different moments would count them differently."""
    begins = ("0 receives a (0)", "1 has a new session from 1")
    assert check(2, "aa", begins, **NO_QUESTIONS) > 200
    options = {**NO_QUESTIONS, "tally": broken_tallies.CountsFromItsBegin}
    with pytest.raises(Violation, match="lost"):
        check(2, "aa", begins, **options)


@pytest.mark.long
@pytest.mark.parametrize(
    ("replicas", "stream", "begins", "options"),
    [
        (2, f"a{M}a{M}a", DOUBT, NO_QUESTIONS),
        (2, f"a{M}a", DOUBT, {**NO_QUESTIONS, "snapshots": 1}),
        (2, f"{M}a", (), {**NO_QUESTIONS, "late_ready": True}),
        (3, f"{M}a", KNOWN, DEATHS),
    ],
    ids=str,
)
def test_larger_bounds(replicas: int, stream: str, begins: Sequence[str], options: dict[str, Any]) -> None:
    assert check(replicas, stream, begins, **{"repeats": False, **options}) > 2_000

"""All interleavings of young gateway sessions whose replicas ask, up to a bound; and that each wrong way to
ask, to answer or to settle is found out.

Where a case ``begins`` with some steps, all that may follow them is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import broken_answers
import broken_tallies
import pytest
from beginnings import BOTH, DOUBT, ENDED, HANDLED, NEW, NEXT_LEADER, OUTAGE, TWICE, YOUNG_LEADER, YOUNGER
from explore import Violation, explore, follow
from questions_model import LANDMARK, QuestionsModel

#: An answer strikes out no more than there were marks: that alone would hide what else is wrong with it.
UNCAPPED = {"tally": broken_answers.SettlesWithoutMarks}


def check(
    replicas: int, stream: str, begins: Sequence[str] = (), most: int = 500_000, **options: Any
) -> tuple[int, QuestionsModel]:
    model = QuestionsModel(replicas, stream, **options)
    initial = follow(model.initial(), model.steps, begins)
    result = explore(initial, model.steps, model.invariant, model.goal, most=most)
    print(f"{replicas} replicas, {stream}, {begins}, {options}: {result}, settled {model.settled}")
    return result.states, model


#: The mark of an event that is yet to come does not count while nothing is doubtful: it stays in doubt, and
#: may run again. So these look at what is lost only.
def test_a_young_replica_asks() -> None:
    states, model = check(2, "a", calms=1, sessions=1, asks=2, repeats=False)
    assert states > 10_000
    assert model.settled[False] > 100


def test_what_was_marked_while_ready_was_on_its_way_is_not_run_again() -> None:
    states, model = check(2, "a", late_ready=True, **ENDED)
    assert states > 2_000
    assert model.settled[False] > 50
    with pytest.raises(Violation, match="run again"):
        check(2, "a", late_ready=True, tally=broken_tallies.DeafBeforeReady, **ENDED)


@pytest.mark.parametrize(
    ("replicas", "stream", "begins", "options"),
    [
        (2, "a", YOUNG_LEADER, {**ENDED, **BOTH}),
        (3, "a", NEXT_LEADER, {**ENDED, "cut": (1, 2), "lively": False, "deaths": 2}),
    ],
    ids=["young leader", "next leader"],
)
def test_its_leader_may_be_young_itself(
    replicas: int, stream: str, begins: Sequence[str], options: dict[str, Any]
) -> None:
    states, model = check(replicas, stream, begins, **{"repeats": False, **options})
    assert states > 1000
    assert model.settled[True] > 10


def test_what_only_a_replica_that_asks_has_is_not_lost_by_the_answer() -> None:
    options = {**BOTH, "calms": 0, "sessions": 2, "deaths": 0}
    assert check(2, "aa", OUTAGE, **options)[0] > 500


def test_what_its_leader_let_go_is_kept() -> None:
    assert check(2, "a", drops=1, lively=False, repeats=False, **ENDED)[0] > 2000


#: Its leader has told the number of the last event before a message, dies, and the replica leads without that
#: message. Its second run of the event has a mark, too: numbers are those of the events no more.
TOLD_BEFORE = (
    *(
        *DOUBT,
        "1 asks",
        "0 sees",
        "0 receives M1",
        "the mark of a (0)",
        "1 sees",
        "0 gives the answer",
        "0 dies",
    ),
    *("the answer", "1 sees", "etcd ends", "1 leads", "1 runs a (0)"),
)


def test_a_message_ends_its_doubts_while_equal_events_keep_coming() -> None:
    """Nothing runs again once the leader has told of one. What it told holds until there is a second run."""
    states, model = check(2, f"a{LANDMARK}", DOUBT, **ENDED)
    assert states > 2_000
    assert model.placed > 100
    assert check(2, f"a{LANDMARK}a", TOLD_BEFORE, **ENDED)[0] > 20
    with pytest.raises(Violation, match="lost"):
        check(2, f"a{LANDMARK}a", TOLD_BEFORE, tally=broken_answers.KeepsNumbers, **ENDED)


@pytest.mark.long
@pytest.mark.parametrize(
    ("replicas", "stream", "begins", "options"),
    [
        (2, "aMa", DOUBT, {**ENDED}),
        (2, "aMa", NEW, {**ENDED}),
        (2, "aM", (), {**ENDED}),
        (2, "aaM", DOUBT, {**ENDED}),
        (2, "abM", DOUBT, {**ENDED}),
        (2, "aM", DOUBT, {**ENDED, "breaks": 1}),
        (2, "aM", DOUBT, {**ENDED, "snapshots": 1}),
        (2, "aM", YOUNGER, {**ENDED, **BOTH}),
        (3, "aM", NEXT_LEADER, {**ENDED, "cut": (1, 2), "lively": False}),
    ],
    ids=str,
)
def test_larger_bounds_with_a_message(
    replicas: int, stream: str, begins: Sequence[str], options: dict[str, Any]
) -> None:
    states, model = check(replicas, stream, begins, most=1_500_000, **options)
    assert states > 5_000
    assert model.placed > 20


@pytest.mark.long
@pytest.mark.parametrize(
    ("replicas", "stream", "begins", "options"),
    [
        (2, "aa", (), {**ENDED}),
        (2, "aa", (), {**ENDED, "calms": 1}),
        (2, "aa", (), {**ENDED, "late_ready": True}),
        (2, "ab", (), {**ENDED, "late_ready": True}),
        (2, "ab", (), {**ENDED}),
        (2, "aA", (), {**ENDED}),
        # The mark of an event that is yet to come counts no more once nothing is doubtful: it runs again.
        (2, "aa", DOUBT, {**ENDED, "asks": 2, "repeats": False}),
        (2, "aaa", DOUBT, {**ENDED}),
        (2, "aa", NEW[:1], {**ENDED, "drops": 1, "lively": False, "repeats": False}),
        (2, "aba", DOUBT, {**ENDED}),
        (2, "a", (), {**ENDED, **BOTH}),
        (2, "aa", YOUNG_LEADER, {**ENDED, **BOTH}),
        (2, "aa", TWICE, {**ENDED, **BOTH, "sessions": 1, "deaths": 0}),
        (3, "aa", NEXT_LEADER, {**ENDED, "cut": (1, 2), "lively": False}),
        (2, "a", (), {"calms": 0, "sessions": 2, "asks": 2, "repeats": False}),
        (2, "aa", DOUBT, {**ENDED, "snapshots": 1, "repeats": False}),
        (2, "aa", DOUBT, {**ENDED, "breaks": 1}),
        (2, "aa", DOUBT, {**ENDED, "calms": 1, "bounded": False, "repeats": False}),
        # An answer that is late does no harm: what it tells stays true.
        (2, "a", (), {**ENDED, **BOTH, "guarded": False}),
    ],
    ids=str,
)
def test_larger_bounds(replicas: int, stream: str, begins: Sequence[str], options: dict[str, Any]) -> None:
    states, model = check(replicas, stream, begins, most=1_500_000, **{**options, "repeats": False})
    assert states > 5_000
    assert sum(model.settled.values()) > 20


@pytest.mark.parametrize(
    ("begins", "options", "found"),
    [
        ((), {**UNCAPPED, "proven": False}, "lost"),
        (YOUNGER, {**BOTH, **UNCAPPED, "since": False}, "lost"),
        (NEW, {**UNCAPPED, "numbered": False, "asks": 2}, "lost"),
        (NEW, {"tally": broken_answers.FinishedIsHandled}, "lost"),
        (NEW, {"tally": broken_answers.SettlesTwice}, "lost"),
        (HANDLED, {"tally": broken_answers.KeepsQuestion, "sessions": 1, "forgotten": False}, "lost"),
        (
            OUTAGE,
            {
                **BOTH,
                "sessions": 2,
                "ended": False,
                "deaths": 0,
                "tally": broken_answers.SettlesForEarlierSessions,
            },
            "lost",
        ),
        (
            ("1 has a new session from 0", "0 lets a", "1 receives a"),
            {**UNCAPPED, "drops": 1, "lively": False},
            "lost",
        ),
        pytest.param(
            *(DOUBT, {"tally": broken_answers.CountsDoubtful, "calms": 1}, "run again"),
            marks=pytest.mark.long,
        ),
    ],
    ids=["proven", "since", "numbered", "finished", "twice", "keeps", "earlier", "uncapped", "doubtful"],
)
def test_a_wrong_one_is_found_out(begins: Sequence[str], options: dict[str, Any], found: str) -> None:
    with pytest.raises(Violation, match=found):
        check(2, "aa", begins, **{**ENDED, "repeats": found != "lost", **options})

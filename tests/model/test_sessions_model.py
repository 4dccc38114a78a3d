"""All interleavings of young gateway sessions up to a bound; and that each wrong tally is found out.

The cases of ``test_a_wrong_tally_is_found_out`` are what chaos runs, and this model, have found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import broken_tallies
import pytest
from explore import Result, Violation, explore, follow
from sessions_model import SessionsModel

from discordha.coordination.journal.tally import Tally

#: Marks of unequal events reach etcd in any order.
OVERTAKING = {"calms": 0, "sessions": 0, "ended": True, "overtake": True}
#: The sessions of both end once the first has received an event, which the second never does.
OUTAGE = (
    *("0 receives a", "the session of 0 ends", "the session of 1 ends", "1 has a new session from 1"),
    *("the marker of 1", "1 sees", "0 sees"),
)
#: Of equal events one was before the session of the second replica, the next one came just as that began, the
#: third one was settled when it came; and the leader is late with the second one.
LATE_LEADER = (
    *("0 receives a", "0 runs a", "1 has a new session from 1", "the mark of a", "1 sees", "0 sees"),
    *("the marker of 1", "0 sees", "1 sees", "1 notes", "1 receives a (1)", "seconds pass"),
    *("1 receives a (2), stamped 2", "0 receives a (1), stamped 2", "0 runs a (1)"),
)
UNBOUNDED: dict[str, Any] = {"calms": 1, "bounded": False, "sessions": 0, "ended": True, "repeats": False}
TWO_SESSIONS: dict[str, Any] = {"calms": 0, "sessions": 2, "deaths": 0, "cut": (0, 1), "lively": False}


def check(
    replicas: int, stream: str, begins: Sequence[str] = (), *, most: int = 400_000, **options: Any
) -> Result:
    model = SessionsModel(replicas, stream, **options)
    initial = follow(model.initial(), model.steps, begins)
    result = explore(initial, model.steps, model.invariant, model.goal, most=most)
    print(f"{replicas} replicas, {stream}, {options}: {result}")
    return result


def test_a_session_ends_at_any_moment() -> None:
    assert check(2, "aa", calms=0).states > 10_000


def test_seconds_pass_at_any_moment() -> None:
    assert check(2, "ab", calms=1, sessions=0, ended=True).states > 10_000


#: The leader has run the first event, which it received after it had seen the marker of the second's session,
#: and the mark is on its way.
LATE = (
    *("1 has a new session from 0", "the marker of 1", "0 sees", "0 receives a (0), stamped 1"),
    *("1 sees", "1 notes", "1 receives a", "0 runs a"),
)


def test_marks_that_overtake_each_other_may_cost_an_equal_event() -> None:
    """So ``GroupCommit`` keeps them in order. The mark of the second of two equal events is overtaken by that
    of a later one of their lane, both are struck out with it, and then the late mark strikes out a third.
    """
    with pytest.raises(Violation, match="lost"):
        check(2, "aba", LATE, **OVERTAKING)


def test_what_a_leader_lets_go_is_taken_for_handled() -> None:
    """A later event of the lane is marked: leaders are taken to work a lane in order."""
    begins = ("1 has a new session from 0", "0 lets a", "1 receives a")
    with pytest.raises(Violation, match="lost"):
        check(2, "ab", begins, drops=1, calms=0, sessions=0, ended=True, repeats=False)


@pytest.mark.long
def test_two_sessions_in_a_row() -> None:
    """One leader had received what the next never did; an equal event of both is marked."""
    assert check(2, "aa", OUTAGE, **TWO_SESSIONS).states > 500


def test_what_another_never_received_is_not_struck_out_by_its_mark() -> None:
    with pytest.raises(Violation, match="lost"):
        check(2, "aa", OUTAGE, tally=broken_tallies.AnyWriterStrikesEarlierSessions, **TWO_SESSIONS)


def test_a_leader_that_is_late_costs_no_event() -> None:
    assert check(2, "aaaa", LATE_LEADER, **UNBOUNDED).states > 100
    with pytest.raises(Violation, match="lost"):
        check(2, "aaaa", LATE_LEADER, tally=broken_tallies.LaterMayBeMeant, **UNBOUNDED)


#: Both have new sessions, that of the second began first: it has an event that the leader has not, the first.
YOUNGER_LEADER = (
    *("the session of 1 ends", "1 has a new session from 0", "1 receives a", "the session of 0 ends"),
    *("0 has a new session from 1", "the marker of 1", "0 sees", "1 sees", "1 notes", "0 leads"),
)
IMPOLITE: dict[str, Any] = {**TWO_SESSIONS, "polite": False, "repeats": False, "deaths": 1}


def test_what_a_younger_leader_never_received_is_not_taken_for_handled() -> None:
    assert check(2, "ab", YOUNGER_LEADER, **IMPOLITE).states > 100
    with pytest.raises(Violation, match="lost"):
        check(2, "ab", YOUNGER_LEADER, tally=broken_tallies.AnyLeaderHasAll, **IMPOLITE)


#: The leader's session ends, and it leads again with a new one, since etcd does not reach the other replica,
#: which sees greeting and marks late.
CUT_OFF: dict[str, Any] = {"calms": 0, "cut": (0,), "polite": False, "lively": False}
#: That, and the session of the one that was cut off ends, too.
TWO_CUT_OFF: dict[str, Any] = {**CUT_OFF, "cut": (0, 1), "sessions": 2, "repeats": False}


#: The first event never reaches the leader, and the second one has been run.
HALF = (
    *("the session of 0 ends", "0 has a new session from 1", "0 receives a (1)", "0 leads", "0 runs a (1)"),
    "the mark of a (1)",
)
#: The mark of the first event tells of no session, that of the second one does.
FIRST_UNKNOWN = (
    *("the session of 0 ends", "0 has a new session from 0", "the marker of 0", "0 sees", "0 leads"),
    *("1 sees", "0 receives a (0)", "0 runs a (0)", "0 notes"),
    *("1 receives a (0), stamped 1", "the mark of a (0)"),
)


def test_what_a_younger_leader_handled_is_not_run_again() -> None:
    assert check(2, "a", **CUT_OFF).states > 2_000
    assert check(2, "aa", FIRST_UNKNOWN, **CUT_OFF).states > 500
    assert check(2, "aa", HALF, **TWO_CUT_OFF).states > 500


@pytest.mark.parametrize(
    ("tally", "begins", "options", "found"),
    [
        (broken_tallies.YoungerLeadersTellNothing, (), CUT_OFF, "run again"),
        (broken_tallies.RunsUnplaced, (), CUT_OFF, "run again"),
        (broken_tallies.ForgetsUnplaced, FIRST_UNKNOWN, CUT_OFF, "run again"),
        (broken_tallies.PlacesAtOnce, HALF, TWO_CUT_OFF, "lost"),
        (broken_tallies.EarlyMarksFitAll, HALF, TWO_CUT_OFF, "lost"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_tally_that_is_wrong_about_younger_leaders_is_found_out(
    tally: type[Tally], begins: Sequence[str], options: dict[str, Any], found: str
) -> None:
    with pytest.raises(Violation, match=found):
        check(2, "aa" if begins else "a", begins, tally=tally, **options)


def test_a_leader_that_runs_an_event_again_says_so() -> None:
    """Also where its mark was seen before READY came, or before the event itself."""
    options = {**OVERTAKING, "overtake": False, "late_ready": True, "says": True}
    assert check(2, "a", **options).states > 1_000
    with pytest.raises(Violation, match="does not say so"):
        check(2, "a", tally=broken_tallies.DeafBeforeReady, **options)


#: The first leader handled an event unaware, and the second one, whose session is young, runs it again.
RUNS_AGAIN = (
    *("1 has a new session from 0", "0 receives a (0)", "0 runs a", "1 receives a (0)"),
    *("the mark of a (0)", "1 sees", "2 receives a (0)", "2 sees", "0 dies", "etcd ends the lease of 0"),
    *("1 leads", "1 runs a (0)"),
)


def test_the_second_mark_of_an_event_that_ran_again_costs_no_equal_one() -> None:
    """A replica that was in no doubt is in doubt then. Else it takes that mark for one of the next equal
    event, and leads before anybody has handled that.
    """
    options = {**OVERTAKING, "overtake": False, "polite": False, "deaths": 2, "lively": False}
    assert check(3, "aa", RUNS_AGAIN, **options).states > 100
    with pytest.raises(Violation, match="lost"):
        check(3, "aa", RUNS_AGAIN, tally=broken_tallies.SecondRunsStrike, **options)


#: The same, and two replicas were in no doubt.
TWO_IN_NO_DOUBT = (*RUNS_AGAIN[:8], "3 receives a (0)", "3 sees", *RUNS_AGAIN[8:])


@pytest.mark.long
def test_whoever_leads_after_a_second_run_and_dies_too_costs_no_event() -> None:
    """The marks of their own second runs are plain: the last one holds what they held."""
    options = {**OVERTAKING, "overtake": False, "polite": False, "deaths": 3, "lively": False}
    assert check(4, "aa", TWO_IN_NO_DOUBT, **options).states > 50_000
    later = (*TWO_IN_NO_DOUBT, "the mark of a (0)", "2 sees", "3 sees", "1 dies", "etcd ends", "2 leads")
    assert check(4, "aaa", later, **options).states > 500


#: The second replica's session began behind the first event, and it runs the second one in doubt: a mark that
#: strikes out nothing. The fourth one's session begins behind that: it is in no doubt. The third one had all.
RUN_IN_DOUBT = (
    *("0 receives a (0)", "2 receives a (0)", "0 runs a (0)", "1 has a new session from 1"),
    *("the marker of 1", "0 sees", "1 sees", "2 sees", "1 notes", "the mark of a (0)", "1 sees", "2 sees"),
    *("1 receives a (1), stamped 1", "2 receives a (1), stamped 1", "0 dies", "etcd ends", "1 leads"),
    *("1 runs a (1)", "the mark of a (1)", "1 sees", "2 sees"),
    *(
        "3 has a new session from 2",
        *["3 sees"] * 3,
        "the marker of 3",
        "1 sees",
        "2 sees",
        "3 sees",
        "3 notes",
    ),
)
#: The mark of the third event strikes out the oldest that each holds: the third one holds what is handled.
HOLDS_A_HANDLED_ONE = (
    *RUN_IN_DOUBT,
    *("1 receives a (2), stamped 4", "2 receives a (2), stamped 4", "3 receives a (2), stamped 4"),
    *("1 runs a (2)", "the mark of a (2)", "1 sees", "2 sees", "3 sees", "1 dies", "etcd ends"),
)


def test_a_second_run_costs_no_event_where_another_was_never_in_doubt() -> None:
    """Deploys whose leaders were killed: a leader in doubt of second runs alone took all to be so, and marked
    plainly. Its mark struck out the next event of a replica whose session had begun after those runs.
    """
    options = {**OVERTAKING, "overtake": False, "polite": False, "deaths": 3, "lively": False, "cut": (1, 3)}
    assert check(4, "aaaa", HOLDS_A_HANDLED_ONE, repeats=False, **options).states > 100
    with pytest.raises(Violation, match="lost"):
        check(4, "aaaa", HOLDS_A_HANDLED_ONE, tally=broken_tallies.AllShareDoubts, repeats=False, **options)


@pytest.mark.long
@pytest.mark.parametrize(
    ("replicas", "stream", "options"),
    [
        (2, "aa", {"calms": 0, "sessions": 0, "ended": True, "says": True}),
        (2, "aa", {"calms": 0, "sessions": 0, "ended": True, "late_ready": True, "says": True}),
        (2, "aa", {"calms": 1, "breaks": 1}),
        (2, "aa", {"calms": 0, "sessions": 0, "ended": True, "breaks": 1, "losses": 1, "repeats": False}),
        (2, "ab", {"calms": 1, "polite": False}),
        (2, "aA", {"calms": 1}),
        (2, "ab", {"calms": 1, "overtake": True}),
        (2, "aba", {"calms": 0}),
        (2, "aab", {"calms": 0}),
        # Of two sessions in a row the docs promise only that nothing is lost; so of a watch that begins anew.
        (2, "aa", {"calms": 0, "sessions": 2, "repeats": False}),
        (2, "aaa", {"calms": 0, "sessions": 0, "ended": True, "snapshots": 1, "repeats": False}),
        # However far a watch or a connection may lag: nothing is lost.
        (2, "aa", {"calms": 1, "bounded": False, "repeats": False}),
        (2, "aa", {**CUT_OFF, "calms": 1, "polite": True}),
        (2, "aa", CUT_OFF),
        (2, "ab", CUT_OFF),
        (3, "a", {**CUT_OFF, "deaths": 2}),
        (3, "aa", {"calms": 0, "deaths": 2}),
        (3, "ab", {"calms": 0, "sessions": 0, "ended": True, "deaths": 2}),
    ],
    ids=str,
)
def test_larger_bounds(replicas: int, stream: str, options: dict[str, Any]) -> None:
    assert check(replicas, stream, most=3_000_000, **options).states > 50_000


@pytest.mark.parametrize(
    ("tally", "stream", "options", "found"),
    [
        (broken_tallies.StrikesByHash, "aa", {}, "lost"),
        (broken_tallies.AllMarksStrike, "aa", {}, "lost"),
        (broken_tallies.CertainByTime, "aa", {"calms": 1}, "lost"),
        (broken_tallies.KeepsSurplus, "aa", {"sessions": 1, "ended": False}, "lost"),
        (broken_tallies.UncertainStrike, "aa", {}, "lost"),
        (broken_tallies.SettledFirst, "aa", {}, "lost"),
        pytest.param(broken_tallies.NoSettle, "ab", {}, "run again", marks=pytest.mark.long),
        (broken_tallies.SurplusTellsNothing, "ab", {}, "run again"),
        (broken_tallies.AnyMarkStrikesEarlierSessions, "aa", {"sessions": 1, "repeats": False}, "lost"),
        (broken_tallies.LowWater, "ab", {"low_water": True}, "lost"),
        pytest.param(
            *(broken_tallies.SnapshotsAreCertain, "aaa", {"snapshots": 1, "repeats": False}, "lost"),
            marks=pytest.mark.long,
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_wrong_tally_is_found_out(
    tally: type[Tally], stream: str, options: dict[str, Any], found: str
) -> None:
    with pytest.raises(Violation, match=found):
        check(2, stream, **{"calms": 0, "sessions": 0, "ended": True, "tally": tally, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"markers": False},
        pytest.param({"own_marker": False, "sessions": 1, "repeats": False}, marks=pytest.mark.long),
        {"beats": False},
        {"in_order": False},  # what docs/guarantees.md asks of the gateway
        {"breaks": 1, "early": True},
        {"losses": 1, "found": False, "repeats": False},
        pytest.param({"losses": 1, "breaks": 1, "set_back": False, "repeats": False}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_what_the_tally_rests_on(options: dict[str, Any]) -> None:
    """Without it, even the right one loses an event."""
    with pytest.raises(Violation, match="lost"):
        check(2, "aa", **{"calms": 0, "sessions": 0, "ended": True, **options})

"""All interleavings of young gateway sessions up to a bound; and that each wrong tally is found out.

The cases of ``test_a_wrong_tally_is_found_out`` are what chaos runs, and this model, have found.
"""

from __future__ import annotations

from typing import Any

import broken_tallies
import pytest
from explore import Result, Violation, explore
from sessions_model import SessionsModel

from discordha.coordination.journal_tally import Tally


def check(replicas: int, stream: str, *, most: int = 400_000, **options: Any) -> Result:
    model = SessionsModel(replicas, stream, **options)
    result = explore(model.initial(), model.steps, model.invariant, model.goal, most=most)
    print(f"{replicas} replicas, {stream}, {options}: {result}")
    return result


def test_a_session_ends_at_any_moment() -> None:
    assert check(2, "aa", calms=0).states > 10_000


def test_seconds_pass_at_any_moment() -> None:
    assert check(2, "ab", calms=1, sessions=0, ended=True).states > 10_000


@pytest.mark.long
@pytest.mark.parametrize(
    ("replicas", "stream", "options"),
    [
        (2, "aa", {"calms": 1, "breaks": 1}),
        (2, "ab", {"calms": 1, "polite": False}),
        (2, "aA", {"calms": 1}),
        (2, "aba", {"calms": 0}),
        (2, "aab", {"calms": 0}),
        # Of two sessions in a row the docs promise only that nothing is lost; so of a watch that begins anew.
        (2, "aa", {"calms": 0, "sessions": 2, "repeats": False}),
        (2, "aaa", {"calms": 0, "sessions": 0, "ended": True, "snapshots": 1, "repeats": False}),
        # However far a watch or a connection may lag: nothing is lost.
        (2, "aa", {"calms": 1, "bounded": False, "repeats": False}),
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
        (broken_tallies.NoSettle, "ab", {}, "run again"),
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
        {"breaks": 1, "replayed_as_new": True},
        {"prompt": False},  # what docs/guarantees.md asks of the gateway
    ],
    ids=str,
)
def test_what_the_tally_rests_on(options: dict[str, Any]) -> None:
    """Without it, even the right one loses an event."""
    with pytest.raises(Violation, match="lost"):
        check(2, "aa", **{"calms": 0, "sessions": 0, "ended": True, **options})

"""The point moves only as far as some replica has received everything, and all of that is done.

A model of a shard: events happen at whole moments, and replicas come and go. Each live replica received what
happened since its session began; an event that is received is finished some time, by whomever, or never. The
leader carries the point on by the reaches that records showed, new ones or old ones of the dead.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from discordha.coordination.gaps.points import Reach, carried


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[int | None]]:
    """Sessions (from, to) and, for each moment, when its event was finished."""
    sessions = draw(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted), max_size=5))
    done = draw(st.lists(st.one_of(st.none(), st.integers(0, 10)), min_size=31, max_size=31))
    return [(begin, end) for begin, end in sessions], [
        None if after is None else moment + after for moment, after in enumerate(done)
    ]


def reach_of(session: tuple[int, int], now: int, done: list[int | None]) -> Reach | None:
    """What a replica says at a moment; a dead one says what it said last."""
    begin, end = session
    now = min(now, end)
    if now < begin:
        return None
    undone = [at for at in range(begin, now + 1) if (when := done[at]) is None or when > now]
    return Reach(begin - 0.5, min([now, *[at - 0.5 for at in undone]]))


@given(histories(), st.integers(0, 30))
@settings(max_examples=400, deadline=None)
def test_everything_up_to_the_point_was_received_and_is_done(
    history: tuple[list[tuple[int, int]], list[int | None]], start: int
) -> None:
    sessions, done = history
    point = start - 0.5
    for now in range(start, 31):
        reaches = [reach for each in sessions if (reach := reach_of(each, now, done)) is not None]
        moved = carried(point, reaches)
        assert moved >= point
        for at in range(start, 31):
            if at <= moved:
                when = done[at]
                assert any(begin <= at <= min(end, now) for begin, end in sessions), (at, moved)
                assert when is not None, (at, moved)
                assert when <= now, (at, moved)
        point = moved


def test_reaches_that_overlap_carry_the_point_over_several_replicas() -> None:
    assert carried(10.0, [Reach(25.0, 40.0), Reach(5.0, 20.0), Reach(15.0, 30.0)]) == 40.0
    assert carried(10.0, [Reach(10.1, 40.0)]) == 10.0
    assert carried(10.0, [Reach(5.0, 8.0)]) == 10.0
    assert carried(10.0, []) == 10.0


def test_a_record_that_cannot_be_read_claims_nothing() -> None:
    for reach in (None, {}, {"3": [1]}, {"3": ["a", 2.0, True]}, {"3": "xy"}, []):
        assert Reach.of({"reach": reach}, 3) is None
    assert Reach.of({"reach": {"3": [1.0, 2.5, False]}}, 3) == Reach(1.0, 2.5, False)

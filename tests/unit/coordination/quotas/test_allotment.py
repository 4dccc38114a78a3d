"""Shares of a bot's requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from discordha.coordination.quotas.request_shares import FLOOR, allot

WANTS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(0, 100), max_size=12)


def test_nobody_wants_anything() -> None:
    assert allot({}, 48) == {}
    assert allot({"a": 0}, 48) == {"a": 48}
    assert allot({"a": 0, "b": 0, "c": 0, "d": 0}, 48) == {"a": 12, "b": 12, "c": 12, "d": 12}


def test_busy_ones_get_what_others_leave() -> None:
    assert allot({"a": 48, "b": 0, "c": 0}, 48) == {"a": 44, "b": 2, "c": 2}
    assert allot({"a": 48, "b": 48, "c": 6}, 48) == {"a": 21, "b": 21, "c": 6}
    assert allot({str(n): 48 for n in range(60)}, 48) == {
        str(n): 1 if n in first(60) else 0 for n in range(60)
    }


def first(count: int) -> set[int]:
    return {int(name) for name in sorted(map(str, range(count)))[:48]}


@given(WANTS, st.integers(1, 60))
def test_all_is_shared_and_no_more(wants: dict[str, int], total: int) -> None:
    shares = allot(wants, total)
    assert shares.keys() == wants.keys()
    assert sum(shares.values()) == (total if wants else 0)
    if wants and total >= FLOOR * len(wants):
        assert min(shares.values()) >= FLOOR
    for name, share in shares.items():
        if share < wants[name]:  # then nobody has more than a little above it, or above his own want
            assert all(other <= max(share + 1, FLOOR) for other in shares.values())


@given(WANTS, st.integers(1, 60))
def test_equal_views_agree(wants: dict[str, int], total: int) -> None:
    assert allot(wants, total) == allot(dict(reversed(wants.items())), total)

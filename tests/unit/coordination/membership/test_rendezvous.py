"""Rendezvous hashing: only the keys of a member that goes move, and all agree for ever."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from discordha.coordination.membership.placement import order, weight

members = st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=8, unique=True)
keys = st.lists(st.text(max_size=20), min_size=1, max_size=30, unique=True)


@given(members, keys, st.data())
def test_only_the_keys_of_a_removed_member_move(
    names: list[str], texts: list[str], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(names))
    for key in texts:
        before = order(key, names)
        after = order(key, [name for name in names if name != gone])
        assert after == [name for name in before if name != gone]


@given(members, st.text(max_size=20), st.randoms(use_true_random=False))
def test_the_order_in_which_members_are_known_does_not_matter(
    names: list[str], key: str, random: object
) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert order(key, shuffled) == order(key, names)


def test_keys_spread_evenly() -> None:
    names = [f"replica-{number}" for number in range(3)]
    preferred = Counter(order(f"c{channel}", names)[0] for channel in range(3_000))
    assert all(900 < preferred[name] < 1_100 for name in names)


def test_the_weight_is_part_of_the_format() -> None:
    """Replicas of different versions must agree: this value must never change."""
    assert weight("c123", "replica-1").hex() == "0103b65ab0140f05"

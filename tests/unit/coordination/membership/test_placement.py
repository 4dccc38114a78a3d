"""Placement: even, stable, and the same for everybody."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discordha.coordination.membership import placement as placing
from discordha.coordination.membership.placement import Placement, place

NAMES = [f"bot-{number}" for number in range(12)]


def loads(placement: Placement, members: list[str]) -> list[int]:
    count = Counter(host for hosts in placement.values() for host in hosts)
    return [count[member] for member in members]


def check(placement: Placement, members: list[str], replication: int) -> None:
    wanted = min(replication, len(members))
    for hosts in placement.values():
        assert len(set(hosts)) == len(hosts) == wanted
        assert set(hosts) <= set(members)
    if members:
        each = loads(placement, members)
        assert max(each) - min(each) <= 2, each


@given(
    shards=st.integers(1, 40),
    replication=st.integers(1, 4),
    steps=st.lists(st.sets(st.sampled_from(NAMES), min_size=1), min_size=1, max_size=6),
)
def test_every_step_is_even(shards: int, replication: int, steps: list[set[str]]) -> None:
    placement: Placement = {}
    for members in steps:
        before = placement
        placement = place(placement, range(shards), members, replication)
        check(placement, sorted(members), replication)
        assert place(placement, range(shards), members, replication) == placement, "it rests"
        assert place(before, reversed(range(shards)), sorted(members), replication) == placement


def moved(before: Placement, after: Placement) -> int:
    """Hosts that a shard has got."""
    return sum(len(set(after[key]) - set(before[key])) for key in after)


def test_a_join_moves_what_the_newcomer_gets_and_nothing_else() -> None:
    before = place({}, range(16), NAMES[:4], 2)
    after = place(before, range(16), NAMES[:5], 2)
    gained = {key: set(after[key]) - set(before[key]) for key in after}
    assert {host for hosts in gained.values() for host in hosts} == {NAMES[4]}
    assert moved(before, after) == loads(after, NAMES[:5])[4] == 6


def test_a_death_moves_what_the_dead_one_had() -> None:
    before = place({}, range(16), NAMES[:5], 2)
    after = place(before, range(16), NAMES[1:5], 2)
    lost = sum(NAMES[0] in hosts for hosts in before.values())
    assert lost <= moved(before, after) <= lost + 1
    for key, hosts in before.items():
        if NAMES[0] not in hosts:
            assert len(set(hosts) & set(after[key])) >= 1


def test_fewer_members_than_hosts_wanted() -> None:
    alone = place({}, range(4), NAMES[:1], 2)
    assert alone == dict.fromkeys(range(4), (NAMES[0],))
    assert place(alone, range(4), [], 2) == dict.fromkeys(range(4), ())


def test_a_placement_that_rests_weighs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    before = place({}, range(64), NAMES, 2)
    weighed: list[str] = []
    monkeypatch.setattr(placing, "order", lambda key, members: weighed.append(key))
    monkeypatch.setattr(placing, "weight", lambda key, member: weighed.append(key))
    assert place(before, range(64), NAMES, 2) == before
    assert not weighed

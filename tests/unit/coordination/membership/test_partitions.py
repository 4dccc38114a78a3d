"""Partitions: a host is told of the claims of its shards' guilds, and of no more than it must."""

from __future__ import annotations

import random

import pytest

from discordha.coordination.membership.shard_keys import number_for
from discordha.coordination.partitions import MOST, UNPARTITIONED, Partitions, bare, partitions_for

_random = random.Random(7)
GUILDS = [_random.getrandbits(62) for _ in range(2_000)]


def is_told(key: str, ranges: list[tuple[str, str]]) -> bool:
    return any(first <= key < end for first, end in ranges)


@pytest.mark.parametrize("count", [16, 64, 512])
@pytest.mark.parametrize("shards", [1, 2, 3, 6, 8, 12, 16, 17, 64, 100, 128, 1024])
def test_a_host_is_told_of_all_guilds_of_its_shards(count: int, shards: int) -> None:
    partitions = Partitions(count)
    ranges = [partitions.ranges([(number, shards)]) for number in range(shards)]
    for guild in GUILDS:
        key = f"{partitions.of(guild)}message/1"
        assert is_told(key, ranges[number_for(guild, shards)])


@pytest.mark.parametrize(
    ("shards", "share"), [(2, 1 / 2), (8, 1 / 8), (16, 1 / 16), (24, 1 / 8), (3, 1.0), (64, 1 / 64)]
)
def test_and_of_as_few_others_as_the_number_of_shards_allows(shards: int, share: float) -> None:
    partitions = Partitions(256)
    told = [
        sum(
            is_told(f"{partitions.of(guild)}message/1", partitions.ranges([(number, shards)]))
            for guild in GUILDS
        )
        for number in (0, 1, shards - 1)
    ]
    for each in told:
        assert each / len(GUILDS) == pytest.approx(share, rel=0.6)


def test_a_shard_is_one_range_and_two_that_lie_together_are_one_too() -> None:
    partitions = Partitions(64)
    own = ("", "~")  # what belongs to no guild by its key: the bot's own events
    assert partitions.ranges([(3, 8)]) == [own, ("~030/", "~0370")]
    assert partitions.ranges([(0, 2), (1, 2)]) == [own, ("~000/", "~03f0")]
    # While a bot is resharded from 4 to 8, shard 1 of 4 covers shards 1 and 5 of 8.
    assert partitions.ranges([(5, 8), (1, 4), (1, 8)]) == partitions.ranges([(1, 4)])
    assert len(partitions.ranges([(number, 16) for number in range(0, 16, 3)])) <= 7


def test_what_happens_in_no_guild_belongs_to_shard_0() -> None:
    partitions = Partitions(64)
    assert is_told(f"{partitions.of(0)}message/1", partitions.ranges([(0, 8)]))
    assert not is_told(f"{partitions.of(0)}message/1", partitions.ranges([(1, 8)]))


def test_every_host_is_told_of_keys_without_a_partition() -> None:
    for key in ("timer/1", "gap/0", "audit_log_entry_create/5", "zone/8"):
        assert is_told(key, Partitions(64).ranges([(5, 8)]))
        assert is_told(key, UNPARTITIONED.ranges([(5, 8)]))


def test_a_bot_without_partitions_has_plain_keys() -> None:
    assert UNPARTITIONED.of(123 << 22) == ""
    assert not UNPARTITIONED
    assert UNPARTITIONED.all() == [""]


def test_names_are_told_from_keys() -> None:
    partitions = Partitions(32)
    for guild in GUILDS[:50]:
        assert bare(f"{partitions.of(guild)}message/1/=channel") == "message/1/=channel"
        assert partitions.of(guild) in partitions.all()
    assert bare("message/~1") == "message/~1"


def test_a_bot_may_grow() -> None:
    assert [partitions_for(count) for count in (1, 2, 4, 5, 16, 100)] == [16, 16, 16, 32, 64, 512]
    assert partitions_for(10_000) == MOST


@pytest.mark.parametrize("count", [-1, 3, 48, 2 * MOST])
def test_other_numbers_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=str(count)):
        Partitions(count)

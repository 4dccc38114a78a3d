"""The plan's partitions: set when a bot is founded, and later only where nothing depends on it."""

from __future__ import annotations

import pytest

from discordha.coordination.etcd.store import Put
from discordha.coordination.membership.shard_keys import key_of
from discordha.coordination.membership.shard_plan import ShardPlan
from discordha.coordination.memory.store import MemoryStore

ROOT = "/discordha/v1/bot/"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def plan_of(store: MemoryStore) -> ShardPlan:
    plan = ShardPlan(store, ROOT, "r1")
    plan.start_life()
    return plan


def older_bot(store: MemoryStore, count: int = 8) -> None:
    """What a version without partitions has founded."""
    store.txn((), (Put(f"{ROOT}s/serving", b"0"), Put(f"{ROOT}s/g/0", b'{"count": %d}' % count)))


def test_a_new_bot_has_partitions_and_later_replicas_read_them(store: MemoryStore) -> None:
    assert plan_of(store).found(8)
    assert plan_of(store).partitions.count == 32
    assert not plan_of(store).found(64)
    assert plan_of(store).partitions.count == 32


def test_a_bot_that_had_none_gets_them_with_its_shards_if_nobody_handles_events(store: MemoryStore) -> None:
    """The deploy that divides a running bot keeps its keys."""
    plan = plan_of(store)
    store.put(f"{ROOT}m/r0", b'{"state": "ready"}')
    assert plan.found(8)
    assert not plan_of(store).partitions


@pytest.mark.parametrize("key", ["e/message/1", "j/0/abc"])
def test_marks_are_found_where_they_were(store: MemoryStore, key: str) -> None:
    store.put(ROOT + key, b"d r0 1 0")
    assert plan_of(store).found(8)
    assert not plan_of(store).partitions


def test_replicas_that_start_together_have_them(store: MemoryStore) -> None:
    plan = plan_of(store)
    for replica in ("r0", "r1"):
        store.put(f"{ROOT}m/{replica}", b'{"replica": "r0", "state": "starting"}')
    assert plan.found(8)
    assert plan_of(store).partitions.count == 32


def test_a_bot_without_shards_has_none(store: MemoryStore) -> None:
    assert not plan_of(store).partitions


def test_an_older_bot_gets_them_once_its_fleet_has_ended_and_no_mark_is_left(store: MemoryStore) -> None:
    older_bot(store)
    store.put(f"{ROOT}m/r0", b"{}")
    assert not plan_of(store).partitions, "a replica of the older version runs"
    store.delete(f"{ROOT}m/r0")
    store.put(f"{ROOT}e/message/1", b"d r0 1 0")
    assert not plan_of(store).partitions, "a mark would not be found"
    store.delete(f"{ROOT}e/message/1")
    assert plan_of(store).partitions.count == 32
    store.put(f"{ROOT}m/r0", b"{}")
    assert plan_of(store).partitions.count == 32


@pytest.mark.parametrize("value", [b"", b"48", b"many", b"-1"])
def test_something_else_under_the_key_is_told_and_partitions_nothing(
    store: MemoryStore, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    older_bot(store)
    store.put(f"{ROOT}s/partitions", value)
    assert not plan_of(store).partitions
    assert "s/partitions can't be read" in caplog.text


@pytest.mark.parametrize(
    ("counts", "key", "others"),
    [
        ({0: 4}, 1, []),
        ({0: 4, 1: 8}, key_of(1, 5), [1]),
        ({0: 4, 1: 8}, 1, [key_of(1, 1), key_of(1, 5)]),
        ({2: 8, 3: 4}, key_of(3, 1), [key_of(2, 1), key_of(2, 5)]),
        ({0: 2, 1: 3}, key_of(1, 2), [0, 1]),
        ({}, 0, []),
    ],
)
def test_shards_of_the_other_generation_that_may_have_the_same_guilds(
    store: MemoryStore, counts: dict[int, int], key: int, others: list[int]
) -> None:
    plan = plan_of(store)
    plan.generations = counts
    assert plan.sharing(key) == others

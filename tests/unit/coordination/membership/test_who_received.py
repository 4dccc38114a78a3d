"""Whether a peer has received what this replica received at a moment, by what peers say of their sessions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent
from discordha.coordination.membership.members import DELIVERY_SKEW, Members
from discordha.coordination.session import Grant

NOW = 1000.0


class NoGrants:
    current = None

    def add_listener(self, on_begin: Callable[[Grant], None], on_lost: Callable[[Grant], None]) -> None:
        pass


def record_of(replica: str, record: dict[str, Any], *, created: int = 1) -> KeyValue:
    return KeyValue(f"/bot/m/{replica}", json.dumps(record).encode(), created, created, 1, 0)


def members(**records: dict[str, Any]) -> Members:
    """As one replica, ``me``, sees them, whose records were all there when it came, now."""
    store: Any = None
    seen = Members(store, NoGrants(), "/bot/", "me", dict, interval=1.0, clock=lambda: NOW)
    seen.on_snapshot(Snapshot(1, [record_of(name, record) for name, record in records.items()]))
    return seen


def hears(age: float, state: Any = "ready") -> dict[str, Any]:
    return {"state": state, "hears": {"0": age}}


@pytest.mark.parametrize(
    ("age", "ago", "expected"),
    [
        (60.0, 5.0, True),
        (5.0 + DELIVERY_SKEW, 5.0, True),
        (5.0 + DELIVERY_SKEW - 0.01, 5.0, False),  # perhaps this replica got it that late
        (5.0, 60.0, False),
        (0.0, -math.inf, True),  # what is still to come
    ],
)
def test_a_session_has_what_came_after_its_begin(age: float, ago: float, expected: bool) -> None:
    assert members(peer=hears(age)).has_received(0, NOW - ago) is expected


@pytest.mark.parametrize(
    "state", ["starting", "unready", "deaf", "draining", "stopping", "of another version", ["?"], None]
)
def test_who_is_not_ready_or_leaves_does_not_count(state: Any) -> None:
    seen = members(peer=hears(60.0, state))
    assert not seen.has_received(0, NOW)
    assert not seen.has_received(0, math.inf)


def test_nor_does_this_replica_or_one_that_says_nothing_of_the_shard() -> None:
    seen = members(me=hears(60.0), other={"state": "ready"}, third={"state": "ready", "hears": {"1": 60.0}})
    assert not seen.has_received(0, NOW)
    assert seen.has_received(1, NOW)
    assert not members(peer={"state": "ready", "hears": {"0": "long"}}).has_received(0, NOW)


def test_nor_one_that_does_not_host_the_shard() -> None:
    seen = members(peer=hears(60.0))
    assert seen.has_received(0, NOW, {"peer"})
    assert not seen.has_received(0, NOW, {"else"})


def test_nor_one_that_was_away_meanwhile() -> None:
    """It stood still, say, and does not know yet what it has missed."""
    seen = members(me=hears(60.0), peer=hears(60.0))
    seen.on_events(2, [WatchEvent("put", record_of("peer", hears(61.0)))])
    assert seen.has_received(0, NOW - 5.0), "its record is written again and again"
    seen.on_events(3, [WatchEvent("delete", record_of("peer", {}))])
    seen.on_events(4, [WatchEvent("put", record_of("peer", hears(65.0), created=4))])
    assert not seen.has_received(0, NOW - 5.0)
    assert not seen.has_received(0, NOW + DELIVERY_SKEW - 0.01)
    assert seen.has_received(0, NOW + DELIVERY_SKEW)


def test_a_snapshot_tells_of_one_that_was_away_too() -> None:
    seen = members(me=hears(60.0), peer=hears(60.0), other=hears(1.0))
    again = [
        record_of("me", hears(65.0)),
        record_of("peer", hears(65.0), created=4),
        record_of("other", hears(6.0)),
    ]
    seen.on_snapshot(Snapshot(5, again))
    assert not seen.has_received(0, NOW - 5.1)
    assert seen.has_received(0, NOW - 5.0 + 2 * DELIVERY_SKEW), "the other was there all the time"


@pytest.mark.parametrize("state", ["deaf", "unready", "of another version", ["?"], None])
def test_who_is_not_ready_for_whatever_reason_ranks_last(state: Any) -> None:
    """A channel's events would wait for a replica that gets none. One of unknown state is taken for such."""
    seen = members(me=hears(60.0), peer=hears(60.0, state))
    assert {seen.rank(str(channel)) for channel in range(100)} == {0}
    seen.on_events(2, [WatchEvent("put", record_of("peer", hears(61.0)))])
    assert {seen.rank(str(channel)) for channel in range(100)} == {0, 1}


def test_an_earlier_version_knows_that_this_replica_is_not_ready() -> None:
    """0.1 has another word for it, and trusts a replica in any state that it does not know: as it drained, it
    left unfinished events to one that had received nothing.
    """
    store: Any = None
    own = Members(store, NoGrants(), "/bot/", "me", lambda: {"state": "unready"}, interval=1.0)
    written = own.encoded()
    assert json.loads(written)["state"] == "deaf"
    own.on_snapshot(Snapshot(1, [KeyValue("/bot/m/me", written, 1, 1, 1, 0)]))
    assert own.records()["me"]["state"] == "unready"

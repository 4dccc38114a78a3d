"""Whether a peer has received what this replica received at a moment, by what peers say of their sessions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from discordha.coordination.members import LAG, Members
from discordha.coordination.session import Grant
from discordha.coordination.store import KeyValue, WatchEvent

NOW = 1000.0


class NoGrants:
    current = None

    def add_listener(self, on_begin: Callable[[Grant], None], on_lost: Callable[[Grant], None]) -> None:
        pass


def members(**records: dict[str, Any]) -> Members:
    """As one replica, ``me``, sees them, whose records all came in now."""
    store: Any = None
    seen = Members(store, NoGrants(), "/bot/", "me", dict, interval=1.0, clock=lambda: NOW)
    for replica, record in records.items():
        kv = KeyValue(f"/bot/m/{replica}", json.dumps(record).encode(), 1, 1, 1, 0)
        seen.on_events(1, [WatchEvent("put", kv)])
    return seen


def hears(age: float, state: str = "ready") -> dict[str, Any]:
    return {"state": state, "hears": {"0": age}}


@pytest.mark.parametrize(
    ("age", "ago", "expected"),
    [
        (60.0, 5.0, True),
        (5.0 + LAG, 5.0, True),
        (5.0 + LAG - 0.01, 5.0, False),  # perhaps this replica got it that late
        (5.0, 60.0, False),
        (0.0, -math.inf, True),  # what is still to come
    ],
)
def test_a_session_has_what_came_after_its_begin(age: float, ago: float, expected: bool) -> None:
    assert members(peer=hears(age)).has_received(0, NOW - ago) is expected


@pytest.mark.parametrize("state", ["starting", "deaf", "draining", "stopping"])
def test_who_is_not_ready_or_leaves_does_not_count(state: str) -> None:
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

"""What a member's record costs the others: the same in a large fleet as in a small one."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent
from discordha.coordination.membership.members import Members


class NoGrants:
    current = None

    def add_listener(self, *_: Any) -> None:
        pass


def put(name: str, record: dict[str, Any], revision: int = 1) -> KeyValue:
    return KeyValue(f"/bot/m/{name}", json.dumps(record).encode(), 1, revision, 1, 0)


def fleet(count: int) -> Members:
    store: Any = None
    seen = Members(store, NoGrants(), "/bot/", "me", dict, interval=1.0)  # type: ignore[arg-type]
    seen.on_snapshot(Snapshot(1, [put(f"r{number}", {"state": "ready"}) for number in range(count)]))
    return seen


def calls_of(members: Members, kv: KeyValue) -> int:
    """How many functions are called, C's included, until a record is taken."""
    events, count = [WatchEvent("put", kv)], 0

    def note(frame: Any, event: str, what: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        members.on_events(kv.mod_revision, events)
    finally:
        sys.setprofile(before)
    return count


def test_a_heartbeat_costs_the_same_in_a_large_fleet() -> None:
    small, large = (
        calls_of(fleet(count), put("r1", {"state": "ready", "load": 3}, 2)) for count in (10, 1000)
    )
    assert small == large


@pytest.mark.parametrize("state", ["draining", "unready", None])
def test_a_state_that_changes_changes_the_ranks(state: str | None) -> None:
    members = fleet(10)
    before = members.version
    put_again = put("r1", {"state": "ready", "load": 3}, 2)
    members.on_events(2, [WatchEvent("put", put_again)])
    assert members.version == before
    assert members.records()["r1"]["load"] == 3
    members.on_events(3, [WatchEvent("put", put("r1", {"state": state}, 3))])
    assert members.version == before + 1
    assert members.draining == ({"r1"} if state == "draining" else set())


def test_one_who_comes_or_goes_changes_the_ranks() -> None:
    members = fleet(10)
    before = members.version
    members.on_events(2, [WatchEvent("put", put("new", {"state": "ready"}, 2))])
    assert members.version == before + 1
    assert "new" in members.live
    members.on_events(3, [WatchEvent("delete", put("new", {}, 3))])
    assert members.version == before + 2
    assert "new" not in members.live

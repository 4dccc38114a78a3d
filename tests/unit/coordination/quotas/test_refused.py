"""What replicas tell of requests that Discord refused them, while they come and go."""

from __future__ import annotations

import json
from typing import Any

from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.quotas.request_shares import Shares


def shares() -> Shares:
    nothing: Any = None
    return Shares(nothing, nothing, "/r/", "me", total=48, meter=nothing)


def tell(shares: Shares, kind: str, name: str, refused: int = 0) -> None:
    value = json.dumps([8, 8, refused]).encode()
    kv = KeyValue(f"/r/q/s/{name}", value, 1, 1, 1, 0)
    shares.on_events(1, [WatchEvent(kind, kv)])


def test_what_the_dead_were_refused_is_remembered() -> None:
    one = shares()
    tell(one, "put", "a", 70)
    tell(one, "put", "b", 5)
    assert one.others_refused() == 75
    tell(one, "delete", "a")
    assert one.others_refused() == 75


def test_a_replica_that_had_lost_its_session_is_not_counted_twice() -> None:
    one = shares()
    tell(one, "put", "a", 70)
    for refused in (70, 71):
        tell(one, "delete", "a")
        tell(one, "put", "a", refused)
        assert one.others_refused() == refused


def test_one_that_begins_anew_under_the_same_name_has_told_nothing_of_it() -> None:
    one = shares()
    tell(one, "put", "a", 70)
    tell(one, "delete", "a")
    tell(one, "put", "a", 0)
    assert one.others_refused() == 70
    tell(one, "put", "a", 3)
    assert one.others_refused() == 73

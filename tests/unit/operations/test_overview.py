"""What a fleet's keys say, on a store in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from discordha.coordination.memory.store import MemoryStore
from discordha.operations.fleet import Fleet

ROOT = "/discordha/v1/bot/"


def fleet(**keys: Any) -> Fleet:
    store = MemoryStore()
    lease = store.grant(60.0).id
    for key, value in keys.items():
        text = value if isinstance(value, str) else json.dumps(value)
        store.put(ROOT + key, text.encode(), lease=lease)
    return Fleet(store, ROOT)


def test_a_bot_without_shards() -> None:
    found = fleet(
        **{
            "m/a": {"state": "ready"},
            "m/b": {"state": "starting"},
            "l/0/1": {"replica": "a"},
        }
    ).status()
    assert found["hosts"] == [{"shard": 0, "next": False, "hosts": {"a": "leads", "b": "opens"}}]
    assert found["replicas"]["a"]["leads"] == [0]
    assert found["shards"] == {"count": None, "next": None}
    assert found["etcd"] == []


def test_shards_that_move_and_those_to_come() -> None:
    found = fleet(
        **{
            "s/serving": "1",
            "s/g/1": {"count": 2},
            "s/g/2": {"count": 3},
            "s/p/1": {"1000000": ["a"], "1000001": ["b", "c"]},
            "s/p/2": {"2000002": ["a"]},
            "s/h/1000000/a": "ready",
            "s/h/1000000/b": "ready",
            "s/h/1000001/b": "ready",
            "s/h/7/b": "ready",  # of a generation that is over
            "l/1000000/1": {"replica": "a"},
            "l/1000001/2": {"replica": "b"},
        }
    ).status()
    assert found["hosts"] == [
        {"shard": 0, "next": False, "hosts": {"a": "leads", "b": "leaves"}},
        {"shard": 1, "next": False, "hosts": {"b": "leads", "c": "opens"}},
        {"shard": 2, "next": True, "hosts": {"a": "opens"}},
    ]
    assert found["leaders"] == {"0": "a", "1": "b"}
    assert found["shards"] == {"count": 2, "next": 3}


def test_loops_shares_and_budget() -> None:
    found = fleet(
        **{
            "lc/a/b": {"runs": 3, "begun": 5.0, "stopped": True},
            "lp/a/b": "r1",
            "lt/daily": {"due": 9.5, "attempt": 0},
            "q/s/r1": [25, 3, 0],
            "q/s/odd": "?",
            "q/turn": "r1",
            "ib/day": {"remaining": 10, "total": 1000},
        }
    ).status()
    assert found["loops"] == [
        {"name": "a/b", "runs": 3, "begun": 5.0, "due": None, "stopped": True, "running": "r1"},
        {"name": "daily", "runs": 0, "begun": None, "due": 9.5, "stopped": False, "running": None},
    ]
    assert found["rest"] == {"r1": {"share": 25, "want": 3, "refused": 0}}
    assert found["identify"] == {"remaining": 10, "total": 1000}


@pytest.mark.parametrize(("apart", "shown"), [(3.0, 1), (61.0, 2)])
def test_an_end_that_several_replicas_saw_is_one_incident(apart: float, shown: int) -> None:
    end = {"at": 100.0, "kind": "gone", "replica": "x", "number": 1}
    own = {"at": 101.0, "kind": "deaf", "replica": "a", "number": 1, "shard": 0}
    found = fleet(
        **{
            "m/a": {"incidents": [end, own, 5, {"at": "x"}, end | {"kind": ["gone"]}]},
            "m/b": {"incidents": [end | {"at": 100.0 + apart}]},
        }
    ).status()["incidents"]
    assert [each for each in found if each["kind"] == "deaf"] == [own]
    assert len([each for each in found if each["kind"] == "gone"]) == shown
    assert found == sorted(found, key=lambda each: -each["at"])

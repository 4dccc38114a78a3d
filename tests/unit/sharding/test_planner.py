"""The plan is computed when its members or the plan itself have changed, and not while they stay."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.coordination.membership.shard_plan import ShardPlan
from discordha.coordination.memory.store import MemoryStore
from discordha.sharding import planner
from discordha.sharding.planner import ShardPlanner

ROOT = "/discordha/v1/bot/"


class Fleet:
    """The members as one replica sees them, and its planner."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.names = names
        self.store = MemoryStore()
        self.plan = ShardPlan(self.store, ROOT, "a")
        assert self.plan.found(8)
        members = SimpleNamespace(records=lambda: {name: {} for name in self.names}, draining=frozenset())
        node: Any = SimpleNamespace(plan=self.plan, members=members)
        self.planner = ShardPlanner(node, "a", 2)
        self.planner._clock = lambda: self.now
        self.now = 100.0
        self.computed: list[Sequence[str]] = []
        place = planner.place

        def noted(previous: Any, shards: Any, members: Any, replication: int) -> Any:
            self.computed.append(members)
            return place(previous, shards, members, replication)

        monkeypatch.setattr(planner, "place", noted)

    def see(self) -> None:
        """The watch tells everything."""
        self.plan.on_snapshot(self.store.range(f"{ROOT}s/"))

    def settle(self) -> None:
        for _ in range(20):
            self.now += 0.5
            self.planner.write()
            self.see()


def test_a_plan_is_computed_once_for_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(monkeypatch, "a", "b", "c")
    fleet.see()
    for _ in range(10):
        fleet.planner.write()
    assert len(fleet.computed) == 1
    fleet.names = ("a", "b", "c", "d")
    fleet.planner.write()
    fleet.planner.write()
    assert len(fleet.computed) == 2
    assert not fleet.planner.planned


def test_it_follows_every_change(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(monkeypatch, "a", "b", "c")
    fleet.see()
    fleet.settle()
    assert fleet.planner.planned
    assert {host for hosts in fleet.plan.placement(0).values() for host in hosts} == {"a", "b", "c"}
    fleet.names = ("a", "b")
    fleet.settle()
    assert fleet.planner.planned
    assert {host for hosts in fleet.plan.placement(0).values() for host in hosts} == {"a", "b"}

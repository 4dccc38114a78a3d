"""A host that leaves a shard: what keeps it."""

from __future__ import annotations

import types
from typing import Any

from discordha import Config
from discordha.sharding import host as module
from discordha.sharding.host import MAX_SETTLING, ShardHost


class Leaders:
    """A standby's journal: when each event that waits there was received."""

    def __init__(self, waiting: list[float]) -> None:
        self.waiting = waiting
        self.retired = False

    def oldest(self, key: int) -> float | None:
        return min(self.waiting, default=None)

    def youngest(self, key: int, before: float) -> float | None:
        return max((moment for moment in self.waiting if moment < before), default=None)

    def busy(self, key: int) -> bool:
        return False

    def leads(self, key: int) -> bool:
        return False

    def ask_for_passed_over(self, key: int, before: float) -> bool:
        return False

    def is_out(self, key: int) -> bool:
        return False

    def retire(self, key: int) -> None:
        self.retired = True


def leaving(waiting: list[float], now: float) -> tuple[ShardHost, Leaders, Any]:
    leaders = Leaders(waiting)
    plan = types.SimpleNamespace(
        listeners=[],
        generations={0: 2},
        placement=lambda generation: {1: ("b",)},
        ready=lambda key: frozenset({"b"}),
        withdraw=lambda key: None,
    )
    host = ShardHost(
        Config(token="x.y.z", shard_count=2, etcd_endpoints=("127.0.0.1:1",), name="bot"),
        types.SimpleNamespace(plan=plan),  # type: ignore[arg-type]
        types.SimpleNamespace(),  # type: ignore[arg-type]
        leaders,  # type: ignore[arg-type]
        types.SimpleNamespace(oldest=lambda key: None),  # type: ignore[arg-type]
        replica_id="a",
        is_deaf=lambda key: False,
        on_fatal=lambda error: None,
    )
    host._clock = lambda: now
    hosted = module._Hosted(1, 4, phase="settling", handed_at=now - 1.0)
    return host, leaders, hosted


def test_an_old_leftover_does_not_hide_a_younger_event() -> None:
    """Found by the simulation: a standby left its shard with an event that only it had received."""
    host, leaders, hosted = leaving([1000.0, 1065.0], now=1000.0 + MAX_SETTLING + 10.0)
    host._step(hosted, False)
    assert (hosted.phase, leaders.retired) == ("settling", False)


def test_nothing_keeps_a_shard_for_ever() -> None:
    host, leaders, hosted = leaving([1000.0, 1005.0], now=1005.0 + MAX_SETTLING)
    host._step(hosted, False)
    assert (hosted.phase, leaders.retired) == ("resigning", True)


def test_events_of_the_time_with_successors_keep_no_shard() -> None:
    now = 2000.0
    host, leaders, hosted = leaving([now - 0.5], now)
    host._step(hosted, False)
    assert (hosted.phase, leaders.retired) == ("resigning", True)

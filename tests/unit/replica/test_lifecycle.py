"""The order in which a replica's parts start and stop, with parts that only take notes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from discordha.errors import ConfigError
from discordha.replica.lifecycle import ReplicaLifecycle


class Part:
    """Notes each call as ``name.method``; ``answers`` are what calls return, or raise."""

    def __init__(self, name: str, calls: list[str], **answers: Any) -> None:
        self._name, self._calls, self._answers = name, calls, answers
        self.under_way = 0

    def __getattr__(self, method: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            self._calls.append(f"{self._name}.{method}")
            answer = self._answers.get(method)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


class Scene:
    """A replica with etcd; ``sharded``: it hosts shards."""

    def __init__(self, *, sharded: bool = False, left: list[str] | None = None, **broken: Exception) -> None:
        self.calls: list[str] = []
        self.clean: list[bool] = []

        def part(name: str, **answers: Any) -> Part:
            return Part(name, self.calls, **answers, **({"start": broken[name]} if name in broken else {}))

        identify = part("identify")
        identify.stop = lambda *, clean: (self.calls.append("identify.stop"), self.clean.append(clean))
        coordination = part("coordination")
        coordination.members = part("members")
        readiness = part("readiness")
        readiness.was_ready = True
        self.lifecycle = ReplicaLifecycle(
            SimpleNamespace(  # type: ignore[arg-type]
                config=SimpleNamespace(shard_count=2 if sharded else None),
                health=part("health"),
                node=coordination,
                coordination=coordination,
                dispatcher=part("dispatcher", drain=left or [], marked=True),
                leaders=part("leaders", hand_over=0),
                gateway=part("gateway", session_limits=SimpleNamespace(shards=1)),
                identify=identify,
                hosting=part("hosting") if sharded else None,
                commands=part("commands"),
                monitor=part("monitor"),
                loops=part("loops", stop=True),
                wheel=part("wheel"),
                inbox=part("inbox"),
                catch_up=part("catch_up"),
                waiters=part("waiters"),
                voice=part("voice"),
                shared=part("shared"),
                readiness=readiness,
                voice_workers=[part("worker")],
                telemetry=None,
            )
        )

    def order(self, *calls: str) -> None:
        """These were called, in this order."""
        places = [self.calls.index(call) for call in calls]
        assert places == sorted(places), self.calls


def test_nothing_arrives_before_it_can_be_handled() -> None:
    scene = Scene()
    scene.lifecycle.start()
    scene.order(
        "health.start",
        "coordination.start",
        "dispatcher.start",
        "leaders.start",
        "gateway.start",
        "catch_up.start",
        "identify.start",
        "leaders.open",
        "gateway.open_shard",
        "monitor.start",
        "worker.start",
    )


def test_a_drain_hands_over_before_it_waits_and_keeps_the_session_to_the_end() -> None:
    scene = Scene(sharded=True)
    scene.lifecycle.start()
    scene.calls.clear()
    assert scene.lifecycle.stop(10.0) == []
    scene.order(
        "readiness.drain",
        "catch_up.pause",
        "members.flush",
        "hosting.give_away",
        "hosting.stop",
        "leaders.finish",
        "leaders.hand_over",
        "loops.pause",
        "wheel.pause",
        "inbox.pause",
        "worker.stop",
        "dispatcher.drain",
        "waiters.close",
        "dispatcher.marked",
        "loops.stop",  # after the handlers: a loop's last flush has what they kept
        "readiness.end",
        "catch_up.settle",
        "catch_up.stop",
        "dispatcher.stop",
        "gateway.stop",
        "identify.stop",
        "leaders.stop",
        "coordination.stop",
        "health.stop",
    )
    assert scene.clean == [True]
    scene.calls.clear()
    assert scene.lifecycle.stop(10.0) == []
    assert scene.calls == []


def test_handlers_that_run_on_are_returned() -> None:
    scene = Scene(left=["on_message 1"])
    scene.lifecycle.start()
    assert scene.lifecycle.stop(0.0) == ["on_message 1"]
    assert "catch_up.settle" not in scene.calls, "not everything is finished"


def test_a_failed_start_stops_everything_and_counts_as_a_crash() -> None:
    scene = Scene(gateway=ConfigError("no"))
    with pytest.raises(ConfigError):
        scene.lifecycle.start()
    scene.order("gateway.start", "readiness.drain", "gateway.stop", "coordination.stop")
    assert "gateway.open_shard" not in scene.calls


def test_an_error_counts_as_a_crash() -> None:
    scene = Scene()
    scene.lifecycle.start()
    scene.lifecycle.note_failure()
    scene.lifecycle.stop(1.0)
    assert scene.clean == [False]

"""When a replica whose gateway session is young stands for election."""

from __future__ import annotations

from typing import Any

import pytest

from discordha.coordination.journal.sessions import SETTLE
from discordha.leader.candidacy import YIELD, CandidacyPolicy


class Peers:
    """Members, as ``CandidacyPolicy`` sees them: what each says, and how long ago."""

    def __init__(self) -> None:
        self.said: dict[str, dict[str, Any]] = {}
        self.ago: dict[str, float] = {}

    def poke(self) -> None:
        """No other process is told."""

    def records(self) -> dict[str, dict[str, Any]]:
        return self.said

    def silence(self, replica: str) -> float:
        return self.ago.get(replica, 0.0)


class Scene:
    """A replica whose gateway session began at 100 s."""

    def __init__(self, *, led: bool = True) -> None:
        self.now = 100.0
        self.peers = Peers()
        members: Any = self.peers
        self.policy = CandidacyPolicy(members, "me", 3, led=led, clock=lambda: self.now)
        self.policy.session_began()

    def peer(self, age: float, *, ago: float = 0.0, state: str = "ready", shard: str = "3") -> None:
        self.peers.said["peer"] = {"state": state, "hears": {shard: age}}
        self.peers.ago["peer"] = ago

    def may_stand(self, after: float, leader: str | None = None) -> bool:
        self.now = 100.0 + after
        return self.policy.may_stand(leader)


def test_an_old_session_stands_whoever_leads() -> None:
    scene = Scene()
    scene.peer(1000.0)
    assert not scene.may_stand(SETTLE - 0.1, "peer")
    assert scene.may_stand(SETTLE, "peer")


def test_a_young_one_waits_while_somebody_leads_and_then_for_older_peers() -> None:
    scene = Scene()
    scene.peer(60.0)
    assert not scene.may_stand(1.0, "other")
    assert not scene.policy.yields
    assert not scene.may_stand(1.5)
    assert scene.policy.yields
    assert not scene.may_stand(1.5 + YIELD - 0.1)
    assert scene.may_stand(1.5 + YIELD)


def test_the_wait_begins_anew_when_somebody_has_led_meanwhile() -> None:
    scene = Scene()
    scene.peer(60.0)
    assert not scene.may_stand(1.0)
    assert not scene.may_stand(1.5, "other")
    assert not scene.may_stand(1.1 + YIELD)
    assert scene.may_stand(1.1 + 2 * YIELD)


@pytest.mark.parametrize(
    "peer",
    [
        {"age": 0.5},
        {"age": 1.04},  # as old
        {"age": 60.0, "state": "draining"},
        {"age": 60.0, "state": "of another version"},
        {"age": 60.0, "shard": "4"},
    ],
)
def test_nobody_else_is_waited_for(peer: dict[str, Any]) -> None:
    scene = Scene()
    scene.peer(**peer)
    assert scene.may_stand(1.0)


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ({"reach": {"3": [1.0, 2.0, 1]}}, True),
        ({"reach": {"3": [1.0, 2.0, 0]}}, False),
        ({}, True),  # without ``catch_up``
    ],
)
def test_one_that_is_not_ready_may_have_received_more_unless_it_is_cut_off(
    said: dict[str, Any], waits: bool
) -> None:
    """etcd has refused it until a moment ago, say."""
    scene = Scene()
    scene.peer(60.0, state="unready")
    scene.peers.said["peer"].update(said)
    assert scene.may_stand(1.0) is not waits
    assert scene.may_stand(1.0 + YIELD)


def test_a_record_ages_with_its_silence() -> None:
    scene = Scene()
    scene.peer(0.9, ago=0.3)
    assert not scene.may_stand(1.0)


def test_where_nobody_has_led_nobody_has_more() -> None:
    scene = Scene(led=False)
    scene.peer(60.0)
    assert scene.may_stand(1.0)
    scene.policy.saw_leader()
    assert not scene.may_stand(1.0)


def test_a_new_session_is_young_again() -> None:
    scene = Scene()
    scene.peer(60.0)
    scene.now = 160.0
    assert scene.policy.session_age == 60.0
    assert scene.may_stand(60.0)
    scene.policy.session_began()
    assert scene.policy.session_age == 0.0
    assert not scene.may_stand(60.5)

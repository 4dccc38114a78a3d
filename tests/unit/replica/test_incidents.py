"""What a replica notes of incidents, and what it adopts from its peers."""

from __future__ import annotations

from typing import Any

from discordha.coordination.membership.departures import Departure
from discordha.replica.incidents import JOINED_WITHIN, KEPT, Incidents, Observation


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def listed(incidents: Incidents) -> list[tuple[Any, ...]]:
    names = ("kind", "replica", "number", "shard")
    return [tuple(each.get(name) for name in names) for each in incidents.listed()]  # type: ignore[union-attr]


def test_each_change_is_noted_once() -> None:
    incidents = Incidents("me", Clock())
    ends = [Departure(1, "a", False), Departure(2, "b", True)]
    incidents.look(Observation({}, ends[:1], leads=frozenset({1})))
    incidents.look(Observation({}, ends[:1], leads=frozenset({1})))
    assert listed(incidents) == [("gone", "a", 1, None), ("leads", "me", 1, 1)]
    for _ in range(2):
        incidents.look(Observation({}, ends, 3, 1, 1, frozenset({0}), frozenset({1})))
    assert listed(incidents)[2:] == [
        ("drained", "b", 1, None),
        ("session lost", "me", 1, None),
        ("took over", "me", 3, None),
        ("dead letter", "me", 1, None),
        ("deaf", "me", 1, 0),
    ]


def test_equal_incidents_soon_after_another_are_one() -> None:
    clock = Clock()
    incidents = Incidents("me", clock)
    incidents.look(Observation({}, taken_over=3))
    clock.now += JOINED_WITHIN
    incidents.look(Observation({}, taken_over=5))
    assert listed(incidents) == [("took over", "me", 5, None)]
    clock.now += JOINED_WITHIN
    incidents.look(Observation({}, taken_over=6))
    assert listed(incidents) == [("took over", "me", 5, None), ("took over", "me", 1, None)]


def test_the_list_is_bounded() -> None:
    clock = Clock()
    incidents = Incidents("me", clock)
    for losses in range(1, 3 * KEPT):
        clock.now += 2 * JOINED_WITHIN
        incidents.look(Observation({}, losses=losses))
    assert len(incidents.listed()) == KEPT
    assert incidents.listed()[-1]["at"] == clock.now  # type: ignore[index,call-overload]


def test_a_new_replica_adopts_what_its_peers_tell_once_and_ignores_the_rest() -> None:
    told = {"at": 990.0, "kind": "drained", "replica": "old", "number": 1}
    later = told | {"at": 990.5}
    odd = ["text", None, {"kind": "drained"}, {"kind": "new kind", "at": 1.0}, told | {"at": float("nan")}]
    odd += [told | {"kind": ["x"]}, told | {"number": "x"}]
    incidents = Incidents("me", Clock())
    incidents.look(
        Observation({"a": {"incidents": [told, *odd]}, "b": {"incidents": [later]}, "c": {"incidents": 5}})
    )
    assert incidents.listed() == [told]
    incidents.look(Observation({"a": {"incidents": [told | {"replica": "other"}]}}))
    assert incidents.listed() == [told], "what a peer tells later, it has seen itself"

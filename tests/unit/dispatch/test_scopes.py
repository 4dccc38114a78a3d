"""Events that are claimed by a moment of their own, and go to the leader where Discord does not tell it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from dispatcher_scene import Scene

from discordha.context import current_event
from discordha.dispatch.handlers import HandlerRegistry
from discordha.events import CaughtUp, Scope, identify
from discordha.events.caught_up import part_of
from discordha.testing import wait_for

JOINED = "2026-01-02T03:04:05.678901+00:00"


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.stop()


@pytest.fixture
def registry(scene: Scene) -> HandlerRegistry:
    return scene.registry


def join(scene: Scene, joined_at: str | None) -> None:
    member: Any = SimpleNamespace(id=7, guild=SimpleNamespace(id=1))
    data = {"guild_id": "1", "user": {"id": "7"}, "joined_at": joined_at}
    scene.dispatcher.receive("member_join", (member,), json.dumps({"d": data}), 0, 0)


def test_two_joins_of_one_member_are_two_events_and_the_same_one_is_one(
    scene: Scene, registry: HandlerRegistry
) -> None:
    joined: list[int] = []
    registry.add(lambda member: joined.append(member.id), "member_join")
    scene.members.rank = lambda ordering_key, shard=0: 0  # type: ignore[method-assign]
    for moment in (JOINED, JOINED, "2026-01-02T03:04:05.678902+00:00"):
        join(scene, moment)
        wait_for(lambda: not scene.dispatcher.queue()["running"], 10, "the handler")
    wait_for(lambda: len(joined) == 2, 10, lambda: f"two joins, not {joined}")
    assert not scene.led


def test_a_join_without_its_moment_goes_to_the_leader_once_for_all_its_handlers(
    scene: Scene, registry: HandlerRegistry
) -> None:
    registry.add(lambda member: None, "member_join")
    registry.add(lambda member: None, "member_join", scope="leader")
    join(scene, None)
    ((event, handlers, _),) = scene.led
    assert len(handlers) == 2
    assert event.identity.scope is Scope.LEADER


def test_with_its_moment_each_scope_has_its_own_handlers(scene: Scene, registry: HandlerRegistry) -> None:
    claimed: list[int] = []
    registry.add(lambda member: claimed.append(member.id), "member_join")
    registry.add(lambda member: None, "member_join", scope="leader")
    scene.members.rank = lambda ordering_key, shard=0: 0  # type: ignore[method-assign]
    join(scene, JOINED)
    wait_for(lambda: claimed == [7], 10, "the claimed run")
    ((_, handlers, _),) = scene.led
    assert len(handlers) == 1


def catch_up(scene: Scene, handled: Sequence[str] = ()) -> list[str]:
    """Returns the keys under which the event is claimed."""
    member: Any = SimpleNamespace(id=7, guild=SimpleNamespace(id=1))
    data = {"guild_id": "1", "user": {"id": "7"}, "joined_at": JOINED}
    caught_up = CaughtUp(1.0, 0.0, handled)
    scene.dispatcher.catch_up("member_join", (member,), json.dumps({"d": data}), 0, caught_up)
    return caught_up.keys


def test_what_is_caught_up_runs_for_the_handlers_of_each_scope(
    scene: Scene, registry: HandlerRegistry
) -> None:
    ran: list[tuple[str, str]] = []

    def handler(name: str) -> Callable[[Any], None]:
        return lambda member: ran.append((name, current_event().identity))

    registry.add(handler("claim"), "member_join")
    registry.add(handler("leader"), "member_join", scope="leader")
    scene.members.rank = lambda ordering_key, shard=0: 0  # type: ignore[method-assign]
    assert len(set(catch_up(scene))) == 2
    wait_for(lambda: len(ran) == 2, 10, lambda: f"both handlers, not {ran}")
    assert {name for name, _ in ran} == {"claim", "leader"}
    assert len({identity for _, identity in ran}) == 1, "nonces are those of the live event"


def test_a_leaders_part_that_was_handled_before_does_not_run_again_and_the_others_do(
    scene: Scene, registry: HandlerRegistry
) -> None:
    ran: list[str] = []
    for ordering in ("channel", "none"):
        registry.add(
            lambda member, name=ordering: ran.append(name), "member_join", scope="leader", ordering=ordering
        )
    assert registry.led_parts("member_join") == ["", "/=channel", "/=guild", "/=none"]
    scene.members.rank = lambda ordering_key, shard=0: 0  # type: ignore[method-assign]
    assert not catch_up(scene, ["member_join"])
    assert len(catch_up(scene, [part_of("member_join", "")])) == 1
    wait_for(lambda: ran == ["none"], 10, lambda: f"the part that was not handled, not {ran}")
    scene.tick()
    assert not catch_up(scene, [part_of("member_join", part) for part in ("", "/=none")])


@pytest.mark.parametrize("moment", [None, datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC)])
def test_the_bots_own_join_and_a_threads_members_are_known_by_their_moments(moment: Any) -> None:
    guild: Any = SimpleNamespace(id=1, me=SimpleNamespace(joined_at=moment))
    member: Any = SimpleNamespace(id=7, thread_id=9, joined_at=moment)
    for name, argument in (("guild_join", guild), ("thread_member_join", member)):
        found = identify(name, (argument,), None, ordering="channel")
        assert found.scope is (Scope.LEADER if moment is None else Scope.CLAIM)
        assert found == identify(name, (argument,), {}, ordering="channel")
    assert identify("guild_join", (SimpleNamespace(id=1, me=None),), None, ordering="channel").scope is (
        Scope.LEADER
    )


def test_events_of_the_bots_own_are_none_that_discord_keeps() -> None:
    registry = HandlerRegistry()
    registry.declare("flush", ("page",), "claim")
    registry.add(lambda page: None, "flush")
    registry.add(lambda message: None, "message")
    assert registry.events == {"message"}

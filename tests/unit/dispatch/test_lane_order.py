"""A channel's events begin in order over all replicas, whatever happens between, and none is stuck."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from order_replica import GRACE, Replica
from order_world import World

from discordha.dispatch.runner import Outcome


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([40, 120, 300]))
def test_any_history_keeps_the_order_and_ends(seed: int, steps: int) -> None:
    """Drains, deaths, silence, joins, late watches, new snapshots, and all of that while handlers run."""
    drawn = random.Random(seed)
    world = World(drawn.randrange)
    for _ in range(steps):
        world.step()
    world.settle()


class Scene:
    """Three replicas, one channel; the test moves each by hand."""

    def __init__(self) -> None:
        self.world = World(lambda bound: 0)
        ranked = sorted(
            self.world.replicas, key=lambda replica: replica.dispatcher._router._members.rank("1", 0)
        )
        self.first, self.second, self.third = ranked
        for replica in ranked:
            replica.write()

    def send(self, count: int) -> list[Any]:
        messages = [self.world.send() for _ in range(count)]
        for replica in self.world.replicas:
            while not replica.dead and replica.receive():
                pass
        return messages

    def turn(self, replica: Replica) -> bool:
        return replica.lanes.step(replica.dispatcher.work)

    def watch(self, *replicas: Replica) -> None:
        """The watch and looks at what others run tell these replicas everything."""
        for replica in replicas:
            while replica.claims.queue:
                replica.claims.watch()
            replica.dispatcher._router._look_times.hurry(self.world.now)
            self.wait(0.0, replica)

    def wait(self, seconds: float, *replicas: Replica) -> None:
        self.world.now += seconds
        for replica in replicas:
            replica.dispatcher.tick()
            while replica.claims.looks:
                replica.claims.answer()

    def dies_with(self, event: Any) -> None:
        """The preferred replica has claimed an event, and dies."""
        self.world.put(f"message/{event.id}", ("r", self.first.name, 1))
        self.first.dead = self.first.silent = True
        self.world.excused.add(event.place)
        self.watch(self.second, self.third)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_help_takes_the_oldest_and_the_younger_ones_follow_without_a_grace(scene: Scene) -> None:
    scene.send(3)
    assert not scene.turn(scene.second)
    scene.wait(GRACE * 1.1, scene.second)
    while scene.turn(scene.second):
        pass
    assert scene.world.begun == [(scene.second.name, place) for place in range(3)]


def test_the_preferred_replica_holds_the_younger_ones_while_help_runs_the_oldest(scene: Scene) -> None:
    oldest, _, _ = scene.send(3)
    scene.world.put(f"message/{oldest.id}", ("r", scene.second.name, 1))
    scene.watch(scene.first)
    while scene.turn(scene.first):
        pass
    assert scene.world.begun == []
    scene.world.put(f"message/{oldest.id}", ("d", scene.second.name, 1))
    scene.watch(scene.first)
    while scene.turn(scene.first):
        pass
    assert scene.world.begun == [(scene.first.name, 1), (scene.first.name, 2)]


def test_claims_behind_an_event_that_is_lost_are_released(scene: Scene) -> None:
    """Its handler runs for long, those behind are claimed ahead; then another replica has the next one."""
    messages = scene.send(3)
    scene.world.put(f"message/{messages[1].id}", ("r", scene.second.name, 1))
    handle = scene.world.handle

    def slow(replica: Replica, message: Any) -> Any:
        if message.place == 0:
            scene.wait(GRACE, replica)
            assert scene.world.state(messages[2]) == ("r", scene.first.name, 1)
        return handle(replica, message)

    scene.world.handle = slow  # type: ignore[method-assign]
    while scene.turn(scene.first):
        pass
    assert scene.world.begun == [(scene.first.name, 0)]
    assert scene.world.state(messages[2]) is None


def test_a_dead_owner_does_not_hold_up_new_events_until_its_session_ends(scene: Scene) -> None:
    (oldest,) = scene.send(1)
    scene.dies_with(oldest)
    scene.send(1)
    scene.wait(0.3, scene.second)
    scene.wait(1.1 * GRACE, scene.second)
    scene.turn(scene.second)
    assert scene.world.begun == [(scene.second.name, 1)]
    scene.world.expire(scene.first)
    scene.watch(scene.second)
    scene.turn(scene.second)
    assert scene.world.begun == [(scene.second.name, 1), (scene.second.name, 0)]


def test_a_lost_notification_heals_with_the_look_after_the_next_snapshot(scene: Scene) -> None:
    oldest, _ = scene.send(2)
    scene.world.put(f"message/{oldest.id}", ("r", scene.second.name, 1))
    scene.turn(scene.first)  # its claim is refused
    scene.world.put(f"message/{oldest.id}", None)
    scene.first.claims.queue.clear()
    assert not scene.turn(scene.first)
    assert scene.world.begun == []
    scene.first.claims.resync()
    scene.first.claims.answer()
    while scene.turn(scene.first):
        pass
    assert scene.world.begun == [(scene.first.name, 0), (scene.first.name, 1)]


def test_an_event_that_expires_releases_those_behind_it(scene: Scene) -> None:
    (oldest,) = scene.send(1)
    scene.world.put(f"message/{oldest.id}", ("r", scene.second.name, 1))
    scene.watch(scene.first)
    scene.turn(scene.first)
    scene.wait(400, scene.first)
    scene.send(1)
    assert not scene.turn(scene.first)
    scene.wait(201, scene.first)
    scene.world.excused.add(oldest.place)
    assert scene.turn(scene.first)
    assert scene.world.begun == [(scene.first.name, 1)]


def test_a_drain_gives_back_and_nobody_begins_the_younger_ones_first(scene: Scene) -> None:
    messages = scene.send(4)
    handle = scene.world.handle

    def draining(replica: Replica, message: Any) -> Any:
        if message.place == 0:
            scene.wait(GRACE, replica)  # claims ahead
            scene.world._drain(replica)
            scene.watch(scene.second, scene.third)
            scene.wait(2.1 * GRACE, scene.second, scene.third)
            assert not scene.turn(scene.second)
            assert not scene.turn(scene.third)
        return handle(replica, message)

    scene.world.handle = draining  # type: ignore[method-assign]
    scene.turn(scene.first)
    scene.watch(scene.second, scene.third)
    scene.wait(0.0, scene.second, scene.third)
    while scene.turn(scene.second) or scene.turn(scene.third):
        scene.watch(scene.second, scene.third)
    assert [place for _, place in scene.world.begun] == [message.place for message in messages]
    assert {name for name, place in scene.world.begun if place} == {scene.second.name}


def test_a_replica_that_joined_later_waits_for_what_it_did_not_receive(scene: Scene) -> None:
    scene.send(2)
    scene.world._join(None)
    newest = scene.world.replicas[-1]
    scene.send(1)
    rank = newest.dispatcher._router._members.rank("1", 0)
    scene.wait((rank + 1) * GRACE, newest)
    assert not scene.turn(newest)
    for replica in (scene.first, scene.second, scene.third):
        replica.write()
    scene.wait(0.3, newest)
    assert not scene.turn(newest)
    while scene.turn(scene.first):
        pass
    assert scene.world.begun == [(scene.first.name, place) for place in range(3)]


class TestAnEventWhoseHandlerWaits:
    def waits(self, scene: Scene, replica: Replica, during: Any) -> list[Any]:
        """Three events; the first one's handler waits, and ``during`` happens meanwhile."""
        messages = scene.send(3)
        handle = scene.world.handle

        def waits(owner: Replica, message: Any) -> Any:
            if message is not messages[0]:
                return handle(owner, message)
            scene.world.begun.append((owner.name, message.place))
            scene.world.excused.add(message.place)
            scene.world.set_aside()
            return during() or Outcome.HANDLED

        scene.world.handle = waits  # type: ignore[method-assign]
        assert scene.turn(replica)
        scene.world.handle = handle  # type: ignore[method-assign]
        return messages

    def test_the_younger_ones_run_on_its_replica_meanwhile(self, scene: Scene) -> None:
        first = scene.first.name

        def during() -> None:
            while scene.turn(scene.first):
                pass
            assert scene.world.begun == [(first, 0), (first, 1), (first, 2)]

        self.waits(scene, scene.first, during)
        assert scene.first.lanes.sizes() == (0, 0, 0)
        assert not len(scene.first.dispatcher._pending)

    def test_the_younger_ones_run_on_other_replicas_once_these_know(self, scene: Scene) -> None:
        def during() -> None:
            scene.first.draining = True
            scene.world.version += 1
            scene.first.dispatcher.begin_drain()
            assert not scene.turn(scene.second)
            scene.watch(scene.second, scene.third)
            scene.wait(GRACE, scene.second, scene.third)
            while scene.turn(scene.second):
                pass
            assert scene.world.begun[1:] == [(scene.second.name, 1), (scene.second.name, 2)]

        self.waits(scene, scene.first, during)
        scene.watch(*scene.world.replicas)
        scene.wait(3 * GRACE, *scene.world.replicas)
        assert not any(len(replica.dispatcher._pending) for replica in scene.world.replicas)

    def test_one_that_is_lost_meanwhile_takes_its_old_place(self, scene: Scene) -> None:
        def during() -> Outcome:
            scene.world.put(f"message/{oldest.id}", None)
            scene.watch(*scene.world.replicas)
            return Outcome.LOST

        oldest = SimpleNamespace(id=10_000)
        self.waits(scene, scene.first, during)
        assert scene.world.begun == [(scene.first.name, 0)]
        while scene.turn(scene.first):
            pass
        assert scene.world.begun[1:] == [(scene.first.name, place) for place in range(3)]

"""New events wait behind those of their channel that are still to be caught up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dispatcher_scene

from discordha.dispatch.barrier import Barrier
from discordha.events import Event, Identity, Scope
from discordha.testing import wait_for


def event(number: int, channel: int | None, shard: int = 0) -> Event:
    """An event of a channel, or with a lane of its own."""
    order = str(channel if channel is not None else number)
    return Event("message", (), Identity(Scope.CLAIM, str(number), order, None), shard, None, float(number))


class Scene:
    """A barrier, and the numbers of the events that went on."""

    def __init__(self, limit: int = 100) -> None:
        self.gone: list[int] = []
        self.barrier = Barrier(self._admit, limit)

    def _admit(self, event: Event, handlers: Sequence[Any]) -> None:
        self.gone.append(int(event.identity.key))

    def receive(self, number: int, channel: int | None, shard: int = 0) -> None:
        """Takes an event."""
        each = event(number, channel, shard)
        if not self.barrier.holds(each, ()):
            self._admit(each, ())


def test_channels_open_one_after_another_in_order() -> None:
    scene = Scene()
    scene.receive(1, 5)
    scene.barrier.set(0, None)
    for number, channel in ((2, 5), (3, 6), (4, 5), (5, None), (6, 7)):
        scene.receive(number, channel)
    scene.receive(7, 5, shard=1)
    assert scene.gone == [1, 5, 7]
    assert scene.barrier.oldest(0) == 2.0
    assert scene.barrier.oldest(1) is None
    scene.barrier.set(0, {"5", "6"})
    assert scene.gone == [1, 5, 7, 6]
    scene.barrier.set(0, {"6"})
    assert scene.gone == [1, 5, 7, 6, 2, 4]
    scene.receive(8, 5)
    assert scene.gone[-1] == 8
    assert scene.barrier.unfinished() == [(0, "6", 3.0)]
    scene.barrier.set(0, ())
    assert scene.gone[-1] == 3
    assert not scene.barrier.is_closed(0)
    assert scene.barrier.oldest(0) is None
    scene.receive(9, 6)
    assert scene.gone[-1] == 9


def test_a_full_barrier_opens_rather_than_lose_an_event() -> None:
    scene = Scene(limit=2)
    scene.barrier.set(0, None)
    for number in range(5):
        scene.receive(number, 5)
    assert scene.gone == [0, 1, 2, 3, 4]


def test_all_shards_open_at_a_drain() -> None:
    scene = Scene()
    for shard in (0, 1):
        scene.barrier.set(shard, None)
        scene.receive(shard, 5, shard)
    scene.barrier.open_all()
    assert scene.gone == [0, 1]


def test_an_event_may_wait_here_for_longer_than_its_mark_would_live() -> None:
    scene, (first, second, third) = (
        dispatcher_scene.Scene(),
        (seconds * 1000 << 22 for seconds in (1, 2, 700)),
    )
    barrier, ours = scene.dispatcher.barrier, dispatcher_scene.OURS
    barrier.set(0, None)
    scene.receive(first, ours, slow=True)
    scene.receive(second, ours)
    scene.now += 699
    scene.receive(third, ours)
    barrier.set(0, ())
    wait_for(lambda: scene.begun == [first], 10, "the first to begin")
    scene.tick(40)
    scene.gates[first].set()
    wait_for(lambda: scene.begun == [first, second, third], 10, lambda: f"all, not {scene.begun}")
    scene.receive(second + 1, ours)  # a replay
    scene.tick()
    scene.stop()
    assert scene.begun == [first, second, third]
    assert not barrier.held(0, scene.now)


def test_other_threads_find_each_event_that_leaves_here_or_there() -> None:
    scene = Scene()
    seen: list[list[int]] = []
    listed = scene.barrier.unfinished

    def admit(event: Event, handlers: Sequence[Any]) -> None:
        scene.gone.append(int(event.identity.key))
        seen.append([int(received_at) for _, _, received_at in listed()])

    scene.barrier._admit = admit
    scene.barrier.set(0, None)
    for number, channel in ((1, 5), (2, 5), (3, 6)):
        scene.receive(number, channel)
    scene.barrier.set(0, ())
    assert scene.gone == [1, 2, 3]
    assert all({1, 3} <= {*waiting} for waiting in seen), seen
    assert listed() == []

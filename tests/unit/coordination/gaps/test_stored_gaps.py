"""Points and streams as they lie in a store."""

from __future__ import annotations

import dataclasses

from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import Compare
from discordha.coordination.gaps.points import Point, Points
from discordha.coordination.gaps.stream import MAX_WAITING, FrameEvent, GapState, GapStreams
from discordha.coordination.membership.shard_keys import key_of
from discordha.coordination.memory.store import MemoryStore

ALWAYS = Compare.version("/never", 0)


class Scene:
    """A store with one replica's view of it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.points, self.streams = Points(self.store, "/"), GapStreams(self.store, "/")
        self.router = WatchRouter("/")
        self.router.subscribe(self.points, "p")
        self.router.subscribe(self.streams, "g")

    def look(self) -> None:
        """Shows what the store holds."""
        self.router.on_snapshot(self.store.range("/"))


def test_a_point_never_goes_back_and_is_not_written_over_an_unknown_one() -> None:
    scene = Scene()
    assert scene.points.get(0) is None
    assert scene.points.advance(0, Point(100.0, 7))
    assert not scene.points.advance(0, Point(200.0)), "it has not seen the point yet"
    scene.look()
    assert scene.points.advance(0, Point(50.0, 9))
    scene.look()
    found = scene.points.get(0)
    assert found is not None
    assert (found.moment, found.revision) == (100.0, 7)
    assert not scene.points.advance(0, Point(300.0), guard=(Compare.version("/leader", 1),))


def test_new_shards_begin_from_the_earliest_point_of_the_shards_before() -> None:
    scene = Scene()
    for number, moment in enumerate((30.0, 10.0, 20.0)):
        scene.points.advance(number, Point(moment))
    scene.look()
    inherited = scene.points.get(key_of(1, 1))
    assert inherited is not None
    assert inherited.moment == 10.0
    assert not scene.points.has(key_of(1, 1))
    assert scene.points.advance(key_of(1, 1), Point(40.0))
    scene.look()
    own, other = scene.points.get(key_of(1, 1)), scene.points.get(key_of(1, 0))
    assert own is not None
    assert own.moment == 40.0
    assert other is not None
    assert other.moment == 10.0
    scene.points.forget_before(1, ALWAYS)
    scene.look()
    assert scene.points.get(0) is None


def test_frames_cursors_and_state_come_together() -> None:
    scene = Scene()
    state = GapState(1, 10.0, 20.0, 10.0, waiting=["5"], frames=1)
    events = [FrameEvent("MESSAGE_CREATE", {"id": "1"}, 11.0, ["raw_message_edit"])]
    assert scene.streams.write(0, state, ALWAYS, events, {"channel:5": 44})
    assert not scene.streams.write(0, state, Compare.version("/leader", 1), events), "no leader any more"
    second = dataclasses.replace(state, frames=2, waiting=[])
    assert scene.streams.write(0, second, ALWAYS, [events[0]._replace(moment=12.0)])
    scene.look()
    frames, found = scene.streams.frames(0, (0, -1))
    assert [frame.place for frame in frames] == [(1, 0), (1, 1)]
    assert frames[0].events == events
    assert found is not None
    assert found.waiting == []
    assert found.frames == 2
    assert [frame.place for frame in scene.streams.frames(0, (1, 0))[0]] == [(1, 1)]
    assert scene.streams.cursors(0) == {"channel:5": 44}
    scene.streams.delete_frames(0, [(1, 0)], ALWAYS)
    scene.streams.delete_cursors(0, ALWAYS)
    scene.look()
    assert [frame.place for frame in scene.streams.frames(0, (0, -1))[0]] == [(1, 1)]
    assert scene.streams.cursors(0) == {}
    following = second.following(30.0, 40.0, 30.0)
    assert (following.number, following.frames, len(following.past)) == (2, 0, 1)


def test_a_state_that_waits_for_very_many_channels_waits_for_all() -> None:
    scene = Scene()
    state = GapState(1, 10.0, 20.0, 10.0, waiting=[str(n) for n in range(MAX_WAITING + 1)])
    scene.streams.write(0, state, ALWAYS)
    scene.store.put("/g/1/state", b"[]")
    scene.store.put("/g/x/state", b"{}")
    scene.look()
    found = scene.streams.state(0)
    assert found is not None
    assert found.waiting is None
    assert list(scene.streams.states()) == [0]


def test_what_has_not_changed_is_not_read_again() -> None:
    """Threads ask many times a second, and a state may name 2,000 channels."""
    scene = Scene()
    scene.streams.write(
        0, GapState(1, 10.0, 20.0, 10.0, waiting=["5"], frames=1), ALWAYS, [FrameEvent("T", {}, 15.0)]
    )
    scene.look()
    state, places = scene.streams.state(0), scene.streams.places(0)
    assert state is not None
    assert places == [(1, 0)]
    assert scene.streams.state(0) is state
    assert scene.streams.frames(0, (1, 0)) == ([], state)
    scene.streams.write(0, dataclasses.replace(state, frames=2), ALWAYS, [FrameEvent("T", {}, 16.0)])
    assert scene.streams.places(0) == places, "the view does not show it yet"
    scene.look()
    assert scene.streams.places(0) == [(1, 0), (1, 1)]
    following = scene.streams.state(0)
    assert following is not None
    assert following.frames == 2

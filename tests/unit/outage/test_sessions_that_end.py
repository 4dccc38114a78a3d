"""When new events of a shard go on: a peer's word counts if its session outlived the beginning of ours."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.coordination.gaps.points import Point, Reach
from discordha.coordination.gaps.stream import Frame, FrameEvent, GapState
from discordha.dispatch.handlers import HandlerRegistry
from discordha.outage.intake import TURN, Intake
from discordha.outage.reaches import Reaches
from discordha.outage.service import CatchUp

PEER = "peer"
#: The peer has received everything since this moment.
SINCE = 50.0


class Scene:
    """A replica whose session of shard 0 has begun, beside a peer; the test moves the clock on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.greeting: int | None = 7
        self.own_began: float | None = 100.0
        self.peer: dict[str, Any] = {"reach": {"0": [SINCE, 90.0, True]}, "acknowledged": {"0": 7}}
        self.peer_at = 101.0
        members: Any = SimpleNamespace(
            records=lambda: {"me": {}, PEER: self.peer},
            is_heard=lambda member: True,
            silence=lambda member: self.now - self.peer_at,
            session_began=lambda shard: self.own_began,
        )
        gateway: Any = SimpleNamespace(
            dates=SimpleNamespace(latest=lambda at: at, earliest=lambda at: at),
            clients={0: SimpleNamespace(state=lambda: SimpleNamespace(silent=0.0))},
        )
        leaders: Any = SimpleNamespace(greeting=lambda shard: self.greeting, oldest=lambda shard: None)
        dispatcher: Any = SimpleNamespace(oldest=lambda shard: None)
        self.reaches = Reaches(
            members, gateway, leaders, dispatcher, "me", is_deaf=lambda shard: False, clock=lambda: self.now
        )
        self.reaches.began(0)
        self.now = 102.0

    def is_covered(self, moment: float = 60.0) -> bool:
        """Whether somebody has received everything since a moment."""
        return self.reaches.is_covered(0, Point(moment), 100.0)


def test_a_peer_whose_session_outlived_the_beginning_of_ours_has_received_everything() -> None:
    scene = Scene()
    assert scene.is_covered()
    assert not scene.is_covered(SINCE - 1.0)
    assert scene.is_covered(103.0), "this replica itself has, since then"


@pytest.mark.parametrize(
    "doubt",
    [
        lambda scene: setattr(scene, "peer_at", 99.0),
        lambda scene: scene.peer.update(acknowledged={"0": 6}),
        lambda scene: scene.peer.update(acknowledged={}),
        lambda scene: scene.peer.update(reach={"0": [SINCE, 90.0, False]}),
        lambda scene: setattr(scene, "greeting", None),
        lambda scene: setattr(scene, "own_began", 50.0),
        lambda scene: setattr(scene, "own_began", None),
    ],
    ids=[
        "an old record",
        "a record from before our greeting, written late",
        "no acknowledgement",
        "no connection",
        "no greeting of ours",
        "our record is that of the last session",
        "our record is not seen yet",
    ],
)
def test_new_events_wait_while_all_sessions_may_have_ended_together(doubt: Callable[[Scene], None]) -> None:
    scene = Scene()
    doubt(scene)
    assert not scene.is_covered()


def test_records_of_earlier_versions_count_by_their_time() -> None:
    scene = Scene()
    del scene.peer["acknowledged"]
    assert scene.is_covered()
    scene.peer = {"hears": {"0": 60.0}}
    assert scene.is_covered()


class Loop:
    """The gateway's thread: what is due runs when the test says so."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def soon(self, call: Callable[..., None], *args: Any) -> None:
        self.due.append(lambda: call(*args))

    def turn(self) -> None:
        due, self.due = self.due, []
        for call in due:
            call()


def test_an_intake_keeps_the_order_and_leaves_the_loop_its_turns() -> None:
    loop, now, done = Loop(), 0.0, list[str]()

    def work(name: str) -> Callable[[], None]:
        def run() -> None:
            nonlocal now
            now += TURN / 2
            done.append(name)
            if name == "c":
                raise ValueError(name)

        return run

    intake = Intake(loop.soon, lambda: now)
    intake.put([work("a"), work("b"), work("c")])
    intake.put([work("d")])
    loop.soon(lambda: done.append("live"))
    while loop.due:
        loop.turn()
    assert [each for each in done if each != "live"] == ["a", "b", "c", "d"]
    assert done.index("live") < done.index("d"), "the rest of the frame waits for the loop's next turn"


class Barrier:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.said: list[Collection[str] | None] = []

    def set(self, shard: int, closed: Collection[str] | None) -> None:
        self.said.append(closed)

    def is_closed(self, shard: int) -> bool:
        return bool(self.said) and (self.said[-1] is None or bool(self.said[-1]))

    def unfinished(self) -> list[Any]:
        return []


class Service:
    """A ``CatchUp`` of shard 0 which hosts the point 60, and whose thread the test stands for."""

    def __init__(self) -> None:
        self.loop, self.barrier, self.state = Loop(), Barrier(), None
        self.covered = False
        self.session = 1
        self.told: list[int | None] = []
        self.frames: list[Frame] = []
        client: Any = SimpleNamespace(state=lambda: SimpleNamespace(ready=True))
        self.client = client
        gateway: Any = SimpleNamespace(
            soon=self.loop.soon, clients={0: client}, loop=None, dates=SimpleNamespace()
        )
        node: Any = SimpleNamespace(
            members=SimpleNamespace(),
            gaps=SimpleNamespace(
                frames=lambda shard, after: (self.frames, self.state), state=lambda shard: self.state
            ),
            points=SimpleNamespace(get=lambda shard: Point(60.0), inherited=lambda shard: {}),
            plan=SimpleNamespace(serving=None),
            watch=SimpleNamespace(alive=True, revision=1),
            session=SimpleNamespace(current=object()),
            store=None,
            root="/",
        )
        leaders: Any = SimpleNamespace(
            note_gap=self.note_gap, acting=lambda shard: None, session=lambda shard: self.session
        )
        dispatcher: Any = SimpleNamespace(barrier=self.barrier)
        config: Any = SimpleNamespace(catch_up=600.0, ordering="channel", catch_up_limit=1)
        nothing: Any = SimpleNamespace()
        self.service = CatchUp(
            config, node, gateway, leaders, dispatcher, nothing, nothing, "me", is_deaf=lambda shard: False
        )
        self.service._reaches = SimpleNamespace(  # type: ignore[assignment]
            began=lambda shard: None, is_covered=lambda *a: self.covered
        )

    def note_gap(self, shard: int, gap: int, *, session: int | None) -> None:
        self.told.append(session)

    def begin_session(self) -> None:
        self.covered = False
        self.service.on_new_session(0)

    def look(self) -> None:
        """What the service's thread does now and then."""
        self.service._tend(0, self.client)


def test_a_session_that_begins_is_not_opened_by_what_was_thought_of_the_one_before() -> None:
    scene = Service()
    scene.begin_session()
    assert scene.barrier.said == [None]
    scene.covered = True
    scene.look()
    scene.begin_session()
    scene.loop.turn()
    assert scene.barrier.is_closed(0), "the word was about the first session"
    scene.look()
    scene.loop.turn()
    assert scene.barrier.is_closed(0)
    scene.covered = True
    scene.look()
    scene.loop.turn()
    assert not scene.barrier.is_closed(0)


def test_the_leaders_are_told_in_which_session_the_last_gap_is_known() -> None:
    scene = Service()
    scene.look()
    assert scene.told == [1], "the first session of all has missed nothing"
    scene.begin_session()
    scene.look()
    assert scene.told == [1, None]
    scene.covered = True
    scene.look()
    assert scene.told == [1, None, 1]


def test_a_session_that_begins_meanwhile_is_not_the_one_that_was_told() -> None:
    """The service notes its begin before the leaders do."""
    scene = Service()
    scene.begin_session()
    scene.covered = True
    scene.session = 2

    def note(shard: int) -> int:
        scene.begin_session()
        return 2

    scene.service._leaders.session = note  # type: ignore[method-assign]
    scene.look()
    assert scene.told == [None]


def test_channels_open_as_their_events_stand_in_frames() -> None:
    scene = Service()
    scene.begin_session()
    scene.state = GapState(1, 60.0, 70.0, 60.0)  # type: ignore[assignment]
    scene.covered = True
    scene.look()
    scene.loop.turn()
    assert scene.barrier.said == [None], "no plan yet"
    for waiting in (["5", "6"], ["6"]):
        scene.state = GapState(1, 60.0, 70.0, 60.0, waiting=waiting)  # type: ignore[assignment]
        scene.look()
        scene.look()
        scene.loop.turn()
        assert scene.barrier.said[-1] == set(waiting)
    assert len(scene.barrier.said) == 3
    scene.state = GapState(1, 60.0, 70.0, 60.0, waiting=(), fetched=True)  # type: ignore[assignment]
    scene.look()
    scene.loop.turn()
    assert not scene.barrier.is_closed(0)


def test_the_journal_forgets_what_frames_leave_to_claims_before_its_leader_begins() -> None:
    """What a leader had handled before, or keeps, and what has no name of its own, stays in the journals."""
    scene, calls = Service(), list[tuple[str, Any]]()
    registry = HandlerRegistry()
    registry.add(lambda payload: None, "raw_message_edit")
    leaders: Any = scene.service._leaders
    leaders.acting = lambda shard: calls.append(("acting", shard))
    leaders.leave_to_claims = lambda shard, events: calls.append(("left", [event.key for event in events]))
    leaders.note_gap = lambda shard, gap, session: calls.append(("noted", gap))
    scene.service._registry = registry

    def edit(id: int, edited_at: str | None, *handled: str) -> FrameEvent:
        payload = {"id": str(id), "channel_id": "5", "edited_timestamp": edited_at}
        return FrameEvent("MESSAGE_UPDATE", payload, 65.0, handled)

    events = [
        edit(1, "2026-01-01"),
        edit(2, "2026-01-02", "raw_message_edit"),
        edit(3, "2026-01-03", "raw_message_edit/="),
        edit(4, None),
        FrameEvent("MESSAGE_CREATE", {"id": "6", "channel_id": "5"}, 65.0),
    ]
    scene.frames = [Frame((1, 0), events)]
    scene.state = GapState(1, 60.0, 70.0, 60.0)  # type: ignore[assignment]
    scene.look()
    assert calls == [("acting", 0), ("left", ["raw_message_edit/1/2026-01-01"]), ("noted", 70_000)]


@pytest.mark.parametrize("connected", [True, False])
def test_who_drains_without_a_connection_does_not_say_that_nothing_was_missed(connected: bool) -> None:
    written: list[Point] = []
    replica: Any = SimpleNamespace(
        enabled=True,
        _gateway=SimpleNamespace(clients={0: None}),
        _node=SimpleNamespace(
            points=SimpleNamespace(
                get=lambda shard: Point(60.0), advance=lambda shard, point: written.append(point)
            ),
            gaps=SimpleNamespace(state=lambda shard: None),
        ),
        _reaches=SimpleNamespace(reach=lambda shard: Reach(50.0, 70.0, connected), oldest=lambda shard: None),
    )
    CatchUp.settle(replica)
    assert written == [Point(70.0, clean=connected)]

"""Whose event it is when nobody claims it: a replica that is late itself leaves peers' events to them, for a
while."""

from __future__ import annotations

import itertools

import pytest
from dispatcher_scene import GRACE, OURS, THEIRS, Scene

from discordha.coordination.claims.records import Held
from discordha.dispatch.router import HELP_WITHIN
from discordha.testing import wait_for


def test_an_event_that_nobody_claims_is_taken_after_the_grace(scene: Scene) -> None:
    scene.receive(7, THEIRS)
    scene.tick(GRACE / 2)
    assert scene.dispatcher.queue()["delayed"] == 1
    scene.tick(GRACE)
    wait_for(lambda: scene.begun == [7], 10, "it to be taken")
    assert scene.stats.count("hedged") == 1


def test_what_waits_for_a_peer_that_leaves_does_not_wait_for_the_grace(scene: Scene) -> None:
    scene.receive(7, THEIRS)
    scene.tick(GRACE / 10)
    assert scene.dispatcher.queue()["delayed"] == 1
    scene.members.rank = lambda key, shard: 0  # type: ignore[method-assign]
    scene.members.version = 1
    scene.tick(GRACE / 10)
    wait_for(lambda: scene.begun == [7], 10, "it to be taken")
    assert scene.stats.count("hedged") == 0
    scene.tick(2 * GRACE)  # its place among those that wait is of no consequence
    assert scene.begun == [7]


def test_what_is_still_a_peers_waits_on_when_ranks_change(scene: Scene) -> None:
    scene.receive(7, THEIRS)
    scene.members.version = 1
    scene.tick(GRACE / 2)
    assert scene.dispatcher.queue()["delayed"] == 1
    scene.tick(GRACE)
    wait_for(lambda: scene.begun == [7], 10, "it to be taken")
    assert scene.stats.count("hedged") == 1


def test_an_idle_replica_takes_all_that_a_dead_peer_leaves_after_the_grace(scene: Scene) -> None:
    for number in (7, 8, 9):  # that each waited for the grace here does not make this replica a late one
        scene.receive(number, THEIRS)
        scene.tick(GRACE * 1.01)
        wait_for(lambda number=number: number in scene.begun, 10, f"{number} to be taken")


def test_a_replica_that_is_late_itself_waits_longer_but_not_for_ever(scene: Scene) -> None:
    scene.is_late()
    scene.receive(7, THEIRS)
    came = scene.now
    number = 10
    while scene.now + 4 * GRACE < came + HELP_WITHIN * GRACE:
        scene.is_late(number)  # it goes on
        scene.tick(GRACE * 1.01)
        assert scene.dispatcher.queue()["delayed"] == 1
        number += 2
    scene.is_late(number)
    scene.tick(2 * GRACE)
    scene.tick(GRACE)
    wait_for(lambda: 7 in scene.begun, 10, "it to be taken all the same")


def test_a_replica_that_is_late_itself_looks_less_and_less_often() -> None:
    scene = Scene(looks=True)
    try:
        scene.receive(7, THEIRS)
        for first, pause in ((10, GRACE), (12, GRACE * 2), (14, GRACE * 3)):
            scene.is_late(first)
            scene.asked.clear()
            scene.tick(GRACE / 100)
            assert scene.asked == ["message/7"]
            scene.dispatcher.on_looked(scene.asked)
            scene.dispatcher.pause(scene.now)  # a tick, for the lanes that were used
            assert scene.dispatcher.pause(scene.now) == pytest.approx(pause + GRACE / 2, rel=0.05)
        scene.is_late(16)
        scene.is_late(18)
        scene.tick(GRACE / 100)
        scene.dispatcher.on_looked(["message/7"])
        wait_for(lambda: 7 in scene.begun, 10, "it to be taken all the same")
    finally:
        scene.stop()


def test_help_is_offered_again_once_the_lateness_is_over(scene: Scene) -> None:
    scene.is_late()
    scene.receive(7, THEIRS)
    scene.tick(GRACE * 1.01)
    assert scene.dispatcher.queue()["delayed"] == 1
    scene.receive(3, OURS)  # begins at once
    wait_for(lambda: 3 in scene.begun, 10, "it to begin")
    scene.tick(GRACE * 1.01)
    wait_for(lambda: 7 in scene.begun, 10, "the peer's to be taken")


def test_a_look_takes_along_what_would_be_due_soon() -> None:
    scene = Scene(looks=True)
    try:
        scene.receive(7, THEIRS)
        scene.now += GRACE * 3 / 4
        scene.receive(8, THEIRS + 1)
        assert scene.dispatcher.pause(scene.now) == pytest.approx(GRACE * 3 / 4), "two ticks after the grace"
        scene.tick(GRACE * 3 / 4)
        assert sorted(scene.asked) == ["message/7", "message/8"]
        assert scene.dispatcher.pause(scene.now) == pytest.approx(GRACE * 3 / 2), "until the answer"
        for number in (7, 8):
            scene.hints.note_done(f"message/{number}")
        scene.receive(9, THEIRS + 2)
        scene.dispatcher.on_looked(scene.asked)
        assert scene.dispatcher.queue()["delayed"] == 1
        assert scene.dispatcher.pause(scene.now) == pytest.approx(GRACE * 3 / 2), "8 needs no look of its own"
    finally:
        scene.stop()


@pytest.mark.parametrize(("age", "pause"), [(0.0, GRACE * 0.999), (5 * GRACE, GRACE * 1.01)])
def test_one_look_is_about_all_that_a_peer_runs_and_all_that_wait_for_their_grace(
    age: float, pause: float
) -> None:
    """Whichever of the two is due first."""
    scene = Scene(looks=True)
    looks: list[list[str]] = []
    scene.dispatcher._claims.look = lambda keys: looks.append(sorted(keys))  # type: ignore[method-assign]
    try:
        scene.receive(7, THEIRS)
        scene.tick(GRACE * 1.01)
        scene.hints.note_held("message/7", Held("r1", 1, 5))
        scene.now += age
        scene.dispatcher.on_looked(["message/7"])
        scene.receive(8, THEIRS + 1)
        looks.clear()
        scene.tick(pause)
        assert looks == [["message/7", "message/8"]]
    finally:
        scene.stop()


def test_no_event_of_a_peer_wakes_the_timer_before_something_is_to_be_done() -> None:
    scene = Scene(looks=True)
    woken: list[float] = []
    scene.dispatcher._router._wake = woken.append  # type: ignore[method-assign,assignment]
    events = itertools.count(100)
    try:
        scene.receive(7, THEIRS)
        for _ in range(20):
            pause = scene.dispatcher.pause(scene.now)
            assert pause is not None
            sleeps_until = scene.now + pause
            woken.clear()
            while scene.now < sleeps_until:
                scene.receive(number := next(events), THEIRS + number)
                scene.now += GRACE / 10
            assert min(woken) >= sleeps_until - 1e-9
            scene.asked.clear()
            scene.tick()
            for key in scene.asked[:-1]:
                scene.hints.note_done(key)
            scene.dispatcher.on_looked(scene.asked)
    finally:
        scene.stop()


def test_what_nobody_has_claimed_by_an_early_look_is_taken_after_its_own_grace() -> None:
    scene = Scene(looks=True)
    try:
        scene.receive(7, THEIRS)
        scene.now += GRACE / 2
        scene.receive(8, THEIRS + 1)
        scene.tick(GRACE * 3 / 4)
        scene.hints.note_done("message/7")
        scene.dispatcher.on_looked(scene.asked)
        assert scene.begun == []
        assert scene.dispatcher.pause(scene.now) == pytest.approx(GRACE * 3 / 4), "two ticks after its grace"
        scene.asked.clear()
        scene.tick(GRACE * 3 / 4)
        assert scene.asked == ["message/8"]
        scene.dispatcher.on_looked(scene.asked)
        wait_for(lambda: scene.begun == [8], 10, "it to be taken")
    finally:
        scene.stop()


def test_the_timer_sleeps_until_something_is_due(scene: Scene) -> None:
    timer = scene.dispatcher
    assert timer.pause(scene.now) is None
    scene.receive(7, THEIRS)
    assert timer.pause(scene.now) == pytest.approx(GRACE)
    scene.now += GRACE / 2
    assert timer.pause(scene.now) == pytest.approx(GRACE / 2)
    timer.on_done(["message/7"])
    assert timer.pause(scene.now) == GRACE  # once, as more may come
    assert timer.pause(scene.now) is None
    scene.receive(8, OURS, slow=True)
    wait_for(lambda: scene.begun == [8], 10, "it to begin")
    assert timer.pause(scene.now) == GRACE / 4
    assert timer.pause(scene.now) == GRACE / 4  # for as long as it runs


def test_a_timer_that_sleeps_is_woken_by_what_is_due_earlier() -> None:
    """With its thread and a clock that runs: however long it would have slept, peers' events are taken."""
    scene = Scene(running=True)
    try:
        for number in (1, 2, 3):
            wait_for(lambda: scene.dispatcher.timer.is_idle, 10, "the timer to have nothing to wait for")
            scene.receive(number, THEIRS)
            wait_for(lambda number=number: number in scene.begun, 10, f"{number} to be taken")
            wait_for(lambda: not any(scene.dispatcher.queue().values()), 10, "its mark")
        assert scene.stats.count("hedged") == 3
    finally:
        scene.stop()

"""Events that are caught up, beside new ones: what is owed does not hold them up, and replicas that are not
preferred leave them alone for longer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from dispatcher_scene import GRACE, OURS, THEIRS, Scene

from discordha.dispatch.look_times import LATE_STEP
from discordha.dispatch.router import LATE_GRACE
from discordha.events import CaughtUp
from discordha.testing import wait_for


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.stop()


def catch_up(scene: Scene, number: int, channel: int = OURS, *, is_late: bool) -> None:
    scene.gates[number] = gate = threading.Event()
    gate.set()
    message = SimpleNamespace(id=number, channel=SimpleNamespace(id=channel), guild=None)
    raw = json.dumps({"t": "MESSAGE_CREATE", "d": {"id": str(number), "channel_id": str(channel)}})
    scene.dispatcher.catch_up("message", (message,), raw, 0, CaughtUp(0.0, scene.now, is_late=is_late))


def test_a_caught_up_event_does_not_wait_for_what_waits_for_it(scene: Scene) -> None:
    """While the bot is resharded, an older replica holds the channel's new events back, as owed on its own
    shard, until those of the gap are done: on the other generation's shard these must not wait for it.
    """
    scene.members.owed = True
    catch_up(scene, 11, is_late=True)
    wait_for(lambda: scene.begun == [11], 10, "the caught-up one")


def test_a_new_event_and_one_that_others_received_wait_for_what_is_owed(scene: Scene) -> None:
    scene.members.owed = True
    catch_up(scene, 11, is_late=False)
    scene.receive(12, OURS)
    scene.tick(1.0)
    assert scene.begun == []
    assert sum(scene.dispatcher.queue().values()) == 2, scene.dispatcher.queue()
    scene.members.owed = False
    scene.tick(1.0)
    wait_for(lambda: scene.begun == [11, 12], 10, "both, in order")


def test_another_helps_with_a_caught_up_event_later_than_with_a_new_one(scene: Scene) -> None:
    catch_up(scene, 11, THEIRS, is_late=True)
    scene.receive(12, THEIRS + 1)
    scene.tick(2 * GRACE)
    wait_for(lambda: scene.begun == [12], 10, "the new one")
    scene.tick(LATE_GRACE - 3 * GRACE)
    assert scene.begun == [12]
    scene.tick(LATE_GRACE + LATE_STEP)
    wait_for(lambda: scene.begun == [12, 11], 10, "the caught-up one")


def test_what_came_before_a_younger_session_is_told_behind_events_that_are_caught_up(scene: Scene) -> None:
    """A replica whose session began meanwhile did not receive it. What is caught up counts from when it was
    fetched, and stands before it in the lane.
    """
    barrier = scene.dispatcher.barrier
    barrier.set(0, None)
    scene.receive(12, THEIRS)
    scene.now += 2.0
    catch_up(scene, 11, THEIRS, is_late=True)
    scene.now += 1.0
    assert scene.dispatcher.unfinished()["0"][str(THEIRS)] == 3.0
    barrier.set(0, ())
    assert scene.dispatcher.unfinished()["0"][str(THEIRS)] == 3.0


@pytest.mark.parametrize("part", ["oldest", "unfinished"])
def test_an_event_that_leaves_the_barrier_meanwhile_is_found(
    scene: Scene, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moves between the two looks of another thread, which must not see neither."""
    pending, barrier = scene.dispatcher._pending, scene.dispatcher.barrier
    barrier.set(0, None)
    scene.receive(12, THEIRS)
    scene.now += 2.0
    for where in (pending, barrier):
        look = getattr(where, part)

        def then_it_moves(*arguments: int, look: Callable[..., Any] = look) -> Any:
            found = look(*arguments)
            barrier.set(0, ())
            return found

        monkeypatch.setattr(where, part, then_it_moves)
    found = scene.dispatcher.oldest(0) if part == "oldest" else scene.dispatcher.unfinished()
    assert found

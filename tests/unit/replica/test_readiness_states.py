"""What a replica says of being ready, and whom it lets wait."""

from __future__ import annotations

from discordha.replica.readiness import Readiness


class Scene:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.readiness = Readiness("r", self.said.append)


def test_each_change_is_announced_once() -> None:
    scene = Scene()
    for reasons in (["late"], ["late"], [], [], ["etcd"], ["Discord"], []):
        scene.readiness.note(reasons)
    scene.readiness.drain()
    scene.readiness.note([])  # a look that ends late
    assert scene.said == ["ready", "unready", "ready", "draining"]
    assert scene.readiness.state == "draining"


def test_waiting_ends_when_it_has_been_ready_once() -> None:
    scene = Scene()
    scene.readiness.note(["late"])
    assert not scene.readiness.wait(0.0)
    assert not scene.readiness.was_ready
    scene.readiness.note([])
    assert scene.readiness.wait(0.0)
    scene.readiness.note(["etcd"])
    assert scene.readiness.wait(0.0)
    assert scene.readiness.was_ready


def test_waiting_ends_when_it_never_will_be() -> None:
    scene = Scene()
    scene.readiness.end()
    assert not scene.readiness.wait(None)
    assert not scene.readiness.was_ready
    gone = Scene()
    gone.readiness.give_up()
    assert gone.readiness.wait(None)  # its caller finds the failure
    assert not gone.readiness.was_ready

"""An error that nobody foresaw leaves no event between two states."""

from __future__ import annotations

import pytest
from dispatcher_scene import OURS, Scene

from discordha.dispatch.router import TRY_LATER
from discordha.testing import wait_for


@pytest.mark.parametrize("method", ["claim", "hint"])
def test_an_event_is_tried_again_when_its_turn_fails(
    scene: Scene, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = getattr(scene.claims, method)

    def fail(*arguments: object) -> None:
        raise RuntimeError("nobody foresaw this")

    if method == "hint":
        asked: list[str] = []

        def second(key: str) -> object:  # routing asks first
            asked.append(key)
            return fail() if len(asked) == 2 else works(key)

        monkeypatch.setattr(scene.claims, method, second)
    else:
        monkeypatch.setattr(scene.claims, method, fail)
    scene.receive(7, OURS)
    wait_for(lambda: scene.dispatcher.queue()["delayed"] == 1, 10, "the event to wait")
    monkeypatch.setattr(scene.claims, method, works)
    scene.tick(TRY_LATER / 2)
    assert scene.begun == []
    scene.tick(TRY_LATER)
    wait_for(lambda: scene.begun == [7], 10, "the run")
    wait_for(lambda: scene.dispatcher.queue()["finished"] == 0, 10, "the mark")

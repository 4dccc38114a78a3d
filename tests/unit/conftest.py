"""Fixtures of several unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dispatcher_scene import Scene
from loop_thread import loop_thread
from view_world import World


@pytest.fixture
def world() -> Iterator[World]:
    with loop_thread() as (loop, bridge):
        yield World(loop, bridge)


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.stop()

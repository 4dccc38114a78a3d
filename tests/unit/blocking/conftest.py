"""A bridge to a loop on a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from loop_thread import loop_thread

from discordha.blocking import LoopBridge


@pytest.fixture
def both() -> Iterator[tuple[asyncio.AbstractEventLoop, LoopBridge]]:
    with loop_thread() as both:
        yield both


@pytest.fixture
def bridge(both: tuple[asyncio.AbstractEventLoop, LoopBridge]) -> LoopBridge:
    return both[1]

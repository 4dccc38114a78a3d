"""A shard that is left: Discord hears of it, whatever is on its way to us."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from gateway_line import Line

from discordha.gateway import client as client_module
from discordha.testing import FaultProxy, LocalDiscord, wait_for

ROUNDS = 20
DELAY = 0.3


@pytest.fixture
def line(local_discord: LocalDiscord) -> Iterator[Callable[..., Line]]:
    with ExitStack() as ends:

        def make(endpoint: str | None = None) -> Line:
            line = Line(local_discord, endpoint=endpoint)
            ends.callback(line.gateway.stop, 1.0)
            line.open()
            return line

        yield make


def test_a_session_left_under_load_ends(
    line: Callable[..., Line], local_discord: LocalDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that is closed with something unread is reset, and what it said last may be lost: two of 25
    sessions stayed, before their end was waited for.
    """
    monkeypatch.setattr(client_module, "GOODBYE_TIMEOUT", 30.0)  # how long at the most is another test's
    here = line()

    async def leave_late() -> None:
        time.sleep(0.05)  # the loop stands still, so that there is something unread
        await here.gateway.clients[0].leave()

    load = local_discord.load("typing", rate=3000)
    for number in range(ROUNDS):
        if number:
            here.gateway.open_shard(0)
            wait_for(lambda: here.gateway.state(0).ready, 30, "the shard to be ready")
        asyncio.run_coroutine_threadsafe(leave_late(), here.gateway.loop).result(60)
        wait_for(lambda: local_discord.sessions() == [], 1, "the session to be over")
        here.gateway.close_shard(0)
    load.stop()
    assert here.fatal == []


def test_leaving_waits_for_discords_answer(
    line: Callable[..., Line], local_discord: LocalDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "GOODBYE_TIMEOUT", 30.0)
    with FaultProxy.to(f"127.0.0.1:{local_discord.port}") as proxy:
        here = line(proxy.endpoint)
        proxy.delay(DELAY, "to_client")
        begun = time.monotonic()
        here.gateway.leave_shard(0)
        assert time.monotonic() - begun >= DELAY
        assert local_discord.sessions() == []


def test_leaving_goes_on_without_an_answer(line: Callable[..., Line], local_discord: LocalDiscord) -> None:
    with FaultProxy.to(f"127.0.0.1:{local_discord.port}") as proxy:
        here = line(proxy.endpoint)
        socket = here.ws.socket
        proxy.black_hole()
        begun = time.monotonic()
        here.gateway.leave_shard(0)
        goodbye = client_module.GOODBYE_TIMEOUT
        assert goodbye <= time.monotonic() - begun < goodbye + 5.0
        assert socket.closed
        assert len(local_discord.sessions()) == 1, "it may have been heard"

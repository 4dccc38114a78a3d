"""Frames that come at once are told of as a burst, which ends before the loop waits for more."""

from __future__ import annotations

import time
from asyncio.base_events import BaseEventLoop
from typing import Any

import pytest
from gateway_line import Line

from discordha.testing import FaultProxy, LocalDiscord, wait_for


class Told(Line):
    """Notes what it is told of bursts, between the messages."""

    def __init__(self, discord_: LocalDiscord, **settings: Any) -> None:
        super().__init__(discord_, **settings)
        self.open_bursts = 0
        self.within: list[bool] = []
        self.settled: list[float] = []  # seconds after the end of the last burst
        self.over_at = 0.0

    def on_dispatch(self, event: str, *rest: Any, guild: int) -> None:
        super().on_dispatch(event, *rest, guild=guild)
        if event == "message":
            self.within.append(self.open_bursts > 0)

    def on_burst(self) -> None:
        assert self.open_bursts == 0
        self.open_bursts += 1

    def on_burst_over(self) -> float | None:
        self.open_bursts -= 1
        self.over_at = time.monotonic()
        return 0.01

    def on_burst_settled(self) -> None:
        self.settled.append(time.monotonic() - self.over_at)


@pytest.mark.timeout(60)
def test_a_frame_sets_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[float] = []
    call_at = BaseEventLoop.call_at

    def counted(self: BaseEventLoop, when: float, *rest: Any, **options: Any) -> Any:
        timers.append(when)
        return call_at(self, when, *rest, **options)

    with LocalDiscord() as discord_:
        line = Told(discord_, deaf_after=60.0)
        try:
            line.open()
            monkeypatch.setattr(BaseEventLoop, "call_at", counted)
            discord_.load(rate=0, count=300, template="{n}").wait(30)
            wait_for(lambda: len(line.messages) == 300, 30, "all messages")
        finally:
            line.gateway.stop(5)
    assert len(timers) < 100 + len(line.settled)


@pytest.mark.timeout(60)
def test_frames_that_waited_together_come_as_bursts_that_end() -> None:
    with LocalDiscord() as discord_, FaultProxy("127.0.0.1", discord_.port) as link:
        line = Told(discord_, endpoint=link.endpoint, deaf_after=60.0)
        try:
            line.open()
            link.black_hole("to_client")
            discord_.load(rate=0, count=300, template="{n}").wait(30)
            link.heal()
            wait_for(lambda: len(line.messages) == 300, 30, "all messages")
            wait_for(lambda: line.open_bursts == 0, 10, "the burst's end")
            assert sum(line.within) > 30, "most came while others waited behind them"
            wait_for(lambda: line.settled and line.settled[-1] > 0.009, 10, "the pause after the last one")
        finally:
            line.gateway.stop(5)

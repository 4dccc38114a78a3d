"""The latency that is shown is that of the heartbeat which was acknowledged, whoever sent it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import discord
import pytest
from discord import gateway as discord_gateway
from gateway_line import Line
from scrape import addresses, value

from discordha import Config, DiscordHA
from discordha.testing import LocalDiscord, wait_for


class LateThread(discord_gateway.KeepAliveHandler):
    """discord.py's thread on a busy machine: Discord has answered before the thread notes what it sent."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._noted = 0.0
        super().__init__(*args, **options)

    @property
    def _last_send(self) -> float:
        return self._noted

    @_last_send.setter
    def _last_send(self, moment: float) -> None:
        if threading.current_thread() is self:
            time.sleep(0.3)
        self._noted = moment


def test_a_heartbeat_is_not_measured_from_the_one_before(
    local_discord: LocalDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client, the status and the metrics say the same, and so does discord.py's warning."""
    interval = 1.0
    monkeypatch.setattr(discord_gateway, "KeepAliveHandler", LateThread)
    local_discord.reset(heartbeat_interval=interval)
    with addresses(1) as ports:
        bot = DiscordHA(
            Config.from_env(
                local_discord.env(),
                ha=False,
                intents=discord.Intents.all(),
                http_address=f"127.0.0.1:{ports[0]}",
            )
        )

        def shown() -> set[float]:
            """By the metrics, the status and the client, one soon after the other."""
            metric = value(ports, "discordha_gateway_latency", shard="0")
            return {metric, bot.status()["gateway"][0]["latency"], bot.client.latency}

        with bot:
            assert bot.wait_until_ready(20)
            ws: Any = bot.client.ws
            for number in (2, 3):
                wait_for(lambda number=number: ws.acknowledged >= number, 20, "an acknowledgement")
                # The next one may come between two looks, on a slow machine.
                wait_for(lambda: len(shown()) == 1, 20, "all to say the same")
                assert 0 < bot.client.latency < interval * 0.8
                wait_for(lambda: ws._keep_alive.latency < interval * 0.8, 20, "discord.py to agree")


def test_each_heartbeat_is_measured_by_its_own_acknowledgement(local_discord: LocalDiscord) -> None:
    """Not by the last one that left before it came."""
    one, delay, apart = Line(local_discord), 0.8, 0.5
    shown: list[float] = []

    async def two() -> None:
        async def trip() -> None:
            assert await one.ws.round_trip()
            shown.append(one.gateway.state(0).latency)

        first = asyncio.create_task(trip())
        await asyncio.sleep(apart)
        await asyncio.gather(first, trip())

    try:
        one.open()
        one.quiet()
        local_discord.fault(delay=delay)
        asyncio.run_coroutine_threadsafe(two(), one.gateway.loop).result(30)
        assert min(shown) >= delay, shown
    finally:
        one.gateway.stop(5.0)

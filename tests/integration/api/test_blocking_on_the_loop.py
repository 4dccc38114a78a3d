"""Blocking calls on the thread of discord.py's loop: refused at once, with the remedy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import discord
import pytest

from discordha import Config, DiscordHA, VoiceCommand
from discordha.testing import LocalDiscord, LocalEtcd, wait_for


def lock(ha: DiscordHA) -> None:
    with ha.lock("x", timeout=0.2):
        pass


def never() -> None:
    raise AssertionError("nothing is computed")


CALLS: dict[str, Callable[[DiscordHA], Any]] = {
    "cache get": lambda ha: ha.cache("c").get("k"),
    "cache get, local": lambda ha: ha.cache("c", local=True).get("k"),
    "cache []": lambda ha: ha.cache("c")["k"],
    "cache in": lambda ha: "k" in ha.cache("c"),
    "cache set": lambda ha: ha.cache("c").set("k", 1),
    "cache delete": lambda ha: ha.cache("c").delete("k"),
    "cache increment": lambda ha: ha.cache("c").increment("k"),
    "cache get_or_set": lambda ha: ha.cache("c").get_or_set("k", never),
    "cache items": lambda ha: ha.cache("c").items(),
    "cache_read": lambda ha: ha.cache_read("c", "k"),
    "cache_write": lambda ha: ha.cache_write("c", "k", 1),
    "lock": lock,
    "call": lambda ha: ha.call(asyncio.sleep(0), 0.2),
    "view": lambda ha: ha.fetch_user(1),
    "wait_for": lambda ha: ha.wait_for("message", timeout=0.2),
    "wait_until_ready": lambda ha: ha.wait_until_ready(0.2),
    "lock_voice": lambda ha: ha.lock_voice("m", 1),
    "unlock_voice": lambda ha: ha.unlock_voice("m", 1),
    "send_voice_command": lambda ha: ha.send_voice_command(VoiceCommand("m", 1, 1, "x")),
    "watch_voice_commands": lambda ha: ha.watch_voice_commands("m"),
    "start": lambda ha: ha.start(),
    "run": lambda ha: ha.run(),
    "stop": lambda ha: ha.stop(0.2),
}


@pytest.fixture
def ha(local_etcd: LocalEtcd, local_discord: LocalDiscord, discordha_namespace: str) -> Iterator[DiscordHA]:
    config = Config.from_env(
        {**local_etcd.env(), **local_discord.env()}, name=discordha_namespace, intents=discord.Intents.all()
    )
    bot = DiscordHA(config)
    yield bot
    bot.stop()


def test_every_blocking_call_is_refused_with_the_remedy(ha: DiscordHA) -> None:
    ha.start()
    assert ha.wait_until_ready(20)
    refusals: dict[str, str] = {}

    async def call_all() -> None:
        for name, call in CALLS.items():
            began = time.monotonic()
            try:
                call(ha)
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                refusals[name] = f"{type(error).__name__}: {error}"
            if time.monotonic() - began > 0.1:
                refusals[name] = "blocked"

    asyncio.run_coroutine_threadsafe(call_all(), ha.client.loop).result(30)
    accepted = {name: refusals.get(name) for name in CALLS if "handler threads" not in refusals.get(name, "")}
    assert not accepted
    assert ha.cache("c").items() == []
    assert ha.status()["ready"]


def test_a_predicate_that_asks_for_its_handlers_lock_is_refused(
    ha: DiscordHA, local_discord: LocalDiscord
) -> None:
    refused: list[str] = []

    def where(message: discord.Message) -> bool:
        try:
            with ha.lock("x", timeout=3):
                ha.cache("c")["k"] = 1
        except Exception as error:  # noqa: BLE001 - the test looks at it
            refused.append(str(error))
        return message.content.startswith("!ping")

    @ha.listen("message", where=where)
    def answer(message: Any) -> None:
        with ha.lock("x"):
            time.sleep(0.3)  # the next predicate runs meanwhile
            message.channel.send(message.content.replace("!ping", "pong"))

    ha.start()
    assert ha.wait_until_ready(20)
    began = time.monotonic()
    for number in range(3):
        local_discord.send(local_discord.channel_ids[0], f"!ping {number}")
    expected = [f"pong {number}" for number in range(3)]
    wait_for(lambda: [each.content for each in local_discord.messages()] == expected, 15, "three answers")
    assert time.monotonic() - began < 3, "the loop stood still"
    assert len(refused) >= 3
    assert all("ha.lock('x')" in each and "into the handler" in each for each in refused)

"""One name in etcd for one bot; two live replicas under one ``replica_id`` are reported."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import discord
import pytest

from discordha import Config, ConfigError, DiscordHA
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.discord_server.options import token_of

Maker = Callable[..., DiscordHA]


@pytest.fixture
def bot(local_etcd: LocalEtcd, local_discord: LocalDiscord, discordha_namespace: str) -> Maker:
    def make(**options: Any) -> DiscordHA:
        environment = {**local_etcd.env(), **local_discord.env(), "DISCORDHA_SESSION_TTL": "2"}
        options = {"name": discordha_namespace, "intents": discord.Intents.all(), **options}
        return DiscordHA(Config.from_env(environment, **options))

    return make


def test_a_second_bot_under_one_name_is_refused_and_the_first_goes_on(
    bot: Maker, discordha_namespace: str
) -> None:
    other = token_of(4242)
    with bot() as first:
        assert first.wait_until_ready(20)
        with pytest.raises(
            ConfigError, match=r"^name: .*belongs to the bot \d+ .*bot 4242.*of its own"
        ) as no:
            bot(token=other).start()
        assert no.value.field == "name"
        assert other not in str(no.value)
        with bot() as second:  # of the same bot
            assert second.wait_until_ready(20)
    with pytest.raises(ConfigError, match=rf"/discordha/v1/{discordha_namespace}/bot$"):
        bot(token=other).start()


def test_two_replicas_under_one_id_are_reported(bot: Maker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    with bot(replica_id="one") as first, bot(replica_id="one") as second:
        parts: Any = first._replica.parts
        parts.node.members._started -= 100  # else both are one process to each other
        wait_for(lambda: "has the replica_id one, too" in caplog.text, 10, "the report")
        assert second.replica_id == "one"

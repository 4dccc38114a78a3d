"""One name in etcd for one bot; two live replicas under one ``replica_id`` are reported."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from typing import Any

import discord
import pytest

from discordha import Config, ConfigError, DiscordHA
from discordha.coordination.membership.admission import ReplicaIdentity
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


def test_a_second_live_replica_under_one_id_gets_another(
    bot: Maker, caplog: pytest.LogCaptureFixture, local_discord: LocalDiscord
) -> None:
    with bot(replica_id="one") as first:
        second = bot(replica_id="one")

        @second.event
        def on_message(message: Any) -> None:
            message.channel.send("pong")

        with second:
            assert second.wait_until_ready(20)
            assert first.replica_id == "one"
            assert re.fullmatch(r"one-[0-9a-f]{6}", second.replica_id)
            wait_for(lambda: first.replicas().keys() == {"one", second.replica_id}, 10, "both")
            assert (
                f"another live replica has the replica_id one: this one is {second.replica_id}" in caplog.text
            )
            local_discord.send(local_discord.channel_ids[0], "!ping")
            wait_for(
                lambda: any(each.content == "pong" for each in local_discord.messages()), 20, "an answer"
            )


def test_a_replica_keeps_its_id_after_its_death(bot: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record outlives it by the session's TTL, and is not written any more."""
    first = bot(replica_id="one")
    first.start()
    parts: Any = first._replica
    node = parts.parts.node
    node.members.stop()
    monkeypatch.setattr(
        node.session, "stop", lambda **_: None
    )  # as when its process dies: nothing is revoked
    try:
        with bot(replica_id="one") as second:
            assert second.wait_until_ready(20)
            assert second.replica_id == "one"
    finally:
        monkeypatch.undo()
        first.stop(0.0)
        node.session.stop()


def test_replicas_that_learn_too_late_of_one_id_report_it(caplog: pytest.LogCaptureFixture) -> None:
    identity = ReplicaIdentity("one", 100)
    own = {"host": socket.gethostname(), "pid": os.getpid(), "started": 100}
    identity.check({**own, "pid": 1})  # of an earlier process, which is dead
    assert not caplog.text
    identity.check(own)
    for _ in range(3):
        identity.check({**own, "pid": 1})
    assert caplog.text.count("has the replica_id one, too") == 1

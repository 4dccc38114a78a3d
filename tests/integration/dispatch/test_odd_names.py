"""Replicas on hosts with odd names, and claims that cannot be read."""

from __future__ import annotations

import base64
import logging
import time
from typing import Any

import discord
import pytest
from fleet import BOTS, answered, members, wait_members

from discordha import Config, DiscordHA
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_hosts_with_odd_names(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, local_discord: LocalDiscord, discordha_namespace: str
) -> None:
    fleet = replicas(BOTS / "odd_host.py", 2, env={"DISCORDHA_REPLICA_ID": ""})
    wait_members(local_etcd, discordha_namespace, 2, 60)
    assert all(name.startswith("M-ller-s-host-1-") for name in members(local_etcd, discordha_namespace))
    for number in range(30):
        local_discord.send(local_discord.channel_ids[number % 2], f"!ping {number}")
    expected = sorted(f"pong {number}" for number in range(30))
    wait_for(lambda: sorted(each.content for each in answered(local_discord)) == expected, 20, "30 answers")
    for replica in fleet:
        assert len(replica.log_text().splitlines()) < 200
        assert "holds no claim" not in replica.log_text()


def test_an_unreadable_claim_is_left_to_its_writer_and_logged_once(
    local_etcd: LocalEtcd,
    local_discord: LocalDiscord,
    discordha_namespace: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.WARNING)
    config = Config.from_env(
        {**local_etcd.env(), **local_discord.env()}, name=discordha_namespace, intents=discord.Intents.all()
    )
    ha = DiscordHA(config)
    began: list[int] = []
    ha.add_handler(lambda message: began.append(message.id), "message")
    identity = 1 << 62
    key = base64.b64encode(f"{config.root}e/message/{identity}".encode()).decode()

    def etcd(call: str, **body: Any) -> Any:
        return local_etcd.api.call(local_etcd.url(), call, {"key": key, **body})

    with ha:
        assert ha.wait_until_ready(20)
        parts: Any = ha._replica.parts
        asked = parts.node.commit.execute
        claims: list[Any] = []

        def execute(operations: Any) -> None:
            claims.extend(operations)
            asked(operations)

        monkeypatch.setattr(parts.node.commit, "execute", execute)
        etcd("kv/put", value=base64.b64encode(b"x nonsense").decode())
        local_discord.emit("MESSAGE_CREATE", message(local_discord, identity))
        wait_for(lambda: parts.node.hints.unreadable, 5, "a claim or a look to find it")
        wait_for(lambda: parts.dispatcher.queue()["parked"] == 1, 5, "the event to wait")
        time.sleep(0.5)  # a loop would have claimed it hundreds of times
        assert len(claims) <= 1
        assert not began
        named = [each for each in caplog.messages if f"e/message/{identity}" in each]
        assert len(named) == 1, named
        etcd("kv/deleterange")
        wait_for(lambda: began == [identity], 5, "the event to run once its key is gone")


def message(local_discord: LocalDiscord, identity: int) -> dict[str, Any]:
    return {
        "id": str(identity),
        "channel_id": str(local_discord.channel_ids[0]),
        "author": {"id": "5", "username": "somebody", "discriminator": "0", "avatar": None},
        "content": "hello",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "pinned": False,
        "type": 0,
    }

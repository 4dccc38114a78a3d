"""Discord's 50 requests a second, shared by replicas."""

from __future__ import annotations

import json
from typing import Any

import discord
import pytest
from fleet import BOTS, logs

from discordha import Config, DiscordHA, DiscordHAError
from discordha.limits import rest
from discordha.testing import LocalDiscord, Replica, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

CHANNELS = 96
FEWER = 64  # what each route allows is still more than 50 a second


def start(replicas: ReplicasFactory, discord: LocalDiscord, count: int, **env: str) -> Replicas:
    fleet = replicas(
        BOTS / "flood.py",
        count,
        discord=None,
        env={
            "DISCORDHA_SESSION_TTL": "10",
            "DISCORDHA_REQUESTS_PER_SECOND": "50",
            "REPLICAS": str(count),
            **env,
        },
        per_replica_env=lambda index: {**discord.env(f"r{index}"), "INDEX": str(index)},
    )
    fleet.wait_ready(90)
    return fleet


def limits(discord: LocalDiscord, replica: Replica) -> dict[str, float]:
    """What a replica says of its limits now."""
    before = replica.log_text().count("limits {")
    discord.send(discord.channel_ids[0], "!limits")
    wait_for(lambda: replica.log_text().count("limits {") > before, 20, "its limits")
    found: dict[str, float] = json.loads(replica.log_text().rsplit("limits ", 1)[1].split("\n", 1)[0])
    return found


def flood(replicas: ReplicasFactory, each: int, channels: int = CHANNELS) -> float:
    """``each`` messages to every channel; how many there were in a second."""
    with LocalDiscord(channels=channels, global_limit=50, route_limit=5, route_window=5.0) as discord:
        fleet = start(replicas, discord, 4)
        discord.send(discord.channel_ids[0], f"!go {each}")
        count = each * channels
        wait_for(
            lambda: discord.counters()["messages"] == count,
            30 + count / 20,
            lambda: f"every message, not {discord.counters()}:\n{logs(fleet)}",
            interval=0.1,
        )
        messages, counters = discord.messages(), discord.counters()
        # The last requests fill the second after them, as all others do.
        rate = count / (messages[-1].at - messages[0].at + 1.0)
        print(f"{count} messages, {rate:.1f} a second; 429 by route: {counters['limited_route']}")
        assert len({(m.channel_id, m.content) for m in messages}) == count
        assert counters["limited_global"] == 0
        return rate


@pytest.mark.alone
def test_replicas_share_what_discord_allows(replicas: ReplicasFactory) -> None:
    assert flood(replicas, 4, FEWER) >= 30  # on a machine that does much else


@pytest.mark.long
def test_2000_messages_at_no_less_than_45_a_second(replicas: ReplicasFactory) -> None:
    assert flood(replicas, 21) >= 45


@pytest.mark.long
def test_a_busy_replica_uses_what_idle_ones_do_not(replicas: ReplicasFactory) -> None:
    """And gives it back; and a pause that Discord demands of one is kept by all."""
    with LocalDiscord(channels=CHANNELS, global_limit=50) as discord:
        fleet = start(replicas, discord, 3)
        discord.send(discord.channel_ids[0], "!go 4 0")
        wait_for(lambda: limits(discord, fleet[0])["share"] >= 30, 20, "the busy one to get more")
        wait_for(lambda: discord.counters()["messages"] == 4 * CHANNELS // 3, 30, "all messages")
        wait_for(lambda: limits(discord, fleet[1])["share"] >= 10, 20, "shares to be even again")
        assert discord.counters()["limited_global"] == 0
        discord.fault_rest(method="POST", replica="r0", status=429, retry_after=4.0, is_global=True, count=1)
        discord.send(discord.channel_ids[0], "!go 1 0")
        wait_for(lambda: limits(discord, fleet[2])["paused_for"] > 0, 20, "the others to pause, too")
        assert limits(discord, fleet[0])["limited_global"] == 1


@pytest.mark.long
def test_replicas_stop_before_discord_bans_it(replicas: ReplicasFactory) -> None:
    with LocalDiscord(channels=CHANNELS) as discord:
        fleet = start(replicas, discord, 2, DISCORDHA_REQUESTS_PER_SECOND="100000")
        discord.fault_rest(method="POST", path="/channels/*", status=403)
        for index in range(2):
            discord.send(discord.channel_ids[0], f"!go 200 {index}")
        for replica in fleet:
            wait_for(
                lambda r=replica: "not sent: Discord has refused 9" in r.log_text(), 90, lambda: logs(fleet)
            )
        before = discord.counters()["requests"]
        assert before < 10_000
        discord.send(discord.channel_ids[0], "!go 100 0")
        wait_for(lambda: limits(discord, fleet[0])["withheld"] > 100, 30, "more calls to be refused")
        assert discord.counters()["requests"] == before


def test_refused_requests_are_counted(local_discord: LocalDiscord, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers to interactions do not wait, and are not sent either when Discord has refused too much."""
    monkeypatch.setattr(rest, "REFUSED_LIMIT", 20)
    config = Config.from_env(
        local_discord.env(), ha=False, intents=discord.Intents.all(), requests_per_second=100
    )
    ha = DiscordHA(config)
    told: list[str] = []

    @ha.event
    def on_interaction(interaction: Any) -> None:
        try:
            interaction.response.send_message("here")
        except DiscordHAError as error:
            told.append(str(error))

    with ha:
        assert ha.wait_until_ready(20)
        local_discord.slash("roll", {})
        wait_for(lambda: local_discord.counters()["messages"] == 1, 10, "the answer")
        assert ha.status()["rest"]["exempt"] == 1
        local_discord.fault_rest(method="GET", path="/users/*", status=403)
        for _ in range(20):
            with pytest.raises(discord.Forbidden):
                ha.call(ha.client.fetch_user(1))
        before = local_discord.counters()["requests"]
        with pytest.raises(DiscordHAError, match="Discord has refused 20 requests"):
            ha.call(ha.client.fetch_user(1))
        local_discord.slash("roll", {})
        wait_for(lambda: told, 10, "the handler to hear of it")
        assert "not sent" in told[0]
        assert local_discord.counters()["requests"] == before

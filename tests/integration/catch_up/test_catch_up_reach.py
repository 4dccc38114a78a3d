"""``catch_up``: nothing older is fetched, which is said; with 0 nothing is, and nothing is kept for it."""

from __future__ import annotations

import time

from fleet import BOTS, answered, logs, per_replica, values, whole_logs
from outages import TTL, gaps, is_over, moment, restart, started
from scrape import addresses, get, value

from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

#: Longer than a start takes on a machine that is not idle, seconds.
REACH = 15


def contents(discord: LocalDiscord) -> list[str]:
    return [message.content for message in answered(discord)]


def test_what_happened_before_the_reach_of_catch_up_is_not_fetched_and_that_is_said(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    reports, channel, *_ = local_discord.channel_ids
    with addresses(2) as ports:
        fleet = replicas(
            BOTS / "outage.py",
            2,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": TTL, "REPORTS": str(reports), "DISCORDHA_CATCH_UP": str(REACH)},
            per_replica_env=lambda index: {
                **per_replica(local_discord)(index),
                "DISCORDHA_HTTP_ADDRESS": f"127.0.0.1:{ports[index]}",
            },
        )
        fleet.wait_ready(60)
        local_discord.send(channel, "!ping before")
        wait_for(lambda: contents(local_discord) == ["pong before"], 20, "the answer")
        last = time.time()
        wait_for(lambda: moment(local_etcd, namespace) > last, 20, "a point behind it")
        for replica in fleet:
            replica.kill()
        local_discord.send(channel, "!ping too old")
        over = time.monotonic() + REACH + 1
        wait_for(lambda: time.monotonic() > over, REACH + 10, "Discord's clock")
        local_discord.send(channel, "!ping young")
        restart(fleet)
        wait_for(lambda: "pong young" in contents(local_discord), 60, lambda: logs(fleet))
        wait_for(
            lambda: answered(local_discord, "seen gap"), 20, lambda: f"the bot to be told\n{logs(fleet)}"
        )
        wait_for(
            lambda: is_over(local_etcd, namespace), 20, lambda: f"the end of {gaps(local_etcd, namespace)}"
        )
        assert contents(local_discord) == ["pong before", "pong young"]
        (gap,) = gaps(local_etcd, namespace)
        assert gap["fetch_since"] - gap["since"] >= 1.0
        assert f"as far as catch_up={REACH} reaches" in whole_logs(fleet)
        assert value(ports, "discordha_gaps_total", shard="0") == 1
        assert value(ports, "discordha_catching_up", shard="0") == 0
        assert all("discordha_catching_up" in get(port, "/metrics")[1] for port in ports)


def test_without_catch_up_nothing_is_fetched_and_nothing_kept(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    channel = local_discord.channel_ids[0]
    fleet = started(replicas, local_discord, 2, env={"DISCORDHA_CATCH_UP": "0"})
    local_discord.send(channel, "!ping before")
    wait_for(lambda: contents(local_discord) == ["pong before"], 20, "the answer")
    for replica in fleet:
        replica.kill()
    local_discord.send(channel, "!ping missed")
    restart(fleet)
    local_discord.send(channel, "!ping after")
    wait_for(lambda: "pong after" in contents(local_discord), 20, lambda: logs(fleet))
    assert contents(local_discord) == ["pong before", "pong after"]
    root = f"/discordha/v1/{namespace}/"
    assert not values(local_etcd, f"{root}p/")
    assert not values(local_etcd, f"{root}g/")

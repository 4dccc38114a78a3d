"""A replica whose gateway session has just begun, and the only one left soon after: what its leader has
handled meanwhile, without knowing of that session, is not run again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from fleet import BOTS
from reaction_runs import check, seen
from scrape import addresses, value

from discordha.leader.shard import AMBIGUOUS
from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replica, wait_for
from discordha.testing.plugin import ReplicasFactory

#: Long enough for a busy machine, whose leader has the delay of its link in each renewal besides.
TTL = 10.0
#: How far the leader's view of etcd lags behind, seconds.
BEHIND = 0.4
RATE = 100.0


def start(replicas: ReplicasFactory, discord: LocalDiscord, name: str, **env: str) -> Replica:
    """One more replica."""
    env |= {"DISCORDHA_REPLICA_ID": name, "DISCORDHA_SESSION_TTL": str(TTL)}
    return replicas(BOTS / "reactions.py", 1, discord=None, env=env | discord.env(name))[0]


def told_of(replica: Replica) -> int:
    """How many events a replica was told of by its leader."""
    return sum(map(int, re.findall(r"its leader has handled (\d+) events", replica.log_text())))


@pytest.mark.parametrize("leave", [Replica.kill, Replica.drain], ids=["killed", "drained"])
def test_what_a_leader_handled_unaware_is_not_run_again(
    leave: Callable[[Replica], None],
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
) -> None:
    with FaultProxy.to(local_etcd.endpoints[0]) as proxy, addresses(1) as ports:
        old = start(replicas, local_discord, "r0", DISCORDHA_ETCD_ENDPOINTS=proxy.endpoint)
        old.wait_ready(60)
        wait_for(lambda: "takeover: leads shard 0" in old.log_text(), 20, "it to lead")
        proxy.delay(BEHIND, "to_client")  # it learns late of the other one
        channels = local_discord.channel_ids
        load = local_discord.load("reaction", rate=RATE, channels=channels[:2])
        young = start(replicas, local_discord, "r1", DISCORDHA_HTTP_ADDRESS=f"127.0.0.1:{ports[0]}")
        wait_for(lambda: len(local_discord.sessions()) == 2, 30, "the other's session", interval=0.002)
        begun = time.monotonic()
        before = len(load.sent())
        wait_for(lambda: len(load.sent()) >= before + 60, 20, "what the leader handles unaware")
        count = len(load.stop())
        wait_for(lambda: len(seen(local_discord)) >= count, 30, "all of them")
        proxy.heal()
        healed = time.monotonic()
        wait_for(lambda: time.monotonic() > healed + 2 * BEHIND, 10, "it to know of the other one")
        # These say nothing of those, but that events come.
        messages = local_discord.load(rate=20, channels=channels[2:3])
        wait_for(
            lambda: value(ports, "discordha_journal_events") == 0,
            40,
            lambda: f"positions, or the leader's answer:\n{old.tail()}\n{young.tail()}",
        )
        print(f"{told_of(young)} events told of {time.monotonic() - begun:.1f} s after the session began")
        young.wait_ready(30)
        leave(old)
        wait_for(lambda: "takeover: leads shard 0" in young.log_text(), 40, "the other one to lead")
        messages.stop()
        others = local_discord.load("reaction", rate=50, count=20, channels=channels[2:3])
        others.wait(20)
        check(local_discord, [*load.sent(), *others.sent()])
        assert AMBIGUOUS not in old.log_text() + young.log_text()


@pytest.mark.alone
def test_a_leader_whose_gateway_lags_behind_its_watch(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    """It hears of a peer's session before it has received what happened before that: what the peer never
    got. Its marks must not be taken for those of equal events that the peer did get.
    """
    old = start(replicas, local_discord, "r0")
    wait_for(lambda: "takeover: leads shard 0" in old.log_text(), 20, "it to lead")
    local_discord.fault("r0", delay=BEHIND)
    load = local_discord.load(
        "reaction", rate=RATE, users=local_discord.user_ids[:1], channels=local_discord.channel_ids[:1]
    )
    wait_for(lambda: len(seen(local_discord)) >= RATE, 20, "it to be at work")
    young = start(replicas, local_discord, "r1")
    young.wait_ready(30)
    count = len(seen(local_discord))
    wait_for(lambda: len(seen(local_discord)) >= count + 2 * RATE, 20, "two seconds")
    old.kill()
    wait_for(lambda: "takeover: leads shard 0" in young.log_text(), 40, "the other one to lead")
    check(local_discord, load.stop())


def test_what_is_marked_while_ready_is_on_its_way_is_not_run_again(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    """The young replica's watch shows the marks of its first events before its gateway shows READY."""
    with addresses(1) as ports:
        old = start(replicas, local_discord, "r0")
        old.wait_ready(60)
        wait_for(lambda: "takeover: leads shard 0" in old.log_text(), 20, "it to lead")
        channels = local_discord.channel_ids
        load = local_discord.load("reaction", rate=RATE, channels=channels[:2])
        wait_for(lambda: seen(local_discord), 20, "it to be at work")
        local_discord.fault("r1", delay=BEHIND)
        young = start(replicas, local_discord, "r1", DISCORDHA_HTTP_ADDRESS=f"127.0.0.1:{ports[0]}")
        wait_for(lambda: len(local_discord.sessions()) == 2, 30, "the other's session", interval=0.002)
        before = len(load.sent())
        wait_for(lambda: len(load.sent()) >= before + 20, 20, "what is handled before READY comes")
        count = len(load.stop())
        wait_for(lambda: len(seen(local_discord)) >= count, 30, "all of them")
        local_discord.clear_faults()
        # These say nothing of those, but that events come.
        messages = local_discord.load(rate=20, channels=channels[2:3])
        young.wait_ready(30)
        wait_for(lambda: value(ports, "discordha_journal_events") == 0, 40, young.tail)
        old.kill()
        wait_for(lambda: "takeover: leads shard 0" in young.log_text(), 40, "the other one to lead")
        messages.stop()
        others = local_discord.load("reaction", rate=50, count=20, channels=channels[2:3])
        others.wait(20)
        check(local_discord, [*load.sent(), *others.sent()])
        assert AMBIGUOUS not in old.log_text() + young.log_text()

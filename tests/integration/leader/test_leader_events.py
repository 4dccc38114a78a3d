"""Events without an identity of their own: handled by the leader, counted, in order, and not lost with it."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import ExitStack
from datetime import datetime
from statistics import median

import pytest
from fleet import BOTS, logs, members, per_replica, wait_members
from reaction_runs import check, seen

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replica, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 6.0
#: Where an outage is to last longer, seconds.
SHORT_TTL = 2.0
#: What a busy machine may add, seconds.
BUSY = 3.0


def leader_of(fleet: Replicas, discord: LocalDiscord) -> Replica:
    """The replica that speaks now."""
    before = len(discord.messages())
    wait_for(lambda: len(discord.messages()) > before, 20, "somebody who leads")
    name = discord.messages()[-1].replica
    return fleet[int(name.removeprefix("r"))]


def said_at(replica: Replica, what: str) -> float:
    """When a replica last logged something, by this machine's clock; 0 when it never did."""
    lines = [line for line in replica.log_text().splitlines() if what in line]
    if not lines:
        return 0.0
    return datetime.strptime(lines[-1][:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()


def next_leader_at(fleet: Replicas, old: Replica, since: float) -> float:
    """When another replica begins to act as the leader, by this machine's clock. Blocks until it does."""

    leads = "discordha.leader.takeover: leads shard 0"

    def latest() -> float:
        return max(said_at(one, leads) for one in fleet if one is not old)

    wait_for(lambda: latest() >= since, 30, "another leader", interval=0.01)
    return latest()


def start(replicas: ReplicasFactory, discord: LocalDiscord, **env: str) -> Replicas:
    fleet = replicas(
        BOTS / "reactions.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL), **env},
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    return fleet


def test_reactions_survive_kills_pauses_and_drains(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = start(replicas, local_discord)
    load = local_discord.load(
        "reaction", rate=50, users=local_discord.user_ids[:2], channels=local_discord.channel_ids[:3]
    )
    gaps: dict[str, list[float]] = defaultdict(list)
    for how in ("kill", "drain", "pause", "drain", "kill", "drain"):
        leader = leader_of(fleet, local_discord)
        since = time.time()
        {"kill": leader.kill, "drain": leader.drain, "pause": leader.pause}[how]()
        until = next_leader_at(fleet, leader, since)
        if how == "drain":
            assert leader.wait_exit(20) == 0
            since = said_at(leader, "no longer leads shard 0")
        gaps[how].append(until - since)
        if how == "pause":
            leader.resume()
        else:
            leader.start()
            leader.wait_ready(30)
        # One that was paused has what others may not have received: it must be there to lead.
        wait_members(local_etcd, namespace, len(fleet))
    check(local_discord, load.stop(), fleet=fleet)
    report = {how: [round(gap, 3) for gap in found] for how, found in gaps.items()}
    print(f"without a leader, seconds: {report}")
    # etcd counts whole seconds.
    assert median(gaps["kill"] + gaps["pause"]) <= TTL + 1, report
    assert max(gaps["kill"] + gaps["pause"]) <= TTL + 1 + BUSY, report
    assert min(gaps["drain"]) <= 0.1, report
    assert max(gaps["drain"]) <= 0.5 + BUSY, report  # nobody waits for a session to end


def test_slow_handlers_finish_on_the_old_leader_when_it_drains(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = start(replicas, local_discord, SLOW="0.4")
    channels = local_discord.channel_ids[:6]
    load = local_discord.load("reaction", rate=12, users=local_discord.user_ids[:1], channels=channels)
    leader = leader_of(fleet, local_discord)
    leader.drain()
    assert leader.wait_exit(20) == 0
    other = leader_of(fleet, local_discord)
    assert other is not leader
    check(local_discord, load.stop())


def test_a_leader_that_discord_does_not_reach_gives_way(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    deaf_after = 3.0
    fleet = start(replicas, local_discord, DISCORDHA_DEAF_AFTER=str(deaf_after))
    load = local_discord.load("reaction", rate=40, users=local_discord.user_ids[:2])
    leader = leader_of(fleet, local_discord)
    since = time.time()
    local_discord.fault(f"r{leader.index}", silent=True)
    gap = next_leader_at(fleet, leader, since) - since
    print(f"a leader that hears nothing: another leads after {gap:.2f} s")
    assert gap <= deaf_after + 1.0 + BUSY, gap
    local_discord.clear_faults()
    wait_for(lambda: all(s["attached"] for s in local_discord.sessions()), 30, "all to hear again")
    check(local_discord, load.stop())


def test_a_leader_that_hears_nothing_but_heartbeats_gives_way(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    """Its socket is well. Only its peers' numbers tell."""
    fleet = start(replicas, local_discord, DISCORDHA_DEAF_AFTER="2")
    load = local_discord.load("reaction", rate=40, users=local_discord.user_ids[:2])
    leader = leader_of(fleet, local_discord)
    local_discord.fault(f"r{leader.index}", deaf=True)
    is_deaf = "is deaf: other replicas receive events"
    wait_for(lambda: is_deaf in leader.log_text(), 20, lambda: f"it to notice:\n{logs(fleet)}")
    wait_for(lambda: leader_of(fleet, local_discord) is not leader, 20, "another leader")
    local_discord.clear_faults()
    wait_for(lambda: "is ready again" in leader.log_text(), 30, lambda: f"it to hear again:\n{logs(fleet)}")
    check(local_discord, load.stop())


def test_nobody_is_taken_for_deaf_when_a_load_ends(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    """Peers' records lag behind, and a replica that starts receives what is for it alone."""
    fleet = start(replicas, local_discord, DISCORDHA_DEAF_AFTER="4")
    load = local_discord.load("reaction", rate=100, count=300, users=local_discord.user_ids[:2])
    load.wait(20)
    check(local_discord, load.sent())
    fleet[2].restart(ready_timeout=30)
    quiet = time.monotonic()
    wait_for(lambda: time.monotonic() - quiet > 8.0, 20, "a quiet time")
    for replica in fleet:
        assert "is deaf" not in replica.log_text(), logs(fleet)
    assert len(local_discord.identifies()) == 4


@pytest.mark.parametrize("seconds", [4.0, pytest.param(20.0, marks=pytest.mark.long)])
def test_etcd_away_for_longer_than_the_ttl(
    seconds: float, replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    with LocalEtcd() as etcd:
        fleet = replicas(
            BOTS / "reactions.py",
            3,
            etcd=etcd,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": str(SHORT_TTL)},
            per_replica_env=per_replica(local_discord),
        )
        fleet.wait_ready(60)
        load = local_discord.load("reaction", rate=40, users=local_discord.user_ids[:2])
        leader_of(fleet, local_discord)
        etcd.stop_all(graceful=True)  # one that is killed may forget a write: see ``etcd_crashes``
        stopped = time.monotonic()
        wait_for(lambda: time.monotonic() - stopped > seconds, seconds + 5, "the outage to last")
        etcd.start_all()
        back = time.monotonic()
        leader_of(fleet, local_discord)
        check(local_discord, load.stop())
        times = [at for _, _, at in seen(local_discord)]
        past = [at - stopped for at in times if stopped + SHORT_TTL + 0.25 < at < back - 0.5]
        assert not past, "a leader acted past its lease"
        recovered = min(at for at in times if at > back - 0.5) - back
        print(f"etcd away for {seconds:g} s: a leader {recovered:.2f} s after it was back")
        assert recovered <= SHORT_TTL + 1 + BUSY, recovered


def test_a_leader_cut_off_from_etcd(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    with ExitStack() as ends:
        links = [ends.enter_context(FaultProxy.to(local_etcd.endpoints[0])) for _ in range(3)]
        fleet = replicas(
            BOTS / "reactions.py",
            3,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": str(TTL)},
            per_replica_env=lambda index: {
                **local_discord.env(f"r{index}"),
                "DISCORDHA_ETCD_ENDPOINTS": links[index].endpoint,
            },
        )
        fleet.wait_ready(60)
        load = local_discord.load("reaction", rate=40, users=local_discord.user_ids[:2])
        leader = leader_of(fleet, local_discord)
        links[leader.index].black_hole()
        wait_for(
            lambda: leader.replica_id not in members(local_etcd, namespace), TTL + 10, "its session to end"
        )
        wait_for(lambda: leader_of(fleet, local_discord) is not leader, 30, "another leader")
        links[leader.index].heal()
        wait_members(local_etcd, namespace, len(fleet))
        check(local_discord, load.stop())

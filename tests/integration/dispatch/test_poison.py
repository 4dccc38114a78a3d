"""Events whose handler ends its process, time and again: they become dead letters, and nothing else does
(P8).
"""

from __future__ import annotations

from itertools import groupby

from fleet import BOTS, logs, per_replica, verdict

from discordha.coordination.membership.placement import order
from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 2.0


def start(replicas: ReplicasFactory, discord: LocalDiscord, *, slow: float, **options: bool) -> Replicas:
    """Four replicas: three die, so that one is always there, however long the others take to come back."""
    fleet = replicas(
        BOTS / "poisonous.py",
        4,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": str(TTL), "SLOW": str(slow)},
        per_replica_env=per_replica(discord),
        **options,
    )
    fleet.wait_ready(60)
    return fleet


def buried(etcd: LocalEtcd, namespace: str) -> list[str]:
    """The events that became dead letters."""
    root = f"/discordha/v1/{namespace}/dead/"
    return [key.removeprefix(root) for key in etcd.keys(root)]


def wait_said(discord: LocalDiscord, fleet: Replicas, *wanted: str) -> None:
    """Blocks until the bot has said each of these, once, and nothing else."""
    wait_for(
        lambda: sorted(message.content for message in discord.messages()) == sorted(wanted),
        60,
        lambda: f"each answer, once:\n{logs(fleet)}",
    )


def test_it_becomes_a_dead_letter_and_takes_nobody_with_it(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = start(replicas, local_discord, slow=0.01, restart=True)
    load = local_discord.load(rate=40)
    wait_for(lambda: local_discord.counters()["messages"] > 40, 30, "some answers")
    poison = local_discord.send(local_discord.channel_ids[0], "!poison")
    wait_for(lambda: buried(local_etcd, namespace), 60, "the dead letter")
    wait_for(lambda: sum(replica.runs - 1 for replica in fleet) == 3, 20, "three restarts")
    result = verdict(local_discord, load.stop())
    assert result.total.ok, result
    assert buried(local_etcd, namespace) == [f"message/{poison}"]


def test_what_runs_beside_it_each_time_is_answered(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, namespace: str
) -> None:
    """Slow handlers, on the replica that it ends, and on each that takes over from that one."""
    with LocalDiscord(channels=400) as discord:
        fleet = start(replicas, discord, slow=1.0)
        live = [str(replica.replica_id) for replica in fleet]
        ranked = sorted(discord.channel_ids, key=lambda channel: order(str(channel), live))
        together = [list(found) for _, found in groupby(ranked, lambda channel: order(str(channel), live))]
        first, *others = max(together, key=len)[:9]  # all of one replica, then all of the same other one
        for channel in others:
            discord.send(channel, f"!ping {channel}")
        poison = discord.send(first, "!poison")
        wait_for(lambda: buried(local_etcd, namespace), 60, lambda: f"the dead letter:\n{logs(fleet)}")
        wait_said(discord, fleet, *(f"pong {channel}" for channel in others))
        assert buried(local_etcd, namespace) == [f"message/{poison}"]
        assert sum(replica.alive for replica in fleet) == 1


def test_what_runs_beside_it_on_each_leader_is_handled(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = start(replicas, local_discord, slow=1.0)
    posts = [local_discord.send(channel, "a post") for channel in local_discord.channel_ids for _ in range(2)]
    where = [channel for channel in local_discord.channel_ids for _ in range(2)]
    *innocent, poison = posts
    for channel, post in zip(where, posts, strict=True):
        local_discord.react(channel, post, "\N{SKULL}" if post == poison else "\N{THUMBS UP SIGN}")
    wait_for(lambda: buried(local_etcd, namespace), 60, lambda: f"the dead letter:\n{logs(fleet)}")
    wait_said(local_discord, fleet, *(f"seen {post}" for post in innocent))
    (letter,) = buried(local_etcd, namespace)
    assert str(poison) in letter
    assert sum(replica.alive for replica in fleet) == 1

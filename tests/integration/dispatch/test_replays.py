"""Events that come late, or again: a replica far behind the others, and a RESUME that brings everything."""

from __future__ import annotations

import pytest
from fleet import EXAMPLES, answered, members, per_replica, verdict

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = "10"


def start(replicas: ReplicasFactory, discord: LocalDiscord, **env: str) -> Replicas:
    fleet = replicas(
        EXAMPLES / "ping.py",
        3,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": TTL, **env},
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    return fleet


def received(etcd: LocalEtcd, name: str, replica: str | None) -> int:
    """How many gateway events a replica says that it received."""
    record = members(etcd, name).get(str(replica), {})
    return int(record.get("heard", {}).get("0", 0))


def wait_settled(etcd: LocalEtcd, name: str, replica: str | None) -> None:
    """Blocks until a replica has nothing left to do with what it received."""
    wait_for(
        lambda: sum(count for state, count in members(etcd, name)[str(replica)]["queue"].items()) == 0,
        20,
        "an empty queue",
    )


@pytest.mark.parametrize("delay", [4.0, pytest.param(30.0, marks=pytest.mark.long)])
def test_a_replica_that_receives_everything_later(
    delay: float,
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
) -> None:
    """The original's late replica waits for ever, and runs the event when the winner's process ends."""
    # It must not be taken for a deaf one and connect anew: then nothing would come late.
    fleet = start(replicas, local_discord, DISCORDHA_DEAF_AFTER=str(delay * 3))
    late = fleet[2]
    before = received(local_etcd, namespace, late.replica_id)
    local_discord.fault("r2", delay=delay)
    load = local_discord.load(rate=100, count=200)
    result = verdict(local_discord, load.wait(30))
    assert result.total.ok, result
    # What it was preferred for, others took after the grace.
    assert result.total.latency_max < delay, result.total
    winner = fleet[0]
    winner.drain()  # its marks must stand without it
    assert winner.wait_exit(20) == 0
    wait_for(
        lambda: received(local_etcd, namespace, late.replica_id) >= before + len(load.sent()),
        delay + 30,
        "the late events",
        interval=0.1,
    )
    wait_settled(local_etcd, namespace, late.replica_id)
    assert len(answered(local_discord)) == len(load.sent())
    assert "r2" not in result.total.answered_by, result
    # Nor does anybody post a message that Discord knows.
    assert not any(request.duplicate for request in local_discord.requests())


def test_a_resume_that_brings_a_thousand_events_again(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = start(replicas, local_discord)
    deaf = fleet[0]
    before = received(local_etcd, namespace, deaf.replica_id)
    local_discord.fault("r0", silent=True)
    load = local_discord.load(rate=400, count=1000)
    result = verdict(local_discord, load.wait(60))
    assert result.total.ok, result
    assert "r0" not in result.total.answered_by, result
    wait_for(lambda: "is not ready" in deaf.log_text(), 20, "the silence to be found")
    local_discord.clear_faults()
    wait_for(
        lambda: received(local_etcd, namespace, deaf.replica_id) >= before + 1000,
        40,
        "a RESUME with everything",
        interval=0.1,
    )
    assert any(s["replica"] == "r0" and s["resumed"] for s in local_discord.sessions())
    wait_settled(local_etcd, namespace, deaf.replica_id)
    # Whoever handled them may go: the marks stay.
    for replica in list(fleet)[1:]:
        replica.kill()
    more = local_discord.load(rate=50, count=100, template="!ping again {n}")
    wait_for(lambda: len(answered(local_discord, "pong again")) == 100, 20, "answers of the one that is left")
    assert more.wait(10)
    assert len(answered(local_discord)) == 1100
    assert not any(request.duplicate for request in local_discord.requests())

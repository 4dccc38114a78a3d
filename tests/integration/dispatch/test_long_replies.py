"""What a dead replica leaves may be more than one request to etcd can hold: it is taken over all the same."""

from __future__ import annotations

import pytest
from fleet import BOTS, per_replica, values, verdict

from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

#: In flight on the replica that dies: with the payloads in JSON some 3 MiB, of 1.5 that etcd takes.
IN_FLIGHT = 140


@pytest.mark.timeout(90)
def test_a_replica_dies_with_long_events_in_flight(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = replicas(
        BOTS / "slow.py",
        2,
        discord=None,
        env={
            "DISCORDHA_SESSION_TTL": "2",
            "DISCORDHA_ORDERING": "none",
            "DISCORDHA_WORKERS": "300",
            "SLOW": "5",
        },
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    channels = local_discord.channel_ids
    emoji = "\N{GRINNING FACE}" * 1_950
    load = local_discord.load(rate=300, template="!ping {n} " + emoji, channels=channels)

    def running(replica: int) -> int:
        mine = f"r r{replica}-1 ".encode()
        claims = values(local_etcd, f"/discordha/v1/{namespace}/e/").values()
        return sum(value.startswith(mine) for value, _ in claims)

    wait_for(lambda: max(running(0), running(1)) >= IN_FLIGHT, 30, "handlers that run")
    sent = load.stop()
    victim = 0 if running(0) >= IN_FLIGHT else 1
    fleet[victim].kill()
    found = verdict(local_discord, sent)
    assert not found.lost
    assert not found.repeated
    assert "taken over (attempt 2)" in fleet[1 - victim].log_text()
    assert not values(local_etcd, f"/discordha/v1/{namespace}/dead/")

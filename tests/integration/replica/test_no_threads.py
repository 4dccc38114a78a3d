"""At a limit of processes, as containers have one, a replica can't start threads: it says so, loses nothing,
and goes on once it can; if that never comes, its process ends.
"""

from __future__ import annotations

import os
import signal

import pytest
from fleet import BOTS, members, per_replica, verdict, wait_members

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 2.0


@pytest.mark.parametrize("lasts", [False, pytest.param(True, marks=pytest.mark.long)])
def test_threads_cannot_start(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str, lasts: bool
) -> None:
    with FaultProxy.to(local_etcd.endpoints[0]) as link:
        fleet = replicas(
            BOTS / "threadless.py",
            2,
            discord=None,
            env={
                "DISCORDHA_SESSION_TTL": str(TTL),
                "DISCORDHA_DRAIN_TIMEOUT": "5",
                "GIVE_UP_AFTER": "1" if lasts else "60",
            },
            per_replica_env=lambda index: {
                **per_replica(local_discord)(index),
                **({"DISCORDHA_ETCD_ENDPOINTS": link.endpoint} if index == 0 else {}),
            },
        )
        fleet.wait_ready(60)
        victim = fleet[0]
        load = local_discord.load(rate=20, template="!ping {n}")
        os.kill(victim.pid, signal.SIGUSR1)
        link.cut()  # each new stream of the watch needs a thread

        def reasons() -> str:
            return " ".join(members(local_etcd, namespace).get("r0-1", {}).get("reasons", ()))

        if lasts:
            assert victim.wait_exit(25) != 0
            assert "has failed again and again for" in victim.log_text()
        else:
            wait_for(lambda: "fails: can't start new thread" in reasons(), 20, lambda: f"no, not {reasons()}")
            os.kill(victim.pid, signal.SIGUSR2)
            wait_members(local_etcd, namespace, 2, 40)
        sent = load.stop()
    found = verdict(local_discord, sent)
    assert not found.lost
    assert not found.repeated

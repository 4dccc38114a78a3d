"""A leader that is asked to resign and drains while it does so, over a slow link to etcd: there is one
handover, it ends in time, and what its handlers run is not run again.
"""

from __future__ import annotations

import itertools
import json
import time
from contextlib import ExitStack

import pytest
from fleet import BOTS, logs, wait_members
from reaction_runs import check
from store_helpers import store_of

from discordha.coordination.election.candidates import request_resignation
from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

#: How late the leader's link to etcd delivers, seconds, each way.
LATE = 0.4
#: When SIGTERM follows the request to resign, seconds.
PAUSES = (0.3, 0.45, 0.6)
#: What a drain may take: a slow call or two, beside its handlers.
DRAIN = 15.0


@pytest.mark.parametrize("rounds", [1, pytest.param(12, marks=pytest.mark.long)])
def test_a_drain_while_the_leader_resigns(
    rounds: int, replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    with ExitStack() as ends:
        links = [ends.enter_context(FaultProxy.to(local_etcd.endpoints[0])) for _ in range(2)]
        store = ends.enter_context(store_of(local_etcd))
        fleet = replicas(
            BOTS / "reactions.py",
            2,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": "5", "SLOW": "0.4"},
            per_replica_env=lambda index: {
                **local_discord.env(f"r{index}"),
                "DISCORDHA_ETCD_ENDPOINTS": links[index].endpoint,
            },
        )
        fleet.wait_ready(60)
        channels = local_discord.channel_ids[:6]
        load = local_discord.load("reaction", rate=12, users=local_discord.user_ids[:1], channels=channels)
        took = []
        for _, pause in zip(range(rounds), itertools.cycle(PAUSES), strict=False):
            before = len(local_discord.messages())
            wait_for(lambda before=before: len(local_discord.messages()) > before, 20, "a leader")
            leader = next(each for each in fleet if each.replica_id == leader_id(local_etcd, namespace))
            links[leader.index].delay(LATE)
            assert request_resignation(store, f"/discordha/v1/{namespace}/", 0) == leader.replica_id
            asked = time.monotonic()
            wait_for(lambda asked=asked, pause=pause: time.monotonic() > asked + pause, 5, "SIGTERM's time")
            leader.drain()
            assert leader.wait_exit(40) == 0, logs(fleet)
            took.append(round(time.monotonic() - asked - pause, 1))
            links[leader.index].heal()
            leader.start()
            leader.wait_ready(30)
            wait_members(local_etcd, namespace, len(fleet))
        print(f"the drains took {took} s")
        check(local_discord, load.stop())
        assert max(took) <= DRAIN, took


def leader_id(etcd: LocalEtcd, name: str) -> str:
    """The replica whose candidacy is the oldest."""
    with store_of(etcd) as store:
        found = [kv for kv in store.range(f"/discordha/v1/{name}/l/0/").items if kv.lease]
    return str(json.loads(min(found, key=lambda kv: kv.create_revision).value)["replica"])

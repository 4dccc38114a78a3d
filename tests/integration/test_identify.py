"""The budget for new sessions is shared: by all replicas, over all shards, and over crashes."""

from __future__ import annotations

import json
import time
from collections import defaultdict

import pytest
from fleet import BOTS, logs, per_replica
from store_helpers import store_of

from discordha.operations.fleet import Fleet
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory


@pytest.mark.parametrize(
    ("max_concurrency", "interval"),
    [
        pytest.param(4, 1.0, id="4"),
        pytest.param(1, 1.0, id="1", marks=pytest.mark.long),
        pytest.param(4, 5.0, id="4-as-documented", marks=(pytest.mark.long, pytest.mark.timeout(600))),
        pytest.param(1, 5.0, id="1-as-documented", marks=(pytest.mark.long, pytest.mark.timeout(600))),
    ],
)
def test_five_replicas_of_eight_shards_start_at_once(
    replicas: ReplicasFactory, max_concurrency: int, interval: float
) -> None:
    with LocalDiscord(
        guilds=8, shards=8, channels=1, max_concurrency=max_concurrency, identify_interval=interval
    ) as discord:
        fleet = replicas(
            BOTS / "sharded.py",
            5,
            discord=None,
            env={"DISCORDHA_SHARD_COUNT": "auto", "DISCORDHA_REPLICATION": "5"},
            per_replica_env=per_replica(discord),
        )
        possible = (40 / max_concurrency - 1) * interval
        fleet.wait_ready(possible * 2 + 60)
        identifies = discord.identifies()
        assert discord.counters()["violations"] == 0
        assert len(identifies) == 40
        buckets: dict[int, list[float]] = defaultdict(list)
        for identify in identifies:
            buckets[identify["shard_id"] % max_concurrency].append(identify["at"])
        took = max(times[-1] - times[0] for times in buckets.values())
        print(
            f"\nmax_concurrency {max_concurrency}: {took:.2f} s, {took / possible - 1:+.1%} of the possible"
        )
        assert took <= possible * 1.1
        assert len({identify["replica"] for identify in identifies[: len(identifies) // 2]}) == 5, "fair"


@pytest.mark.long  # each start waits for the end of the session before it
def test_a_crash_loop_waits_longer_each_time(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, namespace: str
) -> None:
    with LocalDiscord(session_limit=1000) as discord:
        fleet = replicas(
            BOTS / "crashes.py",
            1,
            discord=None,
            restart=True,
            env={"DISCORDHA_SESSION_TTL": "2"},
            per_replica_env=per_replica(discord),
        )

        def waits() -> float:
            """What the replica says of itself in etcd, which is what ``status`` shows."""
            records = [json.loads(kv.value) for kv in store.range(f"/discordha/v1/{namespace}/m/").items]
            return max((record["identify"].get("wait", 0.0) for record in records), default=0.0)

        begun = time.monotonic()
        with store_of(local_etcd) as store:
            wait_for(lambda: waits() > 3.0, 60, lambda: f"a wait of 4 s\n{logs(fleet)}", interval=0.1)
        used = len(discord.identifies())
        print(f"\n{used} IDENTIFYs in {time.monotonic() - begun:.0f} s, then a wait of 4 s or more")
        # Three are free, one waits 2 s; one more for each whose predecessor's session had not ended. From
        # here on an hour holds 16 more: see the unit test.
        assert used <= 14
        assert discord.counters()["remaining"] == 1000 - used
        assert "ended in a crash within the last hour" in fleet[0].log_text()


def test_what_little_is_left_is_kept_for_those_that_nobody_can_do_without(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, namespace: str
) -> None:
    with LocalDiscord(session_limit=1000) as discord:
        discord.set_identify_limit(50)
        fleet = replicas(
            BOTS / "slow.py",
            2,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": "2"},
            per_replica_env=per_replica(discord),
        )
        ready, other = fleet
        other.end()  # who asks while the first is not ready yet is as important as that
        ready.wait_ready(30)
        other.start()
        wait_for(lambda: "kept for shards" in other.log_text(), 60, lambda: f"one that waits\n{logs(fleet)}")
        assert len(discord.identifies()) == 1
        ready.end()
        other.wait_ready(30)  # now nobody else is ready
        with store_of(local_etcd) as store:
            day = Fleet(store, f"/discordha/v1/{namespace}/").identify()
        assert day == {"remaining": 48, "total": 1000}

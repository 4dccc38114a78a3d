"""The budget for new sessions is shared: by all replicas, over all shards, and over crashes."""

from __future__ import annotations

import json
import statistics
import time
from itertools import pairwise

import pytest
from fleet import BOTS, logs, per_replica, values
from store_helpers import store_of

from discordha.operations.fleet import Fleet
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

#: For how long the machine may stand still, seconds.
STALL = 3.0


@pytest.mark.parametrize(
    ("max_concurrency", "interval"),
    [
        pytest.param(4, 1.0, id="4", marks=pytest.mark.alone),
        pytest.param(1, 1.0, id="1", marks=pytest.mark.long),
        pytest.param(4, 5.0, id="4-as-documented", marks=(pytest.mark.long, pytest.mark.timeout(600))),
        pytest.param(1, 5.0, id="1-as-documented", marks=(pytest.mark.long, pytest.mark.timeout(600))),
    ],
)
def test_five_replicas_of_eight_shards_start_at_once(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, namespace: str, max_concurrency: int, interval: float
) -> None:
    """With hardly a pause but Discord's, each in its turn. One stall of the machine is no fault."""
    with LocalDiscord(
        guilds=8, shards=8, channels=1, max_concurrency=max_concurrency, identify_interval=interval
    ) as discord:
        fleet = replicas(
            BOTS / "sharded.py",
            5,
            discord=None,
            env={
                "DISCORDHA_SESSION_TTL": "10",  # whoever loses its session begins all of its shards anew
                "DISCORDHA_SHARD_COUNT": "auto",
                "DISCORDHA_REPLICATION": "5",
            },
            per_replica_env=per_replica(discord),
        )
        possible = (40 / max_concurrency - 1) * interval
        line = f"/discordha/v1/{namespace}/iq/"
        queued: dict[str, tuple[float, int]] = {}  # when a replica was first seen in line, in which bucket

        def all_queued() -> bool:
            now = time.monotonic()
            for key, (replica, _) in values(local_etcd, line).items():
                bucket, kind = key.removeprefix(line).split("/")[:2]
                if kind == "q":
                    queued.setdefault(replica.decode(), (now, int(bucket)))
            return len(queued) == 5

        wait_for(all_queued, possible + 60, lambda: f"all replicas in line, not {queued}", interval=0.05)
        fleet.wait_ready(possible * 2 + 60)
        identifies = discord.identifies()
        assert discord.counters()["violations"] == 0
        assert len(identifies) == 40
        buckets = [
            [each for each in identifies if each["shard_id"] % max_concurrency == bucket]
            for bucket in range(max_concurrency)
        ]
        gaps = [after["at"] - before["at"] for bucket in buckets for before, after in pairwise(bucket)]
        took = max(bucket[-1]["at"] - bucket[0]["at"] for bucket in buckets)
        _, median, upper = statistics.quantiles(gaps, n=4)
        print(
            f"\nmax_concurrency {max_concurrency}: {took:.2f} s, {took / possible - 1:+.1%} of the possible; "
            f"gaps {median:.2f} s, {max(gaps):.2f} s at the most"
        )
        assert median <= interval * 1.1, sorted(gaps)
        assert upper <= interval * 1.5, sorted(gaps)
        assert took <= possible * 1.1 + STALL
        for replica in fleet:
            assert replica.replica_id is not None
            since, number = queued[replica.replica_id]
            turns = [each["replica"] for each in buckets[number] if each["at"] > since]
            # Of each other replica one place may be before it, and one more turn was about to be used.
            assert turns.index(f"r{replica.index}") <= 5, (replica, turns)


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


def test_the_reserve_is_kept_for_shards_that_no_replica_is_ready_for(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, namespace: str
) -> None:
    with LocalDiscord(session_limit=1000) as discord:
        discord.set_identify_limit(50)
        fleet = replicas(
            BOTS / "slow.py",
            2,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": "5"},
            per_replica_env=per_replica(discord),
        )
        ready, other = fleet
        other.end()  # who asks while the first is not ready yet is as important as that
        ready.wait_ready(30)
        used = len(discord.identifies())  # one, if the other's end came in time
        other.start()
        wait_for(lambda: "kept for shards" in other.log_text(), 60, lambda: f"one that waits\n{logs(fleet)}")
        assert len(discord.identifies()) == used
        ready.end()
        other.wait_ready(30)  # now nobody else is ready
        with store_of(local_etcd) as store:
            day = Fleet(store, f"/discordha/v1/{namespace}/").identify()
        assert day == {"remaining": 50 - used - 1, "total": 1000}

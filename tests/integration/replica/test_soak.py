"""P10: under a load that lasts, memory, threads, watches, leases and keys stay as they are once the first
retention window is over.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import psutil
import pytest
from fleet import BOTS, members, per_replica, wait_members, whole_logs

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

#: What a replica says when its session has ended: nobody is to say it, but on a machine that stood still.
LOST = ") is lost: "


class Sample(NamedTuple):
    """What could grow; the largest of the replicas."""

    at: float
    memory: int
    threads: int
    files: int
    watchers: int
    leases: int
    keys: int


def sample(fleet: Replicas, etcd: LocalEtcd) -> Sample:
    processes = [psutil.Process(replica.pid) for replica in fleet]
    metrics = etcd.metrics()
    return Sample(
        time.monotonic(),
        max(process.memory_info().rss for process in processes),
        max(process.num_threads() for process in processes),
        max(process.num_fds() for process in processes),
        metrics.watchers,
        metrics.leases,
        metrics.keys,
    )


def handled(etcd: LocalEtcd, name: str) -> int:
    """By all replicas together, as their records say."""
    return sum(int(record.get("handled", 0)) for record in members(etcd, name).values())


@pytest.mark.parametrize(
    ("count", "rate", "retention"),
    [
        pytest.param(4_800, 400.0, 4.0, id="short"),
        pytest.param(200_000, 800.0, 20.0, id="200000", marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_nothing_grows(
    count: int, rate: float, retention: float, replicas: ReplicasFactory, namespace: str
) -> None:
    with LocalEtcd() as etcd, LocalDiscord(max_messages=100, resume_buffer=1000) as discord:
        fleet = replicas(
            BOTS / "quiet.py",
            3,
            etcd=etcd,
            discord=None,
            env={
                "DISCORDHA_SESSION_TTL": str(retention / 2),
                "DISCORDHA_RETENTION": str(retention),
                "DISCORDHA_CATCH_UP": "0",
            },
            per_replica_env=per_replica(discord),
        )
        fleet.wait_ready(60)
        wait_members(etcd, namespace, 3)
        begun = time.monotonic()
        load = discord.load(rate=rate, count=count, template="{n}")
        samples = [sample(fleet, etcd)]

        def over() -> bool:
            if time.monotonic() - samples[-1].at >= retention / 10:
                samples.append(sample(fleet, etcd))
            return handled(etcd, namespace) >= count

        wait_for(over, count / rate * 3 + 60, lambda: f"all events, not {handled(etcd, namespace)}")
        load.wait(10)
        took = time.monotonic() - begun
        if LOST not in whole_logs(fleet):  # what ran meanwhile may count twice
            assert handled(etcd, namespace) == count
        # A mark lives for the retention and the rest of its bucket: by then as many go as come.
        steady = [each for each in samples if each.at - begun > 2 * retention and each.at - begun < took]
        first, last = steady[0], steady[-1]
        print(f"{count} events in {took:.0f} s; steady from {first.at - begun:.0f} s on:")
        for field in Sample._fields[1:]:
            values = [getattr(each, field) for each in steady]
            print(f"  {field:9} first {values[0]:>12,} last {values[-1]:>12,} most {max(values):>12,}")
        assert last.memory <= first.memory * 1.1 + (4 << 20), "resident memory grows"
        # Handler threads, one a channel at the most, and those of gRPC's pool come and go with the load, for
        # example when it catches up: a leak is more than a few.
        assert last.threads <= first.threads + len(discord.channel_ids) + 6, "threads grow"
        assert last.files <= first.files + 2, "open files grow"
        assert last.watchers <= samples[0].watchers, "watches grow"
        bucket = max(retention / 10, 1.0)  # a lease for each, granted when three quarters of one are over
        buckets = (retention + bucket + 1.0) / (0.75 * bucket) + 1
        # And one or two of each replica's own: its turn and its slot at IDENTIFY.
        assert max(each.leases for each in steady) <= 3 * (1 + buckets + 2), "leases grow"
        assert last.keys <= rate * 3 * retention + 100, "keys grow"
        wait_for(
            lambda: etcd.metrics().keys < 50,
            3 * retention + 20,
            lambda: f"the marks to end, not {etcd.metrics().keys}",
            interval=0.5,
        )

"""Timers that wait: what they cost a replica and etcd."""

from __future__ import annotations

import json
import re
import time
from typing import NamedTuple

import psutil
import pytest
from click.testing import CliRunner
from fleet import BOTS, logs
from store_helpers import store_of

from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Put, Store
from discordha.coordination.shared.timers import DIGITS, TimerStore, timer_prefix
from discordha.coordination.shared.values import encode_value
from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, Replica, Replicas, wait_for
from discordha.timers.wheel import HORIZON

DAY = 86_400.0
#: Puts in one transaction, below etcd's limit.
BATCH = 100
#: How etcd counts what it is asked for; changes of leases are told by its consensus.
ASKED = ("etcd_mvcc_range_total", "etcd_mvcc_txn_total", "etcd_server_proposals_committed_total")


class Cost(NamedTuple):
    """What a replica and etcd used over a time, and what they hold at its end."""

    cpu: float
    """Milliseconds of the replica's CPU a second."""
    memory: float
    """MiB of the replica."""
    requests: float
    """Reads, transactions and consensus writes of etcd, a second."""
    sent: float
    """KiB that etcd sent to its clients, a second."""
    etcd_cpu: float
    """Milliseconds of etcd's CPU a second."""
    etcd_memory: float
    """MiB of etcd."""
    database: float
    """MB of etcd's database that are in use."""

    def __str__(self) -> str:
        return (
            f"replica {self.cpu:.1f} ms/s, {self.memory:.1f} MiB; etcd {self.requests:.2f} requests/s, "
            f"{self.sent:.2f} KiB/s, {self.etcd_cpu:.1f} ms/s, {self.etcd_memory:.0f} MiB, "
            f"database {self.database:.0f} MB"
        )


def cost(replica: Replica, etcd: LocalEtcd, seconds: float) -> Cost:
    """Measures over a time in which nothing happens."""
    processes = psutil.Process(replica.pid), psutil.Process(etcd.member(0).pid)

    def sample() -> list[float]:
        raw = etcd.metrics().raw
        return [
            time.monotonic(),
            *(sum(process.cpu_times()[:2]) for process in processes),
            sum(raw[name] for name in ASKED),
            raw["etcd_network_client_grpc_sent_bytes_total"],
        ]

    before = sample()
    wait_for(lambda: time.monotonic() > before[0] + seconds, seconds + 30, "the time", interval=0.5)
    took, cpu, etcd_cpu, asked, sent = (now - then for now, then in zip(sample(), before, strict=True))
    memory, etcd_memory = (process.memory_info().rss / 2**20 for process in processes)
    return Cost(
        cpu * 1000 / took,
        memory,
        asked / took,
        sent / 1024 / took,
        etcd_cpu * 1000 / took,
        etcd_memory,
        etcd.metrics().db_in_use / 1e6,
    )


def record(root: str, due: float, number: int) -> Put:
    """A timer as ``ha.schedule`` writes it, with a number in the place of its random part."""
    payload = {"channel": 10**18 + number, "what": "water the plants"}
    value = b'{"v":1,"name":"note","payload":%b}' % encode_value(payload)
    return Put(f"{timer_prefix(root)}{int(due * 1000):0{DIGITS}d}-{number:016x}", value)


def is_as_scheduled(store: Store, root: str) -> bool:
    """Whether ``record`` gives what ``ha.schedule`` writes, but for the random part."""
    commit = GroupCommit(store)
    commit.start()
    timers = TimerStore(store, commit, RetentionLeases(store, retention=600.0), root, "test")
    due = time.time() + 2 * DAY
    id = timers.schedule(due, "note", {"channel": 10**18 + 7, "what": "water the plants"})
    found, ours = store.get(timer_prefix(root) + id), record(root, due, 7)
    assert timers.cancel(id)
    commit.stop()
    assert found is not None
    same_key = re.sub(r"[0-9a-f]{16}$", "", found.key) == re.sub(r"[0-9a-f]{16}$", "", ours.key)
    return same_key and (found.value, found.lease) == (ours.value, ours.lease)


@pytest.mark.parametrize(
    ("count", "seconds"),
    [
        pytest.param(5_000, 0.2, id="short"),
        pytest.param(
            1_000_000, 2 * HORIZON, id="1000000", marks=[pytest.mark.long, pytest.mark.timeout(900)]
        ),
    ],
)
def test_a_waiting_timer_costs_nothing(
    count: int, seconds: float, local_discord: LocalDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = LocalEtcd.namespace()
    root = f"/discordha/v1/{name}/"
    with (
        LocalEtcd() as etcd,
        store_of(etcd, timeout=30.0) as store,
        Replicas(
            BOTS / "timers.py", 1, etcd=etcd, discord=local_discord, env={"DISCORDHA_NAME": name}
        ) as fleet,
    ):
        fleet.wait_ready(60)
        none = cost(fleet[0], etcd, seconds)
        assert is_as_scheduled(store, root)
        tomorrow = time.time() + DAY
        begun = time.monotonic()
        for first in range(0, count, BATCH):
            store.txn((), [record(root, tomorrow + number, number) for number in range(first, first + BATCH)])
        filled = time.monotonic() - begun
        many = cost(fleet[0], etcd, seconds)

        # A replica that begins with them.
        fleet[0].drain()
        assert fleet[0].wait_exit(30) == 0
        fleet[0].start()
        fleet.wait_ready(60)
        begins = cost(fleet[0], etcd, seconds)
        asked = time.time()
        local_discord.send(local_discord.channel_ids[0], "!remind tea")
        wait_for(
            lambda: "remember tea" in [message.content for message in local_discord.messages()],
            20,
            lambda: f"a timer that is due among those that wait\n{logs(fleet)}",
            interval=0.01,
        )
        took = time.time() - asked

        for variable, value in {**etcd.env(), "DISCORDHA_NAME": name}.items():
            monkeypatch.setenv(variable, value)
        wait_for(lambda: store.count(timer_prefix(root)) == count, 20, "the end of the reminder")
        begun = time.monotonic()
        listed = json.loads(CliRunner().invoke(cli, ["timers", "--json", "--limit", "3"]).output)
        listing = time.monotonic() - begun
    print(
        f"\nno timer:        {none}\n{count} wait:    {many}\n... at a start: {begins}\n"
        f"written in {filled:.0f} s; a reminder after 0.5 s came after {took:.2f} s; "
        f"`discordha timers` took {listing:.2f} s"
    )
    assert listed["count"] == count
    assert [timer["payload"]["channel"] - 10**18 for timer in listed["timers"]] == [0, 1, 2]
    assert took < 5.0
    assert "Traceback" not in fleet[0].log_text()
    if count < 1_000_000:
        return  # too short to judge
    for with_them in (many, begins):
        assert abs(with_them.requests - none.requests) < 0.5
        assert with_them.sent < none.sent + 1.0
        assert with_them.cpu < none.cpu + 5.0
        assert with_them.memory < none.memory + 8.0

"""Timers on replicas that deploy, die and come back: each once, the late ones marked late."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner, Result
from fleet import BOTS, per_replica, whole_logs
from store_helpers import store_of

from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import Put, Txn
from discordha.coordination.shared.timers import DIGITS, TimerStore, timer_prefix
from discordha.operations.cli.fleet_commands import cli
from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

FIRED = re.compile(r"^fired (\d+) (\d+) ([\d.]+)$", re.MULTILINE)
#: How many handlers a replica runs at once: so many may have begun when it is killed.
WORKERS = 16


@contextmanager
def timers_of(etcd: LocalEtcd, root: str) -> Iterator[tuple[TimerStore, GroupCommit]]:
    with store_of(etcd) as store:
        commit = GroupCommit(store)
        commit.start()
        yield TimerStore(store, commit, RetentionLeases(store, retention=600.0), root, "test"), commit
        commit.stop()


def schedule(commit: GroupCommit, root: str, dues: list[float], first: int = 0) -> None:
    """Writes many timers as ``TimerStore.schedule`` does, in few round trips, numbered from ``first`` on."""
    operations = []
    for number, due in enumerate(dues, first):
        key = f"{timer_prefix(root)}{int(due * 1000):0{DIGITS}d}-{number:016x}"
        value = b'{"v":1,"name":"note","payload":%d}' % number
        operations.append(Operation(Txn((), (Put(key, value),)), (key,)))
    commit.execute(operations)
    assert not [operation for operation in operations if operation.error is not None]


def roll(fleet: Replicas) -> None:
    for replica in fleet:
        replica.drain()
        assert replica.wait_exit(30) == 0
        replica.start()
        replica.wait_ready(30)


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.long)])
def test_each_once_over_two_deploys_and_an_outage(  # noqa: PLR0917
    count: int,
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    root: str,
) -> None:
    fleet = replicas(
        BOTS / "timers.py",
        3,
        discord=None,
        env={"DISCORDHA_NAME": namespace},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    begin, span = time.time(), 12.0 if count < 1000 else 25.0
    dues = [begin + 2.0 + span * number / count for number in range(count)]
    with timers_of(local_etcd, root) as (timers, commit):
        schedule(commit, root, dues)
        timers.poke(dues[0])
        roll(fleet)
        for replica in fleet:
            replica.kill()
        down = time.time()
        wait_for(lambda: time.time() > down + 3.0, 10, "some timers that nobody runs")
        up = time.time()
        for replica in fleet:
            replica.start()
        fleet.wait_ready(60)
        roll(fleet)

        def fired() -> dict[int, list[tuple[int, float]]]:
            found = defaultdict(list)
            for number, attempt, late in FIRED.findall(whole_logs(fleet)):
                found[int(number)].append((int(attempt), float(late)))
            return found

        wait_for(
            lambda: len(fired()) == count,
            60,
            lambda: f"all timers; missing {sorted(set(range(count)) - fired().keys())[:50]}",
            interval=0.5,
        )
        wait_for(lambda: not timers.window(begin + 1000, 1), 30, "no timer in etcd")
    runs = fired()
    repeated = {number: each for number, each in runs.items() if len(each) > 1}
    # Those that ran when the replicas were killed: nobody was left to know of the first attempt.
    assert len(repeated) <= 3 * WORKERS, repeated
    assert all(down - 2.0 < dues[number] <= down for number in repeated), repeated
    assert all(len(each) == 2 for each in repeated.values()), repeated
    while_away = [number for number, due in enumerate(dues) if down < due < up - 1.0]
    assert while_away
    assert all(runs[number][-1][1] >= up - dues[number] - 0.1 for number in while_away), "late ones say so"
    # A tenth may be late besides: a busy machine, and the moments of the deploys.
    on_time = [number for number, due in enumerate(dues) if due < down - 2.0]
    punctual = sum(runs[number][-1][1] == 0.0 for number in on_time)
    print(
        f"{count} timers: {count - len(repeated)} once, {len(repeated)} twice (under way at the kill); "
        f"{len(while_away)} due while all were away, all late; {punctual} of {len(on_time)} before on time"
    )
    assert punctual >= 0.9 * len(on_time)


def test_shards_and_an_outage_of_etcd(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    root: str,
) -> None:
    """Replicas of two shards; etcd is away when half of the timers are due."""
    with FaultProxy.to(local_etcd.endpoints[0]) as link, timers_of(local_etcd, root) as (timers, commit):
        fleet = replicas(
            BOTS / "timers.py",
            3,
            discord=None,
            env={
                "DISCORDHA_NAME": namespace,
                "DISCORDHA_ETCD_ENDPOINTS": link.endpoint,
                "DISCORDHA_ETCD_TIMEOUT": "1",
                "DISCORDHA_SESSION_TTL": "2",
                "DISCORDHA_SHARD_COUNT": "2",
                "DISCORDHA_REPLICATION": "2",
            },
            per_replica_env=per_replica(local_discord),
        )
        fleet.wait_ready(60)

        def fired() -> dict[int, list[float]]:
            found = defaultdict(list)
            for number, _, late in FIRED.findall(whole_logs(fleet)):
                found[int(number)].append(float(late))
            return found

        def await_those(count: int) -> None:
            wait_for(lambda: len(fired()) == count, 60, lambda: f"{count} timers, not {sorted(fired())}")

        now = time.time()
        schedule(commit, root, [now + 0.5] * 20)
        timers.poke(now + 0.5)
        await_those(20)
        now = time.time()
        schedule(commit, root, [now + 2.0] * 20, 20)
        timers.poke(now + 2.0)
        wait_for(lambda: time.time() > now + 1.5, 10, "the replicas to have read the timers")
        link.down()
        wait_for(lambda: time.time() > now + 4.0, 10, "the timers to be due")
        assert len(fired()) == 20, "none runs unclaimed"
        link.heal()
        back = time.time()
        await_those(40)
        wait_for(lambda: not timers.window(now + 1000, 1), 30, "no timer in etcd")
    assert all(len(each) == 1 for each in fired().values()), fired()
    assert all(fired()[number][0] >= back - now - 2.1 for number in range(20, 40)), "late ones say so"
    assert "Traceback" not in whole_logs(fleet)


def test_a_message_sets_a_timer(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    fleet = replicas(BOTS / "timers.py", 2, discord=None, per_replica_env=per_replica(local_discord))
    fleet.wait_ready(60)
    channel = local_discord.channel_ids[0]
    for what in ("tea", "nothing", "cake"):
        local_discord.send(channel, f"!remind {what}")

    def said() -> list[str]:
        return sorted(message.content for message in local_discord.messages())

    wanted = [
        "remember cake",
        "remember tea",
        *(f"will remind of {what}" for what in ("cake", "nothing", "tea")),
    ]
    wait_for(lambda: len(said()) >= len(wanted), 20, lambda: f"reminders, not {said()}")
    assert said() == wanted
    assert "Traceback" not in whole_logs(fleet)


def test_the_command_lists_and_cancels(
    local_etcd: LocalEtcd, namespace: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**local_etcd.env(), "DISCORDHA_NAME": namespace}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["timers", *arguments])

    with timers_of(local_etcd, root) as (timers, _):
        second = timers.schedule(2e9, "tea", None)
        first = timers.schedule(1.9e9, "cake", {"for": 2})
    assert run().output.splitlines() == [
        f'{first}  2030-03-17 17:46:40+00:00  cake  {{"for": 2}}',
        f"{second}  2033-05-18 03:33:20+00:00  tea  null",
        "2 timers wait",
    ]
    listed = json.loads(run("--json", "--limit", "1").output)
    assert listed == {
        "count": 2,
        "timers": [{"id": first, "due": 1.9e9, "name": "cake", "payload": {"for": 2}}],
    }
    assert run("--cancel", first).output == f"{first} is cancelled\n"
    assert run("--cancel", first).exit_code == 1
    assert run().output.splitlines()[-1] == "1 timer waits"

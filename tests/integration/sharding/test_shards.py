"""Shards over replicas: they move without a gap, and nothing is lost or repeated by it."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import discord as discord_py
import pytest
from click.testing import CliRunner
from fleet import answered, created, doubtful_runs, logs, values, verdict
from shard_watch import ShardWatch, start

from discordha import DiscordHA, current_event
from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, Replicas, WaitTimeout, wait_for
from discordha.testing.discord.records import Sent
from discordha.testing.plugin import ReplicasFactory


def check_reactions(discord: LocalDiscord, sent: Sequence[Sent], fleet: Replicas) -> None:
    """Handled counts equal sent counts, and the order of each message's reactions is kept.

    But for those that a leader says it ran again because its session had just begun.
    """

    def seen() -> list[str]:
        return [m.content.split()[1] for m in discord.messages() if m.content.startswith("seen ")]

    with contextlib.suppress(WaitTimeout):
        wait_for(lambda: len(seen()) >= len(sent), 30, "every reaction", interval=0.2)
    handled = seen()
    expected, found = Counter(each.key for each in sent), Counter(handled)
    answers: dict[str, list[str]] = defaultdict(list)  # when, by whom, which of the equal ones
    for message in discord.messages():
        if message.content.startswith("seen "):
            key, occurrence = message.content.split()[1:]
            answers[key].append(f"{message.at - sent[0].at:.2f} {message.replica} #{occurrence}")
    wrong = {
        key: ([f"{each.at - sent[0].at:.2f}" for each in sent if each.key == key], answers.get(key))
        for key in {*(expected - found), *(found - expected)}
    }
    assert not expected - found, (wrong, len(sent), logs(fleet))
    assert (found - expected).total() <= doubtful_runs(fleet), (wrong, len(sent), logs(fleet))
    orders: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for each in sent:
        orders[each.key.rsplit("/", 1)[1]][0].append(each.key)
    for key in handled:
        orders[key.rsplit("/", 1)[1]][1].append(key)
    twice = {key.rsplit("/", 1)[1] for key in found - expected}
    for message, (wanted, got) in orders.items():
        assert got == wanted or message in twice


def one_channel_each(discord: LocalDiscord, channels: int) -> list[int]:
    """A text channel of every guild."""
    return discord.channel_ids[::channels]


SHORT = (8, 16, 3, 60.0)
LONG = (16, 64, 4, 160.0)


@pytest.mark.parametrize(
    ("shards", "guilds", "members", "rate"),
    [pytest.param(*SHORT, id="short"), pytest.param(*LONG, id="long", marks=pytest.mark.long)],
)
def test_shards_move_without_a_gap(
    replicas: ReplicasFactory, shards: int, guilds: int, members: int, rate: float
) -> None:
    with LocalDiscord(guilds=guilds, shards=shards, channels=2, users=3) as discord:
        fleet = start(replicas, discord, members + 1, shards, SLOW="0.2")
        newcomer = fleet[members]
        newcomer.end()  # joins later
        for replica in fleet:
            if replica is not newcomer:
                replica.wait_ready(60)
        with ShardWatch(discord, shards) as watch:
            live = members

            def settle(what: str) -> None:
                begun = time.monotonic()
                wait_for(
                    lambda: watch.settled(live, 2),
                    60,
                    lambda: f"{what}: {watch.loads()} {watch.hosts()}\n{logs(fleet)}",
                    interval=0.1,
                )
                took[what] = round(time.monotonic() - begun, 2)

            took: dict[str, float] = {}
            settle("start")
            channels = one_channel_each(discord, 2)
            messages = discord.load(rate=rate, channels=channels)
            reactions = discord.load("reaction", rate=rate / 2, channels=channels, users=discord.user_ids[:2])
            watch.alone.clear()
            before = watch.hosts()

            newcomer.start()
            newcomer.wait_ready(60)
            live += 1
            settle("join")
            joined = watch.hosts()
            moved = sum(len(joined[shard] - before[shard]) for shard in range(shards))
            assert moved <= -(-2 * shards // live) + 1, (before, joined)
            assert watch.alone == {}, "a join left a shard without a host"

            fleet[0].drain()
            assert fleet[0].wait_exit(60) == 0
            live -= 1
            settle("drain")
            assert watch.alone == {}, "a drain left a shard without a host"

            fleet[0].start()
            fleet[0].wait_ready(60)
            live += 1
            settle("back")

            fleet[1].kill()
            live -= 1
            settle("kill")
            assert watch.alone == {}, "each shard has another host"
            fleet[1].start()
            fleet[1].wait_ready(60)
            live += 1
            settle("back again")

            watch.gone = {"r2"}
            fleet[2].pause()
            live -= 1
            settle("pause")
            fleet[2].resume()
            watch.gone = set()
            live += 1
            settle("resume")
            print(f"\n{shards} shards, {guilds} guilds: moved {moved} at the join; seconds to settle: {took}")
            sent = messages.stop()
            result = verdict(discord, sent)
            assert result.total.ok, (result, logs(fleet))
            check_reactions(discord, reactions.stop(), fleet)
            assert watch.alone == {}


def commands(etcd: LocalEtcd, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a command against the test's bot; gives its output."""
    for name, value in {**etcd.env(), "DISCORDHA_NAME": namespace}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, status: int = 0) -> str:
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return result.output

    return run


def test_a_reshard_under_load(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = commands(local_etcd, namespace, monkeypatch)
    with LocalDiscord(guilds=16, shards=8, channels=2, users=3) as discord:
        fleet = start(replicas, discord, 3, 4)
        fleet.wait_ready(60)
        old, new = ShardWatch(discord, 4), ShardWatch(discord, 8)
        wait_for(lambda: old.settled(3, 2), 60, "4 shards", interval=0.1)
        channels = one_channel_each(discord, 2)
        messages = discord.load(rate=60, channels=channels)
        reactions = discord.load("reaction", rate=30, channels=channels, users=discord.user_ids[:2])
        begun = time.monotonic()
        assert "8 shards serve, 4 before" in run("reshard", "8")
        print(f"\n4 to 8 shards in {time.monotonic() - begun:.1f} s")
        wait_for(
            lambda: new.settled(3, 2) and not old.hosts(),
            60,
            lambda: f"8 shards: {new.hosts()}, {old.hosts()}\n{logs(fleet)}",
            interval=0.1,
        )
        count = discord.counters()["messages"]
        wait_for(lambda: discord.counters()["messages"] > count + 60, 30, "answers of the new shards")
        assert {s["shard_count"] for s in discord.sessions()} == {8}, "an old session can still be resumed"
        result = verdict(discord, messages.stop())
        assert result.total.ok, (result, logs(fleet))
        check_reactions(discord, reactions.stop(), fleet)

        def status() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(run("status", "--json"))
            return found

        assert status()["shards"] == {"count": 8, "next": None}
        # The leaders' fencing tokens are newer than all of the generation before.
        root = f"/discordha/v1/{namespace}/"
        switched = created(local_etcd, f"{root}s/serving", changed=True)
        leaders = created(local_etcd, f"{root}l/")
        assert min(leaders.values()) > max(switched.values()), (leaders, switched)
        wait_for(
            lambda: sorted(map(int, status()["leaders"])) == list(range(8)),
            20,
            lambda: f"a leader of each shard, not {status()['leaders']}",
        )

        def spread() -> list[int]:
            return sorted(len(replica["shards"]) for replica in status()["replicas"].values())

        wait_for(lambda: spread() == [5, 5, 6], 20, lambda: f"16 places over 3 replicas, not {spread()}")
        assert "resigned" in run("resign", "--shard", "7")


def test_one_host_for_each_shard(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reshard that Discord does not let happen is called off; a drain hands over what nobody else has."""
    run = commands(local_etcd, namespace, monkeypatch)
    with LocalDiscord(guilds=4, shards=2, channels=2, users=3) as discord:
        fleet = start(replicas, discord, 2, 2, DISCORDHA_REPLICATION="1")
        fleet.wait_ready(60)
        old, new = ShardWatch(discord, 2), ShardWatch(discord, 4)
        wait_for(lambda: old.settled(2, 1), 30, "one host each", interval=0.1)
        discord.fault("*", refuse=True)
        run("reshard", "4", "--wait", "0")
        assert json.loads(run("status", "--json"))["shards"] == {"count": 2, "next": 4}
        run("reshard", "3", status=1)
        assert "2 shards serve" in run("reshard", "2")
        discord.clear_faults()
        with old:
            channels = one_channel_each(discord, 2)
            messages = discord.load(rate=40, channels=channels)
            reactions = discord.load("reaction", rate=40, channels=channels, users=discord.user_ids[:2])
            count = discord.counters()["messages"]
            wait_for(lambda: discord.counters()["messages"] > count + 80, 30, "answers")
            fleet[0].drain()
            assert fleet[0].wait_exit(60) == 0
            wait_for(lambda: old.settled(1, 1), 30, lambda: f"{old.hosts()}\n{logs(fleet)}", interval=0.1)
            fleet[0].start()
            wait_for(lambda: old.settled(2, 1), 30, lambda: f"{old.hosts()}\n{logs(fleet)}", interval=0.1)
            result = verdict(discord, messages.stop())
            assert result.total.ok, (result, logs(fleet))
            check_reactions(discord, reactions.stop(), fleet)
            assert old.alone == {}
            assert not new.hosts()


def test_a_silent_shard_is_withdrawn(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, namespace: str
) -> None:
    """Not that time after the silent connection was given up, which is as long after the sign of life."""
    deaf_after = 6.0
    with LocalDiscord(guilds=2, shards=2, channels=1, users=2) as discord:
        fleet = start(replicas, discord, 2, 2, DISCORDHA_DEAF_AFTER=str(deaf_after))
        fleet.wait_ready(60)
        watch = ShardWatch(discord, 2)
        wait_for(lambda: watch.settled(2, 2), 30, "both on both", interval=0.1)
        shard = (discord.guild_ids[0] >> 22) % 2

        def ready() -> set[str]:
            below = f"/discordha/v1/{namespace}/s/h/{shard}/"
            return {key.removeprefix(below) for key in values(local_etcd, below)}

        both = {replica.replica_id for replica in fleet}
        wait_for(lambda: ready() == both, 20, lambda: f"both announced, not {ready()}")
        discord.send(discord.channel_ids[0], "!ping now")  # a frame to count from
        wait_for(lambda: answered(discord), 20, "the answer")
        silent_from = time.monotonic()
        discord.fault("r0", silent=True)
        wait_for(lambda: len(ready()) == 1, 20, lambda: f"one left\n{logs(fleet)}")
        took = time.monotonic() - silent_from
        assert ready() == {fleet[1].replica_id}
        assert took < 1.75 * deaf_after, f"withdrawn after {took:.2f} s of silence"
        discord.clear_faults("r0")
        wait_for(lambda: ready() == both, 30, lambda: f"both again, not {ready()}\n{logs(fleet)}")


def test_shards_without_etcd(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalDiscord(guilds=4, shards=2, channels=1) as discord:
        for name, value in discord.env().items():
            monkeypatch.setenv(name, value)
        ha = DiscordHA.from_env(ha=False, shard_count="auto", intents=discord_py.Intents.all())
        seen: list[tuple[int, int]] = []

        @ha.event
        def on_message(message: Any) -> None:
            event = current_event()
            assert event is not None
            seen.append((message.channel.id, event.shard_id))

        with ha:
            assert ha.wait_until_ready(30)
            for guild in discord.guild_ids:
                client = ha.client_for(guild)
                assert client.shard_id == (guild >> 22) % 2
                assert client.get_guild(guild) is not None
            for channel in discord.channel_ids:
                discord.send(channel, "hello")
            wait_for(lambda: len(seen) == 4, 10, lambda: f"four messages, not {seen}")
            assert {shard for _, shard in seen} == {0, 1}
            assert sorted(channel for channel, _ in seen) == sorted(discord.channel_ids)

"""After an outage: what happened while no replica was connected is handled once, in order."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from fleet import BOTS, EXAMPLES, answered, logs, per_replica, values, verdict
from samples import check_sample

from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, Replica, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = "2"
#: A replica that dies has so many events that are answered, and not marked as done yet, at the most: one for
#: each handler thread.
IN_FLIGHT = 16
#: What a latency varies by on a machine that is not idle, seconds.
GRAIN = 0.005


def started(
    replicas: ReplicasFactory,
    discord: LocalDiscord,
    count: int = 3,
    env: Mapping[str, str] | None = None,
    **more: Any,
) -> Replicas:
    """A fleet that answers, ready."""
    fleet = replicas(
        EXAMPLES / "ping.py",
        count,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": TTL, **(env or {})},
        per_replica_env=per_replica(discord),
        **more,
    )
    fleet.wait_ready(60)
    return fleet


def answers(discord: LocalDiscord, more: int, timeout: float = 120.0) -> None:
    """Blocks until there are so many answers more."""
    count = len(answered(discord)) + more
    wait_for(lambda: len(answered(discord)) >= count, timeout, f"{more} answers more", interval=0.05)


def questions(discord: LocalDiscord, load: Any, more: int) -> None:
    """Blocks until users have sent so many questions more."""
    count = len(load.sent()) + more
    wait_for(lambda: len(load.sent()) >= count, 60, f"{more} questions more", interval=0.05)


def restart(fleet: Replicas) -> None:
    """Starts all replicas that do not run."""
    for replica in fleet:
        if not replica.alive:
            replica.start()
    fleet.wait_ready(60)


def check(
    discord: LocalDiscord,
    sent: Sequence[Any],
    fleet: Replicas,
    timeout: float = 60.0,
    *,
    ordered: bool = True,
) -> None:
    """Each message is answered once, and each channel in order.

    :param ordered: else replicas died meanwhile, and newer messages do not wait for what a dead replica had
        claimed (P13): disorder is told.
    """
    result = verdict(discord, sent, timeout=timeout)
    assert result.total.lost == 0, (result, logs(fleet))
    assert result.total.repeated == 0, (result, logs(fleet))
    channels = {each.key: each.channel_id for each in sent}
    newest: dict[int, tuple[int, str | None, float]] = {}
    late = []
    for message in answered(discord):
        number = int(message.content.split()[1])
        channel = channels[message.content.replace("pong", "!ping", 1)]
        if channel in newest and newest[channel][0] > number:
            late.append((number, message.replica, message.at, newest[channel]))
        else:
            newest[channel] = number, message.replica, message.at
    if ordered:
        assert not late, (len(late), late[:5], logs(fleet))
    else:
        print(f"out of order: {len(late)} of {len(sent)}")


def gaps_said(etcd: LocalEtcd, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``discordha gaps`` says."""
    monkeypatch.setenv("DISCORDHA_ETCD_ENDPOINTS", etcd.endpoints[0])
    said = CliRunner().invoke(cli, ["gaps", "--name", name])
    assert said.exit_code == 0, said.output
    return said.output


def runs_again(discord: LocalDiscord) -> int:
    """How many answers were sent once more. Discord knew their nonces, and made no second message."""
    return sum(request.duplicate for request in discord.requests())


def gaps(etcd: LocalEtcd, name: str) -> list[dict[str, Any]]:
    """The last gap of each shard."""
    root = f"/discordha/v1/{name}/g/"
    return [json.loads(value) for key, (value, _) in values(etcd, root).items() if key.endswith("/state")]


def point(etcd: LocalEtcd, name: str) -> bytes | None:
    """The point of the only shard."""
    return values(etcd, f"/discordha/v1/{name}/p/").get(f"/discordha/v1/{name}/p/0", (None, 0))[0]


def moment(etcd: LocalEtcd, name: str) -> float:
    """Its moment; 0.0 if there is none."""
    found = point(etcd, name)
    return float(json.loads(found)["moment"]) if found is not None else 0.0


def is_over(etcd: LocalEtcd, name: str) -> bool:
    """Whether all gaps are over, and nothing but their records is left."""
    found = gaps(etcd, name)
    left = values(etcd, f"/discordha/v1/{name}/g/")
    return bool(found) and all(gap["over"] for gap in found) and len(left) == len(found)


def test_all_replicas_die_under_load_with_marks_shorter_than_the_outage(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = started(replicas, local_discord, env={"DISCORDHA_RETENTION": "4"})
    load = local_discord.load(rate=50)
    answers(local_discord, 100)
    for replica in fleet:
        replica.kill()
    questions(local_discord, load, 250)  # 5 s: without catch-up, marks would be gone
    restart(fleet)
    questions(local_discord, load, 50)
    check(local_discord, load.stop(), fleet)
    wait_for(lambda: is_over(local_etcd, namespace), 20, lambda: f"the end of {gaps(local_etcd, namespace)}")


def test_all_sessions_end_while_replicas_live(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    fleet = started(replicas, local_discord)
    load = local_discord.load(rate=50)
    answers(local_discord, 50)
    local_discord.invalidate()
    answers(local_discord, 100)
    check(local_discord, load.stop(), fleet)


def test_each_kind_of_event_comes_back_once_and_the_bot_is_told_of_the_rest(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guild, (reports, channel, *_) = local_discord.guild_ids[0], local_discord.channel_ids
    fleet = replicas(
        BOTS / "outage.py",
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": TTL, "REPORTS": str(reports)},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)

    def seen() -> Counter[str]:
        return Counter(m.content.removeprefix("seen ") for m in answered(local_discord, "seen"))

    before = local_discord.send(channel, "!ping 0")
    wait_for(lambda: answered(local_discord), 20, "the answer: discord.py's message would show the edit")
    local_discord.edit(channel, before, "!ping 0, edited")
    early = local_discord.join(guild)
    wait_for(lambda: len(seen()) >= 2 and len(answered(local_discord)) == 1, 20, lambda: f"live: {seen()}")
    first = point(local_etcd, namespace)
    wait_for(lambda: point(local_etcd, namespace) != first, 20, "a point behind the first")
    for replica in fleet:
        replica.kill()
    message = local_discord.send(channel, "!ping 1")
    local_discord.edit(channel, message, "!ping 1 edited")
    member = local_discord.join(guild)
    thread = local_discord.create_thread(channel, "news")
    local_discord.send(thread, "!ping 2")
    entry = local_discord.ban(guild, local_discord.user_ids[-1])
    event = local_discord.create_event(guild, "party")
    local_discord.react(channel, message, "👍")
    restart(fleet)
    # Received as it happened, and marked while the gap is not over.
    late = local_discord.send(channel, "late")
    local_discord.edit(channel, late, "late, edited")
    expected = {
        f"edit/{late} live in-time",
        f"edit/{before} live in-time",
        f"join/{early} live in-time",
        f"edit/{message} caught-up late",
        f"join/{member} caught-up late",
        f"thread/{thread} caught-up late",
        f"audit/{entry} caught-up late",
        f"event/{event} caught-up late",
        "gap/0/raw_reaction_add/long/0 caught-up late",
    }
    wait_for(
        lambda: expected <= seen().keys(), 30, lambda: f"{expected - seen().keys()}: {seen()}\n{logs(fleet)}"
    )
    wait_for(lambda: is_over(local_etcd, namespace), 20, lambda: f"the end of {gaps(local_etcd, namespace)}")
    others = {what for what in seen() if what.startswith("audit/")} - expected  # the owner planned the event
    assert len(others) == 1, seen()
    assert seen() == Counter(expected | others), logs(fleet)
    assert sorted(m.content for m in answered(local_discord)) == ["pong 0", "pong 1 edited", "pong 2"]
    said = gaps_said(local_etcd, namespace, monkeypatch)
    assert "over, " in said, said
    assert "missing: raw_reaction_add" in said, said
    local_discord.invalidate()

    def told() -> int:
        return sum(count for what, count in seen().items() if what.startswith("gap/"))

    wait_for(lambda: told() == 2, 30, lambda: f"another gap, not {seen()}\n{logs(fleet)}")
    wait_for(lambda: is_over(local_etcd, namespace), 20, lambda: f"the end of {gaps(local_etcd, namespace)}")
    again = {what: count for what, count in seen().items() if count > 1 and not what.startswith("gap/")}
    assert not again, logs(fleet)


def test_what_discord_refuses_harms_one_channel_alone_and_is_said(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local_discord.reset(channels=7)
    reports, slow, forbidden, gone, busy, *good = local_discord.channel_ids
    fleet = replicas(
        BOTS / "outage.py",
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": TTL, "REPORTS": str(reports), "DISCORDHA_CATCH_UP_LIMIT": "5"},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    local_discord.send(good[0], "!ping before")
    answers(local_discord, 1)
    wait_for(lambda: point(local_etcd, namespace), 20, "a point")
    for replica in fleet:
        replica.kill()
    for channel, status, count in ((slow, 429, 2), (forbidden, 403, None), (gone, 404, None)):
        local_discord.fault_rest(
            method="GET", path=f"/channels/{channel}/messages", status=status, count=count, retry_after=1.0
        )
    for number in range(8):
        for channel in local_discord.channel_ids[1:] if number < 3 else [busy]:
            local_discord.send(channel, f"!ping {number} {channel}")
    for replica in fleet:
        replica.start()

    def told() -> list[str]:
        return [message.content for message in answered(local_discord, "seen gap")]

    def of(channel: int) -> list[str]:
        return [each.content.split()[1] for each in answered(local_discord) if each.channel_id == channel]

    wait_for(lambda: len(of(good[1])) == 3, 60, "the channels that nothing is wrong with")
    assert of(slow) == [], "the others did not wait for it"
    local_discord.send(slow, "!ping new")
    wait_for(told, 60, lambda: f"the gap\n{logs(fleet)}")
    wait_for(lambda: is_over(local_etcd, namespace), 20, lambda: f"the end of {gaps(local_etcd, namespace)}")
    wait_for(lambda: "new" in of(slow), 20, "the new message")
    assert of(slow) == ["0", "1", "2", "new"]
    assert [of(channel) for channel in (forbidden, gone, good[0])] == [[], [], ["before", "0", "1", "2"]]
    assert of(busy) == ["0", "1", "2", "3", "4"]
    assert len(told()) == 1
    said = gaps_said(local_etcd, namespace, monkeypatch)
    for channel, why in ((forbidden, "403"), (gone, "404"), (busy, "catch_up_limit")):
        assert f"channel:{channel}: " in said, said
        assert why in said.partition(f"channel:{channel}: ")[2].partition("channel:")[0], said
    assert f"channel:{slow}" not in said
    check_sample("gaps", "discordha gaps", said, {})


def all_die_of(
    act: Callable[[int, int, str], object],
    replicas: ReplicasFactory,
    discord: LocalDiscord,
    *,
    etcd: LocalEtcd,
    namespace: str,
    survived: Path,
) -> tuple[Replicas, int, int]:
    """A user acts upon a message with the fatal emoji: one replica dies right after its answer, then the
    others do, and all come back. Returns them, and the channel and the message.
    """
    reports, channel, *_ = discord.channel_ids
    fleet = replicas(
        BOTS / "outage.py",
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": TTL, "REPORTS": str(reports), "SURVIVED": str(survived)},
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    wait_for(lambda: point(etcd, namespace), 20, "a point")
    message = discord.send(channel, "hello")
    act(channel, message, "\N{SKULL}")
    wait_for(lambda: not all(replica.alive for replica in fleet), 20, "a death")
    for replica in fleet:
        replica.kill()
    restart(fleet)
    return fleet, channel, message


def test_an_equal_reaction_after_the_outage_is_none_that_was_under_way_before(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    tmp_path: Path,
) -> None:
    """Nobody has the event that ran as all died; Discord remembers its message's nonce."""
    scene = {"etcd": local_etcd, "namespace": namespace, "survived": tmp_path / "survived"}
    fleet, channel, message = all_die_of(local_discord.react, replicas, local_discord, **scene)
    local_discord.unreact(channel, message, "\N{SKULL}")
    local_discord.react(channel, message, "\N{SKULL}")

    def said() -> list[str]:
        return [each.content.split()[1] for each in answered(local_discord, "seen reaction")]

    wait_for(lambda: len(said()) == 2, 20, lambda: f"what both say, not {said()}\n{logs(fleet)}")
    assert runs_again(local_discord) == 0


def test_an_edit_that_is_caught_up_makes_no_second_message_of_one_that_ran_as_all_died(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    tmp_path: Path,
) -> None:
    """No other event is equal, so Discord's memory of nonces tells that it was answered."""
    scene = {"etcd": local_etcd, "namespace": namespace, "survived": tmp_path / "survived"}
    fleet, _, _ = all_die_of(local_discord.edit, replicas, local_discord, **scene)
    wait_for(lambda: is_over(local_etcd, namespace), 60, "the end of the gap")
    assert len(answered(local_discord, "seen edit")) == 1, logs(fleet)
    assert runs_again(local_discord) == 1, logs(fleet)


class Death(NamedTuple):
    """When a replica was killed, and whether etcd was away, so that it could mark nothing any more."""

    at: float
    replica: str
    without_etcd: bool


def runs_by_death(discord: LocalDiscord, deaths: Sequence[Death]) -> Counter[Death | None]:
    """How many answers were sent once more, by the death of the replica that had sent the first."""
    first: dict[str, Any] = {}
    found: Counter[Death | None] = Counter()
    for request in discord.requests():
        nonce = request.body.get("nonce") if isinstance(request.body, dict) else None
        if nonce is None:
            continue
        before = first.setdefault(str(nonce), request)
        if request.duplicate:
            after = [each for each in deaths if each.replica == before.replica and each.at >= before.at]
            found[min(after, default=None)] += 1
    return found


class Outages:
    """Total outages of one fleet under load, and what comes after each; by chance.

    :ivar deaths: those of replicas that were killed.
    """

    def __init__(self, fleet: Replicas, discord: LocalDiscord, etcd: LocalEtcd, load: Any, seed: int) -> None:
        self._fleet = fleet
        self._discord = discord
        self._etcd = etcd
        self._load = load
        self._chance = random.Random(seed)
        self._name = ""
        self.deaths: list[Death] = []

    def go_through(self, way: str, length: float, name: str) -> None:
        """All replicas end, nobody is there for a while, and they come back."""
        self._name = name
        answers(self._discord, self._chance.randrange(100, 300))
        if way == "etcd":
            self._etcd.stop_all()
        for replica in self._fleet:
            if way == "drain":
                replica.drain()
            else:
                self._kill(replica, without_etcd=way == "etcd")
        for replica in self._fleet:
            if way == "drain":
                assert replica.wait_exit(40) == 0
        self._questions(length * 50)
        if way == "etcd":
            self._etcd.start_all()
        if way == "apart":
            self._come_apart()
        else:
            for replica in self._fleet:
                replica.start()
                self._questions(self._chance.randrange(0, 60))
        for _ in range(5 if way != "apart" else 0):
            answers(self._discord, self._chance.randrange(20, 200))
            self._die()
        self._fleet.wait_ready(60)

    def _come_apart(self) -> None:
        """The second comes while the first catches up, which then dies; the third comes when all is over."""
        first, second, third = self._chance.sample(list(self._fleet), 3)
        before = len(answered(self._discord))
        first.start()
        wait_for(lambda: len(answered(self._discord)) > before, 60, "the first answer of the catch-up")
        second.start()
        second.wait_ready(60)
        self._kill(first)
        wait_for(lambda: is_over(self._etcd, self._name), 300, lambda: str(gaps(self._etcd, self._name)))
        third.start()
        first.start()

    def _kill(self, replica: Replica, *, without_etcd: bool = False) -> None:
        replica.kill()
        self.deaths.append(Death(time.monotonic(), f"r{replica.index}", without_etcd))

    def _die(self) -> None:
        victim = self._chance.choice(list(self._fleet))
        self._kill(victim)
        self._questions(self._chance.randrange(0, 100))
        victim.start()

    def _questions(self, more: float) -> None:
        questions(self._discord, self._load, int(more))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_deaths_of_all_drains_and_deaths_during_the_catch_up(
    replicas: ReplicasFactory, namespace: str, seed: int
) -> None:
    """Two total outages, of other kinds with each seed. The first is longer than ``retention``, and lasts a
    minute with the first seed.
    """
    ways = (("kill", "apart"), ("drain", "etcd"), ("etcd", "kill"), ("apart", "drain"))[seed % 4]
    with LocalEtcd() as etcd, LocalDiscord(channels=20) as discord:
        threads = [discord.create_thread(channel, f"thread {channel}") for channel in discord.channel_ids[:5]]
        fleet = started(
            replicas,
            discord,
            etcd=etcd,
            env={"DISCORDHA_RETENTION": "20", "DISCORDHA_NAME": namespace},
        )
        load = discord.load(rate=50, channels=[*discord.channel_ids, *threads])
        outages = Outages(fleet, discord, etcd, load, seed)
        outages.go_through(ways[0], 25 if seed else 60, namespace)
        outages.go_through(ways[1], 5, namespace)
        answers(discord, 100)
        check(discord, load.stop(), fleet, 300, ordered=False)
        again = runs_by_death(discord, outages.deaths)
        print(f"runs again of {len(outages.deaths)} deaths: {again}")
        assert None not in again, "without a death nothing runs again"
        assert all(count <= IN_FLIGHT for count in again.values()), (again, logs(fleet))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_all_sessions_end_again_and_again(
    replicas: ReplicasFactory, local_discord: LocalDiscord, seed: int
) -> None:
    chance = random.Random(seed)
    fleet = started(replicas, local_discord)
    load = local_discord.load(rate=50)
    answers(local_discord, 50)
    for _ in range(8):
        if chance.random() < 0.5:
            local_discord.invalidate()
        else:
            local_discord.disconnect(end=True)
        questions(local_discord, load, chance.randrange(5, 400))
    answers(local_discord, 100)
    check(local_discord, load.stop(), fleet)
    assert runs_again(local_discord) == 0, logs(fleet)


@pytest.mark.long
def test_an_outage_with_resharding_in_between(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISCORDHA_ETCD_ENDPOINTS", local_etcd.endpoints[0])
    with LocalDiscord(guilds=16, shards=8, channels=2, users=3) as discord:
        fleet = started(replicas, discord, env={"DISCORDHA_SHARD_COUNT": "4"})
        load = discord.load(rate=50)
        answers(discord, 200)
        for replica in fleet:
            replica.kill()
        questions(discord, load, 200)
        said = CliRunner().invoke(cli, ["reshard", "8", "--name", namespace, "--wait", "0"])
        assert said.exit_code in {0, 1}, said.output
        restart(fleet)
        wait_for(
            lambda: {each["shard_count"] for each in discord.sessions() if each["attached"]} == {8},
            60,
            "8 shards",
        )
        answers(discord, 200)
        check(discord, load.stop(), fleet)


@pytest.mark.alone
@pytest.mark.long
def test_ten_thousand_messages_in_200_channels(
    replicas: ReplicasFactory, local_etcd: LocalEtcd, namespace: str
) -> None:
    with LocalDiscord(channels=200, max_messages=20_000) as discord:
        fleet = started(replicas, discord, env={"DISCORDHA_REQUESTS_PER_SECOND": "200"})
        quiet = discord.channel_ids[-1]
        busy = discord.channel_ids[:-1]
        answers_before = discord.load(rate=20, count=200, channels=[quiet], template="!ping 700000{n}")
        answers_before.wait(60)
        usual = verdict(discord, answers_before.sent()).total
        last = time.time()
        wait_for(lambda: moment(local_etcd, namespace) > last, 60, "a point behind all that is handled")
        for replica in fleet:
            replica.kill()
        missed = discord.load(rate=0, count=10_000, channels=busy)
        missed.wait(120)
        begun = time.monotonic()
        for replica in fleet:
            replica.start()
        fleet.wait_ready(60)
        wait_for(lambda: gaps(local_etcd, namespace), 30, "a gap")
        during = discord.load(rate=20, channels=[quiet], template="!ping 800000{n}")
        wait_for(lambda: is_over(local_etcd, namespace), 240, lambda: f"{gaps(local_etcd, namespace)}")
        missed_for = time.monotonic() - begun
        live = verdict(discord, during.stop()).total
        print("usual", usual, "\nduring", live, "\n", gaps(local_etcd, namespace))
        print(
            f"{missed_for:.1f} s, p50 {live.latency_p50 / usual.latency_p50:.2f} times as long, p99 "
            f"{live.latency_p99 / usual.latency_p99:.2f} times"
        )
        result = verdict(discord, missed.sent())
        assert result.total.lost == 0, result
        assert result.total.repeated == 0, result
        assert live.lost == 0
        assert live.repeated == 0
        assert live.latency_p50 <= 2 * usual.latency_p50 + GRAIN, (usual, live)

"""Outages of many kinds, one after another, and a long catch-up: lost 0, repeated 0."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from fleet import answered, logs, verdict
from outages import (
    answers,
    check,
    gaps,
    is_over,
    moment,
    questions,
    restart,
    runs_again,
    started,
)

from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, Replica, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

#: How long an answer may be without a mark, seconds: Discord's reply is on its way to the handler, and the
#: mark waits for the transaction before it and for its own. That is milliseconds where the machine is idle.
UNMARKED = 2.0
#: What a killed replica had written arrives so much later, seconds; its successor takes longer to start.
ON_ITS_WAY = 0.5
#: So many answers a second the bot's limit allows (``requests_per_second``).
RATE = 50
#: How many times as long a live answer may take during a catch-up.
FACTOR = 2.0


class Death(NamedTuple):
    """When a replica was killed, and since when it could mark nothing: etcd may have been away before."""

    at: float
    replica: str
    marks_until: float

    @property
    def most(self) -> int:
        """How many events may run again at the most: any that were answered, and not marked. Handler threads
        do not bound them, since marks are made in the background; the limit of Discord's requests does.
        """
        return math.ceil(self.at - self.marks_until + UNMARKED) * RATE


def runs_by_death(discord: LocalDiscord, deaths: Sequence[Death]) -> dict[Death | None, list[float]]:
    """When answers left that were sent once more, by the death of the replica that had sent the first."""
    first: dict[str, Any] = {}
    found: dict[Death | None, list[float]] = {}
    for request in discord.requests():
        nonce = request.body.get("nonce") if isinstance(request.body, dict) else None
        if nonce is None:
            continue
        before = first.setdefault(str(nonce), request)
        if request.duplicate:
            after = [
                each
                for each in deaths
                if each.replica == before.replica and each.at >= before.at - ON_ITS_WAY
            ]
            found.setdefault(min(after, default=None), []).append(before.at)
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
        marks_until = time.monotonic() if way == "etcd" else None
        if way == "etcd":
            self._etcd.stop_all()
        for replica in self._fleet:
            if way == "drain":
                replica.drain()
            else:
                self._kill(replica, marks_until)
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

    def _kill(self, replica: Replica, marks_until: float | None = None) -> None:
        begun = time.monotonic()
        replica.kill()
        marks_until = begun if marks_until is None else marks_until
        self.deaths.append(Death(time.monotonic(), f"r{replica.index}", marks_until))

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
        assert None not in again, "without a death nothing runs again"
        for death, moments in again.items():
            assert death is not None
            early = death.marks_until - min(moments)
            print(f"{death}: {len(moments)} of {death.most} runs again, the earliest {early:.3f} s before")
            assert early <= UNMARKED, (death, moments, logs(fleet))
            assert len(moments) <= death.most, (death, moments, logs(fleet))


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
    """Live answers take at most ``FACTOR`` times as long meanwhile. That is measured by the same fleet, right
    before and right after, in several channels: events of one wait for each other, so that one delay would be
    that of all behind it.
    """
    with LocalDiscord(channels=210, max_messages=20_000) as discord:
        fleet = started(replicas, discord, env={"DISCORDHA_REQUESTS_PER_SECOND": "200"})
        quiet, busy = discord.channel_ids[:10], discord.channel_ids[10:]

        def live(template: str, count: int | None = None) -> Any:
            return discord.load(rate=20, count=count, channels=quiet, template=template)

        before = live("!ping 700000{n}", 200)
        before.wait(60)
        verdict(discord, before.sent())
        last = time.time()
        wait_for(lambda: moment(local_etcd, namespace) > last, 60, "a point behind all that is handled")
        for replica in fleet:
            replica.kill()
        missed = discord.load(rate=0, count=10_000, channels=busy)
        missed.wait(120)
        begun = time.monotonic()
        restart(fleet)
        wait_for(lambda: gaps(local_etcd, namespace), 30, "a gap")
        during = live("!ping 800000{n}")
        wait_for(
            lambda: is_over(local_etcd, namespace),
            480,  # a third of its pace on a busy machine
            lambda: f"the end of {gaps(local_etcd, namespace)}",
            interval=0.5,
        )
        missed_for = time.monotonic() - begun
        meanwhile = verdict(discord, during.stop()).total
        after = live("!ping 900000{n}", 200)
        after.wait(60)
        usual = verdict(discord, [*before.sent(), *after.sent()]).total
        factor = meanwhile.latency_p50 / usual.latency_p50
        said = (
            f"{missed_for:.1f} s; live answers took {factor:.2f} times as long: "
            f"{meanwhile.latency_p50 * 1000:.1f} ms instead of {usual.latency_p50 * 1000:.1f} (p50); "
            f"{meanwhile.latency_p99 * 1000:.1f} ms instead of {usual.latency_p99 * 1000:.1f} (p99)"
        )
        print(said, gaps(local_etcd, namespace))
        result = verdict(discord, missed.sent())
        for each in (result.total, meanwhile, usual):
            assert each.lost == each.repeated == 0, (each, result)
        assert factor <= FACTOR, said

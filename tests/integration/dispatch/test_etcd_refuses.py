"""etcd refuses, in every way, under messages, reactions, commands, locks, caches, voice and two shards.

Nothing is lost or repeated. A refusal is said once, etcd is asked no more often than before, and all goes on
by itself.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from fleet import BOTS, per_replica, whole_logs
from mixed import BEST_EFFORT, MixedLoad, Outcome
from roles import follow
from ways import WAYS, Access

from discordha.operations.cli.checks import role
from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

PASSWORD = "least-privilege"
#: Of a replica that drains while etcd refuses, seconds.
DRAIN = 3.0
BEGINS, ENDS = "failures: etcd refuses this replica:", "etcd refuses this replica no more"
#: Tokens of idle connections run out after a second, all the time.
TOKEN_TTL = "--auth-token-ttl=1"
#: All is as before, so many seconds after a refusal has ended.
NORMAL = 2.0
#: While it refuses, etcd may be asked so many times as often as before, beside 20 calls a second.
MORE = 1.5
#: The calls of etcd's interface that write.
WRITES = frozenset({"Txn", "Put", "DeleteRange"})
STARTED = re.compile(r'^grpc_server_started_total\{grpc_method="(\w+)".*"unary"\} (\S+)$', re.MULTILINE)
PROPOSALS = re.compile(r"^etcd_server_proposals_committed_total (\S+)$", re.MULTILINE)
#: Discord waits so long for the answer to a command, seconds.
COMMAND = 3.0


@dataclass
class Work:
    """What etcd has done since its start: ``calls`` of any kind but streams, ``writes`` among these, taken or
    refused, and ``proposals`` to its log.
    """

    etcd: LocalEtcd
    at: float  # monotonic
    done: Counter[str]

    def rates(self) -> Counter[str]:
        """Per second, since."""
        now = work_of(self.etcd)
        seconds = now.at - self.at
        return Counter(
            {what: round((count - self.done[what]) / seconds, 1) for what, count in now.done.items()}
        )


def work_of(etcd: LocalEtcd) -> Work:
    """Asks over plain HTTP: the harness itself needs no certificate for that. Blocks until etcd is up."""

    def metrics() -> str | None:
        try:
            with urllib.request.urlopen(f"{etcd.members[0].metrics_url}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return None
        return text if "\netcd_server_has_leader 1\n" in text else None  # else it reads its log yet

    text = wait_for(metrics, 10, "etcd's metrics", interval=0.05)
    calls = Counter({method: float(count) for method, count in STARTED.findall(text)})
    proposals = PROPOSALS.search(text)
    assert calls
    assert proposals is not None
    return Work(
        etcd,
        time.monotonic(),
        Counter(
            {
                "calls": sum(calls.values()),
                "writes": sum(count for method, count in calls.items() if method in WRITES),
                "proposals": float(proposals[1]),
            }
        ),
    )


@dataclass
class Scene:
    """Three replicas that work, and what was done to them."""

    access: Access
    fleet: Replicas
    load: MixedLoad
    spans: list[tuple[str, float, float]] = field(default_factory=list)  # when each way began and ended
    rates: dict[str, Counter[str]] = field(default_factory=dict)  # what etcd did in each of them, per second

    def refuse(self, way: str, seconds: float, *, drain: bool = False, kill: bool = False) -> None:
        """Lets etcd refuse for a while, a replica drain or die meanwhile, and all be normal again."""
        begun = time.monotonic()
        restore = WAYS[way](self.access)
        self.spans.append((way, begun, float("inf")))
        try:
            if drain:
                self.fleet[2].drain()
            if kill:
                self.fleet[2].kill()
            before = work_of(self.access.etcd)
            time.sleep(max(begun + seconds - time.monotonic(), 0.5))
            self.rates[way] = before.rates()
            if drain:
                assert self.fleet[2].wait_exit(max(begun + DRAIN + 3.0 - time.monotonic(), 0.1)) == 0
        finally:
            restore()
        self.spans[-1] = (way, begun, time.monotonic())
        if drain or kill:
            self.fleet[2].start()
        time.sleep(NORMAL + 0.8)

    def judge(self, *, usual: Counter[str], lossless: bool = True) -> None:
        """Everything; see the module."""
        outcomes = self.load.stop(30)
        print({kind: outcome.sent for kind, outcome in outcomes.items()})
        print("\n".join(f"{way}: {dict(rates)}" for way, rates in {"usually": usual, **self.rates}.items()))
        for kind, outcome in outcomes.items():
            late = self._late(outcome)
            assert max(late, default=0.0) < NORMAL, (kind, late[-5:])
            assert not outcome.repeated, (kind, outcome.repeated)
            if kind in BEST_EFFORT or not lossless:
                early = [at for at in outcome.unanswered if not self._around(at)]
                assert not early, (kind, early, self.spans)
            else:
                assert not outcome.lost, (kind, outcome.lost, self.spans)
        for way, rates in self.rates.items():
            for what, rate in rates.items():
                assert rate < MORE * usual[what] + 20, (way, what, rates, usual)

    def _around(self, at: float) -> bool:
        return any(begun - COMMAND < at < ended + NORMAL for _, begun, ended in self.spans)

    def _late(self, outcome: Outcome) -> list[float]:
        """The latencies of what was sent in normal times after a refusal."""
        later = [*self.spans[1:], ("", float("inf"), 0.0)]
        return sorted(
            latency
            for (_, _, ended), (_, again, _) in zip(self.spans, later, strict=True)
            for latency in outcome.between(ended + NORMAL, again - 0.5)
        )


Scenes = Callable[..., Scene]


@pytest.fixture
def scenes(replicas: ReplicasFactory, local_discord: LocalDiscord, namespace: str) -> Iterator[Scenes]:
    """Makes a scene on an etcd of its own."""
    with_etcd: list[LocalEtcd] = []

    def make(*, tls: bool = False, queue_size: int = 10_000) -> Scene:
        etcd = LocalEtcd(tls=tls, auth=True, flags=(TOKEN_TTL,))
        with_etcd.append(etcd)
        etcd.start()
        local_discord.reset(guilds=2, shards=2)
        user = follow(etcd, role(namespace), PASSWORD)
        fleet = replicas(
            BOTS / "refused.py",
            3,
            etcd=etcd,
            discord=None,
            env={
                "DISCORDHA_ETCD_USER": user,
                "DISCORDHA_ETCD_PASSWORD": PASSWORD,
                "DISCORDHA_DRAIN_TIMEOUT": str(DRAIN),
                "DISCORDHA_QUEUE_SIZE": str(queue_size),
                "DISCORDHA_SHARD_COUNT": "2",
            },
            per_replica_env=per_replica(local_discord),
        )
        fleet.wait_ready(60)
        load = MixedLoad(local_discord, messages=20, reactions=10, commands=3, voice=1)
        load.wait_answers(60)
        return Scene(Access(etcd, namespace, user, PASSWORD, role=user), fleet, load)

    yield make
    for etcd in with_etcd:
        etcd.close()


def usual_work(scene: Scene) -> Counter[str]:
    """What etcd does per second while all is well."""
    before = work_of(scene.access.etcd)
    scene.load.wait_answers(45)
    return before.rates()


def says_each_once(scene: Scene, *, times: int, drained: int) -> None:
    """Each replica says when a refusal begins, and unless it drains when it ends; it is not ready then."""
    count = len(scene.fleet)
    log = lambda: whole_logs(scene.fleet)  # noqa: E731
    wait_for(lambda: log().count(ENDS) >= log().count(BEGINS) - drained, 10, "the end of each refusal")
    assert count <= log().count(BEGINS) <= (times + 1) * count
    assert log().count("is not ready: etcd refuses this replica") >= count


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_four_ways_one_after_another(scenes: Scenes) -> None:
    scene = scenes()
    usual = usual_work(scene)
    for way in ("role revoked", "space used up", "j/ denied"):
        scene.refuse(way, 1.5)
    scene.refuse("password changed", DRAIN + 1.0, drain=True)
    scene.judge(usual=usual)
    says_each_once(scene, times=4, drained=1)


@pytest.mark.long
@pytest.mark.timeout(150)
@pytest.mark.parametrize(("way", "drain"), [(way, drain) for way in WAYS for drain in (False, True)])
def test_six_seconds(scenes: Scenes, way: str, drain: bool) -> None:
    scene = scenes(tls=way == "certificate gone")
    usual = usual_work(scene)
    scene.refuse(way, 6.0, drain=drain)
    scene.judge(usual=usual)


@pytest.mark.long
@pytest.mark.timeout(150)
@pytest.mark.parametrize("way", ["a/ denied", "ja/ denied", "role revoked"])
def test_a_replica_dies_meanwhile(scenes: Scenes, way: str) -> None:
    """What it ran can't be taken over before the refusal ends; its session ends before that."""
    scene = scenes()
    usual = usual_work(scene)
    scene.refuse(way, 7.0, kill=True)
    scene.judge(usual=usual)


@pytest.mark.long
@pytest.mark.timeout(150)
@pytest.mark.parametrize("way", ["role revoked", "password changed", "e/ denied", "j/ denied"])
def test_a_short_queue_stands_still_for_no_longer_than_the_refusal(scenes: Scenes, way: str) -> None:
    """Sixty places are too few for all that comes meanwhile. What comes later is handled."""
    scene = scenes(queue_size=60)
    usual = usual_work(scene)
    scene.refuse(way, 6.0)
    scene.judge(usual=usual, lossless=False)

"""etcd refuses, in every way, under messages, reactions, commands, locks and caches: nothing is lost, nothing
repeated, it is said once, and all goes on by itself.
"""

from __future__ import annotations

import time
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
#: Discord waits so long for the answer to a command, seconds.
COMMAND = 3.0


@dataclass
class Scene:
    """Three replicas that work, and what was done to them."""

    access: Access
    fleet: Replicas
    load: MixedLoad
    spans: list[tuple[str, float, float]] = field(default_factory=list)  # when each way began and ended
    writes: dict[str, float] = field(default_factory=dict)  # etcd's consensus writes per second

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
            proposals, since = self.proposals(), time.monotonic()
            time.sleep(max(begun + seconds - time.monotonic(), 0.5))
            if self.proposals() and proposals:
                self.writes[way] = (self.proposals() - proposals) / (time.monotonic() - since)
            if drain:
                assert self.fleet[2].wait_exit(begun + DRAIN + 3.0 - time.monotonic()) == 0
        finally:
            restore()
        self.spans[-1] = (way, begun, time.monotonic())
        if drain or kill:
            self.fleet[2].start()
        time.sleep(NORMAL + 0.8)

    def proposals(self) -> int:
        """0 while nobody may ask."""
        try:
            return self.access.etcd.metrics().proposals
        except Exception:  # noqa: BLE001 - the harness itself has no certificate, or etcd is not up yet
            return 0

    def judge(self, *, usual: float, lossless: bool = True) -> None:
        """Everything; see the module."""
        outcomes = self.load.stop(30)
        print({kind: outcome.sent for kind, outcome in outcomes.items()}, f"usual {usual:.0f}/s", self.writes)
        for kind, outcome in outcomes.items():
            late = self._late(outcome)
            assert max(late, default=0.0) < NORMAL, (kind, late[-5:])
            assert not outcome.repeated, (kind, outcome.repeated)
            if kind in BEST_EFFORT or not lossless:
                early = [at for at in outcome.unanswered if not self._around(at)]
                assert not early, (kind, early, self.spans)
            else:
                assert not outcome.lost, (kind, outcome.lost, self.spans)
        for way, rate in self.writes.items():
            assert rate < 2 * usual + 20, (way, rate, usual)

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
            },
            per_replica_env=per_replica(local_discord),
        )
        fleet.wait_ready(60)
        load = MixedLoad(local_discord, messages=20, reactions=10, commands=3)
        load.wait_answers(60)
        return Scene(Access(etcd, namespace, user, PASSWORD, role=user), fleet, load)

    yield make
    for etcd in with_etcd:
        etcd.close()


def usual_writes(scene: Scene) -> float:
    """etcd's consensus writes per second while all is well."""
    before, since = scene.proposals(), time.monotonic()
    scene.load.wait_answers(45)
    return (scene.proposals() - before) / (time.monotonic() - since)


def says_each_once(scene: Scene, *, times: int, drained: int) -> None:
    """Each replica says when a refusal begins, and unless it drains when it ends; it is not ready then."""
    count = len(scene.fleet)
    log = lambda: whole_logs(scene.fleet)  # noqa: E731
    wait_for(lambda: log().count(ENDS) >= log().count(BEGINS) - drained, 10, "the end of each refusal")
    assert count <= log().count(BEGINS) <= (times + 1) * count
    assert log().count("is not ready: etcd refuses this replica") >= count


@pytest.mark.timeout(120)
def test_four_ways_one_after_another(scenes: Scenes) -> None:
    scene = scenes()
    usual = usual_writes(scene)
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
    usual = usual_writes(scene)
    scene.refuse(way, 6.0, drain=drain)
    scene.judge(usual=usual)


@pytest.mark.long
@pytest.mark.timeout(150)
@pytest.mark.parametrize("way", ["a/ denied", "ja/ denied", "role revoked"])
def test_a_replica_dies_meanwhile(scenes: Scenes, way: str) -> None:
    """What it ran can't be taken over before the refusal ends; its session ends before that."""
    scene = scenes()
    usual = usual_writes(scene)
    scene.refuse(way, 7.0, kill=True)
    scene.judge(usual=usual)


@pytest.mark.long
@pytest.mark.timeout(150)
@pytest.mark.parametrize("way", ["role revoked", "password changed", "e/ denied", "j/ denied"])
def test_a_short_queue_stands_still_for_no_longer_than_the_refusal(scenes: Scenes, way: str) -> None:
    """Sixty places are too few for all that comes meanwhile. What comes later is handled."""
    scene = scenes(queue_size=60)
    usual = usual_writes(scene)
    scene.refuse(way, 6.0)
    scene.judge(usual=usual, lossless=False)

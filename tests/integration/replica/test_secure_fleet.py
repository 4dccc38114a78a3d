"""Real replicas on an etcd as it is run: three members, mutual TLS, users, the role that ``check`` prints.
Members fail and certificates are replaced under load: nothing lost, nothing repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from fleet import per_replica
from mixed import BOT, MixedLoad
from roles import follow

from discordha.operations.cli.checks import role
from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd
from discordha.testing.plugin import ReplicasFactory


@dataclass
class World:
    """The cluster, and the links of all replicas to each of its members."""

    etcd: LocalEtcd
    links: list[list[FaultProxy]]

    def connected(self) -> int:
        """The member that the replicas talk to most."""
        before = [sum(sum(link.transferred) for link in links) for links in self.links]
        self.load.wait_answers(40)
        after = [sum(sum(link.transferred) for link in links) for links in self.links]
        moved = [late - early for early, late in zip(before, after, strict=True)]
        return moved.index(max(moved))

    load: MixedLoad


def kill(world: World, member: int) -> Callable[[], None]:
    world.etcd.crash(member)
    return world.etcd.member(member).start


def pause(world: World, member: int) -> Callable[[], None]:
    world.etcd.member(member).pause()
    return world.etcd.member(member).resume


def black_hole(world: World, member: int) -> Callable[[], None]:
    for link in world.links[member]:
        link.black_hole()

    def heal() -> None:
        for link in world.links[member]:
            link.heal()

    return heal


def rotate(world: World, member: int) -> Callable[[], None]:
    """New certificates of a new authority: the old ones are worth nothing from here on."""
    world.etcd.rotate_certificates(authority=True)
    return lambda: None


@pytest.fixture
def secure() -> Iterator[LocalEtcd]:
    with LocalEtcd(members=3, tls=True, auth=True) as etcd:
        yield etcd


@pytest.mark.timeout(240)
def test_faults_and_new_certificates_under_load(
    secure: LocalEtcd, replicas: ReplicasFactory, local_discord: LocalDiscord, namespace: str
) -> None:
    user = follow(secure, role(namespace), "least-privilege")
    with ExitStack() as ends:
        links = [
            [ends.enter_context(FaultProxy.to(endpoint)) for _ in range(3)] for endpoint in secure.endpoints
        ]
        fleet = replicas(
            BOT,
            3,
            etcd=secure,
            discord=None,
            env={
                "DISCORDHA_ETCD_USER": user,
                "DISCORDHA_ETCD_PASSWORD": "least-privilege",
                "DISCORDHA_ETCD_TIMEOUT": "2",
            },
            per_replica_env=lambda index: {
                **per_replica(local_discord)(index),
                "DISCORDHA_ETCD_ENDPOINTS": ",".join(each[index].endpoint for each in links),
            },
        )
        fleet.wait_ready(90)
        world = World(secure, links, MixedLoad(local_discord, messages=40, reactions=20))
        faults: dict[str, tuple[float, float, float]] = {}
        for fault in (kill, pause, black_hole, rotate):
            member = world.connected()
            begun = time.monotonic()
            mend = fault(world, member)
            world.load.wait_answers(150)
            faults[fault.__name__] = (begun, time.monotonic(), world.load.gap_after(begun))
            mend()
            world.load.wait_answers(30)
        outcomes = world.load.stop()
    for name, (begun, ended, gap) in faults.items():
        slowest = max(max(outcome.between(begun - 0.1, ended)) for outcome in outcomes.values())
        print(f"{name}: {gap:.2f} s without any answer; the slowest one took {slowest:.2f} s")
    for kind, outcome in outcomes.items():
        assert outcome.ok, (kind, outcome.lost, outcome.repeated)
    assert all(replica.runs == 1 for replica in fleet)

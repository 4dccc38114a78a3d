"""The faults of a chaos run: what each does, and how it is undone. One at a time, so that some replica
always hears.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replica, Replicas, wait_for

__all__ = ["FAULTS", "Fault", "World", "inject"]


@dataclass
class World:
    """What can be broken."""

    discord: LocalDiscord
    etcd: LocalEtcd
    fleet: Replicas
    links: list[list[FaultProxy]]  # of each replica to each etcd member
    ttl: float
    random: random.Random
    stop: threading.Event = field(default_factory=threading.Event)

    def victim(self) -> Replica:
        """Some replica."""
        return self.random.choice(list(self.fleet))

    def rest(self, low: float, high: float) -> None:
        """Lets the fault last for a random time."""
        self.stop.wait(self.random.uniform(low, high))

    def well(self) -> bool:
        """Whether everything answers again: every replica handles something new."""
        return all(replica.alive and not replica.paused for replica in self.fleet)


@dataclass(frozen=True)
class Fault:
    """One kind of fault. ``run`` breaks something and mends it again."""

    name: str
    run: Callable[[World], None]
    weight: int = 1


def _kill(world: World) -> None:
    victim = world.victim()
    victim.kill()
    world.rest(0.1, world.ttl * 1.5)
    victim.start()
    victim.wait_ready(60)


def _pause_short(world: World) -> None:
    victim = world.victim()
    victim.pause()
    world.rest(0.2, world.ttl * 0.6)
    victim.resume()


def _pause_long(world: World) -> None:
    victim = world.victim()
    victim.pause()
    world.rest(world.ttl * 1.2, world.ttl * 2)
    victim.resume()


def _drain(world: World) -> None:
    victim = world.victim()
    victim.drain()
    assert victim.wait_exit(60) == 0
    victim.start()
    victim.wait_ready(60)


def _etcd_kill(world: World) -> None:
    member = world.random.randrange(3)
    world.etcd.member(member).kill()
    world.rest(0.5, 3)
    world.etcd.member(member).start()


def _etcd_pause(world: World) -> None:
    member = world.random.randrange(3)
    world.etcd.member(member).pause()
    world.rest(0.5, 4)
    world.etcd.member(member).resume()


def _etcd_outage(world: World) -> None:
    world.etcd.stop_all()
    world.rest(0.5, world.ttl * 2)
    world.etcd.start_all()


def _links(world: World) -> list[FaultProxy]:
    return world.random.choice(world.links)


def _etcd_cut(world: World) -> None:
    for link in _links(world):
        link.cut()


def _etcd_black_hole(world: World) -> None:
    links = _links(world)
    for link in links:
        link.black_hole()
    world.rest(0.5, world.ttl * 2)
    for link in links:
        link.heal()


def _etcd_delay(world: World) -> None:
    links = _links(world)
    for link in links:
        link.delay(0.08)
    world.rest(0.5, 2)
    for link in links:
        link.heal()


def _named(world: World) -> str:
    return f"r{world.victim().index}"


def _gateway_drop(world: World) -> None:
    world.discord.disconnect(_named(world))


def _gateway_drop_session(world: World) -> None:
    world.discord.disconnect(_named(world), end=True)


def _gateway_reconnect(world: World) -> None:
    world.discord.reconnect(_named(world))


def _gateway_invalid(world: World) -> None:
    world.discord.invalidate(_named(world))


def _gateway_fault(**changes: object) -> Callable[[World], None]:
    def run(world: World) -> None:
        name = _named(world)
        world.discord.fault(name, **changes)
        world.rest(0.5, 3)
        world.discord.clear_faults(name)

    return run


def _rest_errors(world: World) -> None:
    world.discord.fault_rest(path="/channels/*", replica=_named(world), status=502, count=5)


def _rest_answer_lost(world: World) -> None:
    world.discord.fault_rest(method="POST", path="/channels/*", status=502, count=5, when="after")


def _rest_slow(world: World) -> None:
    world.discord.fault_rest(path="/channels/*", delay=0.3, count=30)


FAULTS = [
    Fault("kill -9", _kill, 3),
    Fault("pause below the TTL", _pause_short),
    Fault("pause above the TTL", _pause_long, 2),
    Fault("drain", _drain, 2),
    Fault("etcd member killed", _etcd_kill),
    Fault("etcd member paused", _etcd_pause),
    Fault("etcd outage", _etcd_outage),
    Fault("etcd link cut", _etcd_cut),
    Fault("etcd link black-holed", _etcd_black_hole, 2),
    Fault("etcd link slow", _etcd_delay),
    Fault("gateway drop, RESUME", _gateway_drop, 2),
    Fault("gateway RECONNECT", _gateway_reconnect),
    Fault("gateway session lost", _gateway_drop_session),
    Fault("gateway INVALID_SESSION", _gateway_invalid),
    Fault("gateway duplicates", _gateway_fault(duplicate=True)),
    Fault("gateway slow", _gateway_fault(delay=0.5)),
    Fault("gateway silent", _gateway_fault(silent=True)),
    Fault("gateway deaf", _gateway_fault(deaf=True)),
    Fault("gateway loses frames", _gateway_fault(drop=0.2)),
    Fault("REST 502", _rest_errors),
    Fault("REST answer lost", _rest_answer_lost),
    Fault("REST slow", _rest_slow),
]


def inject(world: World, fault: Fault, progress: Callable[[], int]) -> tuple[float, float, float]:
    """Runs one fault and waits until the bot goes on; when it began, ended, and was overcome."""
    begun = time.monotonic()
    fault.run(world)
    ended = time.monotonic()
    before = progress()
    wait_for(lambda: progress() > before + 20, 60, f"the bot to go on after {fault.name!r}", interval=0.02)
    wait_for(world.well, 60, f"all replicas after {fault.name!r}")
    return begun, ended, time.monotonic()

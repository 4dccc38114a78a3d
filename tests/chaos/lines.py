"""What breaks a replica's lines, to etcd, to the gateway and to Discord's REST API, and mends them again.

Each makes a fault's ``run``; see ``faults.Fault``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from world import TTL, World

from discordha.testing import FaultProxy, LocalDiscord

__all__ = ["black_hole", "cut", "delay", "gateway", "gateway_fault", "refused", "rest"]


def let_it_show(world: World) -> float:
    """What is done in a moment is felt for a while; returns the moment."""
    moment = time.monotonic()
    world.rest(0.5, 1.5)
    return moment


Links = Callable[[World, int], list[FaultProxy]]
LINKS: dict[str, Links] = {
    "etcd": lambda world, replica: world.etcd_links[replica],
    "gateway": lambda world, replica: [world.gateway_links[replica]],
    "REST": lambda world, replica: [world.rest_links[replica]],
}


def cut(which: str) -> Callable[[World], tuple[int | None, float]]:
    def run(world: World) -> tuple[int | None, float]:
        victim = world.victim().index
        for link in LINKS[which](world, victim):
            link.cut()
        return victim, let_it_show(world)

    return run


def refused(which: str) -> Callable[[World], tuple[int | None, float]]:
    """Nothing listens at the other end for a while."""

    def run(world: World) -> tuple[int | None, float]:
        victim = world.victim().index
        links = LINKS[which](world, victim)
        for link in links:
            link.down()
        world.rest(0.3, 2)
        for link in links:
            link.heal()
        return victim, time.monotonic()

    return run


def black_hole(which: str, *, counts_from_begin: bool) -> Callable[[World], tuple[int | None, float]]:
    def run(world: World) -> tuple[int | None, float]:
        victim = world.victim().index
        links = LINKS[which](world, victim)
        begun = time.monotonic()
        for link in links:
            link.black_hole()
        world.rest(0.5, TTL * 2)
        for link in links:
            link.heal()
        return victim, begun if counts_from_begin else time.monotonic()

    return run


def delay(which: str, seconds: float) -> Callable[[World], tuple[int | None, float]]:
    def run(world: World) -> tuple[int | None, float]:
        victim = world.victim().index
        links = LINKS[which](world, victim)
        for link in links:
            link.delay(seconds)
        world.rest(0.5, 3)
        for link in links:
            link.heal()
        return victim, time.monotonic()

    return run


def gateway(act: Callable[[LocalDiscord, str], object]) -> Callable[[World], tuple[int | None, float]]:
    def run(world: World) -> tuple[int | None, float]:
        victim = world.victim().index
        act(world.discord, f"r{victim}")
        return victim, let_it_show(world)

    return run


def gateway_fault(**changes: object) -> Callable[[World], tuple[int | None, float]]:
    def run(world: World) -> tuple[int | None, float]:
        victim = world.victim().index
        begun = time.monotonic()
        world.discord.fault(f"r{victim}", **changes)
        world.rest(0.5, 3)
        world.discord.clear_faults(f"r{victim}")
        return victim, begun

    return run


def rest(every: bool = False, **fault: object) -> Callable[[World], tuple[int | None, float]]:
    """The next few calls of one replica, or of all."""

    def run(world: World) -> tuple[int | None, float]:
        victim = world.victim().index
        path = "/channels/*"
        world.discord.fault_rest(path=path, replica="*" if every else f"r{victim}", **fault)  # type: ignore[arg-type]
        return None if every else victim, let_it_show(world)

    return run

"""The faults of a chaos run: what each does, how it is undone, and within which time its promise says that
the bot goes on.

One at a time, and the next when all replicas hear again and nothing that was sent before is open: so at
every moment a replica that survives has received each event, which is what P2 asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lines import black_hole, cut, delay, gateway, gateway_fault, refused, rest
from ways import (
    DENIED,
    DENIED_DATA,
    WAYS,
    Refuse,
    denied,
    password_changed,
    requests_too_large,
    role_revoked,
    space_used_up,
    users_switched_off,
)
from world import DEAF_AFTER, ETCD_TIMEOUT, TTL, Hit, World

__all__ = ["FAULTS", "PLACES", "Fault"]


#: Beside "process". All but "etcd" are of one replica.
PLACES = ("etcd link", "etcd", "gateway", "REST")


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    :param run: breaks something and mends it again; returns whom it hit and from when on the bound counts.
    :param bound: seconds, beyond the noise of the machine, in which every event must be answered.
    :param costs_sessions: whether it ends a session by itself: what ran then may be run again.
    :param total: whether no replica survives it, or none stays connected to Discord: P11 holds, not P2.
    """

    name: str
    run: Callable[[World], tuple[int | None, float]]
    bound: float
    weight: int = 1
    costs_sessions: bool = False
    total: bool = False

    @property
    def place(self) -> str:
        """Its name begins with what it breaks: a replica's link to etcd, etcd itself, a replica's gateway or
        REST connection. All others break a replica's process.
        """
        return next((each for each in PLACES if self.name.startswith(each)), "process")

    @property
    def kills_too(self) -> bool:
        """Whether it kills a replica besides what it breaks."""
        return self.place != "process" and self.costs_sessions

    def inject(self, world: World) -> Hit:
        """Runs it once. Blocks."""
        begun, world.woken, world.gap = time.monotonic(), 0.0, None
        target, since = self.run(world)
        return Hit(self.name, target, begun, since, time.monotonic(), woken=world.woken, gap=world.gap)


def _kill(world: World) -> tuple[int | None, float]:
    victim = world.victim()
    victim.kill()
    died = time.monotonic()
    world.rest(0.1, TTL * 1.5)
    world.start(victim)
    return victim.index, died


def _kill_before_answers(world: World) -> tuple[int | None, float]:
    """Messages are sent, and nobody knows: the answers are on their way when their replica dies."""
    victim = world.victim()
    link = world.rest_links[victim.index]
    link.delay(0.4, "to_client")
    world.rest(0.5, 0.8)
    victim.kill()
    died = time.monotonic()
    link.heal()
    world.start(victim)
    return victim.index, died


def _restart(world: World) -> tuple[int | None, float]:
    victim = world.victim()
    died = time.monotonic()
    victim.kill()
    world.start(victim)
    return victim.index, died


def _everybody_dies(world: World) -> tuple[int | None, float]:
    """And they come back one after another, in any order."""
    died = time.monotonic()
    for replica in world.fleet:
        replica.kill()
    world.rest(0.1, 3 * TTL)
    for replica in world.random.sample(list(world.fleet), len(world.fleet)):
        replica.start()
        world.rest(0.0, 0.5)
    world.nobody_hears(died)
    for replica in world.fleet:
        world.start(replica)
    return None, time.monotonic()


def _all_sessions_end(world: World) -> tuple[int | None, float]:
    begun = time.monotonic()
    if world.random.random() < 0.5:
        world.discord.invalidate()
    else:
        world.discord.disconnect(end=True)
    world.nobody_hears(begun)
    return None, time.monotonic()


def _pause(low: float, high: float, *, ends: bool) -> Callable[[World], tuple[int | None, float]]:
    def run(world: World) -> tuple[int | None, float]:
        victim = world.victim()
        victim.pause()
        paused = time.monotonic()
        world.rest(low * TTL, high * TTL)
        world.woken = time.monotonic()
        victim.resume()
        return victim.index, paused if ends else time.monotonic()

    return run


def _drain(world: World) -> tuple[int | None, float]:
    victim = world.victim()
    begun = time.monotonic()
    victim.drain()
    assert victim.wait_exit(60) == 0
    world.start(victim)
    return victim.index, begun


def _etcd_kill(world: World) -> tuple[int | None, float]:
    member = world.etcd.member(world.random.randrange(3))
    begun = time.monotonic()
    world.etcd.crash(member.index)
    world.rest(0.5, 3)
    member.start()
    member.wait_ready(60)
    return None, begun


def _etcd_pause(world: World) -> tuple[int | None, float]:
    member = world.etcd.member(world.random.randrange(3))
    begun = time.monotonic()
    member.pause()
    world.rest(0.5, 4)
    member.resume()
    return None, begun


def _etcd_outage(world: World) -> tuple[int | None, float]:
    world.etcd.stop_all()
    world.rest(0.5, TTL * 2)
    world.etcd.start_all()
    return None, time.monotonic()


def _refuses(way: Refuse) -> Callable[[World], tuple[int | None, float]]:
    """etcd answers, and refuses all replicas."""

    def run(world: World) -> tuple[int | None, float]:
        restore = way(world.access)
        try:
            world.rest(0.5, 3 * TTL)
        finally:
            restore()
        return None, time.monotonic()

    return run


def _denies_some(world: World) -> tuple[int | None, float]:
    """etcd takes the keys of all kinds but one."""
    kind = world.random.choice((*DENIED, *DENIED_DATA))
    return _refuses(WAYS[f"{kind}/ denied"])(world)


def _refuses_and_kills(*kinds: str) -> Callable[[World], tuple[int | None, float]]:
    """A replica dies while etcd refuses some kinds of keys, or all, and what it ran can't be taken over."""

    def run(world: World) -> tuple[int | None, float]:
        victim = world.victim()
        restore = (denied(world.random.choice(kinds)) if kinds else role_revoked)(world.access)
        try:
            world.rest(0.1, 0.5)
            victim.kill()
            world.rest(0.5, 1.5)
        finally:
            restore()
        restored = time.monotonic()
        victim.start()
        victim.wait_ready(60)
        return victim.index, restored

    return run


def _certificate_missing(world: World) -> tuple[int | None, float]:
    """And every connection has to be made anew."""
    away = world.certificate.with_suffix(".away")
    world.certificate.rename(away)
    try:
        for links in world.etcd_links:
            for link in links:
                link.cut()
        world.rest(0.5, 3 * TTL)
    finally:
        away.rename(world.certificate)
    return None, time.monotonic()


def _slow_handlers(world: World) -> tuple[int | None, float]:
    victim = world.victim().index
    world.control(victim, slow=0.3)
    world.rest(0.5, 2)
    world.control(victim)
    return victim, time.monotonic()


def _clock_jump(world: World) -> tuple[int | None, float]:
    victim = world.victim().index
    begun = time.monotonic()
    world.control(victim, clock=world.random.choice((-86_400.0, -900.0, 900.0, 86_400.0)))
    world.rest(0.5, 3)
    world.control(victim)
    return victim, begun


#: A takeover, as P2 promises it.
_TAKEOVER = TTL + 1.0
#: etcd elects a leader, which gives all leases their full TTL again; a call to the old one runs out.
_ETCD = 2 * TTL + ETCD_TIMEOUT + 1.0
#: What etcd refused is tried again, after a session that ended meanwhile has begun anew.
_REFUSED = TTL + 2.0
#: A deaf leader is noticed, and its successor does what it had not received.
_DEAF = DEAF_AFTER + TTL + 1.0
#: The dead replicas' sessions end, one is elected, what was missed is fetched, and all of it handled.
_CAUGHT_UP = TTL + 8.0
#: discord.py tries a call that failed again after 1 s, and after 3 more.
_REST = 4.0 + 1.0

FAULTS = [
    Fault("kill -9", _kill, _TAKEOVER, 3, costs_sessions=True),
    Fault("kill -9, restart at once", _restart, _TAKEOVER, costs_sessions=True),
    Fault("kill -9, before answers", _kill_before_answers, _TAKEOVER, costs_sessions=True),
    Fault("everybody dies", _everybody_dies, _CAUGHT_UP, 2, costs_sessions=True, total=True),
    Fault("all sessions end", _all_sessions_end, _CAUGHT_UP, 2, total=True),
    Fault("pause below the TTL", _pause(0.1, 0.45, ends=False), 1.0),
    Fault("pause above the TTL", _pause(1.2, 2.0, ends=True), _TAKEOVER, 2, costs_sessions=True),
    Fault("drain", _drain, 1.0, 2),
    Fault("etcd member killed", _etcd_kill, _ETCD),
    Fault("etcd member paused", _etcd_pause, _ETCD),
    Fault("etcd outage", _etcd_outage, _ETCD),
    Fault("etcd role revoked", _refuses(role_revoked), _REFUSED),
    Fault("etcd password changed", _refuses(password_changed), _REFUSED),
    Fault("etcd NOSPACE", _refuses(space_used_up), _REFUSED),
    Fault("etcd requests too large", _refuses(requests_too_large), _ETCD),
    Fault("etcd users switched off", _refuses(users_switched_off), _REFUSED),
    Fault("etcd certificate missing", _certificate_missing, _REFUSED),
    Fault("etcd denies some keys", _denies_some, _REFUSED, 3),
    Fault("etcd denies all, kill -9", _refuses_and_kills(), _TAKEOVER + _REFUSED, costs_sessions=True),
    Fault("etcd denies attempts, kill -9", _refuses_and_kills("a", "ja"), _TAKEOVER, costs_sessions=True),
    Fault("etcd link cut", cut("etcd"), _TAKEOVER),
    Fault("etcd link black-holed", black_hole("etcd", counts_from_begin=True), _TAKEOVER, 2),
    Fault("etcd link slow", delay("etcd", 0.08), 1.0),
    Fault("gateway link cut", cut("gateway"), _DEAF),
    Fault("gateway link black-holed", black_hole("gateway", counts_from_begin=True), _DEAF),
    Fault("gateway link slow", delay("gateway", 0.3), 1.0),
    Fault("gateway drop, RESUME", gateway(lambda d, name: d.disconnect(name)), _DEAF, 2),
    Fault("gateway RECONNECT", gateway(lambda d, name: d.reconnect(name)), _DEAF),
    Fault("gateway drop, session lost", gateway(lambda d, name: d.disconnect(name, end=True)), _DEAF),
    Fault("gateway INVALID_SESSION", gateway(lambda d, name: d.invalidate(name)), _DEAF),
    Fault("gateway duplicates", gateway_fault(duplicate=True), 1.0),
    Fault("gateway slow", gateway_fault(delay=0.5), 1.5),
    Fault("gateway silent", gateway_fault(silent=True), _DEAF),
    Fault("gateway deaf", gateway_fault(deaf=True), _DEAF),
    Fault("gateway loses frames", gateway_fault(drop=0.2), _DEAF),
    Fault("REST link cut", cut("REST"), _REST),
    Fault("REST link down", refused("REST"), _REST),
    Fault("REST link black-holed", black_hole("REST", counts_from_begin=False), _REST),
    Fault("REST link slow", delay("REST", 0.1), 1.0),
    # discord.py waits 1, 3, 5 s: three in a row for one call would be 9 s, where the victim makes no other.
    Fault("REST 502", rest(status=502, count=2), _REST),
    Fault("REST answer lost", rest(True, method="POST", status=502, count=5, when="after"), _REST),
    Fault("REST slow", rest(True, delay=0.3, count=30), 2.0),
    Fault("slow handlers", _slow_handlers, 2.0),
    Fault("clock jump", _clock_jump, 1.0),
]

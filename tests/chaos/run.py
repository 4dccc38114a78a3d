"""A chaos run: a mixed load, a seeded schedule of faults, and all that is needed for the verdict."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from evidence import Evidence
from faults import FAULTS, Fault
from observer import LogLine, Noise, Observer, log_lines
from overlap import Rounds
from report import Report
from roles import follow
from verdict import NOT_KEPT, UNFINISHED, YOUNG, judge
from ways import Access
from world import DEAF_AFTER, ETCD_TIMEOUT, TTL, Hit, World

from discordha.operations.cli.checks import role
from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replicas, wait_for

__all__ = ["chaos", "from_environment"]

BOT = Path(__file__).with_name("bot.py")
#: Events a second of each kind.
RATES = {
    "message": 30.0,
    "voice": 1.0,
    "edit": 4.0,
    "delete": 4.0,
    "reaction": 20.0,
    "join": 3.0,
    "typing": 2.0,
    "slash": 3.0,
    "button": 2.0,
}
#: Kinds that are made by loads of other names.
MESSAGES = {"voice": "message", "edit": "edit once"}
TEMPLATES = {
    "message": "!ping {n}",
    "voice": "!voice {n}",
    "edit": "!edit {n}",
    "slash": "roll",
    "button": "press",
}
#: The bot's name in etcd, and its user's password.
NAME, PASSWORD = "chaos", "least-privilege"
#: Tokens of idle connections run out after so many seconds.
TOKEN_TTL = "--auth-token-ttl=2"
#: In the logs.
_LEADS = r"leads shard \d+ "
#: Nothing new is answered for so long, seconds: what is open is lost.
PATIENCE = 2 * TTL + ETCD_TIMEOUT + 4.0


def chaos(
    seconds: float,
    seed: int,
    *,
    directory: Path,
    only: Sequence[str] = (),
    broken: str | None = None,
    handler: float = 0.03,
    overlap: int = 1,
    rate: float = 1.0,
) -> Report:
    """Runs for a while, and judges. Blocks; the same seed gives the same faults in the same order.

    :param only: kinds of faults; none: all of them.
    :raises ValueError: there is no fault of a name in ``only``.
    :param broken: a broken build, by its name in ``broken.BROKEN``.
    :param handler: handlers take up to so many seconds.
    :param overlap: up to so many faults come at once; see ``overlap.Rounds``. With 1, each comes when the one
        before is overcome.
    :param rate: how much of ``RATES`` comes. A machine that the whole load keeps busy says nothing.
    """
    chance = random.Random(seed)
    with ExitStack() as ends:
        discord = ends.enter_context(LocalDiscord(users=4, max_messages=100_000))
        etcd = ends.enter_context(
            LocalEtcd(members=3, tls=True, auth=True, unsafe_no_fsync=False, flags=(TOKEN_TTL,))
        )

        def link(endpoint: str) -> FaultProxy:
            return ends.enter_context(FaultProxy.to(endpoint.rpartition("//")[2]))

        user = follow(etcd, role(NAME), PASSWORD)
        access = Access(etcd, NAME, user, PASSWORD, role=user)
        certificates = etcd.certificates
        assert certificates is not None
        certificate = directory / "client.crt"  # a copy: the harness goes on while the fleet's is missing
        certificate.write_bytes(certificates.client_cert.read_bytes())

        etcd_links = [[link(endpoint) for endpoint in etcd.endpoints] for _ in range(3)]
        gateways = [link(f"127.0.0.1:{discord.port}") for _ in range(3)]
        rests = [link(f"127.0.0.1:{discord.port}") for _ in range(3)]
        # How long a replica waits for the preferred one: the shorter, the more of them claim the same event.
        grace = chance.choice((0.005, 0.05))

        def environment(index: int) -> dict[str, str]:
            return {
                **discord.env(f"r{index}", endpoint=rests[index].endpoint),
                "DISCORDHA_GATEWAY_URL": discord.gateway_url(f"r{index}", endpoint=gateways[index].endpoint),
                "DISCORDHA_ETCD_ENDPOINTS": ",".join(each.endpoint for each in etcd_links[index]),
                "DISCORDHA_NAME": NAME,
                "DISCORDHA_ETCD_CA_CERT": str(certificates.ca_cert),
                "DISCORDHA_ETCD_CERT": str(certificate),
                "DISCORDHA_ETCD_KEY": str(certificates.client_key),
                "DISCORDHA_ETCD_USER": access.user,
                "DISCORDHA_ETCD_PASSWORD": access.password,
                "DISCORDHA_SESSION_TTL": str(TTL),
                "DISCORDHA_DEAF_AFTER": str(DEAF_AFTER),
                "DISCORDHA_ETCD_TIMEOUT": str(ETCD_TIMEOUT),
                "DISCORDHA_GRACE": str(grace),
                "CHAOS_CONTROL": str(directory / f"control-{index}.json"),
                "CHAOS_HANDLER": str(handler),
                "CHAOS_BROKEN": broken or "",
            }

        fleet = ends.enter_context(Replicas(BOT, 3, per_replica_env=environment, directory=directory))
        fleet.wait_ready(90)
        world = World(
            discord,
            etcd,
            access,
            certificate,
            fleet,
            etcd_links,
            gateways,
            rests,
            directory,
            chance,
            lambda: _leader(fleet),
        )
        noise = ends.enter_context(Noise())
        loads = {
            kind: discord.load(
                MESSAGES.get(kind, kind),
                rate=full * rate,
                template=TEMPLATES.get(kind, ""),
                users=discord.user_ids[:2],
                # Few, so that equal ones follow each other within a second.
                channels=discord.channel_ids[: 2 if kind == "reaction" else None],
            )
            for kind, full in RATES.items()
        }
        observer = Observer(discord, loads)
        begun = time.monotonic()
        hits = _break(world, observer, _schedule(chance, only), begun + seconds, overlap)
        sent = {kind: load.stop() for kind, load in loads.items()}
        observer.wait_answered(time.monotonic(), PATIENCE)
        evidence = Evidence(
            sent,
            discord.messages(),
            discord.requests(),
            hits,
            log_lines(fleet, r"session \d+ .* is lost: "),
            noise.samples(),
            overlap,
        )
        judgement = judge(evidence)
        return Report(
            seed,
            time.monotonic() - begun,
            begun,
            judgement,
            evidence,
            log_lines(fleet, _LEADS),
            broken,
        )


def _schedule(chance: random.Random, only: Sequence[str]) -> list[Fault]:
    faults = [fault for fault in FAULTS for _ in range(fault.weight) if not only or fault.name in only]
    if unknown := set(only) - {fault.name for fault in faults}:
        raise ValueError(f"no fault is called {', '.join(sorted(unknown))}")
    chance.shuffle(faults)
    return faults


def _break(
    world: World, observer: Observer, faults: Sequence[Fault], until: float, overlap: int
) -> list[Hit]:
    """One fault after another, each when the one before is overcome; or rounds of several at once."""

    def settle(what: str) -> None:
        try:
            wait_for(world.well, 60, f"all replicas after {what!r}", interval=0.05)
        finally:
            _check_store(world, what)
        observer.wait_answered(time.monotonic(), PATIENCE)

    hits: list[Hit] = []
    world.rest(1.0, 2.0)
    if overlap > 1:
        # Each round spares a replica, so that each event is received.
        faults = [fault for fault in faults if not fault.total]
        return Rounds(world, faults, overlap, settle).run(until)
    while time.monotonic() < until:
        fault = faults[len(hits) % len(faults)]
        if fault.total:
            observer.wait_calm(60)  # what Discord does not keep, and is open, would be lost
        hit = fault.inject(world)
        if hit.gap is not None:
            observer.forget(NOT_KEPT, hit.gap[0] - UNFINISHED, hit.gap[1] + YOUNG)
        settle(hit.name)
        hit.overcome = time.monotonic()
        hits.append(hit)
        world.rest(0.3, 1.5)
    return hits


def _check_store(world: World, fault: str) -> None:
    """No promise holds on an etcd whose members differ: such a run says nothing of this library.

    :raises RuntimeError: they do.
    """
    different = world.etcd.differences()
    if different:
        raise RuntimeError(
            f"etcd's members differ in {len(different)} keys after {fault!r}, for example {different[0]}: "
            "etcd itself has corrupted its data (see discordha/testing/etcd_crashes.py)"
        )


def _leader(fleet: Replicas) -> int | None:
    lines: list[LogLine] = log_lines(fleet, _LEADS)
    return lines[-1].replica if lines else None


def from_environment(default: float, seed: int | None = None) -> tuple[float, int, float]:
    """``CHAOS_SECONDS``, ``CHAOS_SEED``, ``CHAOS_RATE``; ``seed`` where none is given, else one of chance."""
    environment: Any = os.environ
    seed = int(environment.get("CHAOS_SEED") or seed or random.SystemRandom().randrange(1 << 30))
    rate = float(environment.get("CHAOS_RATE") or 1.0)
    return float(environment.get("CHAOS_SECONDS") or default), seed, rate

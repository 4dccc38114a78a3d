"""A chaos run: load, faults, and the verdict from outside: what users did against what the bot said."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from faults import FAULTS, World, inject

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replicas, wait_for

__all__ = ["Report", "Tally", "chaos"]

BOT = Path(__file__).with_name("bot.py")
#: Events a second of each kind.
RATES = {"message": 30.0, "edit": 4.0, "delete": 4.0, "reaction": 20.0, "join": 3.0, "slash": 3.0}
TEMPLATES = {"message": "!ping {n}", "edit": "!edit {n}", "slash": "roll"}
#: Answered at the most once: 3 seconds are Discord's limit, and a dead replica's claim lives longer.
BEST_EFFORT = frozenset({"slash"})


@dataclass
class Tally:
    """One kind of event."""

    sent: int = 0
    handled: int = 0
    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0
    latency_p50: float = 0.0
    latency_p99: float = 0.0
    latency_max: float = 0.0


@dataclass
class Report:
    """What came of a run."""

    seed: int
    seconds: float
    events: dict[str, Tally] = field(default_factory=dict)
    faults: dict[str, list[float]] = field(default_factory=dict)
    timeline: list[tuple[str, float, float, float]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    points: list[tuple[float, float, str]] = field(default_factory=list)  # answered at, latency, replica

    @property
    def ok(self) -> bool:
        """Nothing lost, repeated or out of order."""
        return not self.violations

    def table(self) -> str:
        """For people."""
        lines = [
            f"{'event':10} {'sent':>7} {'handled':>8} {'lost':>5} {'repeated':>8} {'order':>6} "
            f"{'p50':>8} {'p99':>8} {'max':>8}"
        ]
        for name, t in self.events.items():
            lines.append(
                f"{name:10} {t.sent:7} {t.handled:8} {t.lost:5} {t.repeated:8} {t.out_of_order:6} "
                f"{t.latency_p50:8.3f} {t.latency_p99:8.3f} {t.latency_max:8.3f}"
            )
        lines.append("")
        lines.append(f"{'fault':28} {'count':>5} {'recovery p50':>13} {'p99':>8} {'max':>8}")
        for name, times in sorted(self.faults.items()):
            ordered = sorted(times)
            lines.append(
                f"{name:28} {len(ordered):5} {_quantile(ordered, 0.5):13.3f} "
                f"{_quantile(ordered, 0.99):8.3f} {ordered[-1]:8.3f}"
            )
        lines.append("")
        lines.append(f"seed {self.seed}, {self.seconds:.0f} s: {'OK' if self.ok else 'VIOLATIONS'}")
        lines.extend(self.violations[:20])
        if self.violations:
            lines += [
                f"  {start:7.2f} to {end:7.2f} s: {name}, overcome at {overcome:.2f} s"
                for name, start, end, overcome in self.timeline
            ]
        return "\n".join(lines)

    def json(self) -> str:
        """For machines."""
        data = asdict(self)
        data.pop("points")
        return json.dumps({**data, "ok": self.ok})


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def chaos(seconds: float, seed: int, *, directory: Path | None = None, only: str | None = None) -> Report:
    """Runs for a while; the same seed gives the same faults in the same order."""
    ttl = 2.0
    chance = random.Random(seed)
    report = Report(seed, seconds)
    with ExitStack() as ends:
        discord = ends.enter_context(LocalDiscord(users=4))
        etcd = ends.enter_context(LocalEtcd(members=3, unsafe_no_fsync=False))
        links = [
            [ends.enter_context(FaultProxy(*_address(endpoint))) for endpoint in etcd.endpoints]
            for _ in range(3)
        ]
        fleet = ends.enter_context(
            Replicas(
                BOT,
                3,
                etcd=None,
                env={
                    "DISCORDHA_SESSION_TTL": str(ttl),
                    "DISCORDHA_DEAF_AFTER": "2",
                    "DISCORDHA_ETCD_TIMEOUT": "2",
                },
                per_replica_env=lambda index: {
                    **discord.env(f"r{index}"),
                    "DISCORDHA_ETCD_ENDPOINTS": ",".join(link.endpoint for link in links[index]),
                },
                directory=directory,
            )
        )
        fleet.wait_ready(90)
        world = World(discord, etcd, fleet, links, ttl, chance)
        loads = {
            kind: discord.load(kind, rate=rate, template=TEMPLATES.get(kind, ""), users=discord.user_ids[:2])
            for kind, rate in RATES.items()
        }
        begun = time.monotonic()
        kinds = [fault for fault in FAULTS for _ in range(fault.weight) if only in (None, fault.name)]
        chance.shuffle(kinds)
        number = 0
        while time.monotonic() - begun < seconds:
            fault = kinds[number % len(kinds)]
            number += 1
            start, end, overcome = inject(world, fault, lambda: discord.counters()["messages"])
            report.faults.setdefault(fault.name, []).append(overcome - end)
            report.timeline.append((fault.name, start - begun, end - begun, overcome - begun))
            world.rest(0.2, 1.0)
        sent = {kind: load.stop() for kind, load in loads.items()}
        _wait_for_answers(discord, sent)
        _judge(report, discord, sent, begun)
    return report


def _address(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.rpartition(":")
    return host.removeprefix("https://").removeprefix("http://"), int(port)


def _answers(discord: LocalDiscord) -> dict[str, list[Any]]:
    answers: dict[str, list[Any]] = defaultdict(list)
    for message in discord.messages():
        kind, _, key = message.content.partition(" ")
        answers[kind].append((key, message))
    return answers


def _wait_for_answers(discord: LocalDiscord, sent: dict[str, list[Any]]) -> None:
    def missing() -> int:
        found = _answers(discord)
        return sum(
            max(len(done) - len(found[kind]), 0) for kind, done in sent.items() if kind not in BEST_EFFORT
        )

    try:
        wait_for(lambda: missing() == 0, 60, "every answer", interval=0.5)
    except TimeoutError:
        return  # the verdict names what is missing


def _judge(report: Report, discord: LocalDiscord, sent: dict[str, list[Any]], begun: float) -> None:
    answers = _answers(discord)
    for kind, actions in sent.items():
        tally = report.events[kind] = Tally(sent=len(actions))
        expected = Counter(action.key for action in actions)
        found = Counter(key for key, _ in answers[kind])
        lost, repeated = expected - found, found - expected
        tally.handled = sum((expected & found).values())
        tally.lost, tally.repeated = sum(lost.values()), sum(repeated.values())
        waiting: dict[str, list[float]] = defaultdict(list)
        for action in actions:
            waiting[action.key].append(action.at)
        wrong = {"repeated": repeated} if kind in BEST_EFFORT else {"lost": lost, "repeated": repeated}
        for what, keys in wrong.items():
            for key, count in keys.items():
                when = ", ".join(f"{at - begun:.2f}" for at in waiting[key])
                report.violations.append(f"{what} {kind} {key} x{count}; sent at {when} s")
        latencies = []
        for key, message in answers[kind]:
            if waiting[key]:
                latency = message.at - waiting[key].pop(0)
                latencies.append(latency)
                report.points.append((message.at - begun, latency, message.replica))
        latencies.sort()
        tally.latency_p50, tally.latency_p99 = _quantile(latencies, 0.5), _quantile(latencies, 0.99)
        tally.latency_max = latencies[-1] if latencies else 0.0
        if kind == "reaction":
            tally.out_of_order = _out_of_order(actions, answers[kind])
            if tally.out_of_order and not lost and not repeated:
                report.violations.append(f"{tally.out_of_order} reactions out of order")


def _out_of_order(actions: list[Any], answers: list[Any]) -> int:
    """On each message, add and remove of one user must alternate as they were sent."""
    wanted: dict[str, list[str]] = defaultdict(list)
    got: dict[str, list[str]] = defaultdict(list)
    for action in actions:
        wanted[action.key.rsplit("/", 1)[1]].append(action.key)
    for key, _ in answers:
        got[key.rsplit("/", 1)[1]].append(key)
    return sum(
        one != other for message in wanted for one, other in zip(wanted[message], got[message], strict=False)
    )


def from_environment(default: float) -> tuple[float, int]:
    """``CHAOS_SECONDS`` and ``CHAOS_SEED``."""
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 30))
    return float(os.environ.get("CHAOS_SECONDS") or default), seed

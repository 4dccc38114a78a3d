"""Events through the whole path: gateway, claim, handler, mark. Each function returns rows for the table, and
the single rounds that they are made of.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from rig import Burst, Rig, median, quantile, ratio
from table import Row

from discordha.coordination.membership.placement import order

__all__ = ["fleet", "latency", "losing", "original", "throughput", "writes"]

MICRO = 1e6


def _result(*rows: Row, **more: Any) -> dict[str, Any]:
    return {"rows": [row.as_dict() for row in rows], **more}


def _rounds(bursts: list[Burst]) -> list[dict[str, Any]]:
    return [burst._asdict() for burst in bursts]


def throughput(events: int = 5_000, rounds: int = 3) -> dict[str, Any]:
    """One replica against plain discord.py: bursts in turn, so that both see the same machine."""
    kinds: Mapping[str, tuple[str, dict[str, Any]]] = {
        "plain discord.py": ("plain", {"etcd": False}),
        "without etcd (ha=False)": ("ha", {"etcd": False}),
        "with etcd": ("ha", {}),
        "with etcd, tuned collector": ("ha", {"COLLECTOR": "tuned"}),
        # What would be left if discordha cost nothing; see the bot.
        "floor without etcd": ("floor", {"etcd": False}),
        "floor with etcd": ("floor", {}),
    }
    found: dict[str, list[Burst]] = {name: [] for name in kinds}
    with ExitStack() as ends:
        rigs = {name: ends.enter_context(Rig([bot], **options)) for name, (bot, options) in kinds.items()}
        for number in range(rounds + 1):
            for name, rig in rigs.items():
                burst = rig.burst(events)
                if number:  # the first one grows the process
                    found[name].append(burst)
    plain = found["plain discord.py"]
    rows = []
    for name, bursts in found.items():
        rows.append(Row(f"{name}: events/s", median(b.rate for b in bursts)))
        rows.append(Row(f"{name}: CPU an event", median(b.cpu for b in bursts) * MICRO, "µs"))
        if bursts is not plain:
            share = median(ratio(b.rate, p.rate) for b, p in zip(bursts, plain, strict=True))
            goal = {"with etcd": 0.35, "without etcd (ha=False)": 0.6}.get(name)
            rows.append(Row(f"{name}: events/s against plain", share, "x", at_least=goal))
    return _result(*rows, rounds={name: _rounds(bursts) for name, bursts in found.items()})


def fleet(events: int = 5_000, rounds: int = 3, replicas: int = 3) -> dict[str, Any]:
    """Three replicas on this machine, each event once, and plain discord.py in turns with them."""
    with Rig(["plain"], etcd=False) as plain, Rig(["ha"] * replicas) as rig:
        pairs = [(plain.burst(events), rig.burst(events)) for _ in range(rounds + 1)][1:]
    bursts = [burst for _, burst in pairs]
    share = median(ratio(burst.rate, other.rate) for other, burst in pairs)
    return _result(
        Row("plain discord.py: events/s", median(other.rate for other, _ in pairs)),
        Row(f"{replicas} replicas: events/s, each once", median(b.rate for b in bursts)),
        Row(f"{replicas} replicas together against one plain discord.py", share, "x", at_least=0.3),
        Row("CPU an event, of all replicas together", median(b.cpu for b in bursts) * MICRO, "µs"),
        Row("consensus writes an event, in a burst", median(b.writes for b in bursts), at_most=0.1),
        Row("handled more than once", sum(b.handled for b in bursts) - events * rounds, at_most=0),
        rounds=_rounds(bursts),
    )


def original(events: int = 1_000, rounds: int = 2, replicas: int = 3, *, warm: bool = True) -> dict[str, Any]:
    """The original's protocol and ours under the same load, three replicas each."""
    found: dict[str, list[Burst]] = {}
    for bot in ("original", "ha"):
        with Rig([bot] * replicas, warm_up=400 if warm else 0) as rig:
            if warm:
                rig.burst(events)
            found[bot] = [rig.burst(events) for _ in range(rounds)]
    rate = {bot: median(b.rate for b in bursts) for bot, bursts in found.items()}
    write = {bot: median(b.writes for b in bursts) for bot, bursts in found.items()}
    return _result(
        Row("the original's protocol: events/s", rate["original"]),
        Row("discordha: events/s", rate["ha"]),
        Row("discordha against it", ratio(rate["ha"], rate["original"]), "x", at_least=10.0),
        Row("the original's protocol: consensus writes an event", write["original"]),
        Row("discordha: consensus writes an event", write["ha"]),
        rounds={bot: _rounds(bursts) for bot, bursts in found.items()},
    )


def latency(rate: float = 100.0, count: int = 800) -> dict[str, Any]:
    """What a claim adds before the handler runs, against raw transactions of the same process, as often."""
    with Rig(["ha"], RAW=rate) as rig:
        before, after = rig.steady(rate=rate, count=count)
    added = after[0]["added"][len(before[0]["added"]) :]
    raw = after[0]["raw"][len(before[0]["raw"]) :]
    rows = []
    for share, name, goal in ((0.5, "p50", 1.3), (0.99, "p99", 1.5)):
        ours, theirs = quantile(added, share), quantile(raw, share)
        rows += [
            Row(f"added latency at {rate:g}/s, {name}", ours * 1000, "ms"),
            Row(f"one raw etcd transaction, {name}", theirs * 1000, "ms"),
            Row(f"added latency against it, {name}", ratio(ours, theirs), "x", at_most=goal),
        ]
    return _result(*rows, samples={"added": len(added), "raw": len(raw)})


def writes(
    rate: float = 100.0, count: int = 500, replicas: tuple[int, ...] = (1, 2, 3, 4, 5)
) -> dict[str, Any]:
    """Consensus writes an event at a steady rate, everything counted: heartbeats, leases, shares."""
    rows = []
    for number in replicas:
        with Rig(["ha"] * number) as rig:
            assert rig.etcd is not None
            proposals = rig.etcd.metrics().proposals
            rig.steady(rate=rate, count=count)
            made = rig.etcd.metrics().proposals - proposals
        name = f"consensus writes an event at {rate:g}/s, {number} replicas"
        rows.append(Row(name, made / count, at_most=2.05))
    return _result(*rows)


def losing(count: int = 600, rounds: int = 3) -> dict[str, Any]:
    """CPU of a replica that loses every event, against plain discord.py that handles it, in turns, at two
    rates.

    What either spends when nothing happens is measured beside it and taken off in a row of its own.
    """
    with ExitStack() as ends:
        plain = ends.enter_context(Rig(["plain"], etcd=False))
        pair = ends.enter_context(Rig(["ha", "ha"]))
        idle = {"plain": _idle(plain, 0), "loser": _idle(pair, 1)}
        found = [
            _losing(plain, pair, idle, rate=rate, count=int(count * rate / 200), rounds=rounds, bound=bound)
            for rate, bound in ((200.0, 1.5), (1_000.0, 1.4))
        ]
    return _result(*(row for rows, _ in found for row in rows), rounds=[each for _, each in found], idle=idle)


def _losing(
    plain: Rig, pair: Rig, idle: Mapping[str, float], *, rate: float, count: int, rounds: int, bound: float
) -> tuple[list[Row], dict[str, Any]]:
    gross: dict[str, list[float]] = {"plain": [], "loser": []}
    net: dict[str, list[float]] = {"plain": [], "loser": []}
    told = {"won": 0, "messages": 0}
    # Channels whose events are r0's by preference, so that r1 loses them.
    ids = pair.discord.channel_ids
    lost = [channel for channel in ids if order(str(channel), ["r0", "r1"])[0] == "r0"]
    for _ in range(rounds):
        for name, rig, index, channels in (("plain", plain, 0, None), ("loser", pair, 1, lost)):
            begun = time.monotonic()
            before, after = rig.steady(rate=rate, count=count, channels=channels)
            took = time.monotonic() - begun
            spent = after[index]["cpu"] - before[index]["cpu"]
            gross[name].append(spent / count)
            net[name].append((spent - idle[name] * took) / count)
            if name == "loser":
                was, now = before[1], after[1]
                told["won"] += now["count"] - was["count"]
                told["messages"] += now["messages"] - was["messages"]

    def against(spent: dict[str, list[float]]) -> float:
        return median(
            ratio(loser, other) for loser, other in zip(spent["loser"], spent["plain"], strict=True)
        )

    events, at = count * rounds, f"at {rate:,.0f}/s"
    rows = [
        Row(f"plain discord.py: CPU an event {at}", median(gross["plain"]) * MICRO, "µs"),
        Row(f"a losing replica: CPU an event {at}", median(gross["loser"]) * MICRO, "µs"),
        Row(f"a losing replica against plain {at}", against(gross), "x", at_most=bound),
        Row(f"the same without what both spend idle, {at}", against(net), "x"),
        Row(
            f"messages of the watch an event, to the loser, {at}",
            ratio(told["messages"], events),
            at_most=0.1,
        ),
        Row(f"of {events} events the loser handled after all, {at}", told["won"]),
    ]
    return rows, gross


def _idle(rig: Rig, index: int) -> float:
    """CPU seconds a second while nothing happens."""
    before = rig.meters()[index]
    time.sleep(2.0)
    after = rig.meters()[index]
    return ratio(after["cpu"] - before["cpu"], after["at"] - before["at"])

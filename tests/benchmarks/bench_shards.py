"""What shards cost: time to start, memory, and events a second, as they grow in number.

The same guilds are divided into one shard and into several, so that what differs is the shards alone.

Two parts. One process with all shards against plain ``discord.AutoShardedClient``, both at Discord's own
pace of one IDENTIFY in 5 s, which is what both spend their time on. And two replicas with 1 to 16 shards,
each shard on both: there the local Discord wants 1 s between two IDENTIFYs, so that a run takes minutes;
*possible* is the time that this pace alone takes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rig import Rig, ratio
from table import Row

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for

__all__ = ["scaling", "shards"]

BOTS = Path(__file__).parent / "bots"
MANY = 8
GUILDS = {"guilds": 64, "channels": 4, "users": 50}
PACE = 5.0
CURVE_PACE = 1.0
#: Seconds between two records of a member: a third of the session's default TTL.
RECORDS = 5.0 / 3
KINDS = {"plain": "plain discord.py", "ha": "discordha"}
MB, MICRO = 1e6, 1e6


def shards(
    counts: Sequence[int] = (1, 2, 4, 8, 16), replicas: int = 2, burst: int = 3_000, *, against: bool = True
) -> dict[str, Any]:
    """Blocks for about four minutes.

    :param against: whether plain discord.py is measured, too.
    """
    rows = _against_plain() if against else []
    points = [_point(count, replicas, burst) for count in counts]
    for point in points:
        name = f"{replicas} replicas, {point['shards']} shard{'s' * (point['shards'] > 1)} on each"
        rows += [
            Row(f"{name}: events/s", point["rate"]),
            Row(f"{name}: CPU an event", point["cpu"] * MICRO, "µs"),
            Row(f"{name}: all ready after ({point['possible']:g} s possible)", point["seconds"], "s"),
            Row(f"{name}: memory of a replica", point["memory"] / MB, "MB"),
        ]
    rows.append(Row("IDENTIFYs that came too early", sum(p["violations"] for p in points), at_most=0))
    return {"rows": [row.as_dict() for row in rows], "guilds": GUILDS["guilds"], "shards": points}


def _point(count: int, replicas: int, burst: int) -> dict[str, Any]:
    """So many shards, each on all replicas."""
    options = {**GUILDS, "shards": count, "identify_interval": CURVE_PACE}
    settings = {"DISCORDHA_SHARD_COUNT": count, "DISCORDHA_REPLICATION": replicas}
    with Rig(["ha"] * replicas, discord=options, **settings) as rig:
        rig.burst(burst)
        found = rig.burst(burst)
        return {
            "shards": count,
            "rate": found.rate,
            "cpu": found.cpu,
            "handled": found.handled,
            "seconds": rig.ready_after,
            "possible": (count * replicas - 1) * CURVE_PACE,
            "memory": sum(rig.memory()) / replicas,
            "violations": rig.discord.counters()["violations"],
        }


def scaling(rate: float = 20.0, seconds: float = 15.0, retention: float = 10.0) -> dict[str, Any]:
    """Eight replicas with eight shards against two with two: the same number of shards for each replica, and
    the same rate for each shard, half of it reactions. Marks live for ``retention`` seconds, and their end is
    waited for, since a replica is told of it, too.
    """
    points = {count: _steady_point(count, rate, seconds, retention) for count in (2, 8)}
    few, many = points[2], points[8]
    rows = []
    for count, point in points.items():
        name = f"{count} replicas, {count} shards"
        rows += [
            Row(f"{name}: CPU of a replica", point["cpu"] * 1000, "ms a second"),
            Row(f"{name}: changes that a replica is told", point["changes"], "a second"),
            Row(f"{name}: without member records", point["others"], "a second"),
            Row(f"{name}: messages of the watch, to a replica", point["messages"], "a second"),
            Row(f"{name}: CPU of etcd, an event", point["etcd"] * MICRO, "µs"),
        ]
    name = "eight against two"
    rows += [
        Row(f"CPU of a replica: {name}", ratio(many["cpu"], few["cpu"]), "x", at_most=1.2),
        Row(
            f"changes that a replica is told: {name}",
            ratio(many["changes"], few["changes"]),
            "x",
            at_most=1.2,
        ),
        Row(f"without member records: {name}", ratio(many["others"], few["others"]), "x", at_most=1.2),
    ]
    return {"rows": [row.as_dict() for row in rows], "points": points}


def _steady_point(count: int, rate: float, seconds: float, retention: float) -> dict[str, float]:
    """So many replicas and shards, each shard on two of them, at a rate for each shard."""
    options = {**GUILDS, "shards": count, "identify_interval": 0.05}
    settings = {
        "DISCORDHA_SHARD_COUNT": count,
        "DISCORDHA_REPLICATION": 2,
        "DISCORDHA_RETENTION": retention,
        "DISCORDHA_CATCH_UP": 0,  # marks would live for ten minutes, whatever the retention
        "LEADS": 1,
    }
    with Rig(["ha"] * count, discord=options, links=False, warm_up=20 * count, **settings) as rig:
        time.sleep(1.5 * retention)  # the warm-up's marks
        each = int(rate * count * seconds / 2)
        spent, before = rig.cpu()["etcd"], rig.meters()
        loads = [
            rig.discord.load(rate=rate * count / 2, count=each, kind=kind, template="{n}")
            for kind in ("message", "reaction")
        ]
        for load in loads:
            load.wait(seconds * 3 + 60)
        time.sleep(1.5 * retention)
        after = rig.meters()
        spent = rig.cpu()["etcd"] - spent
        took = sum(b["at"] - a["at"] for a, b in zip(before, after, strict=True)) / count

        def mean(read: str) -> float:
            return sum(b[read] - a[read] for a, b in zip(before, after, strict=True)) / count / took

        handled = sum(b["count"] - a["count"] for a, b in zip(before, after, strict=True))
        assert handled >= each, f"{handled} were handled, of {each} messages and half as many reactions"
        return {
            "cpu": mean("cpu"),
            "changes": mean("changes"),
            "others": mean("changes") - count / RECORDS,
            "messages": mean("messages"),
            "etcd": spent / handled,
        }


def _against_plain() -> list[Row]:
    rows = []
    least = (MANY - 1) * PACE
    with LocalEtcd() as etcd:
        for kind, name in KINDS.items():
            one, many = _start(kind, 1, etcd), _start(kind, MANY, etcd)
            rows += [
                Row(f"{name}, one process: 1 shard ready after", one["seconds"], "s"),
                Row(
                    f"{name}, one process: {MANY} shards ready after ({least:g} s possible)",
                    many["seconds"],
                    "s",
                ),
                Row(f"{name}, one process: memory with 1 shard", one["bytes"] / MB, "MB"),
                Row(
                    f"{name}, one process: memory of each further shard",
                    (many["bytes"] - one["bytes"]) / (MANY - 1) / MB,
                    "MB",
                ),
            ]
    return rows


def _start(kind: str, count: int, etcd: LocalEtcd) -> dict[str, float]:
    """``seconds`` from the process's start to all shards ready, and its memory in ``bytes`` then."""
    with LocalDiscord(**GUILDS, shards=count, identify_interval=PACE) as discord:
        env = {"SHARDS": str(count), "DISCORDHA_NAME": LocalEtcd.namespace(), "DISCORDHA_REPLICATION": "1"}
        with Replicas(BOTS / f"shards_{kind}.py", 1, etcd=etcd, discord=discord, env=env) as fleet:
            wait_for(lambda: "measured " in fleet[0].log_text(), 300, fleet[0].tail)
            line = next(row for row in fleet[0].log_text().splitlines() if row.startswith("measured "))
            return dict(json.loads(line.removeprefix("measured ")))

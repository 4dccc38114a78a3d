"""How it scales: with replicas, with events a second, with handler threads."""

from __future__ import annotations

from typing import Any

from rig import Rig, quantile
from table import Row

__all__ = ["curves"]


def curves(
    replicas: tuple[int, ...] = (1, 2, 3, 4, 5),
    rates: tuple[int, ...] = (10, 30, 100, 300, 1_000, 2_000),
    workers: tuple[int, ...] = (1, 4, 16, 64),
    burst: int = 2_000,
) -> dict[str, Any]:
    """Points for the plots; no goals of their own."""
    by_replicas = []
    for number in replicas:
        with Rig(["ha"] * number) as rig:
            rig.burst(burst)
            found = rig.burst(burst)
        by_replicas.append({"replicas": number, "rate": found.rate, "writes": found.writes, "cpu": found.cpu})
    by_rate = []
    with Rig(["ha"], RAW=20) as rig:
        for rate in rates:
            before, after = rig.steady(rate=rate, count=min(max(rate * 3, 60), 3_000))
            added = after[0]["added"][len(before[0]["added"]) :]
            took = after[0]["last"] - before[0]["at"]
            by_rate.append(
                {
                    "asked": rate,
                    "handled": (after[0]["count"] - before[0]["count"]) / took,
                    "p50": quantile(added, 0.5),
                    "p99": quantile(added, 0.99),
                }
            )
    by_workers = []
    for number in workers:
        with Rig(["ha"], channels=80, WORK=0.01, DISCORDHA_WORKERS=number) as rig:
            found = rig.burst(600)
        by_workers.append({"workers": number, "rate": found.rate})
    rows = [Row(f"burst, {point['replicas']} replicas: events/s", point["rate"]) for point in by_replicas]
    rows += [Row(f"added latency at {point['asked']}/s, p50", point["p50"] * 1000, "ms") for point in by_rate]
    rows += [
        Row(f"handlers of 10 ms, workers={point['workers']}: events/s", point["rate"]) for point in by_workers
    ]
    return {
        "rows": [row.as_dict() for row in rows],
        "replicas": by_replicas,
        "rates": by_rate,
        "workers": by_workers,
    }

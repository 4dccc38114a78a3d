"""What a shard costs: memory and time to start, against plain ``discord.AutoShardedClient``.

The same guilds are divided into one shard and into several, so that what differs is the shards alone. The
local Discord wants 5 s between two IDENTIFYs, as the real one does: both spend most of the time on that.

``measure()`` returns the numbers; ``python tests/benchmarks/bench_shards.py`` prints them as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for

__all__ = ["measure"]

BOTS = Path(__file__).parent / "bots"
MANY = 8
GUILDS = 64


def measure() -> dict[str, Any]:
    """Seconds to start and bytes of memory for each shard; the first shard apart. Blocks for a minute."""
    found: dict[str, Any] = {}
    with LocalEtcd() as etcd:
        for kind in ("plain", "ha"):
            one, many = _run(kind, 1, etcd), _run(kind, MANY, etcd)
            found[kind] = {
                "first_shard": one,
                "each_more": {unit: (many[unit] - one[unit]) / (MANY - 1) for unit in ("seconds", "bytes")},
            }
    found["guilds"], found["shards"] = GUILDS, MANY
    return found


def _run(kind: str, shards: int, etcd: LocalEtcd) -> dict[str, float]:
    with LocalDiscord(guilds=GUILDS, shards=shards, channels=4, users=50, identify_interval=5.0) as discord:
        env = {"SHARDS": str(shards), "DISCORDHA_NAME": LocalEtcd.namespace(), "DISCORDHA_REPLICATION": "1"}
        with Replicas(BOTS / f"shards_{kind}.py", 1, etcd=etcd, discord=discord, env=env) as fleet:
            wait_for(lambda: "measured " in fleet[0].log_text(), 300, fleet[0].tail)
            line = next(row for row in fleet[0].log_text().splitlines() if row.startswith("measured "))
            return dict(json.loads(line.removeprefix("measured ")))


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))

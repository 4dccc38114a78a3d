"""A fleet with shards, and who hosts which shard, as Discord sees it, sampled all the time."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from types import TracebackType
from typing import Self

from fleet import BOTS, per_replica

from discordha.testing import LocalDiscord, Replicas
from discordha.testing.plugin import ReplicasFactory

__all__ = ["TTL", "ShardWatch", "start"]

TTL = 5.0


def start(
    replicas: ReplicasFactory, discord: LocalDiscord, count: int, shards: int | str, **env: str
) -> Replicas:
    return replicas(
        BOTS / "sharded.py",
        count,
        discord=None,
        env={
            "DISCORDHA_SESSION_TTL": str(TTL),
            "DISCORDHA_SHARD_COUNT": str(shards),
            "DISCORDHA_REPLICATION": "2",
            **env,
        },
        per_replica_env=per_replica(discord),
    )


class ShardWatch:
    """Looks every ``interval`` seconds which replicas have a session for each shard.

    The thread ``discordha-test-shards`` is started and joined by the context.

    :param count: shards.
    """

    def __init__(self, discord: LocalDiscord, count: int, *, interval: float = 0.05) -> None:
        self._discord = discord
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discordha-test-shards", daemon=True)
        self.count = count
        self.gone: set[str] = set()  # replicas that are paused: their sessions do not count
        self.alone: dict[int, float] = {}  # the longest time without a host, by shard
        self.samples = 0

    def hosts(self) -> dict[int, set[str]]:
        """The replicas of each shard now."""
        hosts: dict[int, set[str]] = defaultdict(set)
        for session in self._discord.sessions():
            replica = session["replica"]
            if session["attached"] and session["shard_count"] == self.count and replica not in self.gone:
                hosts[session["shard_id"]].add(replica)
        return hosts

    def loads(self) -> Counter[str]:
        """How many shards each replica hosts now."""
        return Counter(replica for replicas in self.hosts().values() for replica in replicas)

    def settled(self, replicas: int, replication: int) -> bool:
        """Whether each shard has its hosts, no more and no less, spread evenly."""
        hosts, loads = self.hosts(), self.loads()
        wanted = min(replication, replicas)
        return (
            len(loads) == replicas
            and len(hosts) == self.count
            and all(len(each) == wanted for each in hosts.values())
            and max(loads.values()) - min(loads.values()) <= 2
        )

    def _run(self) -> None:
        since: dict[int, float] = {}
        while not self._stop.wait(self._interval):
            hosts, now = self.hosts(), time.monotonic()
            self.samples += 1
            for shard in range(self.count):
                if hosts.get(shard):
                    since.pop(shard, None)
                else:
                    gap = now - since.setdefault(shard, now)
                    self.alone[shard] = max(self.alone.get(shard, 0.0), gap)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

"""What a chaos run is made of, as its faults see it: everything that can be broken, and what was."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ways import Access

from discordha.testing import (
    FaultProxy,
    LocalDiscord,
    LocalEtcd,
    Replica,
    Replicas,
    WaitTimeout,
    wait_for,
)

__all__ = ["DEAF_AFTER", "ETCD_TIMEOUT", "TTL", "Hit", "World"]

#: Of the replicas in a chaos run, seconds.
TTL = 2.0
DEAF_AFTER = 2.0
ETCD_TIMEOUT = 2.0


@dataclass
class World:
    """What can be broken."""

    discord: LocalDiscord
    etcd: LocalEtcd
    access: Access  # of the fleet to etcd
    certificate: Path  # the fleet's
    fleet: Replicas
    etcd_links: list[list[FaultProxy]]  # of each replica to each etcd member
    gateway_links: list[FaultProxy]
    rest_links: list[FaultProxy]
    directory: Path
    random: random.Random
    leader: Callable[[], int | None]  # index of the replica that leads
    targets: Sequence[int] = (0, 1, 2)  # indexes of the replicas that a fault may hit
    stop: threading.Event = field(default_factory=threading.Event)
    woken: float = 0.0
    gap: tuple[float, float] | None = None

    def victim(self) -> Replica:
        """One of the targets; the leader as often as not."""
        some, leads = self.random.choice(self.targets), self.random.random() < 0.5
        leader = self.leader() if leads else None
        return self.fleet[leader if leader in self.targets else some]

    def start(self, replica: Replica) -> None:
        """Starts a replica, and starts it again when it ends before it is ready, as a process manager does:
        etcd may refuse it at that moment. Blocks until it is ready.

        :raises WaitTimeout: it is not, after a minute.
        """
        deadline = time.monotonic() + 60.0
        replica.start()
        while True:
            try:
                replica.wait_ready(max(deadline - time.monotonic(), 0.1))
            except WaitTimeout:
                if replica.alive or time.monotonic() > deadline:
                    raise
                self.stop.wait(0.5)
                replica.start()
            else:
                return

    def rest(self, low: float, high: float) -> None:
        """Lets the fault last for a random time."""
        self.stop.wait(self.random.uniform(low, high))

    def nobody_hears(self, begun: float) -> None:
        """Notes that no replica was connected to Discord, and blocks until one is again."""

        def identified() -> list[float]:
            return [
                each["at"] for each in self.discord.identifies() if each["accepted"] and each["at"] > begun
            ]

        wait_for(identified, 60, "a new session", interval=0.02)
        self.gap = begun, min(identified())

    def control(self, replica: int, **values: float) -> None:
        """Steers a bot; see there."""
        path = self.directory / f"control-{replica}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(values))
        fresh.replace(path)

    def well(self) -> bool:
        """Whether each replica lives and has its connection to Discord."""
        attached = {session["replica"] for session in self.discord.sessions() if session["attached"]}
        return all(r.alive and not r.paused and f"r{r.index}" in attached for r in self.fleet)


@dataclass
class Hit:
    """One fault that happened, by the machine's monotonic clock.

    :param target: the replica's index; ``None``: all.
    :param since: from when on the bound counts: the moment of death, or the end of what nobody can work in.
    :param woken: when it went on after having stood still; 0.0 when it did not.
    :param gap: from when to when no replica had a session with Discord.
    """

    name: str
    target: int | None
    begun: float
    since: float
    ended: float = 0.0
    overcome: float = 0.0
    woken: float = 0.0
    gap: tuple[float, float] | None = None
    noise: float = 0.0
    recovery: float = 0.0

    @property
    def stops_for_longer_than_ttl(self) -> bool:
        """Whether the session ran out while the replica stood still."""
        return self.woken - self.begun > TTL

"""What the benchmarks share: bots on a local Discord and etcd, loads that arrive all at once or at a rate,
and what each bot measured of itself.

All times are of one machine's monotonic clock. A number alone means little on a machine that others use:
each benchmark compares two things that ran one after the other, or side by side.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import psutil

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replica, Replicas, wait_for

__all__ = ["Burst", "Rig", "median", "quantile", "ratio"]

BOTS = Path(__file__).parent / "bots"
#: A pause that tells that etcd has nothing more to write, and how long it is waited for, seconds.
QUIET, SETTLE = 0.5, 5.0


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def quantile(values: Iterable[float], share: float) -> float:
    """0 where there is nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def ratio(one: float, other: float) -> float:
    return one / other if other else 0.0


class Burst(NamedTuple):
    """What came of events that all arrived at once."""

    rate: float
    """Handled a second, from the first to the last, by all bots together."""
    writes: float
    """Consensus writes an event."""
    handled: int
    cpu: float
    """Seconds of CPU an event, of all bots together: less at the mercy of what else the machine does."""


class Rig:
    """Bots of one kind, or of several. A context manager.

    :param bots: a script for each.
    :param etcd: whether there is one.
    :param warm_up: messages before anything is measured.
    :param discord: more options of the local Discord.
    :param etcd_flags: more command line flags of etcd.
    :param fsync: whether etcd waits for the disk, as it does by itself.
    :param links: whether the gateway is reached through a proxy that can stall: bursts need it, and it takes
        its share of the machine.
    :param env: the bots' environment.
    """

    def __init__(
        self,
        bots: Sequence[str],
        *,
        etcd: bool = True,
        channels: int = 40,
        warm_up: int = 400,
        discord: Mapping[str, Any] | None = None,
        etcd_flags: Sequence[str] = (),
        fsync: bool = False,
        links: bool = True,
        **env: Any,
    ) -> None:
        self.bots = list(bots)
        self._with_etcd = etcd
        self._discord_options = {"channels": channels, "max_messages": 100, "resume_buffer": 100}
        self._discord_options |= discord or {}
        self._etcd_options = {"flags": etcd_flags, "unsafe_no_fsync": not fsync}
        self._with_links = links
        self._warm_up = warm_up
        self._env = {key: str(value) for key, value in env.items()}
        self._ends = ExitStack()
        self.etcd: LocalEtcd | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._ends.close()
            raise
        return self

    def _start(self) -> None:
        enter = self._ends.enter_context
        self.directory = Path(enter(tempfile.TemporaryDirectory(prefix="discordha-bench-")))
        self.discord = enter(LocalDiscord(**self._discord_options))
        self.etcd = enter(LocalEtcd(**self._etcd_options)) if self._with_etcd else None
        count = len(self.bots) if self._with_links else 0
        self.links = [enter(FaultProxy("127.0.0.1", self.discord.port)) for _ in range(count)]
        begun = time.monotonic()
        self.fleets = [
            enter(
                Replicas(
                    BOTS / f"{bot}.py",
                    1,
                    etcd=self.etcd,
                    env={
                        "DISCORDHA_NAME": "bench",
                        "DISCORDHA_REPLICA_ID": f"r{index}",
                        "DISCORDHA_HA": str(self._with_etcd).lower(),
                        # The bursts wait behind a stalled link: that is no deafness here.
                        "DISCORDHA_DEAF_AFTER": "600",
                        "METER": str(self.directory / f"r{index}.json"),
                        "RECORD": str(self.directory / f"r{index}.record"),
                        **self.discord.env(f"r{index}"),
                        "DISCORDHA_GATEWAY_URL": self.discord.gateway_url(
                            f"r{index}", endpoint=self.links[index].endpoint if self.links else None
                        ),
                        **self._env,
                    },
                )
            )
            for index, bot in enumerate(self.bots)
        ]
        for fleet in self.fleets:
            fleet.wait_ready(120)
        #: Seconds from the start of the first bot to all ready.
        self.ready_after = time.monotonic() - begun
        # Whatever is done once, is done: caches, connections, the threads of the pool.
        if self._warm_up:
            self.steady(rate=200, count=self._warm_up)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def replica(self, index: int) -> Replica:
        return self.fleets[index][0]

    def memory(self) -> list[int]:
        """Bytes that each bot has in memory."""
        return [psutil.Process(fleet[0].pid).memory_info().rss for fleet in self.fleets]

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU so far: of all bots together, of the local Discord, of etcd, and of the whole
        machine, other programs and all.
        """
        bots = {fleet[0].pid for fleet in self.fleets}
        times = psutil.cpu_times()
        spent = {"bots": 0.0, "discord": 0.0, "etcd": 0.0, "machine": sum(times) - times.idle - times.iowait}
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                words = " ".join(child.cmdline()[:3])
                other = "discord" if "discord_server" in words else "etcd" if "etcd" in words else None
                kind = "bots" if child.pid in bots else other
                if kind is not None:
                    spent[kind] += sum(child.cpu_times()[:2])
        return spent

    def meters(self) -> list[dict[str, Any]]:
        """What each bot says; waits for reports that are newer than the call."""
        now = time.monotonic()
        found: list[dict[str, Any]] = []
        for index in range(len(self.bots)):
            path = self.directory / f"r{index}.json"

            def read(path: Path = path) -> dict[str, Any] | None:
                state = json.loads(path.read_text()) if path.exists() else {"at": 0.0}
                return state if state["at"] > now else None

            found.append(wait_for(read, 30, f"a report of r{index}", interval=0.05))
        return found

    def _wait_handled(
        self, before: Sequence[dict[str, Any]], count: int, timeout: float
    ) -> list[dict[str, Any]]:
        """Until all bots together have handled so many more; plain ones count each for itself."""
        guarded = sum(bot != "plain" for bot in self.bots) if self._with_etcd else 0
        wanted = count * (len(self.bots) - guarded) + (count if guarded else 0)
        latest: list[dict[str, Any]] = []

        def done() -> bool:
            latest[:] = self.meters()
            return sum(m["count"] for m in latest) - sum(m["count"] for m in before) >= wanted

        wait_for(done, timeout, lambda: f"{wanted} handled: {[m['count'] for m in latest]}", interval=0.05)
        return list(latest)

    def _settled_proposals(self, etcd: LocalEtcd) -> int:
        """Consensus writes once none was on its way for half a second: what follows the last handler counts,
        too. Where heartbeats leave no such pause, those of some seconds.
        """
        known, since = etcd.metrics().proposals, time.monotonic()
        ends = since + SETTLE
        while time.monotonic() - since < QUIET and time.monotonic() < ends:
            time.sleep(0.05)
            found = etcd.metrics().proposals
            if found != known:
                known, since = found, time.monotonic()
        return known

    def steady(
        self, *, rate: float, count: int, channels: Sequence[int] | None = None
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Messages at a rate, until all are handled; what the bots said before and after."""
        before = self.meters()
        load = self.discord.load(rate=rate, count=count, template="{n}", channels=channels)
        load.wait(count / rate * 3 + 60)
        after = self._wait_handled(before, count, 120)
        self.discord.trim()
        return before, after

    def burst(self, count: int) -> Burst:
        """Messages that arrive all at once: the links to the gateway stall until all have been sent."""
        before = self.meters()
        for link in self.links:
            link.black_hole("to_client")
        self.discord.load(rate=0, count=count, template="{n}").wait(120)
        writes = self.etcd.metrics().proposals if self.etcd is not None else 0
        begun = time.monotonic()
        for link in self.links:
            link.heal()
        after = self._wait_handled(before, count, 120)
        handled = sum(m["count"] for m in after) - sum(m["count"] for m in before)
        if self.etcd is not None:
            writes = self._settled_proposals(self.etcd) - writes
        took = max(m["last"] for m in after if m["last"]) - begun
        cpu = sum(m["cpu"] for m in after) - sum(m["cpu"] for m in before)
        return Burst(count / took, writes / count, handled, cpu / count)

"""``/readyz``: no within 2 s for each reason that a replica may have, and yes again when it is over.

From when the 2 s count is in docs/operating.md: a lease must run out, and a silence last for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from fleet import BOTS, per_replica
from scrape import addresses, get, ready

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

#: What is promised, seconds.
IN_TIME = 2.0
TTL = 2.0
#: For how long a replica receives nothing, while its peers do, before it counts as deaf: more than the
#: TTL + 0.5 s that their records may take to show it.
DEAF_AFTER = 3.0
#: How often a reason may show late before it counts: the machine may stand still for a moment.
TRIES = 3


@dataclass
class Watched:
    """Two replicas; the first one is watched. Its way to etcd leads over a proxy."""

    fleet: Replicas
    port: int
    link: FaultProxy
    discord: LocalDiscord

    def until(self, reason: str) -> float:
        """Waits for the no, and its reason; when the last look without it began, in seconds from now."""
        begun = last = time.monotonic()

        def shows() -> bool:
            nonlocal last
            at = time.monotonic()
            is_ready, reasons = ready(self.port)
            if not is_ready and any(reason in each for each in reasons):
                return True
            last = at
            return False

        wait_for(shows, 20, lambda: f"{reason!r}, not {ready(self.port)}", interval=0.02)
        assert get(self.port, "/livez")[0] == 200
        return last - begun

    def expect(self, reason: str, within: float, cause: Callable[[], object]) -> float:
        """Brings the cause about, and waits for the no and its reason; how long it took in seconds."""
        took = []
        for _ in range(TRIES):
            cause()
            took.append(self.until(reason))
            if took[-1] <= within:
                return took[-1]
            self.heal()
        raise AssertionError(f"{reason!r} took {took} s")

    def heal(self) -> None:
        """Everything is well again."""
        self.link.heal()
        self.discord.clear_faults("r0")
        self.expect_ready()

    def expect_ready(self) -> None:
        wait_for(lambda: ready(self.port)[0], 20, lambda: f"ready again: {ready(self.port)}", interval=0.02)


@pytest.fixture
def watched(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd
) -> Iterator[Watched]:
    with addresses(1) as ports, FaultProxy.to(local_etcd.endpoints[0]) as link:
        fleet = replicas(
            BOTS / "slow.py",
            2,
            discord=None,
            env={"DISCORDHA_SESSION_TTL": str(TTL), "DISCORDHA_DEAF_AFTER": str(DEAF_AFTER), "SLOW": "8"},
            per_replica_env=lambda index: {
                **per_replica(local_discord)(index),
                **(
                    {
                        "DISCORDHA_HTTP_ADDRESS": f"127.0.0.1:{ports[0]}",
                        "DISCORDHA_ETCD_ENDPOINTS": link.endpoint,
                    }
                    if index == 0
                    else {}
                ),
            },
        )
        fleet.wait_ready(60)
        yield Watched(fleet, ports[0], link, local_discord)


def test_each_reason_shows_in_time_and_goes_away(watched: Watched) -> None:
    discord, link = watched.discord, watched.link
    took = {"watch": watched.expect("the watch on etcd is down", IN_TIME, link.down)}
    watched.heal()
    # The session may live until its TTL is over; within 2 s after that it shows.
    took["session"] = watched.expect("no session in etcd", TTL + IN_TIME, link.down)
    watched.heal()
    # Nothing tells that etcd is gone but its silence.
    took["silence"] = watched.expect("etcd", TTL + IN_TIME, link.black_hole)
    watched.heal()

    def cut() -> None:
        discord.fault("r0", refuse=True)
        discord.disconnect("r0")

    took["gateway"] = watched.expect("not connected to Discord", IN_TIME, cut)
    watched.heal()
    # Heartbeats are answered, but events reach its peer only. It says so, and reconnects at once, so that
    # this is what the next look finds. It is deaf when that has lasted for DEAF_AFTER; within 2 s after that
    # it shows.
    load = discord.load(rate=40, template="hello {n}")
    took["deaf"] = watched.expect("shard 0 is", DEAF_AFTER + IN_TIME, lambda: discord.fault("r0", deaf=True))
    wait_for(lambda: "shard 0 is deaf" in watched.fleet[0].run_text(), 5, "the reason in the log")
    watched.heal()
    load.stop()
    print("until /readyz said no, seconds:", {what: round(seconds, 2) for what, seconds in took.items()})


def test_a_draining_replica_says_so_while_its_handlers_finish(watched: Watched) -> None:
    discord, fleet = watched.discord, watched.fleet
    fleet[1].end()
    watched.expect_ready()
    discord.send(discord.channel_ids[0], "!ping 1")
    wait_for(lambda: b"1" in running(watched.port), 20, "the handler to run")
    fleet[0].drain()
    assert watched.until("draining") <= IN_TIME
    assert discord.counters()["messages"] == 0  # it still works
    assert fleet[0].wait_exit(30) == 0
    assert discord.counters()["messages"] == 1
    assert ready(watched.port) == (False, ["nobody listens"])
    fleet[0].start()
    watched.expect_ready()


def running(port: int) -> bytes:
    """The sample of the handlers that run now."""
    text = get(port, "/metrics")[1]
    return next(
        (
            line.split()[1].encode()
            for line in text.splitlines()
            if line.startswith("discordha_handlers_running ")
        ),
        b"",
    )

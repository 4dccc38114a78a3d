"""``/readyz``: no within 2 s for each reason that a replica may have, and yes again when it is over.

From when the 2 s count is in docs/operating.md: a lease must run out, and a silence last for a while.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
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


@dataclass
class Watched:
    """Two replicas; the first one is watched. Its way to etcd leads over a proxy."""

    fleet: Replicas
    port: int
    link: FaultProxy
    discord: LocalDiscord

    def expect(self, reason: str, within: float = IN_TIME) -> float:
        """Waits for the no, and its reason; how long it took in seconds."""
        begun = time.monotonic()
        wait_for(
            lambda: (state := ready(self.port))[0] is False and any(reason in each for each in state[1]),
            within + 10,
            lambda: f"{reason!r}, not {ready(self.port)}",
            interval=0.02,
        )
        took = time.monotonic() - begun
        assert took <= within, f"{reason!r} took {took:.2f} s"
        assert get(self.port, "/livez")[0] == 200
        return took

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
            env={"DISCORDHA_SESSION_TTL": str(TTL), "DISCORDHA_DEAF_AFTER": str(DEAF_AFTER), "SLOW": "3"},
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
    took = {}
    watched.link.down()
    took["watch"] = watched.expect("the watch on etcd is down")
    # The session may live until its TTL is over; within 2 s after that it shows.
    took["session"] = watched.expect("no session in etcd", TTL + IN_TIME)
    watched.link.heal()
    watched.expect_ready()

    watched.link.black_hole()  # nothing tells that etcd is gone but its silence
    took["silence"] = watched.expect("etcd", TTL + IN_TIME)
    watched.link.heal()
    watched.expect_ready()

    watched.discord.fault("r0", refuse=True)
    watched.discord.disconnect("r0")
    took["gateway"] = watched.expect("not connected to Discord")
    watched.discord.clear_faults("r0")
    watched.expect_ready()
    # Heartbeats are answered, but events reach its peer only. It says so, and reconnects at once, so that
    # this is what the next look finds.
    load = watched.discord.load(rate=40, template="hello {n}")
    watched.discord.fault("r0", deaf=True)
    # It is deaf when that has lasted for DEAF_AFTER; within 2 s after that it shows.
    took["deaf"] = watched.expect("shard 0 is", DEAF_AFTER + IN_TIME)
    wait_for(lambda: "shard 0 is deaf" in watched.fleet[0].run_text(), 5, "the reason in the log")
    watched.discord.clear_faults("r0")
    watched.expect_ready()
    load.stop()
    print("until /readyz said no, seconds:", {what: round(seconds, 2) for what, seconds in took.items()})


def test_a_draining_replica_says_so_while_its_handlers_finish(watched: Watched) -> None:
    discord, fleet = watched.discord, watched.fleet
    fleet[1].end()
    watched.expect_ready()
    discord.send(discord.channel_ids[0], "!ping 1")
    wait_for(lambda: b"1" in running(watched.port), 20, "the handler to run")
    fleet[0].drain()
    watched.expect("draining")
    assert discord.counters()["messages"] == 0  # it still works
    assert fleet[0].wait_exit(20) == 0
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

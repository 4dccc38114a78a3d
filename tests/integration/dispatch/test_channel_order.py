"""A channel's events run in order and one at a time over all replicas: behind slow handlers, and through
drains and starts.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from channel_order import Run, disorder, read_trace
from fleet import BOTS, per_replica

from discordha.testing import LocalDiscord, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = 6.0


class Channels:
    """Three replicas with slow handlers, and messages in some channels."""

    def __init__(
        self,
        replicas: ReplicasFactory,
        discord: LocalDiscord,
        folder: Path,
        *,
        slow: float,
        channels: int = 1,
        drain_timeout: float = 25.0,
    ) -> None:
        self.drain_timeout = drain_timeout
        self.discord = discord
        self.trace = folder / "trace"
        self.channels = discord.channel_ids[:channels]
        self.fleet: Replicas = replicas(
            BOTS / "traced.py",
            3,
            discord=None,
            env={
                "SLOW": str(slow),
                "TRACE": str(self.trace),
                "DISCORDHA_SESSION_TTL": str(TTL),
                "DISCORDHA_DRAIN_TIMEOUT": str(drain_timeout),
            },
            per_replica_env=per_replica(discord),
        )
        self.fleet.wait_ready(60)

    def ended(self) -> int:
        return sum(run.ended is not None for run in read_trace(self.trace))

    def roll(self, *, again: bool = True) -> None:
        """Drains and starts each replica, one after another; or drains all but the last for good."""
        for replica in self.fleet if again else list(self.fleet)[:-1]:
            before = self.ended()
            wait_for(lambda before=before: self.ended() > before + len(self.channels), 60, "some to end")
            replica.drain()
            assert replica.wait_exit(self.drain_timeout + 35) == 0
            if again:
                replica.start()
                replica.wait_ready(60)

    def check(self, messages: list[str], timeout: float) -> None:
        """Waits until all have ended; each ran once, in order and one at a time."""
        wait_for(
            lambda: self.ended() >= len(messages),
            timeout,
            lambda: f"{len(messages)} ends, not {self.ended()}",
        )
        runs = read_trace(self.trace)
        assert Counter(run.content for run in runs) == Counter(messages)
        found = disorder(runs)
        print(
            f"{len(runs)} runs, {len(found)} out of order, by {len({run.replica for run in runs})} replicas"
        )
        assert not found, "\n".join(found)


def drained_with_a_backlog(channels: Channels, each: int, rate: float, *, again: bool = True) -> None:
    """``each`` messages in each channel at once, more at a rate that keeps the backlog, and drains."""
    load = channels.discord.load(rate=rate, channels=channels.channels)
    early = [(channel, f"!ping {channel} {n}") for n in range(each) for channel in channels.channels]
    for channel, content in early:
        channels.discord.send(channel, content)
    channels.roll(again=again)
    channels.check([content for _, content in early] + [message.key for message in load.stop()], 120)


def test_replicas_with_a_backlog_are_drained_one_after_another(
    replicas: ReplicasFactory, local_discord: LocalDiscord, tmp_path: Path
) -> None:
    channels = Channels(replicas, local_discord, tmp_path, slow=0.2, channels=3)
    drained_with_a_backlog(channels, 10, 12)


def test_new_events_do_not_wait_for_a_dead_owners_session(
    replicas: ReplicasFactory, local_discord: LocalDiscord, tmp_path: Path
) -> None:
    channels = Channels(replicas, local_discord, tmp_path, slow=1.0)
    local_discord.send(channels.channels[0], "!oldest")
    wait_for(lambda: read_trace(channels.trace), 10, "the oldest to begin")
    (oldest,) = read_trace(channels.trace)
    next(replica for replica in channels.fleet if replica.replica_id == oldest.replica).kill()
    died = time.monotonic()
    local_discord.send(channels.channels[0], "!newer")

    def runs(content: str) -> list[Run]:
        return [run for run in read_trace(channels.trace) if run.content == content]

    wait_for(lambda: runs("!newer"), 20, "the newer one to begin")
    wait_for(lambda: len(runs("!oldest")) == 2, 20, "the oldest to be taken over")
    waited, again = runs("!newer")[0].began - died, runs("!oldest")[1].began - died
    print(f"the newer event began after {waited:.1f} s, the oldest again after {again:.1f} s")
    assert waited < TTL / 2 + 1.0 < again


@pytest.mark.long
def test_long_backlogs_of_slow_handlers(
    replicas: ReplicasFactory, local_discord: LocalDiscord, tmp_path: Path
) -> None:
    # A replica that is the only one to have received the backlog works on it to the end.
    channels = Channels(replicas, local_discord, tmp_path, slow=0.8, channels=4, drain_timeout=120.0)
    drained_with_a_backlog(channels, 30, 5)

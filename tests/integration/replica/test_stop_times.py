"""SIGTERM at any moment, and servers that are silent: the process ends in its time."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import discord as discord_py
import pytest
from fleet import BOTS, members

from discordha import DiscordHA
from discordha.commands import CommandSync
from discordha.coordination.election.elections import Elections
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.membership.members import Members
from discordha.coordination.node import CoordinationNode
from discordha.coordination.session import Session
from discordha.dispatch import Dispatcher
from discordha.gateway import Gateway
from discordha.leader.loops import LeaderLoops
from discordha.leader.service import LeaderService
from discordha.limits.identify import Identify
from discordha.operations.health import HealthServer
from discordha.replica.monitor import Monitor
from discordha.replica.stop_clock import HURRY
from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replica, wait_for
from discordha.testing.plugin import ReplicasFactory

#: An end "at once" takes this long at most: the last round trips, and the end of the interpreter, seconds.
AT_ONCE = HURRY + 2.0


@pytest.fixture
def links(local_discord: LocalDiscord, local_etcd: LocalEtcd) -> Iterator[dict[str, FaultProxy]]:
    """The replica's ways to etcd and to Discord."""
    with ExitStack() as ends:
        yield {
            "etcd": ends.enter_context(FaultProxy.to(local_etcd.endpoints[0])),
            "discord": ends.enter_context(FaultProxy.to(f"127.0.0.1:{local_discord.port}")),
        }


@pytest.fixture
def start(
    replicas: ReplicasFactory, local_discord: LocalDiscord, links: dict[str, FaultProxy]
) -> Callable[..., Replica]:
    def start(drain_timeout: float, slow: float = 0.0, **env: str) -> Replica:
        fleet = replicas(
            BOTS / "busy.py",
            1,
            discord=None,
            env={
                **local_discord.env("r0", endpoint=links["discord"].endpoint),
                "DISCORDHA_ETCD_ENDPOINTS": links["etcd"].endpoint,
                "DISCORDHA_DRAIN_TIMEOUT": str(drain_timeout),
                "SLOW": str(slow),
                **env,
            },
        )
        return fleet[0]

    return start


def end_of(replica: Replica, limit: float) -> float:
    """Sends SIGTERM; how long the process took to end with 0, in seconds."""
    begun = time.monotonic()
    replica.drain()
    assert replica.wait_exit(limit + 30) == 0, replica.log_text()
    return time.monotonic() - begun


@pytest.mark.parametrize("silent", ["etcd", "discord"])
def test_a_start_before_a_silent_server_ends_at_once(
    start: Callable[..., Replica], links: dict[str, FaultProxy], silent: str
) -> None:
    links[silent].black_hole()
    replica = start(25.0)
    wait_for(lambda: links[silent].connections > 0, 20, "the replica to connect")
    assert end_of(replica, AT_ONCE) < AT_ONCE
    assert "stopping, for 25 s at most: SIGTERM" in replica.log_text()
    assert "Traceback" not in replica.log_text()


@pytest.mark.parametrize(
    ("silent", "shards"), [("etcd", 0), ("discord", 0), ("etcd and discord", 0), ("etcd and discord", 2)]
)
def test_a_drain_before_a_silent_server_keeps_its_time(
    start: Callable[..., Replica],
    links: dict[str, FaultProxy],
    local_discord: LocalDiscord,
    silent: str,
    shards: int,
) -> None:
    if shards:
        local_discord.reset(shards=shards)
    replica = start(3.0, **({"DISCORDHA_SHARD_COUNT": str(shards)} if shards else {}))
    replica.wait_ready(60)
    channel = local_discord.channel_ids[0]
    asked = [local_discord.send(channel, f"!ping {number}") for number in range(40)]
    for name in silent.split(" and "):
        links[name].black_hole()
    for user in local_discord.user_ids[:3]:
        local_discord.react(channel, asked[0], "👍", user)
    assert end_of(replica, 3.0) < 3.0 + 1.5  # the interpreter ends, too


@pytest.mark.parametrize("silent", ["nothing", "etcd and discord"])
def test_a_second_signal_ends_whatever_a_drain_waits_for(
    start: Callable[..., Replica], links: dict[str, FaultProxy], local_discord: LocalDiscord, silent: str
) -> None:
    """A handler, a loop, and calls without an answer."""
    replica = start(60.0, slow=60.0)
    replica.wait_ready(60)
    wait_for(lambda: "tick" in replica.run_text(), 20, "the loop")
    local_discord.send(local_discord.channel_ids[0], "!slow")
    wait_for(lambda: "begun" in replica.run_text(), 20, "the handler")
    for name in silent.split(" and ") if silent != "nothing" else ():
        links[name].black_hole()
    replica.drain()
    wait_for(lambda: "stopping, for 60 s at most" in replica.run_text(), 10, "the drain")
    assert end_of(replica, AT_ONCE) < AT_ONCE
    if silent == "nothing":
        assert "other replicas retry: message/" in replica.run_text()


STARTS = [
    HealthServer.start,
    Session.start,
    RetentionLeases.start,
    Members.start,
    Elections.start,
    CoordinationNode.start,
    Dispatcher.start,
    LeaderService.start,
    LeaderService.open,
    Gateway.start,
    Gateway.session_limits,
    Gateway.open_shard,
    Identify.start,
    CommandSync.start,
    Monitor.start,
    LeaderLoops.start,
]
SOME_STARTS = [
    Session.start,
    CoordinationNode.start,
    Gateway.session_limits,
    Gateway.open_shard,
    Monitor.start,
]
STOPS = [
    Members.flush,
    LeaderService.finish,
    LeaderService.hand_over,
    LeaderLoops.stop,
    Dispatcher.drain,
    Dispatcher.marked,
    Monitor.stop,
    Dispatcher.stop,
    Gateway.stop,
    Identify.stop,
    CoordinationNode.stop,
    Session.stop,
    HealthServer.stop,
]


PARTS = {getattr(sys.modules[step.__module__], step.__qualname__.split(".")[0]) for step in STARTS + STOPS}


class Signals:
    """Sends SIGTERM to this process when a step begins, and once more when another one does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[str] = []
        self._monkeypatch = monkeypatch

    def at(self, step: Callable[..., Any]) -> None:
        owner = next(each for each in PARTS if step in vars(each).values())
        name, sent = step.__qualname__, self.sent

        def signalled(*args: Any, **options: Any) -> Any:
            if name not in sent:
                sent.append(name)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.02)  # the signal arrives within the step
            return step(*args, **options)

        self._monkeypatch.setattr(owner, step.__name__, signalled)


@pytest.fixture
def ha(
    local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> DiscordHA:
    environment = {**local_discord.env(), **local_etcd.env(), "DISCORDHA_NAME": namespace}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return DiscordHA.from_env(
        intents=discord_py.Intents.all(), http_address="127.0.0.1:0", drain_timeout=20.0
    )


def run(ha: DiscordHA, etcd: LocalEtcd, namespace: str) -> None:
    """The bot ends at once, without an error and without a session."""
    begun = time.monotonic()
    ha.run()
    assert time.monotonic() - begun < AT_ONCE + 2.0
    assert members(etcd, namespace) == {}


@pytest.mark.parametrize(
    "step",
    [
        *SOME_STARTS,
        *(pytest.param(step, marks=pytest.mark.long) for step in STARTS if step not in SOME_STARTS),
    ],
    ids=lambda step: step.__qualname__,
)
def test_a_signal_ends_a_start_at_each_step(
    ha: DiscordHA, local_etcd: LocalEtcd, namespace: str, monkeypatch: pytest.MonkeyPatch, step: Any
) -> None:
    signals = Signals(monkeypatch)
    signals.at(step)
    run(ha, local_etcd, namespace)
    assert signals.sent == [step.__qualname__]


@pytest.mark.parametrize("step", STOPS, ids=lambda step: step.__qualname__)
def test_a_second_signal_is_taken_at_each_step_of_a_stop(
    ha: DiscordHA, local_etcd: LocalEtcd, namespace: str, monkeypatch: pytest.MonkeyPatch, step: Any
) -> None:
    signals = Signals(monkeypatch)
    signals.at(LeaderLoops.start)
    signals.at(step)
    run(ha, local_etcd, namespace)
    assert signals.sent == ["LeaderLoops.start", step.__qualname__]

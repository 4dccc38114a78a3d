"""A bot's own thread carries out a voice command while its replica drains, or lets the guild's shard go."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet import BOTS, logs, per_replica, whole_logs

from discordha.coordination.voice.queue import PATIENCE
from discordha.testing import LocalDiscord, Replica, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

Start = Callable[[LocalDiscord, str | None], Replicas]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """While this file is missing, no command is acknowledged."""
    return tmp_path / "gate"


@pytest.fixture
def start(replicas: ReplicasFactory, gate: Path) -> Start:
    def start(discord: LocalDiscord, shards: str | None) -> Replicas:
        env = {"GATE": str(gate), "DISCORDHA_SESSION_TTL": "10"}
        if shards is not None:
            env |= {"DISCORDHA_SHARD_COUNT": shards}
        fleet = replicas(
            BOTS / "voice_held.py", 2, discord=None, env=env, per_replica_env=per_replica(discord)
        )
        fleet.wait_ready(60)
        return fleet

    return start


def count(fleet: Replicas, line: str) -> int:
    return whole_logs(fleet).count(f"{line}.\n")


def play(discord: LocalDiscord, fleet: Replicas) -> Replica:
    """Sends two commands for one guild; returns the replica that carries out the first."""
    discord.send(discord.channel_ids[0], "!play one")
    wait_for(lambda: count(fleet, "begun !play one"), 30, lambda: logs(fleet))
    discord.send(discord.channel_ids[0], "!play two")
    return next(replica for replica in fleet if "begun !play one" in replica.log_text())


@pytest.mark.parametrize("shards", [None, "2"], ids=["one connection", "two shards"])
def test_a_drain_waits_for_an_acknowledgement(start: Start, gate: Path, shards: str | None) -> None:
    with LocalDiscord(guilds=2, shards=int(shards or 1), channels=1) as discord:
        fleet = start(discord, shards)
        owner = play(discord, fleet)
        owner.drain()
        wait_for(lambda: "stopping, for" in owner.log_text(), 10, lambda: logs(fleet))
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: count(fleet, "begun !play one") > 1, PATIENCE / 4, "the fault")
        gate.touch()
        assert owner.wait_exit(30) == 0
        wait_for(lambda: count(fleet, "acknowledged !play two"), 30, lambda: logs(fleet))
        assert count(fleet, "begun !play one") == 1, "a peer carried out what was under way"
        assert count(fleet, "acknowledged !play one") == 1
        assert count(fleet, "begun !play two") == 1
        assert "begun !play two" not in owner.log_text()


def test_who_acknowledges_nothing_holds_up_no_drain(start: Start, gate: Path) -> None:
    """Its command is carried out again elsewhere."""
    with LocalDiscord(guilds=1, channels=1) as discord:
        fleet = start(discord, None)
        owner = play(discord, fleet)
        owner.drain()
        assert owner.wait_exit(PATIENCE + 8) == 0
        assert "was not acknowledged in time" in owner.log_text()
        gate.touch()
        wait_for(lambda: count(fleet, "acknowledged !play two"), 30, lambda: logs(fleet))
        assert count(fleet, "begun !play one") == 2
        assert count(fleet, "acknowledged !play one") == 1

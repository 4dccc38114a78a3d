"""A channel's events keep their order over a reshard, also on a replica that joined just before."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from fleet import BOTS, answered, logs

from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_who_joins_during_a_reshard_waits_for_what_others_received_on_the_old_shards(
    replicas: ReplicasFactory,
    local_etcd: LocalEtcd,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISCORDHA_ETCD_ENDPOINTS", local_etcd.endpoints[0])
    with LocalDiscord(guilds=4, shards=4, channels=8, users=2) as discord:
        channel, *others = discord.channel_ids
        fleets: list[Replicas] = []

        def started(name: str) -> None:
            fleet = replicas(
                BOTS / "steps.py",
                1,
                discord=None,
                env={
                    "DISCORDHA_REPLICA_ID": name,
                    "DISCORDHA_SHARD_COUNT": "2",
                    "STEPS": str(tmp_path),
                    "STEP_NAME": name,
                },
                per_replica_env=lambda _: discord.env(name),
            )
            fleet.wait_ready(60)
            fleets.append(fleet)

        started("old")
        discord.send(channel, "!stop in_handler old 1")
        wait_for((tmp_path / "old.in_handler.1.at").exists, 20, "the oldest to begin")
        started("young")
        said = CliRunner().invoke(cli, ["reshard", "4", "--name", namespace])
        assert said.exit_code == 0, said.output

        def sessions() -> set[int]:
            return {each["shard_count"] for each in discord.sessions() if each["replica"] == "young"}

        wait_for(lambda: sessions() == {4}, 60, lambda: f"the new shards alone, not {sessions()}")
        discord.send(channel, "!ping 2")
        for number in range(3, 60):
            discord.send(others[number % len(others)], f"!ping {number}")

        def by(name: str) -> list[str]:
            return [message.content for message in answered(discord) if message.replica == name]

        def text() -> str:
            return "\n".join([str(answered(discord)), *map(logs, fleets)])

        wait_for(lambda: len(answered(discord)) >= 57, 30, text)
        assert by("young"), "it handles events"
        assert "pong 2" not in by("young"), text()
        (tmp_path / "old.in_handler.go").touch()
        wait_for(lambda: "pong 2" in by("old") + by("young"), 30, text)
        order = [each.content for each in discord.messages() if each.channel_id == channel and each.replica]
        assert [each.split()[0] for each in order] == ["went", "pong"]

"""Replicas of different versions: neighbours share the work, strangers stay out and say so."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from fleet import BOTS, per_replica, verdict

from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory


@pytest.fixture
def local_discord() -> Iterator[LocalDiscord]:
    """With so many channels that each replica is preferred for some."""
    with LocalDiscord(channels=32) as discord:
        yield discord


def test_neighbouring_versions_share_the_work_and_a_stranger_stays_out(
    replicas: ReplicasFactory,
    local_discord: LocalDiscord,
    local_etcd: LocalEtcd,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(index: int) -> dict[str, str]:
        newer = {"PRETEND_VERSION": "99.0.0", "PRETEND_FORMAT": "2", "PRETEND_READS": "1", "TESTS_COLD": "1"}
        return {**per_replica(local_discord)(index), **(newer if index == 1 else {})}

    fleet = replicas(
        BOTS / "other_version.py",
        2,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "2", "SLOW": "0.01"},
        per_replica_env=version,
    )
    fleet.wait_ready(60)
    load = local_discord.load(rate=60)
    wait_for(lambda: local_discord.counters()["messages"] > 30, 30, "some answers")

    # A version that can't read what these two write.
    stranger = replicas(
        BOTS / "other_version.py",
        1,
        discord=None,
        env={"PRETEND_VERSION": "100.0.0", "PRETEND_FORMAT": "3", "PRETEND_READS": "3", "TESTS_COLD": "1"},
        per_replica_env=lambda index: local_discord.env("stranger"),
    )[0]
    assert stranger.wait_exit(60) == 1
    said = stranger.log_text()
    assert "ConfigError" in said
    assert "format" in said
    assert "run neighbouring versions" in said
    assert not [session for session in local_discord.identifies() if session["replica"] == "stranger"]

    before = local_discord.counters()["messages"]
    wait_for(lambda: local_discord.counters()["messages"] > before + 60, 30, "more answers")
    result = verdict(local_discord, load.stop())
    assert result.total.ok, result
    assert len(result.total.answered_by) == 2, result

    for name, value in local_etcd.env().items():
        monkeypatch.setenv(name, value)
    answer = CliRunner().invoke(cli, ["check", "--name", namespace, "--json"], catch_exceptions=False)
    checked = {result["what"]: result for result in json.loads(answer.output)}
    assert checked["replicas"]["outcome"] == "warn"
    assert "99.0.0" in checked["replicas"]["detail"]

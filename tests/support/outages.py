"""What tests of outages share: a fleet that answers, and what etcd and its bot say of gaps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from click.testing import CliRunner
from fleet import EXAMPLES, answered, logs, per_replica, values, verdict

from discordha.operations.cli.fleet_commands import cli
from discordha.testing import LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

TTL = "2"


def started(
    replicas: ReplicasFactory,
    discord: LocalDiscord,
    count: int = 3,
    env: Mapping[str, str] | None = None,
    **more: Any,
) -> Replicas:
    """A fleet that answers, ready."""
    fleet = replicas(
        EXAMPLES / "ping.py",
        count,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": TTL, **(env or {})},
        per_replica_env=per_replica(discord),
        **more,
    )
    fleet.wait_ready(60)
    return fleet


def answers(discord: LocalDiscord, more: int, timeout: float = 120.0) -> None:
    """Blocks until there are so many answers more."""
    count = len(answered(discord)) + more
    wait_for(lambda: len(answered(discord)) >= count, timeout, f"{more} answers more", interval=0.05)


def questions(discord: LocalDiscord, load: Any, more: int) -> None:
    """Blocks until users have sent so many questions more."""
    count = len(load.sent()) + more
    wait_for(lambda: len(load.sent()) >= count, 60, f"{more} questions more", interval=0.05)


def restart(fleet: Replicas) -> None:
    """Starts all replicas that do not run."""
    for replica in fleet:
        if not replica.alive:
            replica.start()
    fleet.wait_ready(60)


def check(
    discord: LocalDiscord,
    sent: Sequence[Any],
    fleet: Replicas,
    timeout: float = 60.0,
    *,
    ordered: bool = True,
) -> None:
    """Each message is answered once, and each channel in order.

    :param ordered: else replicas died meanwhile, and newer messages do not wait for what a dead replica had
        claimed (P13): disorder is told.
    """
    result = verdict(discord, sent, timeout=timeout)
    assert result.total.lost == 0, (result, logs(fleet))
    assert result.total.repeated == 0, (result, logs(fleet))
    channels = {each.key: each.channel_id for each in sent}
    newest: dict[int, tuple[int, str | None, float]] = {}
    late = []
    for message in answered(discord):
        number = int(message.content.split()[1])
        channel = channels[message.content.replace("pong", "!ping", 1)]
        if channel in newest and newest[channel][0] > number:
            late.append((number, message.replica, message.at, newest[channel]))
        else:
            newest[channel] = number, message.replica, message.at
    if ordered:
        assert not late, (len(late), late[:5], logs(fleet))
    else:
        print(f"out of order: {len(late)} of {len(sent)}")


def gaps_said(etcd: LocalEtcd, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``discordha gaps`` says."""
    monkeypatch.setenv("DISCORDHA_ETCD_ENDPOINTS", etcd.endpoints[0])
    said = CliRunner().invoke(cli, ["gaps", "--name", name])
    assert said.exit_code == 0, said.output
    return said.output


def runs_again(discord: LocalDiscord) -> int:
    """How many answers were sent once more. Discord knew their nonces, and made no second message."""
    return sum(request.duplicate for request in discord.requests())


def gaps(etcd: LocalEtcd, name: str) -> list[dict[str, Any]]:
    """The last gap of each shard."""
    root = f"/discordha/v1/{name}/g/"
    return [json.loads(value) for key, (value, _) in values(etcd, root).items() if key.endswith("/state")]


def point(etcd: LocalEtcd, name: str) -> bytes | None:
    """The point of the only shard."""
    return values(etcd, f"/discordha/v1/{name}/p/").get(f"/discordha/v1/{name}/p/0", (None, 0))[0]


def moment(etcd: LocalEtcd, name: str) -> float:
    """Its moment; 0.0 if there is none."""
    found = point(etcd, name)
    return float(json.loads(found)["moment"]) if found is not None else 0.0


def is_over(etcd: LocalEtcd, name: str) -> bool:
    """Whether all gaps are over, and nothing but their records is left."""
    found = gaps(etcd, name)
    left = values(etcd, f"/discordha/v1/{name}/g/")
    return bool(found) and all(gap["over"] for gap in found) and len(left) == len(found)

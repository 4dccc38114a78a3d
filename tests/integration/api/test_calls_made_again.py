"""What a handler does once more, because the call failed though it was carried out, is done once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet import BOTS, answered, logs, per_replica

from discordha.testing import FaultProxy, LocalDiscord, LocalEtcd, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory


@pytest.fixture
def link(local_etcd: LocalEtcd) -> Iterator[FaultProxy]:
    with FaultProxy.to(local_etcd.endpoints[0].rpartition("//")[2]) as proxy:
        yield proxy


def started(replicas: ReplicasFactory, discord: LocalDiscord, link: FaultProxy, go: Path) -> Replicas:
    """One replica behind the link, with a session that outlives what is done to it."""
    fleet = replicas(
        BOTS / "persistent.py",
        1,
        discord=None,
        env={
            "DISCORDHA_ETCD_ENDPOINTS": f"http://{link.endpoint}",
            "DISCORDHA_ETCD_TIMEOUT": "1",
            "DISCORDHA_SESSION_TTL": "20",
            "GO": str(go),
        },
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    return fleet


def said(fleet: Replicas, *words: str) -> int:
    """How often the bot has said something."""
    return len(re.findall(rf"^{' '.join(words)}\b", fleet[0].log_text(), re.MULTILINE))


@pytest.mark.parametrize("kind", ["voice", "timer", "broadcast", "event"])
def test_what_etcd_took_and_did_not_answer(
    replicas: ReplicasFactory, local_discord: LocalDiscord, link: FaultProxy, kind: str, tmp_path: Path
) -> None:
    fleet = started(replicas, local_discord, link, tmp_path)
    channel = local_discord.channel_ids[0]
    local_discord.send(channel, f"!do {kind}")
    wait_for(lambda: said(fleet, "begun", kind), 20, lambda: f"the handler\n{logs(fleet)}")
    link.black_hole("to_client")
    (tmp_path / kind).touch()
    try:
        wait_for(lambda: said(fleet, "failed", kind), 10, lambda: f"a failure\n{logs(fleet)}", interval=0.01)
    finally:
        link.heal()
    wait_for(lambda: said(fleet, "done", kind), 30, lambda: f"a success\n{logs(fleet)}")
    for later in ("voice", "timer", "broadcast", "event"):  # what came first had the time to come
        (tmp_path / later).touch()
        local_discord.send(channel, f"!do {later}")
    for later in ("voice", "timer", "broadcast", "event"):
        wait_for(
            lambda name=later: said(fleet, "came", name) >= 1 + (name == kind),
            20,
            lambda name=later: f"{name}\n{logs(fleet)}",
        )
    assert said(fleet, "came", kind) == 2, logs(fleet)


def test_what_discord_took_and_did_not_answer(
    replicas: ReplicasFactory, local_discord: LocalDiscord, link: FaultProxy, tmp_path: Path
) -> None:
    fleet = started(replicas, local_discord, link, tmp_path)
    (tmp_path / "message").touch()
    # As often as discord.py tries by itself, and once more.
    local_discord.fault_rest(path="/channels/*", method="POST", status=502, count=6, when="after")
    local_discord.send(local_discord.channel_ids[0], "!do message")
    wait_for(lambda: said(fleet, "done message"), 60, lambda: f"a success\n{logs(fleet)}")
    assert said(fleet, "failed message") == 1, logs(fleet)
    assert len(answered(local_discord, "said")) == 1, logs(fleet)

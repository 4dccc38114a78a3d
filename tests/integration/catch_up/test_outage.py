"""After an outage: what happened while no replica was connected is handled once, in order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fleet import EXAMPLES, answered, per_replica, verdict

from discordha.testing import LocalDiscord, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory


def started(replicas: ReplicasFactory, discord: LocalDiscord, count: int = 3, **env: str) -> Replicas:
    """A fleet that answers, with a short TTL, ready."""
    fleet = replicas(
        EXAMPLES / "ping.py",
        count,
        discord=None,
        env={"DISCORDHA_SESSION_TTL": "2", **env},
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    return fleet


def check(discord: LocalDiscord, sent: Sequence[Any]) -> None:
    """Each message is answered once, and each channel in order."""
    result = verdict(discord, sent)
    assert result.total.lost == 0, result
    assert result.total.repeated == 0, result
    channels = {each.key: each.channel_id for each in sent}
    newest: dict[int, tuple[int, str | None, float]] = {}
    late = []
    for message in answered(discord):
        number, channel = int(message.content.split()[1]), channels["!" + message.content.replace("pong", "ping")]
        before = newest.get(channel)
        if before is not None and before[0] > number:
            late.append((number, message.replica, message.at, before))
        else:
            newest[channel] = number, message.replica, message.at
    assert not late, (len(late), late[:5])


def test_messages_of_an_outage_are_answered_once(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = started(replicas, local_discord)
    load = local_discord.load(rate=50)
    wait_for(lambda: local_discord.counters()["messages"] > 100, 60, "the middle of the run")
    for replica in fleet:
        replica.kill()
    time.sleep(3)
    for replica in fleet:
        replica.start()
    fleet.wait_ready(60)
    count = len(load.sent()) + 50
    wait_for(lambda: len(answered(local_discord)) > count, 60, "answers to new messages")
    check(local_discord, load.stop())

"""Messages that a replica left undone as it drained, alone, are fetched when it comes back."""

from __future__ import annotations

import re

from fleet import BOTS, answered, logs, per_replica, values

from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory

#: Messages, and how long the handler takes for each: much more than the drain has.
COUNT, SLOW = 12, "0.5"


def test_messages_without_a_turn_before_a_drain_was_over_come_back(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = replicas(
        BOTS / "slow.py",
        1,
        discord=None,
        env={"DISCORDHA_DRAIN_TIMEOUT": "2", "DISCORDHA_SESSION_TTL": "2", "SLOW": SLOW},
        per_replica_env=per_replica(local_discord),
    )
    fleet.wait_ready(60)
    wait_for(lambda: values(local_etcd, f"/discordha/v1/{namespace}/p/"), 20, "the bot's first point")
    channel = local_discord.channel_ids[0]
    for number in range(COUNT):
        local_discord.send(channel, f"!ping {number}")
    wait_for(lambda: answered(local_discord), 20, "the first of them")
    fleet[0].drain()
    assert fleet[0].wait_exit(30) == 0
    (told,) = re.findall(r"ERROR .* (\d+) events were not started before", fleet[0].log_text())
    assert int(told) >= 3, logs(fleet)
    fleet[0].start()
    wait_for(lambda: len(answered(local_discord)) >= COUNT, 60, lambda: f"all of them\n{logs(fleet)}")
    said = [message.content for message in answered(local_discord)]
    assert said == [f"pong {number}" for number in range(COUNT)], logs(fleet)

"""What has no turn before a drain is over, and that nobody else has received, is told and counted."""

from __future__ import annotations

import re

import pytest
from fleet import BOTS, per_replica
from reaction_runs import seen

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


def drained(replicas: ReplicasFactory, discord: LocalDiscord, *, ha: bool) -> tuple[int, int]:
    """Twenty equally slow reactions, and three seconds for them: how many were handled, how many given up."""
    fleet = replicas(
        BOTS / "reactions.py",
        1,
        discord=None,
        env={"DISCORDHA_DRAIN_TIMEOUT": "3", "DISCORDHA_HA": str(ha).lower(), "SLOW": "0.4"},
        per_replica_env=per_replica(discord),
    )
    fleet.wait_ready(60)
    channel = discord.channel_ids[0]
    post = discord.send(channel, "a post")
    for number in range(20):
        discord.react(channel, post, chr(ord("\N{DIGIT ZERO}") + number))
    wait_for(lambda: seen(discord), 20, "the first of them")
    fleet[0].drain()
    assert fleet[0].wait_exit(30) == 0
    (told,) = re.findall(r"ERROR .* (\d+) events were not started before", fleet[0].log_text())
    return len(seen(discord)), int(told)


@pytest.mark.parametrize("ha", [True, False])
def test_events_without_an_identity(replicas: ReplicasFactory, local_discord: LocalDiscord, ha: bool) -> None:
    handled, told = drained(replicas, local_discord, ha=ha)
    assert told > 5
    assert handled + told in {19, 20}  # one may run when the time is over: the log names its handler

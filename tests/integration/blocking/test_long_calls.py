"""A call that takes many requests is not cut off at ``call_timeout`` while they are answered."""

from __future__ import annotations

from fleet import BOTS, answered

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_purge_of_many_messages(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    fleet = replicas(
        BOTS / "purges.py",
        1,
        discord=None,
        env={**local_discord.env("r0"), "DISCORDHA_HA": "false", "DISCORDHA_CALL_TIMEOUT": "3"},
    )
    fleet.wait_ready(60)
    channel = local_discord.channel_ids[0]
    for number in range(430):
        local_discord.send(channel, f"idle talk {number}")
    local_discord.send(channel, "!purge")  # five times a hundred at most, a second apart
    wait_for(lambda: answered(local_discord, "purged"), 30, "the purge")
    assert [message.content for message in answered(local_discord, "purged")] == ["purged 431"]

"""Equal events whose count began anew within Discord's memory of nonces are answered each."""

from __future__ import annotations

from fleet import BOTS, answered, per_replica
from store_helpers import store_of

from discordha.testing import LocalDiscord, LocalEtcd, wait_for
from discordha.testing.plugin import ReplicasFactory


def test_equal_reactions_after_their_marks_vanished(
    replicas: ReplicasFactory, local_discord: LocalDiscord, local_etcd: LocalEtcd, namespace: str
) -> None:
    fleet = replicas(BOTS / "reactions.py", 2, discord=None, per_replica_env=per_replica(local_discord))
    fleet.wait_ready(60)
    channel = local_discord.channel_ids[0]
    message = local_discord.send(channel, "hello")
    marks = f"/discordha/v1/{namespace}/j/"
    for count in (1, 2, 3):
        local_discord.react(channel, message, "x")
        wait_for(lambda count=count: len(answered(local_discord, "seen add")) >= count, 20, f"answer {count}")
        local_discord.unreact(channel, message, "x")
        wait_for(
            lambda count=count: len(answered(local_discord, "seen remove")) >= count, 20, f"answer {count}"
        )
        wait_for(lambda: len(local_etcd.keys(marks)) == 2, 10, "the marks")
        with store_of(local_etcd) as store:
            for lease in {kv.lease for kv in store.range(marks).items}:
                store.revoke(lease)
    said = [message.content.rsplit(" ", 2)[0] for message in answered(local_discord, "seen")]
    assert len(said) == 6, said
    # A reaction may come before the watch has told that the marks are gone. The first two begin at 1 anyway.
    assert sum(line.endswith(" 1") for line in said) > 2, "no count began anew"


def test_equal_reactions_after_a_restart_without_etcd(
    replicas: ReplicasFactory, local_discord: LocalDiscord
) -> None:
    fleet = replicas(
        BOTS / "reactions.py",
        1,
        discord=None,
        env={"DISCORDHA_HA": "false"},
        per_replica_env=per_replica(local_discord),
    )
    channel = local_discord.channel_ids[0]
    message = local_discord.send(channel, "hello")
    for count in (1, 2):
        fleet.wait_ready(60)
        local_discord.react(channel, message, "x")
        wait_for(lambda count=count: len(answered(local_discord, "seen add")) >= count, 20, f"answer {count}")
        fleet[0].kill()
        local_discord.unreact(channel, message, "x")
        fleet[0].start()

"""Voice commands go to replicas that host the guild's shard: no other one can join its channels."""

from __future__ import annotations

from collections import Counter

from fleet import BOTS, answered, logs, per_replica, whole_logs

from discordha.testing import LocalDiscord, Replicas, wait_for
from discordha.testing.plugin import ReplicasFactory

SHARDS = 6


def heard(discord: LocalDiscord) -> Counter[str]:
    """What was played, by number."""
    return Counter(message.content.split()[-1] for message in answered(discord, "played"))


def play(discord: LocalDiscord, fleet: Replicas, numbers: range) -> None:
    """A command for every guild; each is played."""
    channels = discord.channel_ids
    for number in numbers:
        discord.send(channels[number % len(channels)], f"!play {number}")
    wait_for(
        lambda: set(map(str, numbers)) <= heard(discord).keys(),
        60,
        lambda: f"the sounds {set(map(str, numbers)) - heard(discord).keys()}\n{logs(fleet)}",
    )


def wait_done(fleet: Replicas, numbers: range) -> None:
    """What is played and not acknowledged is played again if its worker dies."""
    log = lambda: whole_logs(fleet)  # noqa: E731
    for number in numbers:
        wait_for(lambda number=number: f"done with !play {number}." in log(), 10, f"the end of {number}")


def test_a_guild_is_played_where_its_shard_is(replicas: ReplicasFactory) -> None:
    with LocalDiscord(guilds=2 * SHARDS, shards=SHARDS, channels=1) as discord:
        fleet = replicas(
            BOTS / "sharded_voice.py",
            4,
            discord=None,
            env={
                "DISCORDHA_SESSION_TTL": "2",
                "DISCORDHA_SHARD_COUNT": str(SHARDS),
                "DISCORDHA_REPLICATION": "1",
            },
            per_replica_env=per_replica(discord),
        )
        fleet.wait_ready(90)
        play(discord, fleet, range(24))
        wait_done(fleet, range(24))
        fleet[0].kill()
        play(discord, fleet, range(24, 48))
        fleet[1].drain()
        play(discord, fleet, range(48, 72))
        assert fleet[1].wait_exit(40) == 0
        fleet[1].start()
        play(discord, fleet, range(72, 96))
        assert not answered(discord, "mute"), logs(fleet)
        assert heard(discord) == Counter(map(str, range(96))), logs(fleet)

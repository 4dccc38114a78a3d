"""A shard's only host stands still for longer than its session lasts, and is back with events that nobody
else has received.
"""

from __future__ import annotations

import time
from collections import Counter

import pytest
from fleet import doubtful_runs, logs
from shard_watch import ShardWatch, start

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory


@pytest.mark.parametrize("victim", [0, 1])  # a shard that comes back to its host, and one that does not
def test_events_that_only_the_paused_host_received_are_handled(
    replicas: ReplicasFactory, victim: int
) -> None:
    with LocalDiscord(guilds=4, shards=2, channels=2, users=3) as discord:
        fleet = start(replicas, discord, 2, 2, DISCORDHA_REPLICATION="1", DISCORDHA_SESSION_TTL="2")
        fleet.wait_ready(60)
        watch = ShardWatch(discord, 2)
        wait_for(lambda: watch.settled(2, 1), 30, "one host each", interval=0.1)
        channels = discord.channel_ids[::2]
        posts = [(channel, discord.send(channel, "a post")) for channel in channels for _ in range(60)]

        def seen() -> Counter[str]:
            keys = [m.content.split()[1] for m in discord.messages() if m.content.startswith("seen add/")]
            return Counter(key.rsplit("/", 1)[1] for key in keys)

        def react(number: int) -> None:
            """Each post once, so that no two events are equal; alternately in all guilds."""
            channel, post = posts[number % 4 * 60 + number // 4]
            discord.react(channel, post, "\N{THUMBS UP SIGN}")

        for number in range(40):
            react(number)
        wait_for(lambda: seen().total() == 40, 30, "the first of them")
        fleet[victim].pause()
        paused = time.monotonic()
        for number in range(40, 160):
            react(number)
            time.sleep(0.03)  # so that some come before and some after each step of the take-over
        wait_for(lambda: time.monotonic() - paused > 4.0, 10, "its session to be over")
        fleet[victim].resume()
        for number in range(160, 240):
            react(number)
            time.sleep(0.03)
        wanted = Counter(str(post) for _, post in posts)
        wait_for(lambda: seen().keys() == wanted.keys(), 40, lambda: f"{wanted - seen()}\n{logs(fleet)}")
        handled = seen()
        assert (handled - wanted).total() <= doubtful_runs(fleet), (handled - wanted, logs(fleet))

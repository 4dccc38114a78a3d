"""``discordha.ext.tasks`` on replicas of a bot: a ported bot, and loops that each replica runs for itself."""

from __future__ import annotations

import textwrap
from pathlib import Path

from fleet import BOTS, per_replica, whole_logs
from ported.port import without_async

from discordha.testing import LocalDiscord, wait_for
from discordha.testing.plugin import ReplicasFactory

#: A bot for discord.py, with a loop as discord.py's example ``background_task`` has one.
ORIGINAL = textwrap.dedent("""
    import discord
    from discord.ext import tasks


    class Ticker(discord.Client):
        def __init__(self, **options):
            super().__init__(**options)
            self.ticks = 0

        async def setup_hook(self):
            self.tick.start()

        @tasks.loop(seconds=0.2)
        async def tick(self):
            self.ticks += 1
            await self.get_channel(CHANNEL).send(f"tick {self.ticks}")

        @tick.before_loop
        async def connect(self):
            await self.wait_until_ready()

        async def on_message(self, message):
            if message.content == "!stop":
                self.tick.stop()


    client = Ticker(intents=discord.Intents.all())
    client.run("token")
""")
PORTED = (
    ("import discord\n", "import discord\nimport discordha\n"),
    ("from discord.ext", "from discordha.ext"),
    ("discord.Client", "discordha.DiscordHA"),
    ("super().__init__(**options)", "super().__init__(discordha.Config.from_env(**options))"),
    ('client.run("token")', "client.setup_hook()\nclient.run()"),
)


def test_a_ported_loop_runs_on_the_leader_and_stops_for_all(
    replicas: ReplicasFactory, local_discord: LocalDiscord, tmp_path: Path
) -> None:
    source = without_async(ORIGINAL)
    for old, new in PORTED:
        assert old in source
        source = source.replace(old, new, 1)
    script = tmp_path / "ticker.py"
    script.write_text(source.replace("CHANNEL", str(local_discord.channel_ids[0])), encoding="utf-8")
    fleet = replicas(script, 2, discord=None, per_replica_env=per_replica(local_discord))
    fleet.wait_ready(60)

    def speakers() -> list[str]:
        return [message.replica for message in local_discord.messages()]

    wait_for(lambda: len(speakers()) > 3, 20, "some ticks")
    first = fleet[int(speakers()[-1].removeprefix("r"))]
    assert len(set(speakers())) == 1
    first.drain()
    assert first.wait_exit(30) == 0
    count = len(speakers())
    wait_for(lambda: len(speakers()) > count + 2, 20, "ticks of the other one")
    assert len(set(speakers())) == 2
    first.start()
    first.wait_ready(30)
    # Whichever replica gets the message: the loop stops on the one that leads.
    local_discord.send(local_discord.channel_ids[1], "!stop")
    seen = [len(speakers())]

    def rests() -> bool:
        seen.append(len(speakers()))
        return len(seen) > 5 and seen[-1] == seen[-5]

    wait_for(rests, 20, "the end of the ticks", interval=0.25)
    assert not any("Traceback" in replica.log_text() for replica in fleet)


def test_each_replica_flushes_what_it_keeps(replicas: ReplicasFactory, local_discord: LocalDiscord) -> None:
    fleet = replicas(BOTS / "keeps.py", 3, discord=None, per_replica_env=per_replica(local_discord))
    fleet.wait_ready(60)
    channels = local_discord.channel_ids
    for number in range(120):
        local_discord.send(channels[number % len(channels)], f"keep {number}")

    def flushed() -> list[int]:
        texts = [message.content for message in local_discord.messages()]
        return [int(number) for text in texts for number in text.removeprefix("flushed ").split()]

    wait_for(lambda: len(flushed()) > 30, 20, "the first ones")
    wait_for(lambda: whole_logs(fleet).count("kept one") == 120, 20, "all handlers")
    for replica in fleet:
        replica.drain()  # what is in memory by now is flushed after the last handler
    for replica in fleet:
        assert replica.wait_exit(30) == 0
    assert sorted(flushed()) == list(range(120))
    assert len({message.replica for message in local_discord.messages()}) > 1

"""A loop that says when each run begins and ends; each run takes ``SLOW`` seconds."""

import logging
import os
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.loop(seconds=0.2)
def tick():
    event = discordha.current_event()
    channel = ha.wrap(ha.client.guilds[0].text_channels[0])
    channel.send(f"begin {event.occurrence}")
    threading.Event().wait(float(os.environ.get("SLOW", "0.05")))
    channel.send(f"end {event.occurrence}")


if __name__ == "__main__":
    ha.run()

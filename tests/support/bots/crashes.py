"""Crashes as soon as it is ready, as a bot with a fault in its first lines does."""

import logging
import os

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.event
def on_ready():
    os._exit(3)


if __name__ == "__main__":
    ha.run()

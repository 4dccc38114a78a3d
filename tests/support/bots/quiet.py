"""Handles messages and says nothing: for loads that Discord's REST API is not part of."""

import logging

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.event
def on_message(message):
    pass


if __name__ == "__main__":
    ha.run()

"""Purges the channel for ``!purge``, and says how many messages that were, or why it failed."""

import logging

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.listen("message", where=lambda message: message.content == "!purge")
def on_purge(message):
    try:
        message.channel.send(f"purged {len(message.channel.purge(limit=None))}")
    except Exception as error:  # noqa: BLE001 - it is said
        message.channel.send(f"purged not all: {type(error).__name__}: {error}")


if __name__ == "__main__":
    ha.run()

"""Closes its client for ``!shutdown``, as discord.py's bots do."""

import logging

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.event
def on_message(message):
    if message.content == "!shutdown":
        ha.wrap(ha.client).close()
        message.channel.send("bye")
    elif message.content.startswith("!ping"):
        message.channel.send(message.content.replace("!ping", "pong"))


if __name__ == "__main__":
    ha.run()

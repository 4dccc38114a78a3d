"""Logs everything that anybody logs, and calls Discord."""

import logging

import discord

import discordha

logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.event
def on_message(message):
    if message.content == "!ping":
        message.channel.send("pong")
        logging.info("configured with %r, talking as %r", ha.config, ha.client.http)
        raise RuntimeError("a traceback, too")


if __name__ == "__main__":
    ha.run()

"""A bot to be looked at: answers, dies on ``!poison``, has a loop and a timer."""

import datetime
import logging
import os

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.listen("message", where=lambda message: not message.author.bot and message.content.startswith("!"))
def on_question(message):
    if message.content.startswith("!poison"):
        os._exit(9)
    if message.content == "!later":
        ha.schedule(datetime.timedelta(hours=1), "later")
    message.channel.send(message.content.replace("!ping", "pong", 1))


@ha.loop(seconds=1.0)
def tidy():
    """Something to be seen."""


@ha.timer("later")
def later(payload):
    """Never due in a test."""


if __name__ == "__main__":
    ha.run()

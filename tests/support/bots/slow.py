"""Answers after ``SLOW`` seconds."""

import logging
import os
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
PAUSE = float(os.environ.get("SLOW", "0"))


@ha.listen("message", where=lambda message: message.content.startswith("!"))
def on_question(message):
    threading.Event().wait(PAUSE)
    message.channel.send(message.content.replace("!ping", "pong", 1))


if __name__ == "__main__":
    ha.run()

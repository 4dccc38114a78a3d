"""Has everything under way that a stop may wait for: a handler and a loop of ``SLOW`` seconds, reactions."""

import logging
import os
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger("history")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
SLOW = float(os.environ.get("SLOW", "0"))


@ha.event
def on_message(message):
    if message.content == "!slow":
        log.info("begun")
        threading.Event().wait(SLOW)
    elif message.content.startswith("!ping"):
        message.channel.send(message.content.replace("!ping", "pong"))


@ha.event
def on_raw_reaction_add(payload):
    log.info("reaction")


@ha.loop(seconds=600)
def tick():
    log.info("tick")
    threading.Event().wait(SLOW)


if __name__ == "__main__":
    ha.run()

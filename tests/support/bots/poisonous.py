"""Answers messages and reactions after ``SLOW`` seconds; exits hard on a message that says ``!poison``, and
on a skull.
"""

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
    if message.content.startswith("!poison"):
        os._exit(9)
    threading.Event().wait(PAUSE)
    message.channel.send(message.content.replace("!ping", "pong", 1))


@ha.event
def on_raw_reaction_add(payload):
    if payload.emoji.name == "\N{SKULL}":
        os._exit(9)
    threading.Event().wait(PAUSE)
    ha.wrap(ha.client.get_channel(payload.channel_id)).send(f"seen {payload.message_id}")


if __name__ == "__main__":
    ha.run()

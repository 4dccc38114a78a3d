"""Says each reaction that it handles, and when (``time.monotonic()``), in the channel where it happened."""

import logging
import os
import threading
import time

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
PAUSE = float(os.environ.get("SLOW", "0"))


def say(what, payload):
    threading.Event().wait(PAUSE)
    channel = ha.wrap(ha.client.get_channel(payload.channel_id))
    occurrence = discordha.current_event().occurrence
    key = f"{what}/{payload.user_id}/{payload.emoji.name}/{payload.message_id}"
    number = payload.message_author_id  # of a "numbered reaction"
    channel.send(f"seen {key} {occurrence} {time.monotonic():.3f} {number}")


@ha.event
def on_raw_reaction_add(payload):
    say("add", payload)


@ha.event
def on_raw_reaction_remove(payload):
    say("remove", payload)


if __name__ == "__main__":
    ha.run()

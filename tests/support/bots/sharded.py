"""Answers questions, and says each reaction that it handles, in the channel where it happened."""

import logging
import os
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
PAUSE = float(os.environ.get("SLOW", "0"))


@ha.listen("message", where=lambda message: message.content.startswith("!ping"))
def on_question(message):
    threading.Event().wait(PAUSE)
    message.channel.send(message.content.replace("!ping", "pong", 1))


def say(what, payload):
    channel = ha.wrap(ha.client.get_partial_messageable(payload.channel_id))
    event = discordha.current_event()
    key = f"{what}/{payload.user_id}/{payload.emoji.name}/{payload.message_id}"
    channel.send(f"seen {key} {event.occurrence}")


@ha.event
def on_raw_reaction_add(payload):
    say("add", payload)


@ha.event
def on_raw_reaction_remove(payload):
    say("remove", payload)


if __name__ == "__main__":
    ha.run()

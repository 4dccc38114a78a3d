"""Says each question and each reaction that it handles, in the channel where it happened."""

import logging

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.listen("message", where=lambda message: message.content.startswith("!"))
def on_question(message):
    message.channel.send(f"message {message.content}")


def say(what, payload):
    channel = ha.wrap(ha.client.get_channel(payload.channel_id))
    channel.send(f"reaction {what}/{payload.user_id}/{payload.emoji.name}/{payload.message_id}")


@ha.event
def on_raw_reaction_add(payload):
    say("add", payload)


@ha.event
def on_raw_reaction_remove(payload):
    say("remove", payload)


if __name__ == "__main__":
    ha.run()

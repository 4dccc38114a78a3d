"""Sends four messages a second apart, each in ``except Exception``; for reactions, too, and in a command."""

import contextlib
import logging
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


def steps(channel, name):
    for step in range(4):
        with contextlib.suppress(Exception):  # as bots do
            channel.send(f"step {step} of {name}")
        threading.Event().wait(1.0)


@ha.listen("message", where=lambda message: message.content.startswith("!go"))
def on_go(message):
    steps(message.channel, message.content)


@ha.listen("raw_reaction_add")
def on_reaction(payload):
    steps(ha.wrap(ha.client.get_channel(payload.channel_id)), f"reaction {payload.emoji}")


@ha.command(description="Goes")
def go(interaction):
    interaction.response.defer()
    steps(interaction.channel, "/go")


if __name__ == "__main__":
    ha.run()

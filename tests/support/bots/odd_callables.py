"""Handlers, a component, a command and a loop that are no plain functions: partials, objects, lambdas.

On ``!go`` each of four handlers sends the same text, and the last one kills its process on the first attempt.
"""

import functools
import logging
import os
import signal

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


def say(word, message):
    message.channel.send(f"{word} of {discordha.current_event().handler}")


class Says:
    def __call__(self, message):
        message.channel.send("object")


def go(message):
    return message.content == "!go"


def dies(message):
    if discordha.current_event().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)


ha.add_handler(functools.partial(say, "one"), "message", where=go)
ha.add_handler(functools.partial(say, "two"), "message", where=go)
ha.add_handler(Says(), "message", where=go)
ha.add_handler(lambda message: message.channel.send("lambda"), "message", where=go)
ha.add_handler(dies, "message", where=go)


def answer(word, interaction, number="-"):
    interaction.response.send_message(f"{word} {number}", ephemeral=True)


def tick(word):
    """Runs once."""
    ha.wrap(ha.client.guilds[0].text_channels[0]).send(f"{word} ticked")


ha.component("press:{number}")(functools.partial(answer, "pressed"))
ha.command()(functools.partial(answer, "commanded", number="bound"))
ha.loop(seconds=3600)(functools.partial(tick, "it"))

if __name__ == "__main__":
    ha.run()

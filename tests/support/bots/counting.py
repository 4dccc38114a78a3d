"""Answers, and says how often ``where`` was asked; one predicate fails on purpose, one handler is slow."""

import logging
import os
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


def says(word):
    return lambda message: message.content.startswith(word)


@ha.listen("message", where=says("!ping"))
def on_question(message):
    message.channel.send(message.content.replace("!ping", "pong", 1))


@ha.listen("message", where=says("!slow"))
def on_slow_question(message):
    threading.Event().wait(float(os.environ.get("SLOW", "3")))
    message.channel.send(message.content.replace("!slow", "slowly", 1))


def broken(message):
    if message.content.startswith("!broken"):
        raise KeyError("a broken filter")
    return False


@ha.listen("message", where=broken)
def on_broken(message):
    message.channel.send(message.content.replace("!broken", "anyway", 1))


if __name__ == "__main__":
    ha.run()

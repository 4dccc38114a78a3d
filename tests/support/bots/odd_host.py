"""Answers, on a host whose name holds characters that no replica's name may hold."""

import logging
import socket

socket.gethostname = lambda: "Müller's host #1"

import discord  # noqa: E402

import discordha  # noqa: E402

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.listen("message", where=lambda message: message.content.startswith("!ping"))
def on_question(message):
    message.channel.send(message.content.replace("!ping", "pong", 1))


if __name__ == "__main__":
    ha.run()

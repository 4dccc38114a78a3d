"""Works on each message for ``SLOW`` seconds, and writes when its handler began and ended into ``TRACE``."""

import logging
import os
import threading
import time

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
PAUSE = float(os.environ.get("SLOW", "0"))
TRACE = os.open(os.environ["TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what, message):
    """One line; all processes of a machine share the monotonic clock."""
    line = f"{what} {time.monotonic()} {message.channel.id} {message.id} {ha.replica_id} {message.content}\n"
    os.write(TRACE, line.encode())


@ha.listen("message", where=lambda message: message.content.startswith("!"))
def on_question(message):
    note("begin", message)
    threading.Event().wait(PAUSE)
    note("end", message)


if __name__ == "__main__":
    ha.run()

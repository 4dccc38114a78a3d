"""Answers questions, fails on ``!fail``, and keeps a history of its own in its log. A first attempt takes
``SLOW`` seconds.
"""

import logging
import os
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
log = logging.getLogger("history")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
ha.on_error(lambda event, handler, error: None)
PAUSE = float(os.environ.get("SLOW", "0"))


@ha.listen("message", where=lambda message: message.content.startswith("!"))
def on_question(message):
    attempt = discordha.current_event().attempt
    log.info("begun %s %d", message.id, attempt)
    if attempt == 1:
        threading.Event().wait(PAUSE)
    if message.content.startswith("!fail"):
        log.info("failed %s %d", message.id, attempt)
        raise RuntimeError("on purpose")
    message.channel.send(message.content.replace("!ping", "pong", 1))
    log.info("handled %s %d", message.id, attempt)


if __name__ == "__main__":
    ha.run()

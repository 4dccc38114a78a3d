"""On an event's first attempt waits inside the handler until the file ``GATE`` is there, then answers."""

import logging
import os
import threading
from pathlib import Path

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
log = logging.getLogger("bot")


@ha.listen("message", where=lambda message: message.content.startswith("!ping"))
def on_ping(message):
    event = discordha.current_event()
    if event.attempt == 1:
        log.info("inside")
        while not Path(os.environ["GATE"]).exists():
            threading.Event().wait(0.02)
    try:
        message.channel.send(message.content.replace("!ping", "pong", 1))
    except discordha.LockLost as error:
        log.info("refused: %s lost=%s", type(error).__name__, event.lost)
        raise


if __name__ == "__main__":
    ha.run()

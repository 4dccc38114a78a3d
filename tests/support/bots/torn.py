"""As mixed.py, but slow enough to be torn apart. Its log says when a second run of an event begins, by the
machine's monotonic clock. SIGUSR1 ends it at once, SIGUSR2 lets it eat memory until something ends it.
"""

import logging
import os
import signal
import threading
import time

import discord

import discordha

_make = logging.getLogRecordFactory()


def _record(*args, **kwargs):
    record = _make(*args, **kwargs)
    record.at = time.monotonic()
    return record


logging.setLogRecordFactory(_record)
logging.basicConfig(
    level=logging.INFO, format="%(at).4f %(process)d %(levelname)s %(name)s: %(message)s", force=True
)
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
log = logging.getLogger("torn")
SLOW = float(os.environ.get("SLOW", "0.03"))


def begun(what):
    event = discordha.current_event()
    if event.attempt > 1:
        log.info("attempt %d of %s", event.attempt, what)


@ha.listen("message", where=lambda message: message.content.startswith("!"))
def on_question(message):
    begun(f"message {message.content}")
    threading.Event().wait(SLOW)
    message.channel.send(f"message {message.content}")


def say(what, payload):
    begun(f"reaction {what}")
    channel = ha.wrap(ha.client.get_channel(payload.channel_id))
    channel.send(f"reaction {what}/{payload.user_id}/{payload.emoji.name}/{payload.message_id}")


@ha.event
def on_raw_reaction_add(payload):
    say("add", payload)


@ha.event
def on_raw_reaction_remove(payload):
    say("remove", payload)


@ha.command(description="Rolls a die")
def roll(interaction, n: int):
    begun(f"slash {n}")
    threading.Event().wait(SLOW)
    interaction.response.send_message(f"slash {n}")


def eat():
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1 << 20)))


signal.signal(signal.SIGUSR1, lambda number, frame: os._exit(7))
signal.signal(signal.SIGUSR2, lambda number, frame: eat())

if __name__ == "__main__":
    ha.run()

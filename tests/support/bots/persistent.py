"""Tries again what failed, in its handler: a message, a voice command, a timer, a broadcast, an event of its
own. Says each failure, and what came of it. It begins when the file ``<kind>`` stands in ``GO``."""

import logging
import os
import threading
from pathlib import Path

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
ha.add_event("level_up", ("user",))
GO = Path(os.environ["GO"])


def say(*words):
    print(" ".join(map(str, words)) + "\n", end="", flush=True)


def until_done(name, call):
    while True:
        try:
            call()
        except (discordha.StoreUnavailable, discord.DiscordServerError, OSError) as error:
            say("failed", name, type(error).__name__)
            threading.Event().wait(0.2)
        else:
            return say("done", name)


@ha.listen("message", where=lambda message: message.content.startswith("!do "))
def on_do(message):
    kind = message.content.partition(" ")[2]
    command = discordha.VoiceCommand("music", message.guild.id, 1, "song")
    calls = {
        "message": lambda: message.channel.send("said"),
        "voice": lambda: ha.send_voice_command(command),
        "timer": lambda: ha.schedule(0.1, "alarm"),
        "broadcast": lambda: ha.broadcast("note", 1),
        "event": lambda: ha.dispatch("level_up", 1),
    }
    say("begun", kind)
    while not (GO / kind).exists():
        threading.Event().wait(0.01)
    until_done(kind, calls[kind])


def play():
    with ha.watch_voice_commands("music") as deliveries:
        for delivery in deliveries:
            say("came", "voice")
            delivery.ack()


@ha.event
def on_ready():
    threading.Thread(target=play, daemon=True).start()


@ha.timer("alarm")
def on_alarm(payload):
    say("came", "timer")


@ha.on_broadcast("note")
def on_note(payload):
    say("came", "broadcast")


@ha.event
def on_level_up(user):
    say("came", "event")


if __name__ == "__main__":
    ha.run()

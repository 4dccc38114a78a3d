"""Tells its peers things: broadcasts, questions, events of its own. Prints what it sent and got."""

import itertools
import json
import logging
import os
import threading
import time

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
ha.add_event("level_up", ("user", "level"))
ha.add_event("flush", scope="every")
ha.add_event("slow")

RUN = ha.replica_id.rpartition("-")[2]
lock = threading.Lock()  # keeps broadcasts in the order of their numbers
counter = itertools.count(1)


def say(*words):
    # In one write: other threads print, too.
    print(" ".join(map(str, words)) + "\n", end="", flush=True)


def command(name):
    return ha.listen("message", where=lambda message: message.content.split()[0] == name)


@command("!tell")
def on_tell(message):
    with lock:
        ha.broadcast("note", [ha.replica_id, next(counter), int(message.content.split()[1])])


@ha.on_broadcast("note")
def on_note(payload):
    say("got", *payload)
    if payload[2] % 50 == 7:
        raise ValueError("a broadcast that fails holds up no other")


@command("!ask")
def on_ask(message):
    begun = time.monotonic()
    answers = ha.ask_all("name", {"of": "you"}, timeout=float(message.content.split()[1]))
    found = {"answers": answers, "missing": answers.missing, "failed": answers.failed}
    message.channel.send(json.dumps({**found, "took": time.monotonic() - begun}))


@ha.on_ask("name")
def name_of(payload):
    assert payload == {"of": "you"}
    if ha.replica_id.startswith("r2"):
        raise LookupError("no name")
    return ["I am", ha.replica_id]


@command("!level")
def on_level(message):
    ha.dispatch("level_up", message.author.id, int(message.content.split()[1]))
    if "die" in message.content and discordha.current_event().attempt == 1:
        os._exit(9)


@ha.listen("level_up", where=lambda user, level: level > 1)
def on_level_up(user, level):
    say("level", level, discordha.current_event().attempt)


@ha.event
def on_flush():
    say("flush")


@command("!flush")
def on_flush_command(message):
    ha.dispatch("flush")


@command("!slow")
def on_slow_command(message):
    ha.dispatch("slow")


@ha.event
def on_slow():
    say("slow begun", RUN)
    if RUN == "1":
        time.sleep(600)
    say("slow done", RUN)


if __name__ == "__main__":
    say("begun", ha.replica_id)
    ha.run()

"""Says everything that it handles, so that an observer outside can count.

Each answer has two lines: what was handled, and who handles it, in which run of a handler, since when. A run
that Discord recognised by its nonce leaves no message, and yet its request is on record, with its run.

The harness steers it by a file (``CHAOS_CONTROL``): ``{"slow": seconds, "clock": seconds}``. ``CHAOS_BROKEN``
breaks the library in this process; see ``broken``.
"""

import hashlib
import itertools
import json
import logging
import os
import random
import threading
import time
from pathlib import Path

import clock
import discord

import discordha

PROCESS = os.environ["DISCORDHA_REPLICA_ID"]
#: Handlers take up to so long, seconds.
HANDLER = float(os.environ.get("CHAOS_HANDLER", "0.03"))
CONTROL = Path(os.environ["CHAOS_CONTROL"])


class Stamp(logging.Formatter):
    """With the time of the whole machine that no fault changes."""

    def formatTime(self, record, datefmt=None):
        return f"{time.monotonic():.3f} {PROCESS}"


stream = logging.StreamHandler()
stream.setFormatter(Stamp("%(asctime)s %(levelname)s %(name)s: %(message)s"))
logging.basicConfig(level=logging.INFO, handlers=[stream])
if broken := os.environ.get("CHAOS_BROKEN"):
    import broken as builds

    builds.BROKEN[broken]()
    logging.warning("this build is broken: %s", broken)
if directory := os.environ.get("CHAOS_TRACE"):
    import trace

    trace.begin(directory, PROCESS)
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
numbers = itertools.count(1)
counts = ha.cache("counts", ttl=600)
pause = threading.Event()
started = threading.Event()


def handle(kind, key, send):
    """One run: takes a while, then says so."""
    started = time.monotonic()
    control = json.loads(CONTROL.read_text()) if CONTROL.exists() else {}
    clock.offset = control.get("clock", 0.0)
    pause.wait(random.uniform(0, HANDLER) + control.get("slow", 0.0))
    attempt = discordha.current_event().attempt
    text = f"{kind} {key}\n{PROCESS} {next(numbers)} {started:.4f} {attempt}"
    try:
        send(text)
    except OSError:  # the connection broke: discord.py does not try again, so this bot does, as a bot should
        persist(lambda: send(text))


def persist(send):
    """Tries again for a while. The same call has the nonce of the first try, which may have arrived."""
    for wait in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2):
        pause.wait(wait)
        try:
            return send()
        except OSError as error:
            logging.info("another try to send: %s", error)
    return send()


def say(kind, key, channel_id):
    handle(kind, key, ha.wrap(ha.client.get_channel(channel_id)).send)


def until_taken(call):
    """Tries again while etcd does not take it."""
    while True:
        try:
            return call()
        except discordha.StoreUnavailable as error:
            logging.info("another try: %s", error)
            pause.wait(0.2)


@ha.listen("message", where=lambda message: message.content.startswith("!ping"))
def on_question(message):
    number = int(message.content.rpartition(" ")[2])
    if number % 20 == 0:
        until_taken(lambda: count_under_lock(message.channel.id))
    elif number % 10 == 0:
        until_taken(lambda: counts.increment("questions"))
    handle("message", message.content, message.channel.send)


def count_under_lock(channel_id):
    name = f"questions-{channel_id}"
    with ha.lock(name, timeout=30):
        counts.set(name, counts.increment("locked"))


@ha.event
def on_ready():
    started.set()


@ha.listen("message", where=lambda message: message.content.startswith("!voice"))
def on_voice_question(message):
    command = discordha.VoiceCommand(
        "chaos", message.guild.id, message.channel.id, message.content, message.author.id
    )
    until_taken(lambda: ha.send_voice_command(command))


def take_voice_commands():
    """Says what it would play, on a thread of its own."""
    started.wait()
    for delivery in ha.watch_voice_commands("chaos"):
        try:
            carry_out(delivery)
        except (discordha.DiscordHAError, OSError) as error:
            logging.info("voice: %r is left to another worker: %s", delivery, error)


def carry_out(delivery):
    channel = ha.wrap(ha.client.get_channel(delivery.channel_id))
    text = f"voice {delivery.file}\n{PROCESS} {next(numbers)} {time.monotonic():.4f} {delivery.attempt}"
    nonce = hashlib.blake2b(delivery.file.encode(), digest_size=12).hexdigest()
    persist(lambda: channel.send(text, nonce=nonce))
    while not delivery.lost:
        try:
            return delivery.ack()
        except discordha.StoreUnavailable:
            pause.wait(0.2)


@ha.event
def on_raw_message_edit(payload):
    if payload.data.get("content", "").startswith("!edit"):
        say("edit", payload.data["content"], payload.channel_id)


@ha.event
def on_raw_message_delete(payload):
    say("delete", payload.message_id, payload.channel_id)


@ha.event
def on_raw_reaction_add(payload):
    say("reaction", f"add/{payload.user_id}/{payload.emoji.name}/{payload.message_id}", payload.channel_id)


@ha.event
def on_raw_reaction_remove(payload):
    say("reaction", f"remove/{payload.user_id}/{payload.emoji.name}/{payload.message_id}", payload.channel_id)


@ha.event
def on_member_join(member):
    say("join", member.id, member.guild.text_channels[0].id)


@ha.event
def on_raw_typing(payload):
    say("typing", f"{payload.channel_id}/{payload.user_id}", payload.channel_id)


def answer(kind, interaction):
    try:
        handle(kind, interaction.id, interaction.response.send_message)
    except discord.HTTPException:
        # Taken over too late, or answered by a replica that died right after.
        logging.info("interaction %s can't be answered any more", interaction.id)


@ha.command(name="roll", description="Rolls")
def roll(interaction: discord.Interaction, n: int):
    answer("slash", interaction)


@ha.component("press")
def press(interaction):
    answer("button", interaction)


if __name__ == "__main__":
    threading.Thread(target=take_voice_commands, name="voice", daemon=True).start()
    ha.run()

"""Says each question, reaction, command and voice command that it handles; every fourth question needs a lock
and a cache.

A handler to which etcd is refused tries again, as a bot may.
"""

import hashlib
import itertools
import logging
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
counts = ha.cache("counts", ttl=600)
pause = threading.Event()
started = threading.Event()


def until_taken(call):
    for _ in itertools.count():
        try:
            return call()
        except discordha.StoreUnavailable as error:
            logging.info("a handler tries again: %s", error)
            pause.wait(0.2)


def count():
    with ha.lock("counts", timeout=30):
        counts.set("last", counts.increment("questions"))


@ha.listen("message", where=lambda message: message.content.startswith("!ping"))
def on_question(message):
    if int(message.content.rpartition(" ")[2]) % 4 == 0:
        until_taken(count)
    message.channel.send(f"message {message.content}")


@ha.event
def on_ready():
    started.set()


@ha.listen("message", where=lambda message: message.content.startswith("!voice"))
def on_voice_question(message):
    command = discordha.VoiceCommand("refused", message.guild.id, message.channel.id, message.content)
    until_taken(lambda: ha.send_voice_command(command))


def take_voice_commands():
    """Says what it would play, on a thread of its own."""
    started.wait()
    for delivery in ha.watch_voice_commands("refused"):
        try:
            carry_out(delivery)
        except discordha.DiscordHAError as error:
            logging.info("voice: %r is left to another worker: %s", delivery, error)


def carry_out(delivery):
    channel = ha.wrap(
        ha.client.get_partial_messageable(delivery.channel_id)
    )  # of a shard that may be elsewhere
    nonce = hashlib.blake2b(delivery.file.encode(), digest_size=12).hexdigest()
    channel.send(f"voice {delivery.file}", nonce=nonce)
    while not delivery.lost:
        try:
            return delivery.ack()
        except discordha.StoreUnavailable:
            pause.wait(0.2)


def say(what, payload):
    channel = ha.get_channel(payload.channel_id)  # of whichever shard that this replica hosts
    channel.send(f"reaction {what}/{payload.user_id}/{payload.emoji.name}/{payload.message_id}")


@ha.event
def on_raw_reaction_add(payload):
    say("add", payload)


@ha.event
def on_raw_reaction_remove(payload):
    say("remove", payload)


@ha.command(name="roll", description="Rolls")
def roll(interaction: discord.Interaction, n: int):
    try:
        interaction.response.send_message(f"slash {interaction.id}")
    except discord.HTTPException:
        logging.info("interaction %s can't be answered any more", interaction.id)


if __name__ == "__main__":
    threading.Thread(target=take_voice_commands, name="voice", daemon=True).start()
    ha.run()

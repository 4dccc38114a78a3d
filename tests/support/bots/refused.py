"""Says each question, reaction and command that it handles; every fourth question needs a lock and a cache.

A handler to which etcd is refused tries again, as a bot may.
"""

import itertools
import logging
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
counts = ha.cache("counts", ttl=600)
pause = threading.Event()


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


@ha.listen("message", where=lambda message: message.content.startswith("!"))
def on_question(message):
    if int(message.content.rpartition(" ")[2]) % 4 == 0:
        until_taken(count)
    message.channel.send(f"message {message.content}")


def say(what, payload):
    channel = ha.wrap(ha.client.get_channel(payload.channel_id))
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
    ha.run()

"""Sends as fast as it can: told ``!go N``, each replica sends N messages to every channel that is its own, to
all at once; ``!go N I``: only replica I does. Logs its limits when it is told ``!limits``.
"""

import json
import logging
import os
import threading

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
INDEX, REPLICAS = int(os.environ["INDEX"]), int(os.environ["REPLICAS"])


def flood(channel, count):
    for number in range(count):
        try:
            channel.send(f"flood {INDEX} {number}")
        except discord.Forbidden:
            continue
        except discordha.DiscordHAError as error:
            logging.warning("%s", error)


@ha.listen("message", scope="every", where=lambda message: message.content.startswith("!go"))
def on_go(message):
    count, *only = (int(word) for word in message.content.split()[1:])
    if only and only[0] != INDEX:
        return
    channels = sorted(message.guild.text_channels, key=lambda channel: channel.id)
    for channel in channels[INDEX::REPLICAS]:
        threading.Thread(target=flood, args=(channel, count)).start()


@ha.listen("message", scope="every", where=lambda message: message.content == "!limits")
def on_limits(message):
    logging.info("limits %s", json.dumps(ha.status()["rest"]))


if __name__ == "__main__":
    ha.run()

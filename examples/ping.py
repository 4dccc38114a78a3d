"""The smallest bot: answers ``!ping``. Run three of these with one token; each message gets one answer.

BOT_TOKEN=... DISCORDHA_ETCD_ENDPOINTS=127.0.0.1:2379 python examples/ping.py
"""

import logging

import discordha
from discordha import views as discord  # discord.py's names, with blocking types

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.listen("message", where=lambda message: message.content.startswith("!ping"))
def on_ping(message: discord.Message) -> None:  # a plain function, on a handler thread
    message.channel.send(message.content.replace("!ping", "pong", 1))


if __name__ == "__main__":
    ha.run()

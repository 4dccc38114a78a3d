"""Keeps the members of its guilds in memory, or none of them (``KEEP=none``), for test_member_memory.py."""

import logging
import os

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
flags = (
    discord.MemberCacheFlags.none() if os.environ.get("KEEP") == "none" else discord.MemberCacheFlags.all()
)
ha = discordha.DiscordHA.from_env(
    intents=discord.Intents.all(),
    member_cache_flags=flags,
    chunk_guilds_at_startup=os.environ.get("KEEP") != "none",
)


@ha.listen("message", where=lambda message: message.content == "!count")
def on_count(message):
    message.channel.send(f"{len(ha.users)} users")


if __name__ == "__main__":
    ha.run()

"""A bot with options of discord.py's client, which tells what it sees, for test_client_options_live.py."""

import json
import logging
import os

import discord

import discordha

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(
    intents=discord.Intents.all(),
    activity=discord.Game("chess"),
    status=discord.Status.idle,
    allowed_mentions=discord.AllowedMentions.none(),
    member_cache_flags=discord.MemberCacheFlags.none(),
    chunk_guilds_at_startup=False,
    max_messages=3,
    proxy=os.environ.get("PROXY"),
)


def tell(channel, value):
    channel.send(json.dumps(value))


@ha.listen("message", where=lambda message: message.content == "!mention")
def on_mention(message):
    message.channel.send("@everyone look")


@ha.listen("message", where=lambda message: message.content == "!look")
def on_look(message):
    """Look-ups over all shards of this replica."""
    channels = [channel.id for channel in ha.get_all_channels()]
    tell(
        message.channel,
        {
            "guilds": sorted(guild.id for guild in ha.guilds),
            "found": sorted(guild.id for guild in ha.guilds if ha.get_guild(guild.id) == guild),
            "channels": sum(ha.get_channel(channel).id == channel for channel in channels),
            "shards": sorted({guild.shard_id for guild in ha.guilds}),
            "user": ha.user.id,
            "latency": 0 <= ha.latency < 10,
            "fetched": ha.fetch_user(message.author.id).name,
            "application": ha.application_info().id,
            "members": sum(len(guild.members) for guild in ha.guilds),
            "cached": len(ha.client.cached_messages),
        },
    )


@ha.listen("message", where=lambda message: message.content.startswith("!play "))
def on_play(message):
    """Every command's word counts."""
    ha.change_presence(activity=discord.Game(message.content.removeprefix("!play ")), status=None)
    message.channel.send("said")


@ha.event
def on_ready():
    """Every replica says this in each session: the words of commands stay."""
    if "READY_SAYS" in os.environ:
        ha.change_presence(activity=discord.Game(os.environ["READY_SAYS"]), status=discord.Status.dnd)


@ha.listen("message", where=lambda message: message.content == "!wrong")
def on_wrong(message):
    for wrong in ({"activity": "chess"}, {"status": "idle"}):
        try:
            ha.change_presence(**wrong)
        except TypeError as error:
            message.channel.send(str(error))


if __name__ == "__main__":
    ha.run()

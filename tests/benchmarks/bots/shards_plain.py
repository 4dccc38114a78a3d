"""discord.py's own way with several shards: says when all are ready, and how much memory that took."""

import json
import os
import time

import discord
import psutil
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

BEGUN = time.monotonic()
Route.BASE = f"{os.environ['DISCORDHA_API_URL']}/api/v10"
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORDHA_GATEWAY_URL"])
count = int(os.environ["SHARDS"])
client = discord.AutoShardedClient(intents=discord.Intents.all(), shard_count=count)


@client.event
async def on_ready():
    took, memory = time.monotonic() - BEGUN, psutil.Process().memory_info().rss
    print("measured " + json.dumps({"seconds": took, "bytes": memory}), flush=True)


client.run(os.environ["BOT_TOKEN"], log_handler=None)

"""The same with discordha: one replica that hosts all shards."""

import json
import os
import time

import discord
import psutil

import discordha

BEGUN = time.monotonic()
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all(), shard_count=int(os.environ["SHARDS"]))


@ha.event
def on_message(message):
    return


with ha:
    ha.wait_until_ready(300)
    took, memory = time.monotonic() - BEGUN, psutil.Process().memory_info().rss
    print("measured " + json.dumps({"seconds": took, "bytes": memory}), flush=True)
    time.sleep(600)

"""The bot as discord.py alone would have it: one process, nothing guarded."""

import os

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route
from meter import Meter

Route.BASE = f"{os.environ['DISCORDHA_API_URL']}/api/v10"
DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORDHA_GATEWAY_URL"])
meter = Meter()
client = discord.Client(intents=discord.Intents.all())


@client.event
async def on_ready():
    print("discordha ready replica=plain", flush=True)


@client.event
async def on_message(message):
    meter.hit()


client.run(os.environ["BOT_TOKEN"], log_handler=None)

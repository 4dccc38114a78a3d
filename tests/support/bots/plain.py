"""A bot whose author set up no logging."""

import discord

import discordha

ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.event
def on_message(message):
    if message.content == "!ping":
        message.channel.send("pong")


if __name__ == "__main__":
    ha.run()

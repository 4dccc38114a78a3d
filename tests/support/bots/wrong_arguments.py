"""A handler that can't be called as its event is."""

import discord

import discordha

ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())


@ha.event
def on_message(message, channel):
    channel.send("never")


if __name__ == "__main__":
    ha.run()

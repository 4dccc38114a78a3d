"""A bot whose prefix is a function that blocks, and that handles no messages but commands."""

import logging

from discordha import views as discord
from discordha.ext import commands

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def prefix(bot, message):
    found = bot.cache("prefixes").get(message.guild.id, "!")
    return commands.when_mentioned_or(found)(bot, message)


bot = commands.Bot(
    prefix,
    intents=discord.Intents.all(),
    help_command=None,
    allowed_mentions=discord.AllowedMentions.none(),
    activity=discord.Game("chess"),
)


@bot.command()
def ping(ctx):
    ctx.send(f"pong {ctx.prefix}")


@bot.command()
def change(ctx, prefix: str):
    bot.cache("prefixes").set(ctx.guild.id, prefix)
    ctx.send(f"changed to {prefix}")


@bot.command()
def broken(ctx):
    ctx.send("breaking")
    raise ValueError("broken on purpose")


@bot.command()
def add(ctx, a: int):
    ctx.send("never")


@bot.on_error
def failed(event, handler, error):
    logging.getLogger("test").info("on_error %s: %s %s", handler.name, type(error).__name__, error)


bot.run()

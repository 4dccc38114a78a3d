"""A bot of five cogs in two extensions: tags, games, reminders; moderation, administration.

Run it from this folder, several times for several replicas: ``python bot.py``. The settings come from the
environment, as docs/configuration.md says; ``OWNER_ID`` names the bot's owner.
"""

import logging
import os

from discordha import views as discord
from discordha.ext import commands

logging.basicConfig(level=logging.INFO)


class Bot(commands.Bot):
    def setup_hook(self) -> None:
        self.load_extension("community")
        self.load_extension("staff")


bot = Bot(
    command_prefix=commands.when_mentioned_or("!"),
    intents=discord.Intents.all(),
    owner_id=int(os.environ.get("OWNER_ID", "0")) or None,
    allowed_mentions=discord.AllowedMentions.none(),
)


@bot.event
def on_command_error(ctx: commands.Context, error: commands.CommandError) -> None:
    """Tells the user. A cog with an error handler of its own has told already."""
    if ctx.cog is not None and ctx.cog.has_error_handler():
        return
    if isinstance(error, commands.CommandInvokeError):
        raise error.original
    ctx.send(f"{ctx.clean_prefix}{ctx.command}: {error}")


if __name__ == "__main__":
    bot.run()

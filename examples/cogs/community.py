"""Tags, games and reminders. What must outlive a replica is in the caches that all replicas share."""

import random
import time

import discordha
from discordha import views as discord
from discordha.ext import commands


def guild_of(ctx: commands.Context) -> int:
    """The guild of a command that runs in guilds only."""
    assert ctx.guild is not None
    return ctx.guild.id


class TagName(commands.Converter[str]):
    """A tag's name: one short word, in lower case."""

    def convert(self, ctx: commands.Context, argument: str) -> str:
        if not argument.isalnum() or len(argument) > 20:
            raise commands.BadArgument(f"{argument!r} can't be a tag's name")
        return argument.lower()


class Tags(commands.Cog):
    """Short texts by name."""

    def __init__(self, bot: commands.Bot) -> None:
        self.bot = bot

    @property
    def texts(self) -> discordha.Cache:
        return self.bot.cache("tags")

    @commands.group(invoke_without_command=True)
    @commands.guild_only()
    def tag(self, ctx: commands.Context, name: TagName) -> None:
        """Shows a tag."""
        ctx.send(self.texts.get(f"{guild_of(ctx)}/{name}", f"there is no tag {name}"))

    @tag.command(name="set")
    def set_(self, ctx: commands.Context, name: TagName, *, text: str) -> None:
        """Makes or changes a tag."""
        self.texts.set(f"{guild_of(ctx)}/{name}", text)
        ctx.send(f"tag {name} is set")

    @tag.command()
    def list(self, ctx: commands.Context) -> None:
        """Names all tags."""
        prefix = f"{guild_of(ctx)}/"
        names = [key.removeprefix(prefix) for key, _ in self.texts.items(prefix)]
        ctx.send("tags: " + (", ".join(names) or "none"))


class Games(commands.Cog):
    """Games that wait for what others write."""

    def __init__(self, bot: commands.Bot) -> None:
        self.bot = bot

    @commands.command()
    @commands.max_concurrency(1, commands.BucketType.user)
    def guess(self, ctx: commands.Context, highest: commands.Range[int, 2, 100] = 10) -> None:
        """Guess a number."""
        number = random.Random(ctx.message.id).randint(1, highest)
        ctx.send(f"a number from 1 to {highest}?")

        def is_guess(message: discord.Message) -> bool:
            mine = message.author.id == ctx.author.id and message.channel.id == ctx.channel.id
            return mine and message.content.isdigit()

        try:
            answer = self.bot.wait_for("message", check=is_guess, timeout=30)
        except TimeoutError:
            ctx.send(f"too late, it was {number}")
        else:
            ctx.send("right" if int(answer.content) == number else f"no, it was {number}")


class Reminders(commands.Cog):
    """Reminders of a few seconds; one that is under way moves with its command."""

    @commands.command()
    @commands.cooldown(3, 60, commands.BucketType.user)
    def remind(self, ctx: commands.Context, seconds: commands.Range[int, 0, 600], *, what: str) -> None:
        """Reminds you of something."""
        time.sleep(seconds)
        ctx.reply(f"reminder: {what}", mention_author=True)


def setup(bot: commands.Bot) -> None:
    bot.add_cog(Tags(bot))
    bot.add_cog(Games(bot))
    bot.add_cog(Reminders())

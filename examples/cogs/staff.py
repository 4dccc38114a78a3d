"""Moderation and administration."""

from discordha import views as discord
from discordha.ext import commands


class Moderation(commands.Cog):
    """For members who may manage messages."""

    def __init__(self, bot: commands.Bot) -> None:
        self.bot = bot

    def cog_check(self, ctx: commands.Context) -> bool:
        return ctx.guild is not None and ctx.permissions.manage_messages

    def cog_command_error(self, ctx: commands.Context, error: Exception) -> None:
        ctx.send(f"{ctx.command}: {type(error).__name__}")

    @commands.command()
    def warn(self, ctx: commands.Context, member: discord.Member, *, reason: str = "no reason") -> None:
        """Warns a member, and counts."""
        count = self.bot.cache("warnings").increment(f"{member.guild.id}/{member.id}")
        ctx.send(f"warning {count} for {member.name}: {reason}")


class Admin(commands.Cog, command_attrs={"hidden": True}):
    """For the owner of the bot."""

    def __init__(self, bot: commands.Bot) -> None:
        self.bot = bot

    def cog_check(self, ctx: commands.Context) -> bool:
        return commands.is_owner().predicate(ctx)

    @commands.command()
    def replicas(self, ctx: commands.Context) -> None:
        """How many replicas live."""
        ctx.send(f"replicas: {len(self.bot.replicas())}")


def setup(bot: commands.Bot) -> None:
    bot.add_cog(Moderation(bot))
    bot.add_cog(Admin(bot))

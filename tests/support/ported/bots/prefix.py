"""Prefix commands: arguments, converters, a context of the bot's own, groups, and rooms for a few."""

import random

import discord
from discord.ext import commands


class Context(commands.Context):
    async def vote(self, yes):
        """Reacts to the message of the command."""
        try:
            await self.message.add_reaction("\N{THUMBS UP SIGN}" if yes else "\N{THUMBS DOWN SIGN}")
        except discord.HTTPException:
            await self.send("yes" if yes else "no")


class Host(commands.Bot):
    async def get_context(self, message, *, cls=Context):
        return await super().get_context(message, cls=cls)

    async def on_ready(self):
        print(f"{self.user} is on duty")


intents = discord.Intents.default()
intents.members = True
intents.message_content = True
bot = Host(command_prefix="?", description="Keeps the house", intents=intents)


@bot.command()
async def sum(ctx, first: int, *more: int):
    """Adds up."""
    for each in more:
        first += each
    await ctx.send(str(first))


@bot.command()
async def dice(ctx, which: str):
    """Throws dice, such as 2x6."""
    try:
        count, sides = map(int, which.split("x"))
    except ValueError:
        await ctx.send("Write it as 2x6.")
        return
    await ctx.send(" ".join(str(random.randint(1, sides)) for _ in range(count)))


@bot.command(description="For those who cannot decide")
async def decide(ctx, *choices: str):
    """Takes one of several."""
    await ctx.send(random.choice(choices))


@bot.command()
async def echo(ctx, times: int, text="well"):
    """Says it again and again."""
    for _ in range(times):
        await ctx.send(text)


@bot.command()
async def guest(ctx, member: discord.Member):
    """Since when somebody is here."""
    await ctx.send(f"{member.name}: {discord.utils.format_dt(member.joined_at)}")


@bot.group()
async def tidy(ctx):
    """Whether a thing is tidy."""
    if ctx.invoked_subcommand is None:
        await ctx.send(f"{ctx.subcommand_passed} is a mess")


@tidy.command(name="kitchen")
async def tidy_kitchen(ctx):
    """It is."""
    await ctx.send("The kitchen is tidy")


@bot.command()
async def guess(ctx, number: int):
    """Guesses a number from one to two."""
    await ctx.vote(number == random.randint(1, 2))


@bot.command()
@commands.guild_only()
async def card(ctx, member: discord.Member):
    """Shows what is known of somebody."""
    await ctx.send(f"{member.name}, number {member.id}")


@card.error
async def card_error(ctx, error):
    if isinstance(error, commands.BadArgument):
        await ctx.send("Nobody knows them.")
    else:
        raise error


class RoomOrGuest(commands.Converter):
    """A channel of a guild, or else a member."""

    async def convert(self, ctx, argument):
        for converter in (commands.TextChannelConverter(), commands.MemberConverter()):
            try:
                return await converter.convert(ctx, argument)
            except commands.BadArgument:
                continue
        raise commands.BadArgument(f"{argument} is neither a room nor a guest")


@bot.command()
async def call(ctx, whom: RoomOrGuest):
    """Calls into a room, or for a guest."""
    kind = "room" if isinstance(whom, discord.TextChannel) else "guest"
    await ctx.send(f"the {kind} {whom.name}")


@call.error
async def call_error(ctx, error):
    await ctx.send(str(error))


@bot.command()
async def send_to(ctx, where: discord.TextChannel | discord.Member, *texts: int | str):
    """Numbers are numbers."""
    await ctx.send(f"{where.name}: {[type(text).__name__ for text in texts]}")


@bot.command()
async def lock(ctx, whom: commands.Greedy[discord.Member], *, why: str = "no reason"):
    """Takes several at once."""
    await ctx.send(f"{len(whom)} for {why}")


@bot.group(hidden=True)
async def vault(ctx: commands.Context):
    """Rooms that few see."""
    if ctx.invoked_subcommand is None:
        await ctx.send("Hush!", delete_after=0.3)


def only_for(guild, *members):
    hidden = discord.PermissionOverwrite(read_messages=False)
    shown = discord.PermissionOverwrite(read_messages=True)
    return {guild.default_role: hidden, guild.me: shown, **dict.fromkeys(members, shown)}


@vault.command()
@commands.check_any(commands.has_permissions(administrator=True), commands.has_role("keeper"))
async def write(ctx: commands.Context, name: str, *objects: discord.Role | discord.Member):
    """Makes a room to write in."""
    overwrites = only_for(ctx.guild, *objects)
    room = await ctx.guild.create_text_channel(name, overwrites=overwrites, topic="hidden", reason="asked")
    await ctx.send(f"{room.name} for {len(room.overwrites)}")


@write.error
async def write_error(ctx, error):
    if not isinstance(error, commands.CheckFailure):
        raise error
    await ctx.send("You have no key.")


@vault.command()
@commands.guild_only()
async def speak(ctx: commands.Context, name: str, *objects: discord.Member):
    """Makes a room to speak in."""
    room = await ctx.guild.create_voice_channel(name, overwrites=only_for(ctx.guild, *objects))
    await ctx.send(f"{room.name} for {len(room.overwrites)}")


bot.run("token")

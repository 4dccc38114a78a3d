"""Prefix commands of all kinds, for test_prefix_commands.py. Each answer begins with its command's name."""

import logging
import os
import threading

import discordha
from discordha import app_commands
from discordha import views as discord
from discordha.ext import commands

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


class Context(commands.Context):
    def tell(self, text):
        """A method of the author's own: its attributes are views, and its calls block."""
        assert type(self.message).__name__ == "MessageView"
        return self.send(f"{self.command.qualified_name}: {text}")


class Bot(commands.Bot):
    def get_context(self, origin, *, cls=Context):
        return super().get_context(origin, cls=cls)

    def setup_hook(self):
        self.add_cog(Tags(self))
        self.add_view(Poll())
        self.add_dynamic_items(Tally)


class Poll(discord.ui.View):
    """A persistent view: every replica answers its presses."""

    def __init__(self):
        super().__init__(timeout=None)

    @discord.ui.button(label="Tea", custom_id="poll:tea")
    async def tea(self, interaction, button):
        await interaction.response.send_message("tea it is", ephemeral=True)


class Tally(discord.ui.DynamicItem[discord.ui.Button], template=r"tally:(?P<owner>[0-9]+):(?P<count>[0-9]+)"):
    """A button that counts in its custom id, for one user."""

    def __init__(self, owner, count=0):
        super().__init__(discord.ui.Button(label=str(count), custom_id=f"tally:{owner}:{count}"))
        self.owner = owner
        self.count = count

    @classmethod
    async def from_custom_id(cls, interaction, item, match):
        return cls(int(match["owner"]), int(match["count"]))

    async def interaction_check(self, interaction):
        return interaction.user.id == self.owner

    async def callback(self, interaction):
        view = discord.ui.View(timeout=None)
        view.add_item(Tally(self.owner, self.count + 1))
        await interaction.response.edit_message(view=view)


def where():
    assert threading.current_thread().name.startswith("discordha-handler"), threading.current_thread()


class Tags(commands.Cog):
    """Short texts by name."""

    def __init__(self, bot):
        self.bot = bot
        self.loaded = False

    def cog_load(self):
        self.loaded = True

    def cog_check(self, ctx):
        where()
        return ctx.message.content != "!tags forbidden"

    def cog_before_invoke(self, ctx):
        ctx.before = "before"

    def cog_command_error(self, ctx, error):
        where()
        ctx.tell(f"cog says {type(error).__name__}")

    @commands.Cog.listener()
    def on_message(self, message):
        if message.content == "tagged":
            message.channel.send(f"listener {self.loaded}")

    @commands.Cog.listener("on_command_completion")
    def completed(self, ctx):
        if ctx.command.name == "add":
            ctx.send("completed add")

    @commands.group(invoke_without_command=True)
    def tags(self, ctx):
        ctx.tell(f"{ctx.before} all")

    @tags.command()
    def add(self, ctx, name: str, *, text):
        ctx.tell(f"{name}={text}")

    @tags.command()
    def forbidden(self, ctx):
        ctx.tell("never")


bot = Bot(
    command_prefix=commands.when_mentioned_or("!", "? "),
    description="A bot of tests",
    intents=discord.Intents.all(),
    case_insensitive=True,
    owner_id=int(os.environ.get("OWNER", "1")),
)


@bot.command(aliases=["p"])
def ping(ctx):
    """Answers."""
    where()
    ctx.tell("pong")


@bot.command()
def hello(ctx, member: discord.Member = commands.Author):
    assert type(member).__name__ == "MemberView"
    ctx.reply(f"hello {member.name}", mention_author=False)


class Even(commands.Converter):
    def convert(self, ctx, argument):
        where()
        if int(argument) % 2:
            raise commands.BadArgument(f"{argument} is odd")
        return int(argument)


class Distance:
    def __init__(self, metres):
        self.metres = metres

    @classmethod
    def convert(cls, ctx, argument):
        where()
        return cls(int(argument.removesuffix("m")))


class MemberOrChannel(commands.Converter):
    def convert(self, ctx, argument):
        try:
            return commands.MemberConverter().convert(ctx, argument)
        except commands.MemberNotFound:
            return commands.TextChannelConverter().convert(ctx, argument)


@bot.command()
def convert(ctx, even: Even, distance: Distance, numbers: commands.Greedy[int], where_: MemberOrChannel):
    assert type(where_).__name__ in ("MemberView", "TextChannelView"), type(where_)
    ctx.tell(f"{even} {distance.metres} {numbers} {where_.name}")


@bot.command()
def dice(ctx, sides: commands.Range[int, 2, 9]):
    ctx.tell(sides)


class Flags(commands.FlagConverter, prefix="--", delimiter=" "):
    member: discord.Member
    days: int = 1


@bot.command()
def ban(ctx, *, flags: Flags):
    assert type(flags.member).__name__ == "MemberView"
    ctx.tell(f"{flags.member.name} {flags.days}")


def allowed(ctx):
    where()
    return ctx.author.id == bot.owner_id


@bot.command()
@commands.check_any(commands.has_permissions(manage_emojis=True), commands.check(allowed))
def secret(ctx):
    ctx.tell("secret")


@bot.command()
@commands.is_owner()
def owner(ctx):
    ctx.tell("owner")


@bot.command()
@commands.cooldown(3, 3600, commands.BucketType.user)
def rare(ctx):
    ctx.tell("rare")


@bot.command()
@commands.is_owner()
def again(ctx):
    assert rare.is_on_cooldown(ctx)
    assert 3500 < rare.get_cooldown_retry_after(ctx) <= 3600
    rare.reset_cooldown(ctx)
    ctx.tell(rare.get_cooldown_retry_after(ctx))


@bot.command()
@commands.max_concurrency(2)
def hold(ctx, die: bool = False):
    if die and discordha.current_event().attempt == 1:
        os._exit(1)
    if not die:
        bot.wait_for("message", where=lambda message: message.content == "go", timeout=20)
    ctx.tell("held")


@bot.command()
@commands.is_owner()
def poll(ctx):
    ctx.send("tea?", view=Poll())


@bot.command()
def tally(ctx):
    view = discord.ui.View(timeout=None)
    view.add_item(Tally(ctx.author.id))
    ctx.send("count!", view=view)


@bot.group(hidden=True)
def hide(ctx):
    if ctx.invoked_subcommand is None:
        ctx.send("shh", delete_after=0.1)


@hide.command()
@commands.guild_only()
def channel(ctx, name: str, *objects: discord.Role | discord.Member):
    allowed = dict.fromkeys([*objects, ctx.guild.me], discord.PermissionOverwrite(view_channel=True))
    hidden = {ctx.guild.default_role: discord.PermissionOverwrite(view_channel=False)}
    made = ctx.guild.create_text_channel(name, overwrites={**hidden, **allowed}, topic="ours", reason="asked")
    ctx.tell(f"{made.name} {made.topic} {len(made.overwrites)}")


@bot.tree.command()
@app_commands.checks.cooldown(3, 3600)
def seldom(interaction):
    """Three times an hour for each user."""
    where()
    interaction.response.send_message("seldom")


@seldom.error
def too_often(interaction, error):
    assert isinstance(error, app_commands.CommandOnCooldown), error
    interaction.response.send_message(f"wait {error.retry_after > 3000}")


@bot.command()
def broken(ctx):
    raise ValueError("broken on purpose")


@bot.command()
def indirect(ctx):
    ctx.invoke(ping)
    assert commands.is_owner().predicate(ctx) if ctx.author.id == bot.owner_id else True
    with ctx.typing():
        ctx.send_help("ping")


@bot.command()
def fatal(ctx):
    ctx.tell("sent once")
    event = discordha.current_event()
    if event.attempt == 1:
        os._exit(1)
    ctx.tell(f"attempt {event.attempt}")


@bot.event
def on_command_error(ctx, error):
    where()
    if isinstance(error, commands.CommandInvokeError):
        ctx.send(f"error {ctx.command} {type(error.original).__name__}: {error.original}")
    elif ctx.cog is None:
        ctx.send(f"error {ctx.command} {type(error).__name__}")


@bot.hybrid_command(description="Adds")
def plus(ctx, a: int, b: int = 1):
    where()
    ctx.send(f"plus {a + b} {type(ctx).__name__}")


if __name__ == "__main__":
    bot.run()

"""Views and buttons that outlive their process."""

import discord
from discord.ext import commands


class Ballot(discord.ui.View):
    def __init__(self):
        super().__init__(timeout=None)

    @discord.ui.button(label="Aye", style=discord.ButtonStyle.green, custom_id="ballot:aye")
    async def aye(self, interaction: discord.Interaction, button: discord.ui.Button):
        await interaction.response.send_message("One more for it", ephemeral=True)

    @discord.ui.button(label="Nay", style=discord.ButtonStyle.red, custom_id="ballot:nay")
    async def nay(self, interaction: discord.Interaction, button: discord.ui.Button):
        await interaction.response.send_message("One more against it", ephemeral=True)


class Beads(discord.ui.DynamicItem[discord.ui.Button], template=r"beads:(?P<whose>\d+):(?P<count>\d+)"):
    """Counts in its own custom id, for one user."""

    def __init__(self, whose: int, count: int = 0):
        self.whose, self.count = whose, count
        super().__init__(discord.ui.Button(label=f"{count} beads", custom_id=f"beads:{whose}:{count}"))

    @classmethod
    async def from_custom_id(cls, interaction: discord.Interaction, item: discord.ui.Button, match):
        return cls(int(match["whose"]), int(match["count"]))

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        return interaction.user.id == self.whose

    async def callback(self, interaction: discord.Interaction):
        view = discord.ui.View(timeout=None)
        view.add_item(Beads(self.whose, self.count + 1))
        await interaction.response.edit_message(view=view)


class Clerk(commands.Bot):
    def __init__(self):
        intents = discord.Intents.default()
        intents.message_content = True
        super().__init__(command_prefix=commands.when_mentioned_or("$"), intents=intents)

    async def setup_hook(self):
        self.add_view(Ballot())
        self.add_dynamic_items(Beads)

    async def on_ready(self):
        print(f"{self.user} is on duty")


bot = Clerk()


@bot.command()
@commands.guild_only()
async def ballot(ctx: commands.Context):
    """Begins a vote."""
    await ctx.send("More holidays?", view=Ballot())


@bot.command()
async def beads(ctx: commands.Context):
    """A string of beads of one's own."""
    view = discord.ui.View(timeout=None)
    view.add_item(Beads(ctx.author.id))
    await ctx.send("Count", view=view)


bot.run("token")

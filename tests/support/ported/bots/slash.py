"""Slash commands with options of all kinds, context menus, and a form."""

import enum
from typing import Literal, NamedTuple

import discord
from discord import app_commands

HOME = discord.Object(id=0)
STAFF_CHANNEL = 0


class Desk(discord.Client):
    def __init__(self, **options):
        super().__init__(intents=discord.Intents.default(), **options)
        self.tree = app_commands.CommandTree(self)

    async def setup_hook(self):
        self.tree.copy_global_to(guild=HOME)
        await self.tree.sync(guild=HOME)


client = Desk()


@client.event
async def on_ready():
    print(f"{client.user} is on duty")


@client.tree.command()
async def knock(interaction: discord.Interaction):
    """Somebody opens."""
    await interaction.response.send_message(f"Come in, {interaction.user.mention}")


@client.tree.command()
@app_commands.describe(rows="Up to a hundred", seats="In each row")
async def hall(
    interaction: discord.Interaction,
    rows: app_commands.Range[int, 1, 100],
    seats: app_commands.Range[int, 1, None],
):
    """How many people a hall takes."""
    await interaction.response.send_message(f"{rows * seats} people", ephemeral=True)


@client.tree.command()
@app_commands.rename(what="text")
@app_commands.describe(what="Is said aloud")
async def announce(interaction: discord.Interaction, what: str):
    """Says it."""
    await interaction.response.send_message(what)


@client.tree.command()
async def since(interaction: discord.Interaction, who: discord.Member | None = None):
    """Since when somebody is here."""
    who = who or interaction.user
    await interaction.response.send_message(f"{who.name}: {discord.utils.format_dt(who.joined_at)}")


@client.tree.command(name="where-is")
async def where_is(interaction: discord.Interaction, place: discord.TextChannel | discord.VoiceChannel):
    """What kind of channel it is."""
    card = discord.Embed(title=place.name)
    card.add_field(name="talk", value="spoken" if isinstance(place, discord.VoiceChannel) else "written")
    card.add_field(name="number", value=place.id)
    card.set_footer(text="since").timestamp = place.created_at
    await interaction.response.send_message(embed=card)


@client.tree.command()
async def ticket(interaction: discord.Interaction, kind: Literal["single", "return"], to: str):
    """Sells a ticket."""
    await interaction.response.send_message(f"One {kind} to {to}")


class Drink(enum.Enum):
    tea = 1
    coffee = 2
    water = 3


@client.tree.command()
async def drink(interaction: discord.Interaction, drink: Drink):
    """Brings a drink."""
    await interaction.response.send_message(f"{drink.name}, number {drink.value}")


class Seat(NamedTuple):
    row: int
    number: int


class ToSeat(app_commands.Transformer):
    async def transform(self, interaction: discord.Interaction, value: str) -> Seat:
        row, _, number = value.partition("-")
        return Seat(int(row), int(number))


@client.tree.command()
async def sit(interaction: discord.Interaction, seat: app_commands.Transform[Seat, ToSeat]):
    """Shows to a seat, such as 3-14."""
    await interaction.response.send_message(f"row {seat.row}, seat {seat.number}")


class Colour(NamedTuple):
    red: int
    green: int
    blue: int

    @classmethod
    async def transform(cls, interaction: discord.Interaction, value: str):
        return cls(*bytes.fromhex(value.removeprefix("#")))


@client.tree.command()
async def paint(interaction: discord.Interaction, colour: Colour):
    """Mixes a colour, such as #ff8000."""
    await interaction.response.send_message(f"{colour.red} of red, {colour.blue} of blue")


@client.tree.context_menu(name="Since when?")
async def since_when(interaction: discord.Interaction, member: discord.Member):
    await interaction.response.send_message(f"since {discord.utils.format_dt(member.joined_at)}")


@client.tree.context_menu(name="Call the staff")
async def call_staff(interaction: discord.Interaction, message: discord.Message):
    await interaction.response.send_message(f"About {message.author.name}: somebody comes", ephemeral=True)
    card = discord.Embed(description=message.content or "no text", timestamp=message.created_at)
    card.set_author(name=message.author.display_name, icon_url=message.author.display_avatar.url)
    there = discord.ui.View()
    there.add_item(discord.ui.Button(label="There", url=message.jump_url))
    await interaction.guild.get_channel(STAFF_CHANNEL).send(embed=card, view=there)


class Complaint(discord.ui.Modal, title="Complaint"):
    subject = discord.ui.TextInput(label="About", placeholder="The soup")
    text = discord.ui.TextInput(label="What is it?", style=discord.TextStyle.long, required=False)

    async def on_submit(self, interaction: discord.Interaction):
        if self.subject.value == "everything":
            raise ValueError("too much")
        await interaction.response.send_message(f"We are sorry about {self.subject.value}", ephemeral=True)

    async def on_error(self, interaction: discord.Interaction, error: Exception):
        await interaction.response.send_message(f"No, that is {error}", ephemeral=True)


@client.tree.command(guild=HOME)
async def complain(interaction: discord.Interaction):
    """Opens a form."""
    await interaction.response.send_modal(Complaint())


client.run("token")

"""Buttons, selects and a board game in views that live as long as their process."""

from urllib.parse import urlencode

import discord
from discord.ext import commands


class Kiosk(commands.Bot):
    def __init__(self):
        intents = discord.Intents.default()
        intents.message_content = True
        super().__init__(command_prefix=commands.when_mentioned_or("$"), intents=intents)

    async def on_ready(self):
        print(f"{self.user} is open")


bot = Kiosk()


class Stamps(discord.ui.View):
    """A card that is full with three stamps."""

    @discord.ui.button(label="0 of 3", style=discord.ButtonStyle.blurple)
    async def stamp(self, interaction: discord.Interaction, button: discord.ui.Button):
        count = int(button.label.split()[0]) + 1
        button.label = f"{count} of 3"
        button.disabled = count == 3
        await interaction.response.edit_message(view=self)


@bot.command()
async def card(ctx: commands.Context):
    """Hands out a card for stamps."""
    await ctx.send("Your card", view=Stamps())


class Counter(discord.ui.View):
    @discord.ui.button(label="A card, please")
    async def hand_out(self, interaction: discord.Interaction, button: discord.ui.Button):
        await interaction.response.send_message("Only for you", view=Stamps(), ephemeral=True)


@bot.command()
async def cards(ctx: commands.Context):
    """A card of their own for everybody who asks."""
    await ctx.send("Who wants one?", view=Counter())


class Decision(discord.ui.View):
    def __init__(self):
        super().__init__(timeout=180)
        self.made = None

    async def settle(self, interaction, made):
        self.made = made
        await interaction.response.send_message("Noted", ephemeral=True)
        self.stop()

    @discord.ui.button(label="Buy", style=discord.ButtonStyle.success)
    async def buy(self, interaction: discord.Interaction, button: discord.ui.Button):
        await self.settle(interaction, "bought")

    @discord.ui.button(label="Leave it", style=discord.ButtonStyle.danger)
    async def leave(self, interaction: discord.Interaction, button: discord.ui.Button):
        await self.settle(interaction, "left")


@bot.command()
async def offer(ctx: commands.Context):
    """Waits for a decision."""
    decision = Decision()
    await ctx.send("Yours for five", view=decision)
    await decision.wait()
    print(f"The thing was {decision.made}")


class Flavours(discord.ui.Select):
    def __init__(self):
        known = {"vanilla": "\N{SOFT ICE CREAM}", "lemon": "\N{LEMON}", "cherry": "\N{CHERRIES}"}
        super().__init__(
            placeholder="Which one?",
            max_values=2,
            options=[discord.SelectOption(label=name, emoji=emoji) for name, emoji in known.items()],
        )

    async def callback(self, interaction: discord.Interaction):
        await interaction.response.send_message(f"Here is {' and '.join(self.values)}")


@bot.command()
async def ice(ctx):
    """Sells ice cream."""
    await ctx.send("We have", view=discord.ui.View().add_item(Flavours()))


@bot.command()
async def find(ctx: commands.Context, *, words: str):
    """A link to what others know of it."""
    link = discord.ui.Button(label="Look", url=f"https://example.org/?{urlencode({'q': words})}")
    await ctx.send(f"About {words}", view=discord.ui.View().add_item(link))


class Field(discord.ui.Button["Board"]):
    def __init__(self, number):
        super().__init__(label="\N{MIDDLE DOT}", row=number // 3)
        self.number = number

    async def callback(self, interaction: discord.Interaction):
        board = self.view
        board.fields[self.number] = self.label = board.turn
        self.disabled = True
        board.turn = "X" if board.turn == "O" else "O"
        said = f"{board.turn} is next"
        if board.is_won() or all(board.fields):
            said = f"{self.label} has won" if board.is_won() else "nobody has won"
            for field in board.children:
                field.disabled = True
            board.stop()
        await interaction.response.edit_message(content=said, view=board)


class Board(discord.ui.View):
    LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))

    def __init__(self):
        super().__init__()
        self.fields = [""] * 9
        self.turn = "X"
        for number in range(9):
            self.add_item(Field(number))

    def is_won(self):
        lines = [{self.fields[number] for number in line} for line in self.LINES]
        return {"X"} in lines or {"O"} in lines


@bot.command()
async def board(ctx: commands.Context):
    """Three in a row."""
    await ctx.send("X begins", view=Board())


bot.run("token")

"""A slash command with options and autocomplete, buttons, and a modal. Run three of these with one token.

BOT_TOKEN=... DISCORDHA_ETCD_ENDPOINTS=127.0.0.1:2379 python examples/commands.py
"""

import logging

import discordha
from discordha import app_commands
from discordha import views as discord

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")

ha = discordha.DiscordHA.from_env(intents=discord.Intents.default())
TEAS = ["assam", "darjeeling", "earl grey", "jasmine", "sencha"]


@ha.command(description="Orders tea for everybody")
@app_commands.describe(tea="which one", cups="how many")
def tea(interaction: discord.Interaction, tea: str, cups: app_commands.Range[int, 1, 12] = 1) -> None:
    view = discord.ui.View()  # its timeout would end its own callbacks, but it has none
    for answer in ("yes", "no"):
        view.add_item(discord.ui.Button(label=answer, custom_id=f"tea:{tea}:{answer}"))
    view.add_item(discord.ui.Button(label="tell why", custom_id=f"why:{tea}"))
    interaction.response.send_message(f"{cups} x {tea}: will you have some?", view=view)


@tea.autocomplete("tea")
def complete_tea(interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=each.title(), value=each) for each in TEAS if current.lower() in each]


@ha.component("tea:{tea}:{answer}")  # on the replica that claims the click; the custom id has the state
def on_answer(interaction: discord.Interaction, tea: str, answer: str) -> None:
    words = "no " if answer == "no" else ""
    interaction.response.send_message(f"{words}{tea} for {interaction.user.display_name}", ephemeral=True)


@ha.component("why:{tea}")
def on_why(interaction: discord.Interaction, tea: str) -> None:
    modal = discord.ui.Modal(title="Why this one?", custom_id=f"reason:{tea}")
    modal.add_item(discord.ui.TextInput(label="reason", custom_id="reason"))
    interaction.response.send_modal(modal)


@ha.component("reason:{tea}")
def on_reason(interaction: discord.Interaction, tea: str, values: dict[str, str]) -> None:
    interaction.response.send_message(f"{tea}: {values['reason']}")


if __name__ == "__main__":
    ha.run()

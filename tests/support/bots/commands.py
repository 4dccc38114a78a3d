"""Commands, components and waits of all kinds, for test_commands.py.

``EXTRA`` names one more command: another version of the bot. ``CRASH`` lets ``/crash`` kill its process on
the first attempt, before or after its answer.
"""

import logging
import os
import threading

import discord

import discordha
from discordha import app_commands

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
ha = discordha.DiscordHA.from_env(intents=discord.Intents.all())
WHO = os.environ.get("WHO", "?")
FRUIT = ["apple", "apricot", "banana", "cherry"]


def pause(seconds):
    threading.Event().wait(seconds)


def where():
    assert threading.current_thread().name.startswith("discordha-handler"), threading.current_thread()
    return discordha.current_event()


@ha.command(description="Rolls a die")
@app_commands.describe(sides="how many sides")
def roll(interaction, sides: int = 6):
    event = where()
    interaction.response.send_message(f"rolled {sides} attempt {event.attempt}")


@ha.tree.command(description="Orders fruit")
@app_commands.choices(size=[app_commands.Choice(name="big", value="b")])
def order(
    interaction: discord.Interaction,
    fruit: str,
    member: discord.Member,
    size: app_commands.Choice[str] | None = None,
    amount: app_commands.Range[int, 1, 9] = 1,
):
    member.add_roles  # a view: its methods block  # noqa: B018
    assert type(member).__name__ == "MemberView"
    interaction.response.send_message(f"{amount} {fruit} {size.name if size else '-'} for {member.name}")


@order.autocomplete("fruit")
def complete_fruit(interaction, current):
    where()
    if current == "slow":
        pause(3.5)
    if current == "broken":
        raise ValueError("no such fruit")
    found = [fruit for fruit in FRUIT if fruit.startswith(current)]
    return [app_commands.Choice(name=fruit.title(), value=fruit) for fruit in found]


settings = ha.tree.group(name="config", description="Settings")


@settings.command(name="set", description="Sets one")
def set_one(interaction, key: str, value: str):
    interaction.response.send_message(f"{key}={value}")


class Shout(app_commands.Transformer):
    def transform(self, interaction, value):
        where()
        return value.upper()


class Tools(app_commands.Group):
    """Tools for some"""

    def interaction_check(self, interaction):
        where()
        return interaction.user.name != "user4"

    @app_commands.command(description="Says it loudly")
    def shout(self, interaction, text: app_commands.Transform[str, Shout]):
        interaction.response.send_message(text)


ha.tree.add_command(Tools())


@ha.tree.context_menu(name="Quote")
def quote(interaction, message: discord.Message):
    interaction.response.send_message(f"> {message.content}")


def is_first_user(interaction):
    where()
    return interaction.user.name == "user0"


@ha.command(description="For one user")
@app_commands.check(is_first_user)
def only(interaction):
    interaction.response.send_message("for you")


@only.error
def only_failed(interaction, error):
    where()
    interaction.response.send_message(type(error).__name__, ephemeral=True)


@ha.command(description="For administrators")
@app_commands.checks.has_permissions(administrator=True)
def reign(interaction):
    interaction.response.send_message("hail")


@ha.command(description="Fails")
def fail(interaction):
    raise KeyError("the handler's own")


@ha.command(description="Takes its time")
def slow(interaction, seconds: float = 2.5, ephemeral: bool = False):
    pause(seconds)
    interaction.response.send_message(f"slow but sure {seconds:g}", ephemeral=ephemeral)


@ha.command(description="Slow, and for one user alone", ephemeral=True)
def whisper(interaction):
    pause(1.0)
    interaction.response.send_message("whispered", ephemeral=True)


@ha.command(description="Too late", defer=None)
def never(interaction):
    pause(3.3)
    interaction.response.send_message("too late")


@ha.command(description="Says nothing")
def silent(interaction):
    pause(5)


@ha.command(description="Answers by other means than the response", ephemeral=False)
def fills(interaction, how: str):
    interaction.channel.send("filling")
    pause(2.5)
    if how == "edit":
        interaction.original_response()  # discord.py keeps this one, which thinks
        interaction.edit_original_response(content="filled")
    else:
        interaction.followup.send("filled")
    if how == "both":
        interaction.response.send_message("in private", ephemeral=True)
    if how == "fails":
        raise KeyError("after the answer")


@ha.command(description="Shows a modal too late")
def late_modal(interaction):
    pause(5)
    try:
        interaction.response.send_modal(discord.ui.Modal(title="t", custom_id="m"))
    except discordha.DiscordHAError as error:
        interaction.response.send_message(str(error))


@ha.command(description="Dies once")
def crash(interaction, when: str):
    first = where().attempt == 1
    if when == "before" and first:
        os._exit(9)
    if when == "deferred":
        if first:
            pause(4)
            os._exit(9)
        interaction.response.send_message("after the defer")
        return
    interaction.response.send_message(f"crash {when}")
    if when == "after" and first:
        os._exit(9)


@ha.command(description="Asks")
def ask(interaction, seconds: float = 20.0):
    interaction.response.send_message("what?")
    channel = interaction.channel
    try:
        answer = ha.wait_for(
            "message",
            lambda message: message.channel.id == channel.id and message.content.startswith("answer"),
            timeout=seconds,
        )
    except TimeoutError:
        channel.send("nothing")
        return
    answer.channel.send(f"you said {answer.content}")


class Panel(discord.ui.View):
    @discord.ui.button(label="local")
    async def local(self, interaction, button):
        await interaction.response.send_message(f"local on {WHO}")


@ha.command(description="Shows buttons")
def panel(interaction):
    view = Panel()
    view.add_item(discord.ui.Button(label="vote", custom_id="vote:7:yes"))
    interaction.response.send_message(f"panel by {WHO}", view=view)


@ha.component("vote:*")
def any_vote(interaction):
    interaction.response.send_message("any vote")


@ha.component("vote:{poll}:{choice}")
def vote(interaction, poll, choice):
    where()
    interaction.response.send_message(f"vote {poll} {choice} on {WHO}", ephemeral=True)


@ha.component("count:{number}")
def count(interaction, number):
    pause(2.5 if number == "9" else 0)
    interaction.response.edit_message(content=f"count {int(number) + 1}")


@ha.component("pick")
def pick(interaction, values):
    interaction.response.send_message(f"picked {','.join(values)}")


@ha.component("open")
def open_modal(interaction):
    modal = discord.ui.Modal(title="Feedback", custom_id="feedback:1")
    modal.add_item(discord.ui.TextInput(label="text", custom_id="text"))
    interaction.response.send_modal(modal)


@ha.component("feedback:{number}")
def feedback(interaction, number, values):
    interaction.response.send_message(f"feedback {number}: {values['text']}")


class Poll(discord.ui.View):
    def __init__(self):
        super().__init__(timeout=None)

    async def interaction_check(self, interaction):
        logging.getLogger("bot").info("checked %s", interaction.user.name)
        return interaction.user.name != "user4"

    @discord.ui.button(label="yes", custom_id="poll:yes")
    async def yes(self, interaction, button):
        event = discordha.current_event()
        await interaction.response.send_message(f"poll on {WHO} attempt {event.attempt}")

    @discord.ui.button(label="die", custom_id="poll:die")
    async def die(self, interaction, button):
        await interaction.response.send_message(f"died on {WHO}")
        if discordha.current_event().attempt == 1:
            os._exit(9)


class Legacy(discord.ui.View):
    def __init__(self):
        super().__init__(timeout=None)

    @discord.ui.button(label="legacy", custom_id="legacy:yes")
    async def legacy(self, interaction, button):
        await interaction.response.send_message(f"legacy on {WHO}")


class Counter(discord.ui.DynamicItem[discord.ui.Button], template=r"dynamic:(?P<number>[0-9]+)"):
    def __init__(self, number):
        super().__init__(discord.ui.Button(label=str(number), custom_id=f"dynamic:{number}"))
        self.number = number

    @classmethod
    async def from_custom_id(cls, interaction, item, match):
        return cls(int(match["number"]))

    async def callback(self, interaction):
        await interaction.response.send_message(f"dynamic {self.number} on {WHO}")


if os.environ.get("VIEWS"):
    ha.add_view(Poll())
    ha.add_dynamic_items(Counter)


@ha.event
def on_ready():
    if os.environ.get("VIEWS"):
        ha.wrap(ha.client).add_view(Legacy())  # as bots do that know discord.py's client
        logging.getLogger("bot").info("views added")


@ha.command(description="Shows persistent views")
def persistent(interaction):
    view = Poll()
    view.add_item(Counter(7))
    interaction.response.send_message(f"views by {WHO}", view=view)


@ha.listen("message", where=lambda message: message.content.startswith("!ask"))
def on_ask(message):
    message.channel.send("go on")
    answer = ha.wait_for(
        "message", lambda other: other.content == message.content.replace("!ask", "reply"), timeout=30
    )
    message.channel.send(f"heard {answer.content}")


@ha.listen("message", where=lambda message: message.content.startswith("!ping"))
def on_ping(message):
    message.channel.send(message.content.replace("!ping", "pong", 1))


@ha.listen("message", where=lambda message: message.content == "!known")
def on_known(message):
    synced = {command.name for command in ha.tree.sync()}
    known = {command.name for command in ha.tree.fetch_commands()}
    message.channel.send(f"known {len(known)} {synced == known}")


@ha.event
def on_app_command_completion(interaction, command):
    logging.getLogger("bot").info("completed %s", command.qualified_name)


@ha.on_error
def on_error(event, handler, error):
    logging.getLogger("bot").warning("on_error %s %s %r", handler.name, event.attempt, error, exc_info=error)


if os.environ.get("EXTRA"):

    @ha.command(name=os.environ["EXTRA"], description="Another version's")
    def extra(interaction):
        interaction.response.send_message("extra")


if os.environ.get("GUILD"):

    @ha.command(description="For one guild", guild=discord.Object(int(os.environ["GUILD"])))
    def here(interaction):
        interaction.response.send_message("here")


if __name__ == "__main__":
    ha.run()

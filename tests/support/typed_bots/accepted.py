"""A bot that mypy --strict accepts: ported from discord.py by its imports, without async and await.

Not run; tests/unit/project/test_stubs.py checks it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import assert_type

import discord as discord_py

import discordha
from discordha import app_commands
from discordha import views as discord

ha = discordha.DiscordHA(token="token", intents=discord.Intents.all())


@ha.event
def on_message(message: discord.Message) -> None:
    embed = discord.Embed(title="pong", colour=discord.Colour.red())
    sent = message.channel.send("pong", embed=embed, reference=message, view=discord.ui.View())
    assert_type(sent, discord.Message)
    assert_type(message.reply("twice"), discord.Message)
    assert_type(sent.edit(content="thrice"), discord.Message)
    message.channel.send(allowed_mentions=discord.AllowedMentions(users=[message.author]))
    for old in message.channel.history(limit=5):
        assert_type(old, discord.Message)
        old.add_reaction(discord.PartialEmoji(name="x"))
    for pinned in message.channel.pins():
        assert_type(pinned.pinned_at, datetime.datetime)
    with message.channel.typing():
        message.delete(delay=1.0)
    if isinstance(message.channel, discord.TextChannel):
        assert_type(message.channel.create_thread(name="x", message=message), discord.Thread)
        message.channel.delete_messages([message])
    match message.reference:
        case discord.MessageReference(resolved=discord.Message() as answered):
            answered.publish()


@ha.listen("member_join", where=lambda member: not member.bot)
def greet(member: discord.Member) -> None:
    assert_type(member.guild.roles, Sequence[discord.Role])
    role = discord.utils.get(member.guild.roles, name="new")
    if role is not None:
        member.add_roles(role, reason="new here")
    assert_type(member.create_dm(), discord.DMChannel)
    assert_type(member.edit(nick="new"), discord.Member | None)
    for ban in member.guild.bans(limit=None):
        assert_type(ban.user, discord.User)
    for entry in member.guild.audit_logs(action=discord.AuditLogAction.kick):
        entry.guild.leave()
    with member.guild.fetch_members(limit=3) as members:
        assert_type(next(members), discord.Member)


@ha.event
def on_reaction_add(reaction: discord.Reaction, user: discord.Member | discord.User) -> None:
    reaction.remove(user)
    names = sorted(person.name for person in reaction.users())
    reaction.message.channel.send(", ".join(names), nonce="mine")


@ha.event
def on_interaction(interaction: discord.Interaction) -> None:
    assert_type(interaction.response.defer(), discord.InteractionCallbackResponse | None)
    assert_type(interaction.followup.send("later", wait=True), discord.WebhookMessage)
    assert_type(interaction.original_response(), discord.InteractionMessage)
    interaction.response.send_modal(discord.ui.Modal(title="name"))


@ha.on_error
def complain(event: discordha.CurrentEvent, handler: object, error: BaseException) -> None:
    raise error


@ha.loop(seconds=60.0)
def status() -> None:
    client = ha.wrap(ha.client)
    assert_type(client, discord.Client)
    channel = client.get_channel(1) or client.fetch_channel(1)
    if isinstance(channel, discord.ForumChannel):
        made = channel.create_thread(name="news", content="today")
        assert_type(made.message, discord.Message)
        made.thread.edit(archived=True)
    reaction, _ = client.wait_for("reaction_add", timeout=3.0)
    assert_type(reaction, discord.Reaction)
    if client.guilds and isinstance(client.guilds[0].voice_client, discord.VoiceClient):
        client.guilds[0].voice_client.disconnect(force=True)


def by_hand(message: discord.Message, raw: discord_py.Message) -> None:
    """Calls with discord.py's own objects."""
    assert_type(discordha.unwrap(message), discord_py.Message)
    assert_type(ha.wrap(raw), discord.Message)
    assert_type(ha.wrap(None), None)
    assert_type(ha.call(discordha.unwrap(message).channel.send("pong")), discord_py.Message)
    assert_type(ha.wrap(ha.call(raw.channel.send("pong"))), discord.Message)
    assert_type(discord.Poll("Well?", duration=datetime.timedelta(hours=1)), discord_py.Poll)
    message.channel.send(poll=discord.Poll("Well?", duration=datetime.timedelta(hours=1)))


class Bot(discordha.DiscordHA):
    """A bot like a subclass of ``discord.Client``."""

    def on_ready(self) -> None:
        assert_type(self.user, discord.ClientUser | None)
        assert_type(self.get_guild(1), discord.Guild | None)
        assert_type(self.fetch_user(1), discord.User)
        for guild in self.guilds:
            assert_type(guild, discord.Guild)
        channel = self.get_channel(1)
        if isinstance(channel, discord.TextChannel):
            assert_type(channel.send("ready"), discord.Message)


@ha.command(description="Orders")
@app_commands.describe(what="it", amount="how many")
def order(interaction: discord.Interaction, what: str, amount: app_commands.Range[int, 1, 5] = 1) -> None:
    interaction.response.send_message(f"{amount} {what}")


@order.autocomplete("what")
def complete(interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
    return [app_commands.Choice(name=current, value=current)]


@order.error
def order_failed(interaction: discord.Interaction, error: app_commands.AppCommandError) -> None:
    interaction.response.send_message(str(error), ephemeral=True)


tools = ha.tree.group(name="tools", description="Tools")


@tools.command(description="Measures")
def measure(interaction: discord.Interaction) -> None:
    interaction.response.defer()


@ha.tree.context_menu(name="Quote")
def quote(interaction: discord.Interaction, message: discord.Message) -> None:
    interaction.response.send_message(message.content)


@ha.component("vote:{choice}")
def vote(interaction: discord.Interaction, choice: str, values: list[str]) -> None:
    interaction.response.edit_message(content=choice)


# The decorators return the function.
greet(ha.wrap(ha.client.guilds[0].me))
status()

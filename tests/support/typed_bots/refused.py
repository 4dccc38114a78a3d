"""Mistakes that mypy --strict finds in a bot. Each refused line has mypy's message.

Not run; tests/unit/project/test_stubs.py checks it.
"""

from __future__ import annotations

import discord as discord_py

import discordha
from discordha import views as discord

ha = discordha.DiscordHA(token="token", intents=discord.Intents.all())


async def forgotten(message: discord.Message) -> None:
    await message.channel.send("pong")  # Incompatible types in "await"
    async for _ in message.channel.history():  # has no attribute "__aiter__"
        pass


@ha.event
def on_message(message: discord.Message) -> None:
    message.channel.send(5, embed="title")  # No overload variant of "send"
    message.channel.send("pong").jump  # has no attribute "jump"  # noqa: B018
    message.author.nick  # Item "User" of "User | Member" has no attribute "nick"  # noqa: B018
    message.content = 5  # Incompatible types in assignment
    if isinstance(message.author, discord.Member):
        message.author.add_roles("admin")  # has incompatible type "str"
    message.add_reaction(None)  # has incompatible type "None"
    message.guild.leave()  # Item "None" of "Guild | None" has no attribute "leave"
    discord.Guild()  # Too few arguments for "Guild"
    discord.Poll(question=5)  # argument "duration"


@ha.event
def on_member_join(member: discord_py.Member) -> None:
    member.edit(nick="new")  # Value of type "Coroutine[Any, Any, Member | None]" must be used


on_message(5)  # Argument 1 to "on_message" has incompatible type "int"

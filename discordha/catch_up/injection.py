"""Lets discord.py's parser take a missed event as news."""

from __future__ import annotations

import discord

from discordha.catch_up.missed import Missed

__all__ = ["forget"]


def forget(client: discord.Client, missed: Missed) -> None:
    """Removes from discord.py's cache what the new session's GUILD_CREATE already told of an event.

    The parsers of THREAD_CREATE and GUILD_MEMBER_ADD dispatch nothing for a thread or a member that is in the
    cache, and put it there again. Call it right before the parser, on the gateway's thread. Does not block.
    """
    guild_id = missed.payload.get("guild_id")
    guild = client.get_guild(int(guild_id)) if guild_id is not None else None
    if guild is None:
        return
    if missed.type == "THREAD_CREATE":
        guild._threads.pop(int(missed.payload["id"]), None)
    elif missed.type == "GUILD_MEMBER_ADD":
        member = guild.get_member(int(missed.payload["user"]["id"]))
        if member is not None:
            guild._remove_member(member)
        if guild._member_count is not None:
            guild._member_count -= 1  # GUILD_CREATE counted this member

"""Lets discord.py's parser take a missed event as news."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord

__all__ = ["forget"]


def forget(client: discord.Client, kind: str, data: Mapping[str, Any]) -> None:
    """Removes from discord.py's cache what the new session's GUILD_CREATE already told of an event.

    The parsers of THREAD_CREATE and GUILD_MEMBER_ADD dispatch nothing for a thread or a member that is in the
    cache, and put it there again. Call it right before the parser, on the gateway's thread. Does not block.
    """
    guild_id = data.get("guild_id")
    guild = client.get_guild(int(guild_id)) if guild_id is not None else None
    if guild is None:
        return
    if kind == "THREAD_CREATE":
        guild._threads.pop(int(data["id"]), None)
    elif kind == "GUILD_MEMBER_ADD":
        member = guild.get_member(int(data["user"]["id"]))
        if member is not None:
            guild._remove_member(member)
        if guild._member_count is not None:
            guild._member_count -= 1  # GUILD_CREATE counted this member

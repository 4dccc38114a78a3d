"""The guild that an event belongs to. Pure; any thread."""

from __future__ import annotations

from typing import Any

from discordha.coordination.membership.shard_keys import number_for
from discordha.events.identity import Event, decode_payload
from discordha.events.table import EVENTS

__all__ = ["guild_of"]

_ABOUT_GUILDS = ("GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE")


def guild_of(event: Event, number: int, count: int) -> int:
    """The guild whose journal keys an event counts in: the same on every host of its shard.

    :param number: the shard's number, of ``count``.
    """
    guild: Any = None
    if event.raw is not None:
        data = decode_payload(event.raw)
        guild = data.get("guild_id") or (
            data.get("id") if EVENTS[event.name].gateway in _ABOUT_GUILDS else None
        )
    elif event.args:
        guild = getattr(event.args[0], "id", None)
    found = int(guild) if isinstance(guild, int) or (isinstance(guild, str) and guild.isdecimal()) else 0
    # What names no guild of the shard is counted under a number that stands for the shard.
    return found if number_for(found, count) == number else number << 22

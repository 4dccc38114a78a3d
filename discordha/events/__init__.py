"""Events: what discord.py dispatches, who handles each, and by what it is known to all replicas alike."""

from discordha.events.guild import guild_of
from discordha.events.identity import Event, Identity, decode_payload, identify
from discordha.events.table import EVENTS, EventSpec, Scope, suggest

__all__ = [
    "EVENTS",
    "Event",
    "EventSpec",
    "Identity",
    "Scope",
    "decode_payload",
    "guild_of",
    "identify",
    "suggest",
]

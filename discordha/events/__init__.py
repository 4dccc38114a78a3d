"""The events that discord.py dispatches: which replicas handle each, and how all replicas identify it.

Facts about events belong here, as data in ``table`` and pure functions in ``identity``. How a replica
receives, claims or runs events does not. Every room from ``gateway`` upwards may import this package; it
imports ``coordination.membership`` for the numbers of shards.
"""

from discordha.events.caught_up import CaughtUp
from discordha.events.identity import Event, Identity, decode_payload, guild_of, identify
from discordha.events.table import EVENTS, EventSpec, Scope, suggest

__all__ = [
    "EVENTS",
    "CaughtUp",
    "Event",
    "EventSpec",
    "Identity",
    "Scope",
    "decode_payload",
    "guild_of",
    "identify",
    "suggest",
]

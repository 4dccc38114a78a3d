"""The state of a shard's connection, and the meaning of its close codes."""

from __future__ import annotations

import asyncio
import dataclasses
import math

import aiohttp
import discord
from discord.gateway import WebSocketClosure

__all__ = ["FATAL_CODES", "NETWORK_ERRORS", "NEW_SESSION_CODES", "GatewayState"]


@dataclasses.dataclass
class GatewayState:
    """One shard's connection.

    :param connected: whether a session is established and frames arrive.
    :param ready: whether it is connected and knows all guilds.
    :param latency: seconds between a heartbeat and its acknowledgement; infinite before the first.
    :param since: seconds since ``connected`` changed.
    :param silent: seconds since the last frame of any kind.
    :param frames: frames that arrived, in all connections of the shard.
    :param gaps: how often frames were missing, which RESUME fetched.
    :param events: events that arrived as they happened and that other sessions receive, too.
    :param heard: ``events``, and those that RESUME brought later.
    """

    shard_id: int
    connected: bool = False
    ready: bool = False
    latency: float = math.inf
    since: float = 0.0
    silent: float = 0.0
    frames: int = 0
    disconnects: int = 0
    resumes: int = 0
    identifies: int = 0
    gaps: int = 0
    events: int = 0
    heard: int = 0


#: Errors after which a client reconnects.
NETWORK_ERRORS = (
    OSError,
    discord.GatewayNotFound,
    discord.HTTPException,
    discord.ConnectionClosed,
    WebSocketClosure,
    aiohttp.ClientError,
    asyncio.TimeoutError,
)
#: Close codes that end the session: a sequence number that Discord does not know (4007), a session that timed
#: out (4009). RESUME follows all others that are not fatal.
NEW_SESSION_CODES = frozenset({4007, 4009})
#: Close codes after which reconnecting is useless, each with its remedy.
FATAL_CODES = {
    4004: "Discord refuses the token (4004): take a new one from the developer portal",
    4010: "Discord refuses the shard (4010): shard_id must be below shard_count, the same for all replicas",
    4011: "Discord demands sharding (4011): the bot is in too many guilds for one connection; "
    "set shard_count='auto'",
    4012: "Discord no longer speaks this gateway version (4012): update discord.py",
    4013: "Discord refuses the intents (4013): they hold a bit that does not exist; check intents",
    4014: (
        "Discord refuses a privileged intent (4014): switch on 'Presence Intent', 'Server Members Intent' or "
        "'Message Content Intent' in the developer portal, page 'Bot', or leave them out of intents"
    ),
}

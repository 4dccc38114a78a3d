"""What a shard's connection looks like from outside, and what its ends mean."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import aiohttp
import discord
from discord.gateway import WebSocketClosure

__all__ = ["FATAL_CODES", "NETWORK_ERRORS", "NEW_SESSION_CODES", "GatewayState"]


class GatewayState(NamedTuple):
    """One shard's connection.

    :param connected: a session is established and frames arrive.
    :param ready: connected, and all guilds are known.
    :param latency: seconds between a heartbeat and its acknowledgement; infinite when there was none.
    :param since: seconds since ``connected`` has been as it is.
    :param silent: seconds since the last frame of any kind.
    :param frames: frames received by this process.
    :param gaps: how often frames were missing, and fetched by RESUME.
    :param events: events that came as they happened, and that other sessions get as well.
    :param heard: the same with those that RESUME brought later.
    """

    shard_id: int
    connected: bool
    ready: bool
    latency: float
    since: float
    silent: float
    frames: int
    disconnects: int
    resumes: int
    identifies: int
    gaps: int = 0
    events: int = 0
    heard: int = 0


#: What a connection ends by that may be taken up again.
NETWORK_ERRORS = (
    OSError,
    discord.GatewayNotFound,
    discord.HTTPException,
    discord.ConnectionClosed,
    WebSocketClosure,
    aiohttp.ClientError,
    asyncio.TimeoutError,
)
#: Close codes after which the session is over: a sequence number that Discord does not know (4007), a session
#: that timed out (4009). After all others that are not fatal it is taken up by RESUME.
NEW_SESSION_CODES = frozenset({4007, 4009})
#: Close codes after which trying again is useless, and what to do about each.
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

"""What Discord says of a bot before it connects: shards, and the budget for sessions.

Source: ``GET /gateway/bot`` in Discord's gateway documentation. The documentation fixes the pause between two
IDENTIFYs of a bucket at 5 s; a Discord that wants another one (a local one, a proxy with a queue of its own)
says so in a field that Discord's answer does not have: ``identify_interval``, in milliseconds as all times
there.

Concurrency: a coroutine for the gateway's loop; no state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import aiohttp
import discord

from discordha._version import __version__

__all__ = ["IDENTIFY_INTERVAL", "SessionLimits", "fetch_session_limits"]

#: Seconds between two IDENTIFYs of a bucket, as Discord documents it.
IDENTIFY_INTERVAL = 5.0
TIMEOUT = 15.0


class SessionLimits(NamedTuple):
    """The answer.

    :param shards: how many Discord recommends.
    :param total: IDENTIFYs a day.
    :param remaining: of these, left until the day is over.
    :param reset_after: seconds until then.
    :param max_concurrency: buckets, each of which takes one IDENTIFY per ``interval`` seconds.
    """

    shards: int
    total: int
    remaining: int
    reset_after: float
    max_concurrency: int
    interval: float = IDENTIFY_INTERVAL

    @classmethod
    def read(cls, data: dict[str, Any]) -> SessionLimits:
        """From the answer's JSON."""
        start = data["session_start_limit"]
        return cls(
            shards=max(int(data["shards"]), 1),
            total=int(start["total"]),
            remaining=int(start["remaining"]),
            reset_after=int(start["reset_after"]) / 1000,
            max_concurrency=max(int(start["max_concurrency"]), 1),
            interval=int(start.get("identify_interval", IDENTIFY_INTERVAL * 1000)) / 1000,
        )


async def fetch_session_limits(token: str, base: str) -> SessionLimits:
    """Asks Discord.

    :param base: address of the REST API, with its version.
    :raises discord.LoginFailure: Discord refuses the token.
    :raises aiohttp.ClientError: no answer, or none of use.
    """
    headers = {"Authorization": f"Bot {token}", "User-Agent": f"DiscordBot (discordha, {__version__})"}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.get(f"{base}/gateway/bot") as response,
    ):
        if response.status == 401:
            raise discord.LoginFailure("401")
        response.raise_for_status()
        return SessionLimits.read(await response.json())

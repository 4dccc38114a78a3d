"""Asks Discord for a bot's limits before it connects: the number of shards, and the budget for sessions.

Source: ``GET /gateway/bot`` in Discord's gateway documentation, which fixes the pause between two IDENTIFYs
of a bucket at 5 s. A local Discord, or a proxy with a queue of its own, may ask for another pause in the
extra field ``identify_interval``, in milliseconds like all times there.

Threads and locks: one coroutine for the gateway's loop; no state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import aiohttp
import discord

from discordha._version import __version__

__all__ = ["SessionLimits", "fetch_session_limits"]

#: Seconds between two IDENTIFYs of a bucket, as Discord documents it.
IDENTIFY_INTERVAL = 5.0
#: How long Discord may take to answer, seconds.
ANSWER_TIMEOUT = 15.0


class SessionLimits(NamedTuple):
    """Discord's answer.

    :param shards: the number of shards that Discord recommends.
    :param total: IDENTIFYs a day.
    :param remaining: IDENTIFYs that are left until the day is over.
    :param reset_after: seconds until the day is over.
    :param max_concurrency: the number of buckets, each of which takes one IDENTIFY per ``interval`` seconds.
    """

    shards: int
    total: int
    remaining: int
    reset_after: float
    max_concurrency: int
    interval: float = IDENTIFY_INTERVAL

    @classmethod
    def read(cls, data: dict[str, Any]) -> SessionLimits:
        """The limits in the answer's JSON."""
        start = data["session_start_limit"]
        return cls(
            shards=max(int(data["shards"]), 1),
            total=int(start["total"]),
            remaining=int(start["remaining"]),
            reset_after=int(start["reset_after"]) / 1000,
            max_concurrency=max(int(start["max_concurrency"]), 1),
            interval=int(start.get("identify_interval", IDENTIFY_INTERVAL * 1000)) / 1000,
        )


async def fetch_session_limits(
    token: str, base: str, proxy: str | None = None, proxy_auth: aiohttp.BasicAuth | None = None
) -> SessionLimits:
    """Asks Discord.

    :param base: address of the REST API, with its version.
    :param proxy: address of the HTTP proxy, if there is one.
    :raises discord.LoginFailure: Discord refuses the token.
    :raises aiohttp.ClientError: Discord does not answer, or not with limits.
    """
    headers = {"Authorization": f"Bot {token}", "User-Agent": f"DiscordBot (discordha, {__version__})"}
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT)
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.get(f"{base}/gateway/bot", proxy=proxy, proxy_auth=proxy_auth) as response,
    ):
        if response.status == 401:
            raise discord.LoginFailure("401")
        response.raise_for_status()
        return SessionLimits.read(await response.json())

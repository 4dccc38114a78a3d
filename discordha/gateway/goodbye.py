"""The ends of connections and clients.

Threads and locks: everything runs on the gateway's loop without locks.
"""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp

from discordha.errors import DiscordHAError

__all__ = ["ClientClosed", "close_socket"]


class ClientClosed(DiscordHAError):
    """Other code than the gateway's closed a client."""


async def close_socket(socket: aiohttp.ClientWebSocketResponse, timeout: float, *, end_session: bool) -> None:
    """Closes a socket that may not answer. Waits for ``timeout`` seconds at most for each of the two steps.

    :param end_session: whether Discord is told first that the session is over.
    """
    if end_session:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(_end_session(socket), timeout)
    with contextlib.suppress(Exception):
        await asyncio.wait_for(socket.close(code=4000), timeout)


async def _end_session(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Tells Discord that the session is over, and reads until it answers. Closing a connection with unread
    data resets it: Discord might miss the code and keep the session.
    """
    await socket.send_frame((1000).to_bytes(2), aiohttp.WSMsgType.CLOSE)
    open_types = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
    while (await socket.receive()).type in open_types:
        pass

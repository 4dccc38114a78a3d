"""The presence of one gateway session: what IDENTIFY tells, and what changes it later.

Guarantees: IDENTIFY carries the newest presence. A session that was told another one, since the presence
changed while it began or was disconnected, is told the newest as soon as it is connected. Of changes that
come quickly one after another, a session is told the first and the last: Discord takes five in 20 s.

Threads and locks: everything runs on the gateway's loop without locks. The task that tells a session ends
with the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import discord
from discord.activity import create_activity
from discord.gateway import DiscordWebSocket

__all__ = ["Presence", "presence_word"]

#: The least time between two changes of a session's presence, seconds.
PAUSE = 4.0


def presence_word(activity: Any, status: Any) -> dict[str, Any]:
    """A presence in Discord's form: ``activity`` and ``status``.

    :raises TypeError: the activity or the status is none of discord.py's.
    """
    if activity is not None and not isinstance(activity, discord.BaseActivity):
        raise TypeError(f"activity must be an activity, such as discord.Game('chess'), not {activity!r}")
    if status is not None and not isinstance(status, discord.Status):
        raise TypeError(f"status must be a discord.Status, such as discord.Status.idle, not {status!r}")
    shown = discord.Status.online if status is None else status
    name = "invisible" if shown is discord.Status.offline else shown.value
    return {"activity": activity.to_dict() if activity is not None else None, "status": name}


class Presence:
    """See the module.

    :param client: discord.py's client, whose options give the first presence.
    :param socket: the client's connection; ``None`` while there is none.
    """

    def __init__(self, client: discord.Client, socket: Callable[[], DiscordWebSocket | None]) -> None:
        self._client = client
        self._socket = socket
        state = client._connection
        self._first = (state._activity, state._status)
        self._told = self._first
        self._sent_at = -PAUSE
        self._telling: asyncio.Task[None] | None = None

    def set(self, word: Mapping[str, Any] | None) -> None:
        """Changes the presence; ``None``: to that of the options. Does not block."""
        state = self._client._connection
        state._activity, state._status = self._first if word is None else (word["activity"], word["status"])
        self.connected()

    def identified(self) -> None:
        """Notes that an IDENTIFY was made just now."""
        self._told = self._newest()

    def connected(self) -> None:
        """Has the session told if it needs to be. Does not block."""
        resting = self._telling is None or self._telling.done()
        if self._told != self._newest() and resting and self._socket() is not None:
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    def _newest(self) -> tuple[Any, Any]:
        state = self._client._connection
        return state._activity, state._status

    async def _tell(self) -> None:
        while self._told != self._newest():
            await asyncio.sleep(self._sent_at + PAUSE - time.monotonic())
            ws, newest = self._socket(), self._newest()
            if ws is None:
                return  # the next connection is told
            activity, status = newest
            status = status or "online"
            data = {
                "activities": [] if activity is None else [activity],
                "afk": False,
                "since": int(time.time() * 1000) if status == "idle" else 0,
                "status": status,
            }
            try:
                await ws.send_as_json({"op": ws.PRESENCE, "d": data})
            except Exception:  # noqa: BLE001 - the connection is about to end, and the next one is told
                return
            self._told, self._sent_at = newest, time.monotonic()
            self._show(activity, status)

    def _show(self, activity: Any, status: str) -> None:
        """Discord does not send a bot its own presence: the cached members show it."""
        with contextlib.suppress(Exception):  # an activity of a kind that this discord.py does not know
            shown = create_activity(copy.deepcopy(activity), self._client._connection)
            for guild in self._client.guilds:
                if guild.me is not None:
                    guild.me.activities = () if shown is None else (shown,)
                    guild.me.status = discord.Status("offline" if status == "invisible" else status)  # type: ignore[misc]

"""Heartbeats of one gateway connection, counted: so that an answer tells which of them it is to.

Discord answers each heartbeat once, behind the events that it has sent before on the same connection. Who
has sent one now, and got its answer, has received what had been sent by now; and what comes from then on was
not sent before. So a number that was noted as a heartbeat left, of etcd's say, is older than every event
behind its answer, however far the connection lags.

Concurrency: everything runs on the gateway's loop. What waits for an answer ends when its caller has waited
long enough, or at stop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from discord.gateway import DiscordWebSocket

__all__ = ["CountedSocket", "counted", "is_answer"]

#: The answer to a heartbeat is a short frame.
SHORT = 64


def is_answer(raw: str) -> bool:
    """Whether a frame is the answer to a heartbeat."""
    return len(raw) < SHORT and '"op":11' in raw.replace(" ", "")


class CountedSocket(DiscordWebSocket):
    """discord.py's connection, which counts the heartbeats that leave it, whoever sends them."""

    #: What to note as a heartbeat leaves; see ``counted``.
    note: Callable[[], int] = staticmethod(lambda: 0)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sent = 0
        self._answered = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []  # by the number of its heartbeat
        self._notes: deque[int] = deque()  # what was noted as each of those left that are not answered
        #: The latest note that is older than all events which come from now on.
        self.proven = 0

    async def send_as_json(self, data: Any) -> None:
        """Sends a heartbeat at once, in the order of all others; anything else when the limit of frames
        allows it.
        """
        if isinstance(data, dict) and data.get("op") == self.HEARTBEAT:
            await self.send_heartbeat(data)
        else:
            await super().send_as_json(data)

    async def send_heartbeat(self, data: Any) -> None:
        """Sends a heartbeat, and counts it."""
        self._sent += 1
        self._notes.append(self.note())
        await super().send_heartbeat(data)

    async def round_trip(self) -> bool:
        """Sends a heartbeat and waits until it is answered. The caller limits the time."""
        if self._keep_alive is None:
            return False
        number = self._sent + 1
        waits = (number, asyncio.get_running_loop().create_future())
        self._waiting.append(waits)
        try:
            await self.send_heartbeat(self._keep_alive.beat())
            await waits[1]
        finally:
            self._waiting.remove(waits)
        return True

    def note_answer(self) -> None:
        """A heartbeat was answered."""
        self._answered += 1
        if self._notes:
            self.proven = max(self.proven, self._notes.popleft())
        for number, answer in self._waiting:
            if number <= self._answered and not answer.done():
                answer.set_result(None)


def counted(note: Callable[[], int]) -> type[CountedSocket]:
    """The connections of one client.

    :param note: what to note as a heartbeat leaves; none may be older than an event that still comes. Discord
        greets, and the first one leaves, before a connection is anybody's.
    """

    class Socket(CountedSocket):
        pass

    Socket.note = staticmethod(note)
    return Socket

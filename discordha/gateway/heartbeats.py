"""Heartbeats of one gateway connection, and the conclusions that their acknowledgements allow.

Discord acknowledges each heartbeat once, behind the events that it sent earlier on the same connection. Once
a heartbeat is acknowledged, everything that Discord sent before it has arrived. A revision of etcd that was
known when the heartbeat left is therefore older than every event behind the acknowledgement.

Guarantees
- ``acknowledged_revision`` never exceeds the revision that was known when the acknowledged heartbeat left.
- ``Heartbeats.beat`` sends a heartbeat after the call, on this connection or the next. However often it is
  called, Discord's limit of frames is kept.
- ``Heartbeats.caught_up`` is true only when everything has arrived that Discord had sent before the call.
- ``latency`` is that of the acknowledged heartbeat itself, however many are on their way.

Threads and locks: everything runs on the gateway's loop and needs no lock. When the loop stops, it cancels
the waiting calls. Lost leases and lost watches do not concern a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from discord.gateway import DiscordWebSocket, ReconnectWebSocket

from discordha.gateway.state import NETWORK_ERRORS

__all__ = [
    "MAX_ACKNOWLEDGEMENT_CHARACTERS",
    "CountedSocket",
    "Heartbeats",
    "UnreadableFrame",
    "counted_socket",
    "is_acknowledgement",
]

#: Longer frames are no acknowledgements.
MAX_ACKNOWLEDGEMENT_CHARACTERS = 64
#: Heartbeats that may leave at once within a minute, and the pause before each further one, seconds. Discord
#: allows 120 frames a minute.
BURST_PER_MINUTE = 40
BURST_PAUSE = 2.0
#: How long ``caught_up`` waits for an event, seconds.
NEXT_EVENT_TIMEOUT = 30.0


def is_acknowledgement(raw: str) -> bool:
    """Whether a frame acknowledges a heartbeat."""
    return len(raw) < MAX_ACKNOWLEDGEMENT_CHARACTERS and '"op":11' in raw.replace(" ", "")


class UnreadableFrame(ConnectionError):
    """A frame that is no message of the gateway: the connection is damaged, and RESUME brings it again."""


class CountedSocket(DiscordWebSocket):
    """discord.py's connection, which counts the heartbeats that leave it, whoever sends them.

    :ivar sent: heartbeats that left.
    :ivar acknowledged: heartbeats that Discord acknowledged.
    :ivar acknowledged_revision: the latest known revision that is older than every event to come.
    """

    #: The latest revision that this replica knows; see ``counted_socket``.
    known_revision: Callable[[], int] = staticmethod(lambda: 0)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sent = 0
        self.acknowledged = 0
        self.acknowledged_revision = 0
        self._round_trips: list[tuple[int, asyncio.Future[None]]] = []  # by the number of the heartbeat
        self._latency = math.inf
        #: The revision that was known when each unacknowledged heartbeat left, and that moment.
        self._unacknowledged: deque[tuple[int, float]] = deque()

    @property
    def round_trips(self) -> int:
        """How many calls of ``round_trip`` wait."""
        return len(self._round_trips)

    @property
    def latency(self) -> float:
        """Seconds between the last acknowledged heartbeat and its acknowledgement; infinite before the first,
        and after the connection's end. Any thread.
        """
        return self._latency if self._keep_alive is not None else math.inf

    async def received_message(self, msg: Any, /) -> None:
        """Takes a frame.

        :raises UnreadableFrame: the frame is none. Session and sequence number are those of the frame before.
        """
        before = self.session_id, self.sequence, self.gateway
        try:
            await super().received_message(msg)
            if self.sequence is not None and type(self.sequence) is not int:
                raise TypeError(f"the sequence number is {self.sequence!r:.40}")
        except (ReconnectWebSocket, *NETWORK_ERRORS):
            raise
        except Exception as error:  # whatever zlib, JSON and discord.py make of it
            self.session_id, self.sequence, self.gateway = before
            raise UnreadableFrame(f"a frame can't be read: {type(error).__name__}: {error}") from error

    async def send_as_json(self, data: Any) -> None:
        """Sends a heartbeat at once, in order with all others, and any other frame within Discord's limit."""
        if isinstance(data, dict) and data.get("op") == self.HEARTBEAT:
            await self.send_heartbeat(data)
        else:
            await super().send_as_json(data)

    async def send_heartbeat(self, data: Any) -> None:
        """Counts a heartbeat and sends it."""
        self.sent += 1
        self._unacknowledged.append((self.known_revision(), time.perf_counter()))
        await super().send_heartbeat(data)

    async def round_trip(self) -> bool:
        """Sends a heartbeat and waits for its acknowledgement; the caller limits the time. False before
        Discord's greeting.
        """
        if self._keep_alive is None:
            return False
        number = self.sent + 1
        waits = (number, asyncio.get_running_loop().create_future())
        self._round_trips.append(waits)
        try:
            await self.send_heartbeat(self._keep_alive.beat())
            await waits[1]
        finally:
            self._round_trips.remove(waits)
        return True

    def note_acknowledgement(self) -> None:
        """Takes an acknowledgement, which is for the oldest heartbeat without one."""
        self.acknowledged += 1
        if self._unacknowledged:
            revision, left_at = self._unacknowledged.popleft()
            self.acknowledged_revision = max(self.acknowledged_revision, revision)
            self._latency = time.perf_counter() - left_at
            # discord.py measures from the last heartbeat, which its thread notes too late, and warns by that.
            if self._keep_alive is not None:
                self._keep_alive._last_send = left_at
        for number, done in self._round_trips:
            if number <= self.acknowledged and not done.done():
                done.set_result(None)


def counted_socket(revision: Callable[[], int]) -> type[CountedSocket]:
    """The class of one client's connections. discord.py makes the connection itself and sends the first
    heartbeat before anybody can reach it.

    :param revision: returns a revision that is older than every event which is still to come after the
        acknowledgement of a heartbeat that leaves now.
    """

    class Socket(CountedSocket):
        pass

    Socket.known_revision = staticmethod(revision)
    return Socket


class Heartbeats:
    """Sends heartbeats to learn what a shard's connection has delivered.

    :param live: the connection while events arrive on it, else ``None``.
    :param received: how many events have arrived.
    :param timeout: seconds to wait for an acknowledgement.
    """

    def __init__(
        self, live: Callable[[], CountedSocket | None], received: Callable[[], int], timeout: float
    ) -> None:
        self._live = live
        self._received = received
        self._timeout = timeout
        self._beating: asyncio.Task[None] | None = None
        self._again = False
        self._sent_at: deque[float] = deque(maxlen=BURST_PER_MINUTE)

    def beat(self) -> None:
        """Sends a heartbeat; while one is on its way, sends the next after its acknowledgement."""
        if self._beating is not None and not self._beating.done():
            self._again = True
        else:
            self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def _beat(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            ws, now = self._live(), time.monotonic()
            if ws is None:
                return  # the next connection begins with a heartbeat
            if len(self._sent_at) == BURST_PER_MINUTE and now - self._sent_at[0] < 60.0:
                await asyncio.sleep(BURST_PAUSE)
            self._sent_at.append(now)
            with contextlib.suppress(*NETWORK_ERRORS, RuntimeError):
                async with asyncio.timeout(self._timeout):
                    await ws.round_trip()

    async def caught_up(self) -> bool:
        """Whether everything has arrived that Discord had sent before the call. Waits for an acknowledgement,
        behind which nothing older is on its way, then up to ``NEXT_EVENT_TIMEOUT`` seconds for an event: it
        shows that events arrive at all, and its number that none is missing. False when the connection
        changes meanwhile.
        """
        ws = self._live()
        if ws is None:
            return False
        try:
            async with asyncio.timeout(self._timeout):
                if not await ws.round_trip():
                    return False
            received = self._received()
            async with asyncio.timeout(NEXT_EVENT_TIMEOUT):
                while self._received() == received and self._live() is ws:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.05)  # a gap in the numbers shows in the loop's next turn
        except (*NETWORK_ERRORS, RuntimeError):
            return False
        return self._live() is ws

"""Proof of what one gateway connection has received: heartbeats that are sent for that, and waited for.

Promises
- ``beat``: a heartbeat leaves after the call, on the connection at hand or the next, so that what is noted
  as it leaves is proven by its answer (``heartbeats``). However often it is called, Discord's limit of frames
  is kept.
- ``caught_up``: true only when everything has been received that Discord had sent when it was called.

Concurrency: everything runs on the gateway's loop. At stop the loop ends what waits here; a lost lease or
watch does not concern a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

from discordha.gateway.heartbeats import CountedSocket
from discordha.gateway.state import NETWORK_ERRORS

__all__ = ["Proof"]

#: So many heartbeats in a minute are sent at once when something is to be proven; then there is a pause
#: between two, seconds: Discord allows 120 frames a minute.
BEATS = 40
BEAT_PAUSE = 2.0
#: How long to wait for an event that tells that events come, seconds.
NEXT_EVENT = 30.0


class Proof:
    """See the module.

    :param live: the connection, while events come through it.
    :param heard: how many events have come.
    :param patience: how long to wait for the answer to a heartbeat, seconds.
    """

    def __init__(
        self, live: Callable[[], CountedSocket | None], heard: Callable[[], int], patience: float
    ) -> None:
        self._live = live
        self._heard = heard
        self._patience = patience
        self._beating: asyncio.Task[None] | None = None
        self._again = False
        self._sent: deque[float] = deque(maxlen=BEATS)  # when

    def beat(self) -> None:
        """Sends a heartbeat; if one is on its way, when that is answered."""
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
                return  # it begins with the next connection
            if len(self._sent) == BEATS and now - self._sent[0] < 60.0:
                await asyncio.sleep(BEAT_PAUSE)
            self._sent.append(now)
            with contextlib.suppress(*NETWORK_ERRORS, RuntimeError):
                async with asyncio.timeout(self._patience):
                    await ws.round_trip()

    async def caught_up(self) -> bool:
        """Whether all events have been received that Discord had sent by now; waits until that is known.

        First for the answer to a heartbeat, behind which nothing older is on its way. Then for an event, for
        up to ``NEXT_EVENT`` seconds: it tells that events come at all, and its number that none is missing.
        False when the connection is not the same then.
        """
        ws = self._live()
        if ws is None:
            return False
        try:
            async with asyncio.timeout(self._patience):
                if not await ws.round_trip():
                    return False
            heard = self._heard()
            async with asyncio.timeout(NEXT_EVENT):
                while self._heard() == heard and self._live() is ws:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.05)  # whoever finds that one is missing takes another turn of the loop
        except (*NETWORK_ERRORS, RuntimeError):
            return False
        return self._live() is ws

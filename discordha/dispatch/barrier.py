"""Barrier: holds new events back behind those of the same channel that are still to be caught up.

Guarantees: an event of a closed shard waits here, unless it has a lane of its own or its channel is open.
Events of one channel leave in the order in which they came. ``limit`` events wait at the most: then all of a
shard go on, and their order is given up.

Threads and locks: the gateway's thread alone changes anything. ``oldest``, ``held`` and ``unfinished`` read
from any thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence

from discordha.dispatch.handlers import Handler
from discordha.events import Event

__all__ = ["Barrier"]

_Waiting = tuple[Event, Sequence[Handler]]


class Barrier:
    """See the module. ``admit`` takes the events that go on."""

    def __init__(
        self,
        admit: Callable[[Event, Sequence[Handler]], None],
        limit: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._admit = admit
        self._limit = limit
        self._clock = clock
        self._opened_at: dict[int, float] = {}
        self._closed: dict[int, Collection[str] | None] = {}  # by shard: ordering keys; ``None``: all
        self._waiting: dict[int, dict[str, list[_Waiting]]] = {}  # by shard and ordering key
        self._count = 0

    def holds(self, event: Event, handlers: Sequence[Handler]) -> bool:
        """Takes an event that has to wait; false when it may go on."""
        shard = event.shard_id
        if shard not in self._closed:
            return False
        order = event.identity.order
        closed = self._closed[shard]
        if order == event.identity.key or not (closed is None or order in closed):
            return False
        self._waiting.setdefault(shard, {}).setdefault(order, []).append((event, handlers))
        self._count += 1
        if self._count > self._limit:
            self.set(shard, ())
        return True

    def set(self, shard: int, closed: Collection[str] | None) -> None:
        """Closes a shard for these ordering keys, or for all, and lets all others go on. Empty: opens it."""
        if closed is None:
            self._closed[shard] = None
            return
        self._closed[shard] = closed
        waiting = self._waiting.get(shard, {})
        for order, events in waiting.items():
            if order not in closed:
                self._count -= len(events)
                for event, handlers in events:
                    self._admit(event, handlers)
        # Only now, since other threads must find each event here or there.
        self._waiting[shard] = {order: events for order, events in waiting.items() if order in closed}
        if not closed:
            del self._closed[shard], self._waiting[shard]
            self._opened_at[shard] = self._clock()

    def open_all(self) -> None:
        """Lets all events go on."""
        for shard in list(self._closed):
            self.set(shard, ())

    def is_closed(self, shard: int) -> bool:
        """Whether any event of a shard would wait."""
        return shard in self._closed

    def held(self, shard: int, since: float) -> bool:
        """Whether a shard was closed at a moment, or has been since then. Any thread."""
        return shard in self._closed or self._opened_at.get(shard, -math.inf) >= since

    def unfinished(self) -> list[tuple[int, str, float]]:
        """Shard and ordering key of the events that wait, and when the oldest was received. Any thread."""
        return [
            (shard, order, events[0][0].received_at)
            for shard, waiting in self._waiting.copy().items()
            for order, events in waiting.copy().items()
            if events
        ]

    def oldest(self, shard: int) -> float | None:
        """When the oldest event that waits was received."""
        return min((moment for each, _, moment in self.unfinished() if each == shard), default=None)

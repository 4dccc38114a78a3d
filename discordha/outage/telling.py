"""Tells the bot of a gap: one replica of the fleet runs its ``on_gap``.

Guarantees: the event has an identity, by which one replica claims it. A replica that dies on it is followed
by another one, until the event has become a dead letter.

Threads and locks: ``tell`` and ``tell_again`` do not block; any thread. The event is made on the gateway's
thread.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Mapping

from discordha.coordination.gaps.stream import GapState, GapStreams
from discordha.coordination.membership.shard_keys import number_of
from discordha.dispatch import Dispatcher
from discordha.dispatch.handlers import HandlerRegistry
from discordha.events import CaughtUp, Event, Identity, Scope
from discordha.gateway import Gateway
from discordha.outage.gap import Gap

__all__ = ["GAP", "Telling"]

GAP = "gap"


class Telling:
    """See the module. ``wake`` is called once an event is on its way."""

    def __init__(
        self,
        gaps: GapStreams,
        gateway: Gateway,
        dispatcher: Dispatcher,
        registry: HandlerRegistry,
        wake: Callable[[], None],
    ) -> None:
        self._gaps = gaps
        self._gateway = gateway
        self._dispatcher = dispatcher
        self._registry = registry
        self._wake = wake
        self._clock = time.monotonic
        self._offered: dict[str, bool] = {}  # gaps that the bot is being told of: whether that has begun

    def tell(self, shard: int, state: GapState) -> bool:
        """Tells the bot of a gap; whether it has been told."""
        key = f"{shard}/{state.number}/{int(state.since * 1000)}"
        if key not in self._offered:
            self._offered[key] = False
            raw = json.dumps({"discordha": GAP, "shard": shard})
            self._gateway.soon(self._offer, shard, key, _gap(shard, state), raw)
        return self._offered[key] and not self._dispatcher.knows(f"{GAP}/{key}")

    def tell_again(self, shard: int) -> None:
        """Tells the bot once more of a gap whose handler's replica died. Does not block; any thread."""
        state = self._gaps.state(shard)
        if state is not None and not state.told:
            self._offered.pop(f"{shard}/{state.number}/{int(state.since * 1000)}", None)
            self.tell(shard, state)

    def _offer(self, shard: int, key: str, gap: Gap, raw: str) -> None:
        handlers = self._registry.select(GAP, (gap,), caught_up=True)
        if handlers:
            moment = gap.until.timestamp()
            client = self._gateway.clients.get(shard)
            age = client.age_of(moment) if client is not None else 0.0
            now = self._clock()
            identity = Identity(Scope.CLAIM, key, key, None)
            event = Event(GAP, (gap,), identity, shard, raw, now, caught_up=CaughtUp(moment, now - age))
            self._dispatcher.offer(event, handlers)
        self._offered[key] = True
        self._wake()


def _gap(shard: int, state: GapState) -> Gap:
    def at(moment: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(moment, datetime.UTC)

    skipped: Mapping[str, str] = dict(state.skipped)
    return Gap(
        number_of(shard),
        at(state.since),
        at(state.until),
        at(state.fetch_since),
        tuple(state.missing),
        skipped,
    )

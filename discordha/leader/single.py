"""The leader's way of events where there is no etcd: this replica leads, always.

Promises and concurrency are those of ``LeaderService``, but that nothing outlives the process.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from cachetools import LRUCache

from discordha.context import CurrentEvent
from discordha.coordination.journal.entries import JournalEntry
from discordha.coordination.membership.shard_keys import number_of
from discordha.dispatch.handlers import Handler
from discordha.dispatch.items import LeaderItem
from discordha.dispatch.runner import Outcome
from discordha.events import Event

__all__ = ["SingleLeader"]


class SingleLeader:
    """The same where there is no etcd: this replica leads, always.

    Concurrency: ``received`` runs on the gateway thread alone; the rest is stateless.
    """

    under_way = 0

    def __init__(self, put: Callable[[JournalEntry], None]) -> None:
        self._put = put
        self._occurrences: LRUCache[str, int] = LRUCache(20_000)
        self._tokens = itertools.count(1)

    def received(self, event: Event, handlers: Sequence[Handler], sequence: int) -> None:
        """Takes an event: straight to the handlers."""
        item = LeaderItem(event, handlers, sequence, self)
        item.occurrence = self._occurrences[item.key] = self._occurrences.get(item.key, 0) + 1
        self._put(item)

    def begin(self, item: LeaderItem) -> CurrentEvent | None:
        """Always."""
        event = item.event
        return CurrentEvent(
            identity=event.identity.key,
            name=event.name,
            attempt=1,
            shard_id=number_of(event.shard_id),
            fencing_token=next(self._tokens),
            occurrence=item.occurrence,
            is_lost=lambda: False,
        )

    def finished(self, item: LeaderItem, outcome: Outcome) -> None:
        """Nobody needs to know."""

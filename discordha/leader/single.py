"""The leader's way of events where there is no etcd: this replica leads, always.

Promises and concurrency are those of ``LeaderEvents``, but that nothing outlives the process.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cachetools import LRUCache

from discordha.context import CurrentEvent
from discordha.coordination.membership.shard_keys import number_of
from discordha.dispatch.runner import Outcome

if TYPE_CHECKING:
    from discordha.dispatch import Item

__all__ = ["AloneLeader"]


class AloneLeader:
    """The same where there is no etcd: this replica leads, always.

    Concurrency: ``received`` runs on the gateway thread alone; the rest is stateless.
    """

    under_way = 0

    def __init__(self, put: Callable[[Sequence[Item]], None]) -> None:
        self._put = put
        self._occurrences: LRUCache[str, int] = LRUCache(20_000)
        self._tokens = itertools.count(1)

    def received(self, item: Item) -> None:
        """Takes an event: straight to the handlers."""
        item.entry = self._occurrences[item.key] = self._occurrences.get(item.key, 0) + 1
        self._put((item,))

    def begin(self, item: Item) -> CurrentEvent | None:
        """Always."""
        event = item.event
        return CurrentEvent(
            identity=event.identity.key,
            name=event.name,
            attempt=1,
            shard_id=number_of(event.shard_id),
            fencing_token=next(self._tokens),
            occurrence=item.entry,
            is_lost=lambda: False,
        )

    def finished(self, item: Item, outcome: Outcome) -> None:
        """Nobody needs to know."""

"""The leader's part in a replica without peers: it leads always. Nothing outlives the process.

Threads and locks: the gateway thread alone calls ``received``; nothing else has a state.
"""

from __future__ import annotations

import itertools
import secrets
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
    """See the module."""

    under_way = 0

    def __init__(self, put: Callable[[JournalEntry], None]) -> None:
        self._put = put
        self._occurrences: LRUCache[str, int] = LRUCache(20_000)
        self._tokens = itertools.count(1)
        self._epoch = secrets.randbits(62)  # Discord remembers the nonces of the last process

    def received(self, event: Event, handlers: Sequence[Handler], sequence: int) -> None:
        """Puts an event into its lane."""
        item = LeaderItem(event, handlers, sequence, self)
        item.occurrence = self._occurrences[item.key] = self._occurrences.get(item.key, 0) + 1
        self._put(item)

    def passes(self, shard_id: int, guild: int, message: int) -> None:
        """Nobody counts with this replica."""

    def begin(self, item: LeaderItem) -> CurrentEvent | None:
        """The event, as its handlers see it."""
        event, token = item.event, next(self._tokens)
        return CurrentEvent(
            identity=event.identity.key,
            name=event.name,
            attempt=1,
            shard_id=number_of(event.shard_id),
            fencing_token=token,
            occurrence=item.occurrence,
            is_lost=lambda: False,
            epoch=self._epoch + token,
        )

    def finished(self, item: LeaderItem, outcome: Outcome) -> None:
        """Nobody else needs to know."""

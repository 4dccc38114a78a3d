"""Who leads which shard, and the leader of a replica without peers.

Threads and locks: no lock, no I/O. Any thread asks; ``SingleLeader`` says which threads call it.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Sequence

from cachetools import LRUCache

from discordha.context import CurrentEvent
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.election.elections import Elections
from discordha.coordination.journal.entries import JournalEntry
from discordha.coordination.membership.shard_keys import number_of
from discordha.dispatch.handlers import Handler
from discordha.dispatch.items import LeaderItem
from discordha.dispatch.runner import Outcome
from discordha.errors import NotLeader
from discordha.events import Event
from discordha.leader.service import LeaderService

__all__ = ["LeadershipStatus", "SingleLeader"]


class LeadershipStatus:
    """Which replica leads which shard, by the shards' numbers. No I/O; any thread.

    :param leaders: ``None`` without etcd: this replica leads everything.
    :param key_of: gives a shard's key by its number.
    """

    def __init__(
        self,
        leaders: LeaderService | None,
        elections: Elections | None,
        key_of: Callable[[int], int],
        replica_id: str,
    ) -> None:
        self._leaders = leaders
        self._elections = elections
        self._key_of = key_of
        self._replica_id = replica_id

    def term(self, shard_id: int = 0) -> LeaderTerm | None:
        """The present term of leading the shard; ``None`` when another replica leads, and without etcd."""
        election = self._leaders.election(self._key_of(shard_id)) if self._leaders is not None else None
        return election.leadership if election is not None else None

    def is_leader(self, shard_id: int) -> bool:
        """Whether this replica leads the shard."""
        return self._leaders is None or self.term(shard_id) is not None

    def require(self, shard_id: int) -> int:
        """The fencing token of leading the shard, 0 without etcd; ``NotLeader`` if another replica leads."""
        if self._leaders is None:
            return 0
        term = self.term(shard_id)
        if term is None:
            raise NotLeader(f"{self.leader(shard_id) or 'nobody'} leads shard {shard_id}, not this replica")
        return term.fencing_token

    def leader(self, shard_id: int) -> str | None:
        """The replica that leads the shard."""
        if self._leaders is None:
            return self._replica_id
        key = self._key_of(shard_id)
        election = self._leaders.election(key)
        if election is not None:
            return election.leader
        return self._elections.first(key) if self._elections is not None else None


class SingleLeader:
    """Leads always: the way of leader events for a replica without peers. Nothing outlives the process.

    The gateway thread alone calls ``received``; nothing else has a state.
    """

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

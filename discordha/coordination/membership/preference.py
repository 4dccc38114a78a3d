"""Preference: which of a shard's hosts claims an event first.

Guarantees: ``rank`` agrees on all replicas that see the same hosts. Hosts that are draining rank last, and so
does a replica that is not ready for the shard.

Preference spreads the load and keeps a channel's events in order on one replica. Safety never depends on it.

Threads and locks: no thread. ``_lock`` guards the cache of ranks; nothing is called under it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from cachetools import LRUCache

from discordha.coordination.membership.members import Members
from discordha.coordination.membership.placement import CACHED_RANKS, rank_among
from discordha.coordination.membership.shard_keys import generation_of
from discordha.coordination.membership.shard_plan import ShardPlan

__all__ = ["ShardPreference"]


class ShardPreference:
    """The preference among the hosts of each shard. Events of a generation that does not serve are left to
    the hosts of the serving one, which receive them too."""

    def __init__(self, plan: ShardPlan, members: Members, replica_id: str) -> None:
        self._plan = plan
        self._members = members
        self._replica_id = replica_id
        self._lock = threading.Lock()
        self._ranks: LRUCache[tuple[str, int], int] = LRUCache(CACHED_RANKS)
        self._known: tuple[int, frozenset[str]] = (-1, frozenset())

    def listen(self, changed: Callable[[], None]) -> None:
        """Calls ``changed`` on the watch's thread when ranks may have changed. Before the watch starts."""
        self._members.listen(changed)
        self._plan.listeners.append(changed)

    @property
    def version(self) -> tuple[int, frozenset[str]]:
        """Changes whenever ranks may. No I/O; any thread."""
        return self._plan.version, self._members.draining

    def rank(self, ordering_key: str, shard: int = 0) -> int:
        """How many hosts are preferred to this replica. No I/O; any thread."""
        plan = self._plan
        version = self.version
        with self._lock:
            if version != self._known:
                self._known = version
                self._ranks.clear()
            known = self._ranks.get((ordering_key, shard))
        if known is not None:
            return known
        hosts, draining = plan.ready(shard), version[1]
        last = draining if self._replica_id in hosts else draining | {self._replica_id}
        rank = rank_among(self._replica_id, ordering_key, hosts, last)
        if generation_of(shard) != plan.serving:
            rank += len(hosts)
        with self._lock:
            if self._known == version:
                self._ranks[ordering_key, shard] = rank
        return rank

    def has_received(self, shard: int, moment: float) -> bool:
        """Whether another host has received what this replica received at a moment; see ``Members``."""
        return self._members.has_received(shard, moment, self._plan.ready(shard))

    def is_silent(self, member: str) -> bool:
        """See ``Members``."""
        return self._members.is_silent(member)

    @property
    def any_silent(self) -> bool:
        """See ``Members``."""
        return self._members.any_silent

    def owes(self, order: str, shard: int) -> bool:
        """See ``Members``."""
        return self._members.owes(order, shard)

    def review(self) -> None:
        """See ``Members``."""
        self._members.review()

"""Who of a shard's hosts claims an event first.

Promises: ``rank`` agrees on all replicas that see the same hosts. Hosts that are draining rank last, and so
does a replica that is not ready for the shard. Events of a generation that does not serve are left to the
hosts of the one that does, which receive them, too.

Does not promise safety: it spreads the load, and keeps a channel's events in order on one replica.

Concurrency: no thread. ``_lock`` guards the cache of ranks; nothing is called under it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from cachetools import LRUCache

from discordha.coordination.membership.members import RANKS, Members
from discordha.coordination.membership.rendezvous import order
from discordha.coordination.membership.shard_keys import generation_of
from discordha.coordination.membership.shard_plan import ShardPlan

__all__ = ["ShardPreference"]


class ShardPreference:
    """The preference among the hosts of each shard."""

    def __init__(self, plan: ShardPlan, members: Members, replica_id: str) -> None:
        self._plan = plan
        self._members = members
        self._replica_id = replica_id
        self._lock = threading.Lock()
        self._ranks: LRUCache[tuple[str, int], int] = LRUCache(RANKS)
        self._known: tuple[int, frozenset[str]] = (-1, frozenset())

    def listen(self, changed: Callable[[], None]) -> None:
        """Calls ``changed`` on the watch's thread when ranks may have changed. Before the watch starts."""
        self._members.listen(changed)
        self._plan.listeners.append(changed)

    @property
    def version(self) -> tuple[int, frozenset[str]]:
        """Differs once ranks may. No I/O; any thread."""
        return self._plan.version, self._members.draining

    def rank(self, ordering_key: str, shard: int = 0) -> int:
        """How many hosts are preferred to this replica. No I/O; any thread."""
        plan = self._plan
        version = self.version
        draining = version[1]
        with self._lock:
            if version != self._known:
                self._known = version
                self._ranks.clear()
            known = self._ranks.get((ordering_key, shard))
        if known is not None:
            return known
        hosts = plan.ready(shard)
        last = draining if self._replica_id in hosts else draining | {self._replica_id}
        ranked = order(ordering_key, {*hosts, self._replica_id})
        ranked.sort(key=last.__contains__)  # stable: those that rank last keep their order
        rank = ranked.index(self._replica_id)
        if generation_of(shard) != plan.serving:
            rank += len(hosts)
        with self._lock:
            if self._known == version:
                self._ranks[ordering_key, shard] = rank
        return rank

    def has_received(self, shard: int, moment: float) -> bool:
        """Whether another host has received what this one received at a moment; see ``Members``."""
        return self._members.has_received(shard, moment, self._plan.ready(shard))

"""Preference: which of several replicas is responsible for a key, agreed on without communication.

Guarantees
- Processes that know the same members rank them equally, on every machine and in every version. If a member
  goes, only its keys move, and they spread evenly over the others.
- ``ShardPreference.rank`` agrees on all replicas that see the same hosts. Hosts that are draining rank last,
  and so does a replica that is not ready for the shard.

Preference spreads the load and keeps a channel's events in order on one replica. Safety never depends on it,
because processes may know different members for a moment.

Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996), with 64 bits of BLAKE2b
as the weight.

Threads and locks: no thread. ``ShardPreference._lock`` guards its cache; nothing is called under it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable
from hashlib import blake2b
from typing import Protocol

from cachetools import LRUCache

from discordha.coordination.membership.shard_keys import generation_of

__all__ = ["CACHED_RANKS", "ShardPreference", "order", "rank_among", "weight"]

#: How many keys' ranks are cached.
CACHED_RANKS = 20_000


def weight(key: str, member: str) -> bytes:
    """The weight of a member for a key; the highest is preferred. Part of the format: all versions must
    agree."""
    return blake2b(f"{key}\0{member}".encode(), digest_size=8).digest()


def order(key: str, members: Iterable[str]) -> list[str]:
    """The members, the preferred one first."""
    return sorted(members, key=lambda member: (weight(key, member), member), reverse=True)


def rank_among(member: str, key: str, others: Iterable[str], last: Container[str]) -> int:
    """How many members are preferred to one of them for a key; ``last`` says which rank behind all others."""
    ranked = order(key, {*others, member})
    ranked.sort(key=last.__contains__)  # stable: those that rank last keep their order
    return ranked.index(member)


class _Plan(Protocol):
    """The part of ``ShardPlan`` that is used here."""

    version: int
    listeners: list[Callable[[], None]]

    @property
    def serving(self) -> int | None: ...
    def ready(self, key: int) -> frozenset[str]: ...


class _Members(Protocol):
    """The part of ``Members`` that is used here."""

    @property
    def draining(self) -> frozenset[str]: ...
    def listen(self, changed: Callable[[], None]) -> None: ...
    def has_received(self, shard: int, moment: float, among: Container[str] | None = None) -> bool: ...


class ShardPreference:
    """The preference among the hosts of each shard.

    Events of a generation that does not serve are left to the hosts of the one that does, which receive them
    too.
    """

    def __init__(self, plan: _Plan, members: _Members, replica_id: str) -> None:
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

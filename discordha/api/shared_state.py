"""What all replicas of a bot share, as its author sees it: caches and named locks.

Concurrency: any thread but the gateway's, at any time; views may be made before the bot starts.
"""

from __future__ import annotations

from typing import Any

from discordha.api.cache import Cache
from discordha.api.lock import NamedLock
from discordha.api.replica_access import Part
from discordha.coordination.shared.facade import KeyedLocks

__all__ = ["SharedState"]


class SharedState(Part):
    """The part of ``DiscordHA`` that reads and writes what is shared."""

    def __init__(self) -> None:
        super().__init__()
        self._flights = KeyedLocks()

    def cache(self, name: str, ttl: float | None = None, *, local: bool = False, type: Any = None) -> Cache:
        """A view on the cache ``name``, which all replicas share: JSON values by key. Does not block.

        :param ttl: seconds that its values live; ``None``: until they are deleted.
        :param local: reads come from memory, kept fresh by a watch: no round trip, and other replicas' writes
            are seen a few milliseconds later. Without the watch they come from etcd.
        :param type: what values are read back as: a dataclass, ``list[...]`` of one, and so on.
        """
        return Cache(lambda: self._running().shared, self._flights, name, ttl=ttl, local=local, kind=type)

    def cache_read(self, cache: str, key: str | int, *, type: Any = None) -> Any:
        """The value under a key. Blocks for a round trip.

        :raises CacheKeyNotExist: there is none.
        :raises StoreUnavailable: etcd does not answer.
        """
        return self.cache(cache, type=type)[key]

    def cache_write(self, cache: str, key: str | int, value: Any, ttl: float | None = None) -> None:
        """Writes a value, whatever was there. Blocks for a round trip. See ``Cache.set``.

        :param ttl: seconds that it lives; ``None``: until it is deleted.
        """
        self.cache(cache, ttl).set(key, value)

    def lock(self, name: str, timeout: float | None = None) -> NamedLock:
        """A lock that one holder among all replicas has at a time: ``with ha.lock("import") as lock:``.

        Whoever asked first gets it first. It goes with the replica that holds it: when that dies, the next
        has it within ``session_ttl``. Once another may hold it, the holder's blocking calls raise
        ``LockLost``.

        :param timeout: seconds to wait for others; ``None``: for as long as etcd answers. Its own answer is
            waited for in any case, for a second.
        """
        return NamedLock(lambda: self._running().shared.locks, name, timeout)

"""Caches and named locks that all replicas share: ``strikes = ha.cache("strikes", ttl=3600)``.

Guarantees
- Each call is atomic over all replicas. Writes are fenced like calls to Discord: code that has lost its event
  or its lock gets ``LockLost``, and etcd itself guards a write under a named lock.
- A call ends within a few times ``etcd_timeout``, with ``StoreUnavailable`` when etcd does not answer.

Not guaranteed: that a deletion stops ``get_or_set``. A value that was being computed at the deletion is still
written.

Threads and locks: any thread but the gateway's, at any time; views may be made before the bot starts. The
only state is the locks of ``get_or_set``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from discordha.api.client import ReplicaAccess
from discordha.api.lock import NamedLock
from discordha.context import Fence, check_fence, current_fence
from discordha.coordination.shared.facade import KeyedLocks, Shared
from discordha.coordination.shared.values import (
    MISSING,
    check_name,
    check_ttl,
    decode_value,
    encode_value,
    key_text,
)
from discordha.errors import CacheKeyNotExist, LockLost

__all__ = ["Cache", "SharedState"]

_DEFAULT: Any = object()


class Cache:
    """A view on one cache, made by ``ha.cache``. Any number of threads may use it at once, except for the
    gateway's. Its methods raise ``ValueError`` for a key that is neither text of 1 to 1,024 bytes nor an id.

    :param shared: returns the shared state of the running replica.
    :param flights: locks for the computations of ``get_or_set`` in this process.
    :param ttl: seconds that values live unless a call says otherwise; ``None``: until they are deleted.
    :param local: whether reads come from memory, which a watch keeps fresh.
    :param kind: the type of the values, such as a dataclass.
    """

    def __init__(
        self,
        shared: Callable[[], Shared],
        flights: KeyedLocks,
        name: str,
        *,
        ttl: float | None = None,
        local: bool = False,
        kind: Any = None,
    ) -> None:
        self.name = check_name(name)
        self.ttl = check_ttl(ttl)
        self._shared = shared
        self._flights = flights
        self._local = local
        self._kind = kind

    def __repr__(self) -> str:
        return f"<Cache {self.name!r} ttl={self.ttl}{' local' if self._local else ''}>"

    def get(self, key: str | int, default: Any = None) -> Any:
        """The value, or ``default``. Blocks for a round trip; with ``local`` usually not at all. Any thread.

        :param key: text, or an id of Discord's.
        :raises StoreUnavailable: etcd does not answer.
        """
        found = self._shared().caches.get(self.name, key_text(key), local=self._local)
        return default if found is MISSING else self._read(found)

    def __getitem__(self, key: str | int) -> Any:
        """The value. Blocks as ``get`` does; any thread.

        :raises CacheKeyNotExist: the key has no value.
        :raises StoreUnavailable: etcd does not answer.
        """
        found = self.get(key, _DEFAULT)
        if found is _DEFAULT:
            raise CacheKeyNotExist(f"the cache {self.name!r} holds no value under {key!r}")
        return found

    def __contains__(self, key: str | int) -> bool:
        """Whether there is a value. Blocks and raises as ``get`` does; any thread."""
        return self._shared().caches.get(self.name, key_text(key), local=self._local) is not MISSING

    def set(self, key: str | int, value: Any, *, ttl: float | None = _DEFAULT) -> None:
        """Writes a value, or replaces one. Blocks for a round trip; any thread.

        :param value: a value that JSON can hold, or a dataclass; up to 1 MiB.
        :param ttl: seconds, instead of the cache's own; ``None``: until the value is deleted.
        :raises TypeError: JSON cannot hold the value; names the part.
        :raises ValueError: the value is too large.
        :raises LockLost: the caller has lost its event or lock; nothing was written.
        :raises StoreUnavailable: etcd does not answer; ``maybe_applied``: the value may have been written.
        """
        text, data = key_text(key), encode_value(value)
        fence = self._fence("set", text)
        self._shared().caches.set(self.name, text, data, self._ttl(ttl), _guards(fence))

    def __setitem__(self, key: str | int, value: Any) -> None:
        """See ``set``."""
        self.set(key, value)

    def delete(self, key: str | int) -> bool:
        """Deletes a value; true if there was one. Blocks for a round trip; any thread.

        :raises LockLost: the caller has lost its event or lock; nothing was deleted.
        :raises StoreUnavailable: etcd does not answer.
        """
        text = key_text(key)
        fence = self._fence("delete", text)
        return self._shared().caches.delete(self.name, text, _guards(fence))

    def __delitem__(self, key: str | int) -> None:
        """See ``delete``.

        :raises CacheKeyNotExist: the key has no value.
        """
        if not self.delete(key):
            raise CacheKeyNotExist(f"the cache {self.name!r} holds no value under {key!r}")

    def increment(self, key: str | int, by: int = 1, *, ttl: float | None = _DEFAULT) -> int:
        """Adds to a counter, atomically over all replicas; returns its new value. Blocks for a round trip;
        any thread.

        A new counter begins at 0 and lives for ``ttl`` seconds; increments do not prolong its life.

        :raises TypeError: the value, or ``by``, is no whole number.
        :raises LockLost: the caller has lost its event or lock; nothing was counted.
        :raises StoreUnavailable: etcd does not answer; ``maybe_applied``: the increment may have been
            counted.
        """
        text = key_text(key)
        if isinstance(by, bool) or not isinstance(by, int):
            raise TypeError(f"a counter counts by whole numbers, not by {by!r}")
        fence = self._fence("increment", text)
        return self._shared().counters.add(self.name, text, by, self._ttl(ttl), _guards(fence))

    def get_or_set(
        self,
        key: str | int,
        compute: Callable[[], Any],
        *,
        ttl: float | None = _DEFAULT,
        timeout: float | None = None,
    ) -> Any:
        """The value; when there is none, ``compute()`` becomes the value. Blocks; any thread.

        Over all replicas one caller computes at a time, and the others wait for its value. When ``compute``
        fails, its caller gets the exception, and the next caller computes. So it is when a replica dies.

        :param timeout: seconds to wait while others compute; ``None``: for as long as etcd answers.
        :raises TimeoutError: others did not finish in time.
        :raises TypeError: JSON cannot hold what ``compute`` returned; names the part.
        :raises ValueError: what ``compute`` returned is too large.
        :raises LockLost: the caller has lost its event or lock, or its session during ``compute``.
        :raises StoreUnavailable: etcd does not answer.
        """
        text, ttl = key_text(key), self._ttl(ttl)
        shared = self._shared()
        caches = shared.caches
        found = caches.get(self.name, text, local=self._local)
        if found is not MISSING:
            return self._read(found)
        with self._flights.turn((self.name, text), timeout):
            found = caches.get(self.name, text)
            if found is not MISSING:
                return self._read(found)
            with shared.computing(self.name, text, timeout) as guards:
                found = caches.get(self.name, text)
                if found is MISSING:
                    data = encode_value(compute())
                    found = self._create(shared, text, data, ttl, guards)
        return self._read(found)

    def items(self, prefix: str = "") -> list[tuple[str, Any]]:
        """All keys that begin with ``prefix``, in order, with their values at one moment. Blocks for a
        round trip also with ``local``; any thread.

        :raises TypeError: the prefix is no text.
        :raises StoreUnavailable: etcd does not answer.
        """
        if not isinstance(prefix, str):
            raise TypeError(f"a prefix is a text, not {prefix!r}")
        return [(key, self._read(value)) for key, value in self._shared().caches.items(self.name, prefix)]

    def _create(self, shared: Shared, key: str, data: bytes, ttl: float | None, guards: Any) -> Any:
        """Writes a computed value unless the key has one by now; returns the key's value."""
        fence = self._fence("get_or_set", key)
        try:
            found = shared.caches.create(self.name, key, data, ttl, (*guards, *_guards(fence)))
        except LockLost:  # the session was lost meanwhile: another replica may have computed since
            check_fence(self._call("get_or_set", key))
            found = shared.caches.get(self.name, key)
            if found is MISSING:
                raise
        return json.loads(data) if found is MISSING else found

    def _ttl(self, ttl: float | None) -> float | None:
        return self.ttl if ttl is _DEFAULT else check_ttl(ttl)

    def _read(self, plain: Any) -> Any:
        return plain if self._kind is None else decode_value(self._kind, plain)

    def _call(self, method: str, key: str) -> str:
        return f"{method}({key!r}) of the cache {self.name!r}"

    def _fence(self, method: str, key: str) -> Fence:
        check_fence(self._call(method, key))
        return current_fence()


def _guards(fence: Fence) -> tuple[Any, ...]:
    return tuple(guard for lock in fence.locks for guard in getattr(lock, "guards", tuple)())


class SharedState(ReplicaAccess):
    """The part of ``DiscordHA`` that reads and writes what all replicas share."""

    def __init__(self) -> None:
        super().__init__()
        self._flights = KeyedLocks()

    def cache(self, name: str, ttl: float | None = None, *, local: bool = False, type: Any = None) -> Cache:
        """A view on the cache ``name``, which all replicas share: JSON values by key. Does not block; any
        thread.

        :param ttl: seconds that its values live; ``None``: until they are deleted.
        :param local: whether reads come from memory, which a watch keeps fresh. They cost no round trip and
            show other replicas' writes a few milliseconds later. While the watch is down, reads ask etcd.
        :param type: the type of the values: a dataclass, ``list[...]`` of one, and so on.
        :raises ValueError: the name or ``ttl`` is impossible.
        """
        what = f"ha.cache({name!r})"
        return Cache(
            lambda: self._blocking(what).shared, self._flights, name, ttl=ttl, local=local, kind=type
        )

    def cache_read(self, cache: str, key: str | int, *, type: Any = None) -> Any:
        """The value under a key. Blocks for a round trip; any thread.

        :param type: see ``cache``.
        :raises CacheKeyNotExist: the key has no value.
        :raises StoreUnavailable: etcd does not answer.
        """
        return self.cache(cache, type=type)[key]

    def cache_write(self, cache: str, key: str | int, value: Any, ttl: float | None = None) -> None:
        """Writes a value, or replaces one. Blocks for a round trip; any thread. Raises as ``Cache.set`` does.

        :param ttl: seconds that it lives; ``None``: until it is deleted.
        """
        self.cache(cache, ttl).set(key, value)

    def lock(self, name: str, timeout: float | None = None) -> NamedLock:
        """A lock that one holder among all replicas has at a time: ``with ha.lock("import") as lock:``.

        Does not block before ``with``; any thread. Callers get the lock in the order in which they asked.
        When its holder's replica dies, the next caller gets it within ``session_ttl``. Once another caller
        may hold it, the former holder's blocking calls raise ``LockLost``.

        :param timeout: seconds to wait for other holders; ``None``: for as long as etcd answers. The call
            waits a second for etcd's own answer in any case.
        :raises ValueError: the name or the time-out is impossible.
        """
        what = f"ha.lock({name!r})"
        return NamedLock(lambda: self._blocking(what).shared.locks, name, timeout)

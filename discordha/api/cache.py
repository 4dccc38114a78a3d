"""One shared cache as handlers use it: ``strikes = ha.cache("strikes", ttl=3600)``.

Promises
- Each call is atomic, over all replicas. Writes are fenced as calls to Discord are: code that has lost its
  event or its lock gets ``LockLost``, and a write under a named lock is guarded by it in etcd itself.
- A call ends within a few times ``etcd_timeout``, with ``StoreUnavailable`` when etcd does not answer.

Does not promise that ``get_or_set`` leaves out a value that was computed before somebody deleted the key: a
deletion while another computes takes away what was there, not what will be.

Concurrency: any thread but the gateway's. No state but the locks of ``get_or_set``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

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

__all__ = ["Cache"]

_DEFAULT: Any = object()


class Cache:
    """A view on one cache. Made by ``ha.cache``; may be made before the bot starts.

    :param shared: gives what the running replica shares.
    :param ttl: seconds that values live, unless a call says otherwise; ``None``: until they are deleted.
    :param local: reads come from memory, kept fresh by a watch.
    :param kind: what values are read back as, such as a dataclass.
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
        """The value, or ``default``. Blocks for a round trip; with ``local`` usually not at all.

        :param key: text, or an id of Discord's.
        :raises StoreUnavailable: etcd does not answer.
        """
        found = self._shared().caches.get(self.name, key_text(key), local=self._local)
        return default if found is MISSING else self._read(found)

    def __getitem__(self, key: str | int) -> Any:
        """The value; see ``get``.

        :raises CacheKeyNotExist: there is none.
        """
        found = self.get(key, _DEFAULT)
        if found is _DEFAULT:
            raise CacheKeyNotExist(f"the cache {self.name!r} holds no value under {key!r}")
        return found

    def __contains__(self, key: str | int) -> bool:
        """Whether there is a value; see ``get``."""
        return self._shared().caches.get(self.name, key_text(key), local=self._local) is not MISSING

    def set(self, key: str | int, value: Any, *, ttl: float | None = _DEFAULT) -> None:
        """Writes a value, whatever was there. Blocks for a round trip.

        :param value: what JSON can hold, or a dataclass; up to 1 MiB.
        :param ttl: seconds, instead of the cache's own; ``None``: until it is deleted.
        :raises TypeError: JSON can't hold it; says what.
        :raises ValueError: it is too large.
        :raises LockLost: the caller has lost what it runs under; nothing was written.
        :raises StoreUnavailable: etcd does not answer; ``maybe_applied``: it may have been written.
        """
        text, data = key_text(key), encode_value(value)
        fence = self._fence("set", text)
        self._shared().caches.set(self.name, text, data, self._ttl(ttl), _guards(fence))

    def __setitem__(self, key: str | int, value: Any) -> None:
        """See ``set``."""
        self.set(key, value)

    def delete(self, key: str | int) -> bool:
        """Deletes a value; whether there was one. Blocks for a round trip.

        :raises LockLost: the caller has lost what it runs under; nothing was deleted.
        :raises StoreUnavailable: etcd does not answer.
        """
        text = key_text(key)
        fence = self._fence("delete", text)
        return self._shared().caches.delete(self.name, text, _guards(fence))

    def __delitem__(self, key: str | int) -> None:
        """See ``delete``.

        :raises CacheKeyNotExist: there is none.
        """
        if not self.delete(key):
            raise CacheKeyNotExist(f"the cache {self.name!r} holds no value under {key!r}")

    def increment(self, key: str | int, by: int = 1, *, ttl: float | None = _DEFAULT) -> int:
        """Counts up, atomically over all replicas; returns the value after it. Blocks for a round trip.

        A counter that is not there begins at 0 and lives for ``ttl`` seconds from then on: counting up does
        not prolong it.

        :raises TypeError: the value, or ``by``, is no whole number.
        :raises LockLost: the caller has lost what it runs under; nothing was counted.
        :raises StoreUnavailable: etcd does not answer; ``maybe_applied``: it may have been counted.
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
        """The value; when there is none, ``compute()``, which becomes the value. Blocks.

        Over all replicas one caller computes at a time, and the others wait for its value. When it fails, its
        caller gets the exception, and the next one computes; so, too, when its replica dies.

        :param timeout: seconds to wait while others compute; ``None``: for as long as etcd answers.
        :raises TimeoutError: others were not ready in time.
        :raises LockLost: the caller has lost what it runs under, or lost its session while it computed.
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
        """All keys that begin with ``prefix``, in order, with their values, as they are at one moment.
        Blocks; always asks etcd.

        :raises StoreUnavailable: etcd does not answer.
        """
        if not isinstance(prefix, str):
            raise TypeError(f"a prefix is a text, not {prefix!r}")
        return [(key, self._read(value)) for key, value in self._shared().caches.items(self.name, prefix)]

    def _create(self, shared: Shared, key: str, data: bytes, ttl: float | None, guards: Any) -> Any:
        """Writes what was computed, unless there is a value by now; returns what is there."""
        fence = self._fence("get_or_set", key)
        try:
            found = shared.caches.create(self.name, key, data, ttl, (*guards, *_guards(fence)))
        except LockLost:  # the session was lost while it computed: another may have computed since
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

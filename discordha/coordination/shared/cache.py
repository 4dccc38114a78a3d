"""The shared caches: keys ``c/<cache>/<key>`` that all replicas of a bot read and write.

Guarantees
- A read that begins after a write was answered sees that write or a later one, on any replica. Reads through
  a local copy promise less: see ``local_layer``.
- A call ends within three ``retry_for``, usually within one. A call that certainly did nothing is repeated
  until then, which bridges an election in etcd; a write that may have been applied is not. While etcd takes
  none, all callers together ask as often as one would (``backoff``).
- A write with ``guards`` happens only if they hold at its revision: a lock that was lost while the request
  was under way lets nothing through.

Threads and locks: every method may be called from any thread except the gateway's, and blocks. Connections
and group commit are the caches' own, so that large values do not delay claims. ``_lock`` guards ``_layers``.
"""

from __future__ import annotations

import enum
import functools
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from urllib.parse import quote

from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    DeleteDone,
    Get,
    KeyValue,
    LeaseNotFound,
    Put,
    Store,
    Txn,
    TxnResult,
)
from discordha.coordination.shared.backoff import Backoff
from discordha.coordination.shared.expiry import Expiry
from discordha.coordination.shared.local_layer import LocalLayer
from discordha.coordination.shared.values import MISSING, Missing, Record, new_stamp
from discordha.errors import LockLost, StoreUnavailable

__all__ = ["SMALL", "Calls", "SharedCaches"]

T = TypeVar("T")
_quoted = functools.lru_cache(1_000)(functools.partial(quote, safe=""))

#: Writes of at most this many bytes share transactions: 120 of them stay below etcd's limit of 1.5 MiB.
SMALL = 8 * 1024
#: The first and the longest pause before a call is repeated, seconds.
FIRST_RETRY_PAUSE = 0.02
LAST_RETRY_PAUSE = 0.25
#: How often a lease may be lost between its grant and the write.
LEASE_TRIES = 3


class Calls(enum.Enum):
    """What etcd takes or refuses alike: a full disk refuses writes alone, and a role may hide the locks that
    guards compare.
    """

    READS = enum.auto()
    WRITES = enum.auto()
    GUARDED = enum.auto()

    @staticmethod
    def writing(guards: Sequence[Compare]) -> Calls:
        """The kind of a write with these guards."""
        return Calls.GUARDED if guards else Calls.WRITES


class SharedCaches:
    """All shared caches, as one replica sees them.

    :param store: for these caches alone; closed by ``stop``.
    :param prefix: of their keys, ending in ``/``.
    :param retry_for: seconds for which a call that did nothing is repeated.
    :param silence: seconds after which a silent watch is opened again.
    :param local_copies: whether reads with ``local`` keep a copy of their cache.
    """

    def __init__(
        self,
        store: Store,
        prefix: str,
        *,
        retry_for: float,
        silence: float,
        local_copies: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._commit = GroupCommit(store)  # not started: a caller waits for each of these writes
        self._prefix = prefix
        self._retry_for = retry_for
        self._silence = silence
        self._local_copies = local_copies
        self._clock = clock
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._layers: dict[str, LocalLayer] = {}
        self.expiry = Expiry(store, clock=clock)
        self._backoffs = {kind: Backoff(FIRST_RETRY_PAUSE, LAST_RETRY_PAUSE, clock=clock) for kind in Calls}

    def stop(self) -> None:
        """Ends all threads and closes all connections. Idempotent."""
        self._stop.set()
        for backoff in self._backoffs.values():
            backoff.stop()
        with self._lock:
            layers, self._layers = list(self._layers.values()), {}
        for layer in layers:
            layer.stop()
        self.expiry.stop()
        self._commit.stop()
        self._store.close()

    # -- reads -----------------------------------------------------------------------------------------------

    def get(self, cache: str, key: str, *, local: bool = False) -> Any | Missing:
        """The value, or ``MISSING``.

        :param local: through the local copy of the cache, which is made at the first such call.
        """
        path = self.path(cache, key)
        if local and self._local_copies:
            layer = self._layers.get(cache) or self._follow(cache)
            if layer is not None:
                return layer.read(path, lambda: self.fetch(path))
        kv = self.fetch(path)
        return MISSING if kv is None else Record.read(kv.value)[0]

    def fetch(self, path: str) -> KeyValue | None:
        """The key's present value in the store."""
        return self.repeat(lambda left: self._store.get(path, timeout=left))

    def items(self, cache: str, prefix: str = "") -> list[tuple[str, Any]]:
        """All keys that begin with ``prefix``, sorted, with their values, at one moment."""
        folder = self.path(cache, "")
        path = self.path(cache, prefix)
        found = self.repeat(lambda left: self._store.range(path, timeout=left))
        pairs = ((kv.key[len(folder) :], kv) for kv in found.items)
        return [
            (key[key.startswith("~") :], Record.read(kv.value)[0])
            for key, kv in pairs
            if key[:1] != "~" or key[:2] == "~~"  # else it is a marker of the watch
        ]

    def path(self, cache: str, key: str) -> str:
        """The key in the store."""
        return f"{self._prefix}{_quoted(cache)}/{'~' if key.startswith('~') else ''}{key}"

    def _follow(self, cache: str) -> LocalLayer | None:
        with self._lock:
            if self._stop.is_set():
                return None
            layer = self._layers.get(cache)
            if layer is None:
                folder = self.path(cache, "")
                layer = self._layers[cache] = LocalLayer(
                    self._store, folder, self.expiry, silence=self._silence, clock=self._clock
                )
                layer.start()
            return layer

    # -- writes ----------------------------------------------------------------------------------------------

    def set(
        self, cache: str, key: str, value: bytes, ttl: float | None, guards: Sequence[Compare] = ()
    ) -> None:
        """Writes a value.

        :raises LockLost: a guard did not hold; nothing was written.
        """
        self._put(cache, key, value, ttl, guards)

    def create(
        self, cache: str, key: str, value: bytes, ttl: float | None, guards: Sequence[Compare] = ()
    ) -> Any | Missing:
        """Writes a value if the key has none, and returns ``MISSING``; else returns the value of the key.

        :raises LockLost: a guard did not hold; nothing was written.
        """
        absent = Compare.version(self.path(cache, key), 0)
        result = self._put(cache, key, value, ttl, guards, (absent,))
        if result.succeeded:
            return MISSING
        found = result.responses[0]
        assert isinstance(found, list)
        return Record.read(found[0].value)[0]

    def delete(self, cache: str, key: str, guards: Sequence[Compare] = ()) -> bool:
        """Deletes a value and returns whether there was one.

        :raises LockLost: a guard did not hold; nothing was deleted.
        """
        path = self.path(cache, key)
        txn = Txn((), (Delete(path),))
        result = self.repeat(lambda left: self.run(path, txn, guards), Calls.writing(guards))
        done = result.responses[0]
        assert isinstance(done, DeleteDone)
        if done.deleted:
            self.written(cache, path, result.revision)
        return bool(done.deleted)

    def _put(  # noqa: PLR0917
        self,
        cache: str,
        key: str,
        value: bytes,
        ttl: float | None,
        guards: Sequence[Compare],
        compare: Sequence[Compare] = (),
    ) -> TxnResult:
        path = self.path(cache, key)
        record = Record(value) if ttl is None else Record(value, new_stamp(), ttl)

        def send(lease: int) -> TxnResult:
            txn = Txn(compare, (Put(path, record.data(), lease),), (Get(path),))
            return self.run(path, txn, guards, len(value))

        result = self.repeat(lambda left: self.with_lease(ttl, send), Calls.writing(guards))
        if result.succeeded:
            self.written(cache, path, result.revision)
            if ttl is not None and record.stamp is not None:
                self.expiry.expire(path, record.stamp, ttl, result.revision)
        return result

    # -- for counters ----------------------------------------------------------------------------------------

    def run(self, path: str, txn: Txn, guards: Sequence[Compare], size: int = 0) -> TxnResult:
        """Runs a transaction that writes ``path``, if the guards hold. Blocks.

        :raises LockLost: a guard did not hold; nothing was written.
        """
        whole = Txn(guards, (txn,)) if guards else txn
        if size > SMALL:
            result = self._store.txn(whole.compare, whole.success, whole.failure)
        else:
            operation = Operation(whole, (path,))
            self._commit.execute((operation,))
            result = operation.value()
        if not guards:
            return result
        if not result.succeeded:
            raise LockLost(
                "this replica has lost the lock under which it writes to a shared cache: nothing was written"
            )
        inner = result.responses[0]
        assert isinstance(inner, TxnResult)
        return inner._replace(revision=result.revision)

    def with_lease(self, ttl: float | None, write: Callable[[int], T]) -> T:
        """Calls ``write`` with a lease for the time to live; with another one if the store has lost it."""
        if ttl is None:
            return write(0)
        for tries_left in reversed(range(LEASE_TRIES)):
            lease = self.expiry.lease_for(ttl)
            try:
                return write(lease)
            except LeaseNotFound:
                self.expiry.forget(lease)
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    def written(self, cache: str, path: str, revision: int) -> None:
        """Makes the local copy forget what was there before a write of this replica."""
        layer = self._layers.get(cache)
        if layer is not None:
            layer.wrote(path, revision)

    def repeat(self, call: Callable[[float], T], kind: Calls = Calls.READS, *, harmless: bool = False) -> T:
        """Makes a call, and repeats it while time is left and it certainly did nothing, as reads always do.
        ``call`` is given the seconds left.

        :param harmless: repeated, too, when it may have done something.
        """
        deadline = self._clock() + self._retry_for
        while True:
            try:
                with self.attempt(kind, deadline):
                    return call(max(deadline - self._clock(), FIRST_RETRY_PAUSE))
            except StoreUnavailable as error:
                if error.maybe_applied and not (harmless or kind is Calls.READS):
                    raise
                if self._clock() >= deadline or self._stop.is_set():
                    raise

    def attempt(self, kind: Calls, until: float) -> AbstractContextManager[None]:
        """A context for one call, in which all callers of its kind take turns while etcd takes none: see
        ``Backoff.attempt``.
        """
        return self._backoffs[kind].attempt(until)

    def pause(self, seconds: float) -> None:
        """Blocks for a while, or until ``stop``.

        :raises StoreUnavailable: the bot stops.
        """
        if self._stop.wait(seconds):
            raise StoreUnavailable("the bot stops")

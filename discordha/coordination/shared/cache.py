"""The shared caches in etcd: what all replicas of a bot read and write. Keys ``c/<cache>/<key>``.

Promises
- A read that begins after a write was answered sees it, or what was written after it, on any replica. (Reads
  through a local layer do not promise this across replicas: see ``local_layer``.)
- A call ends within three ``patience`` at the most, usually within one, with an answer or with
  ``StoreUnavailable``: what certainly did nothing is repeated until then, which bridges an election of
  etcd's; what may have done something is not, and the error's ``maybe_applied`` says so.
- A write with ``guards`` is made only if these hold at the very revision of the write: a lock that was lost,
  even while the request was under way, lets nothing through.

Does not promise order between calls of several threads. Values with a time to live end as ``expiry`` says.

Concurrency
- Every method may be called from any thread but the gateway's, and blocks on etcd. Connections and group
  commit are its own, so that large values do not hold up claims: small writes share transactions, large ones
  travel alone.
- ``_lock`` guards ``_layers``. At ``stop`` calls in flight end; later ones raise ``StoreUnavailable``.
- A lost session or watch does not concern it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
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
    Op,
    Put,
    Store,
    Txn,
    TxnResult,
)
from discordha.coordination.shared.expiry import Expiry
from discordha.coordination.shared.local_layer import LocalLayer
from discordha.coordination.shared.values import MISSING, Missing, Record, new_stamp
from discordha.errors import LockLost, StoreUnavailable

__all__ = ["SMALL", "EtcdCaches"]

T = TypeVar("T")

#: Writes of at most so many bytes share transactions: 120 of them stay below etcd's limit of 1.5 MiB.
SMALL = 8 * 1024
#: Pauses between two tries, seconds: doubled from the first to the last.
FIRST_PAUSE = 0.02
LAST_PAUSE = 0.25
#: How often a lease may be lost between its grant and the write.
LEASE_TRIES = 3


class EtcdCaches:
    """All shared caches, as one replica sees them.

    :param store: used for nothing else; closed by ``stop``.
    :param prefix: of their keys, ending in ``/``.
    :param patience: seconds for which a call that did nothing is repeated.
    :param silence: seconds after which a silent watch is begun again.
    """

    def __init__(
        self,
        store: Store,
        prefix: str,
        *,
        patience: float,
        silence: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._commit = GroupCommit(store)  # without its thread: somebody waits for each of these writes
        self._prefix = prefix
        self._patience = patience
        self._silence = silence
        self._clock = clock
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._layers: dict[str, LocalLayer] = {}
        self.expiry = Expiry(store, clock=clock)

    def stop(self) -> None:
        """Ends its threads and closes its connections. Idempotent."""
        self._stop.set()
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

        :param local: through the local layer of the cache, which begins with the first such call.
        """
        path = self.path(cache, key)
        if local:
            layer = self._layers.get(cache) or self._follow(cache)
            if layer is not None:
                return layer.read(path, lambda: self.fetch(path))
        kv = self.fetch(path)
        return MISSING if kv is None else Record.read(kv.value)[0]

    def fetch(self, path: str) -> KeyValue | None:
        """What lies under a key of etcd now."""
        return self.patiently(lambda left: self._store.get(path, timeout=left), reads=True)

    def items(self, cache: str, prefix: str = "") -> list[tuple[str, Any]]:
        """All keys that begin with ``prefix``, in order, with their values, at one moment."""
        folder = self.path(cache, "")
        found = self.patiently(
            lambda left: self._store.range(self.path(cache, prefix), timeout=left), reads=True
        )
        pairs = []
        for kv in found.items:
            key = kv.key[len(folder) :]
            if key.startswith("~~"):
                key = key[1:]
            elif key.startswith("~"):
                continue  # the watch's own
            pairs.append((key, Record.read(kv.value)[0]))
        return pairs

    def path(self, cache: str, key: str) -> str:
        """The key in etcd."""
        return f"{self._prefix}{quote(cache, safe='')}/{'~' if key.startswith('~') else ''}{key}"

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
        """Writes a value, whatever was there.

        :raises LockLost: a guard did not hold; nothing was written.
        """
        self._put(cache, key, value, ttl, guards, lambda put: Txn((), (put,)))

    def create(
        self, cache: str, key: str, value: bytes, ttl: float | None, guards: Sequence[Compare] = ()
    ) -> Any | Missing:
        """Writes a value unless there is one: that is returned then, ``MISSING`` when it was written.

        :raises LockLost: a guard did not hold; nothing was written.
        """
        path = self.path(cache, key)
        result = self._put(
            cache, key, value, ttl, guards, lambda put: Txn((Compare.version(path, 0),), (put,), (Get(path),))
        )
        if result.succeeded:
            return MISSING
        found = result.responses[0]
        assert isinstance(found, list)
        return Record.read(found[0].value)[0]

    def delete(self, cache: str, key: str, guards: Sequence[Compare] = ()) -> bool:
        """Deletes a value; whether there was one.

        :raises LockLost: a guard did not hold; nothing was deleted.
        """
        path = self.path(cache, key)
        result = self.patiently(lambda left: self.run(path, Txn((), (Delete(path),)), guards))
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
        make: Callable[[Op], Txn],
    ) -> TxnResult:
        path = self.path(cache, key)
        record = Record(value) if ttl is None else Record(value, new_stamp(), ttl)

        def write(left: float) -> TxnResult:
            return self.with_lease(
                ttl, lambda lease: self.run(path, make(Put(path, record.data(), lease)), guards, len(value))
            )

        result = self.patiently(write)
        if result.succeeded:
            self.written(cache, path, result.revision)
            if ttl is not None and record.stamp is not None:
                self.expiry.expire(path, record.stamp, ttl, result.revision)
        return result

    # -- for those who write in ways of their own ------------------------------------------------------------

    def run(self, path: str, txn: Txn, guards: Sequence[Compare], size: int = 0) -> TxnResult:
        """One transaction that writes ``path`` if the guards hold. Blocks.

        :raises LockLost: they do not; nothing was written.
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
                "this replica does not hold the lock any more under which it writes to a shared cache: "
                "nothing was written"
            )
        inner = result.responses[0]
        assert isinstance(inner, TxnResult)
        return inner._replace(revision=result.revision)

    def with_lease(self, ttl: float | None, write: Callable[[int], T]) -> T:
        """Calls ``write`` with a lease for the time to live, with another one when etcd has lost that."""
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
        """This replica has written a key: its local layer must not show what was there before."""
        layer = self._layers.get(cache)
        if layer is not None:
            layer.wrote(path, revision)

    def patiently(self, call: Callable[[float], T], *, reads: bool = False) -> T:
        """Repeats what did nothing until it works or time is up. ``call`` is given the seconds left.

        :param reads: it never does anything.
        """
        deadline = self._clock() + self._patience
        pause = FIRST_PAUSE
        while True:
            try:
                return call(max(deadline - self._clock(), pause))
            except StoreUnavailable as error:
                if error.maybe_applied and not reads:
                    raise
                if self._clock() + pause >= deadline or self._stop.wait(pause):
                    raise
                pause = min(pause * 2, LAST_PAUSE)

"""The store as its users see it: keys, transactions, leases, watches, and the values that they carry.

``EtcdStore`` in ``client`` implements ``Store`` on etcd. All values are immutable.

Guarantees of every implementation
- Every call ends within its timeout: with an answer, ``StoreUnavailable``, or an error that names a remedy.
- ``StoreUnavailable.maybe_applied`` is false only if nothing was written for certain.
- Reads are linearizable. Calls from several threads have no order, and a write without an answer may have
  been applied.

Threads and locks: every method of ``Store`` may block and may be called from any thread except the gateway's
loop thread. ``close`` ends calls in flight with ``StoreUnavailable``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol, Self, TypeAlias

from discordha.errors import DiscordHAError, StoreUnavailable

__all__ = [
    "Compare",
    "Delete",
    "DeleteDone",
    "Get",
    "GetPrefix",
    "Guarded",
    "KeyValue",
    "Lease",
    "LeaseNotFound",
    "Leases",
    "Op",
    "Put",
    "PutDone",
    "RequestRefused",
    "Response",
    "Snapshot",
    "Store",
    "StoreRefused",
    "Transactions",
    "Txn",
    "TxnResult",
    "Watch",
    "WatchEvent",
    "WatchListener",
]


class LeaseNotFound(DiscordHAError):
    """A write names a lease that has run out or was revoked. Nothing was written."""


class RequestRefused(DiscordHAError):
    """etcd rejects the request (too large, or a key twice). Nothing was written; repeating can't help."""


class StoreRefused(StoreUnavailable):
    """etcd answers, and refuses this replica for a reason that an operator can mend while the bot runs: a
    role, a password, a full disk. Nothing was written; trying again helps once it is mended.

    :param by_key: access to a key is denied: writes of other keys may be taken.
    """

    def __init__(self, message: str, *, by_key: bool = False) -> None:
        super().__init__(message)
        self.by_key = by_key


class KeyValue(NamedTuple):
    """A key and its value. ``create_revision`` is the fencing token of whoever created the key."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class Put(NamedTuple):
    """Writes a key. With ``lease`` 0 the key stays until it is deleted."""

    key: str
    value: bytes
    lease: int = 0


class Get(NamedTuple):
    """Reads one key; answered with a list of at most one ``KeyValue``."""

    key: str


class GetPrefix(NamedTuple):
    """Reads all keys that start with ``prefix``, in one page: for few keys."""

    prefix: str


class Delete(NamedTuple):
    """Deletes a key if it exists."""

    key: str


class Compare(NamedTuple):
    """A condition of a transaction: an attribute of a key equals ``expected``, or is less with ``below``. An
    absent key has version 0 and revisions 0."""

    key: str
    target: Literal["version", "create_revision", "mod_revision", "value"]
    expected: int | bytes
    below: bool = False

    @staticmethod
    def version(key: str, number: int) -> Compare:
        """The key was written ``number`` times since its creation; 0 means that it is absent."""
        return Compare(key, "version", number)

    @staticmethod
    def version_below(key: str, number: int) -> Compare:
        """The key was written less than ``number`` times, or is absent."""
        return Compare(key, "version", number, below=True)

    @staticmethod
    def create_revision(key: str, revision: int) -> Compare:
        """The key was created at ``revision``, so it was not recreated since; 0 means that it is absent."""
        return Compare(key, "create_revision", revision)

    @staticmethod
    def mod_revision(key: str, revision: int) -> Compare:
        """The key's last write was at ``revision``; 0 means that it is absent."""
        return Compare(key, "mod_revision", revision)

    @staticmethod
    def value(key: str, value: bytes) -> Compare:
        """The key exists and holds ``value``."""
        return Compare(key, "value", value)


class Txn(NamedTuple):
    """Runs ``success`` if all comparisons hold, else ``failure``, atomically at one revision. May be nested.
    etcd rejects a transaction that writes one key twice, or has more than 128 operations at one level."""

    compare: Sequence[Compare]
    success: Sequence[Op]
    failure: Sequence[Op] = ()


class Guarded(NamedTuple):
    """The transaction of claims and marks: puts one key if one condition on it holds, else reads the key. One
    flat object, because the garbage collector visits everything that waits during a burst."""

    key: str
    target: Literal["version", "create_revision"]
    expected: int
    value: bytes
    lease: int

    @property
    def compare(self) -> tuple[Compare, ...]:
        """The same as in ``Txn``."""
        return (Compare(self.key, self.target, self.expected),)

    @property
    def success(self) -> tuple[Op, ...]:
        """The same as in ``Txn``."""
        return (Put(self.key, self.value, self.lease),)

    @property
    def failure(self) -> tuple[Op, ...]:
        """The same as in ``Txn``."""
        return (Get(self.key),)


Op: TypeAlias = Put | Get | GetPrefix | Delete | Txn | Guarded


class PutDone(NamedTuple):
    """The answer to a ``Put`` in a transaction."""


class DeleteDone(NamedTuple):
    """The answer to a ``Delete`` in a transaction: the number of keys deleted."""

    deleted: int


class TxnResult(NamedTuple):
    """The answer to a transaction: one response for each operation of the branch that ran, in order.
    ``revision`` is the store's revision after the transaction, also in nested results."""

    succeeded: bool
    revision: int
    responses: list[Response]


Response: TypeAlias = PutDone | list[KeyValue] | DeleteDone | TxnResult


class Snapshot(NamedTuple):
    """All keys below a prefix at ``revision``."""

    revision: int
    items: list[KeyValue]


class Lease(NamedTuple):
    """A granted lease. ``ttl`` is the seconds granted, which may be more than were asked for."""

    id: int
    ttl: float


class WatchEvent(NamedTuple):
    """One change. Of a delete, ``kv.key`` and ``kv.mod_revision`` are set, the delete's revision; below a
    watch's ``quiet`` prefix, the rest is what was deleted, unless etcd has compacted it."""

    kind: Literal["put", "delete"]
    kv: KeyValue


class WatchListener(Protocol):
    """Receives changes. All calls come from the watch's thread, one at a time, and must not block."""

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces everything known. The first call, repeated after a gap."""

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Applies changes, in order, of one or several whole revisions up to ``revision``."""

    def on_lost(self) -> None:
        """The stream is down, and what is known grows old until the next call. By default, does nothing."""
        return


class Watch(Protocol):
    """Reports every change below a prefix to its listener, once and in order, over all losses of connection.
    Properties may be read on any thread. ``messages`` counts etcd's, and ``changes`` what they tell."""

    losses: int
    messages: int
    changes: int

    @property
    def alive(self) -> bool:
        """Whether the stream is established."""

    @property
    def revision(self) -> int:
        """The last revision delivered in full. It only moves when something below the prefix changes."""

    def start(self) -> None:
        """Starts watching. Does not block. A second call raises ``RuntimeError``."""

    def stop(self) -> None:
        """Stops watching and waits for the listener's last call, unless called by it. Idempotent."""

    def narrow(
        self,
        deletes: Sequence[tuple[str, str]],
        parts: Sequence[tuple[str, str]],
        on_part: Callable[[tuple[str, str], Snapshot], None],
        timeout: float,
    ) -> bool:
        """Tells of the keys in these ranges alone, below ``quiet`` and behind ``apart``. Blocks until that is
        so, and raises ``StoreUnavailable`` after ``timeout`` seconds. False if it was so. No listener's.

        :param deletes: ranges below ``quiet``, each by first key and end. New ones begin about now.
        :param parts: ranges behind ``apart``. What goes on being watched misses nothing.
        :param on_part: called on the watch's thread: with a snapshot of each part that is new, before its
            first change, and with an empty one of each that is watched no more."""

    def wait_synced(self, timeout: float) -> bool:
        """Blocks until the first snapshot is delivered; false after ``timeout`` seconds or at stop."""

    def wait_revision(self, revision: int, timeout: float, key: str | None = None) -> bool:
        """Blocks until ``revision``, of a write below the prefix, is delivered; false after ``timeout`` s.
        ``key``: what was written, if it lies behind ``apart``."""

    def sync(self, timeout: float, *, lease: int = 0) -> bool:
        """Blocks until everything written before this call is delivered; false after ``timeout`` seconds.

        Writes a marker key and waits for it, so it may raise ``StoreUnavailable``. Not for listeners."""


class Transactions(Protocol):
    """The part of ``Store`` that group commit needs."""

    def txn(
        self,
        compare: Sequence[Compare],
        success: Sequence[Op],
        failure: Sequence[Op] = (),
        *,
        timeout: float | None = None,
    ) -> TxnResult:
        """Runs a transaction, all or nothing.

        :raises LeaseNotFound: a put names a lease that is gone; nothing was written.
        :raises RequestRefused: two operations write one key, there are too many, or none of them writes: etcd
            before 3.5.5 panics if a caller gives up a transaction that only reads (etcd-io/etcd#14110).
        """


class Leases(Protocol):
    """The part of ``Store`` that hands out leases."""

    def grant(self, ttl: float, *, timeout: float | None = None) -> Lease:
        """Grants a lease of at least ``ttl`` seconds; etcd counts whole seconds and has a minimum."""

    def keep_alive(self, lease_id: int, *, timeout: float | None = None) -> float:
        """Renews a lease once and returns its new seconds to live, 0.0 if it is gone."""


class Store(Transactions, Leases, Protocol):
    """A key-value store with etcd's transactions, leases and watches. Timeouts are seconds for each request.
    ``calls`` and ``failures`` count the requests made, and those that raised."""

    calls: int
    failures: int

    def outlast_refusals(self, quiet: float) -> None:
        """From now on, calls that etcd refuses until an operator acts raise ``StoreRefused``, on clones, too.
        Before, they raise ``ConfigError``.

        :param quiet: a refusal is over when none was met for this long, seconds.
        """

    @property
    def refusal(self) -> str | None:
        """Why etcd refuses this replica at the moment; ``None`` while it does not."""

    def clone(self) -> Self:
        """A store on the same data with connections of its own, so that neither delays the other."""

    def close(self) -> None:
        """Closes all connections. Later calls raise ``StoreUnavailable``. Idempotent."""

    def get(self, key: str, *, timeout: float | None = None) -> KeyValue | None:
        """The key, or ``None`` if it is absent."""

    def range(
        self,
        prefix: str,
        *,
        after: str | None = None,
        until: str | None = None,
        without: str | None = None,
        limit: int = 0,
        keys_only: bool = False,
        timeout: float | None = None,
    ) -> Snapshot:
        """All keys below a prefix at one revision, sorted by key, read in pages.

        :param after: only keys above this one, which begins with the prefix.
        :param until: only keys below this one, which begins with the prefix.
        :param without: none of the keys below this longer prefix.
        :param limit: so many at the most; 0: all.
        """

    def count(self, prefix: str, *, timeout: float | None = None) -> int:
        """How many keys there are below a prefix. No key is sent."""
        return len(self.range(prefix, keys_only=True, timeout=timeout).items)

    def look(self, keys: Sequence[str], *, fresh: bool = False, timeout: float | None = None) -> Snapshot:
        """Those of the keys that exist, as whichever member has them, which may be behind the others unless
        ``fresh``: at the snapshot's revision or later. Neighbouring snowflakes are read in one range."""

    def put(self, key: str, value: bytes, *, lease: int = 0, timeout: float | None = None) -> int:
        """Writes a key and returns the write's revision; raises ``LeaseNotFound`` if the lease is gone."""

    def delete(self, key: str, *, timeout: float | None = None) -> bool:
        """Deletes a key and returns whether it existed."""

    def revoke(self, lease_id: int, *, timeout: float | None = None) -> None:
        """Ends a lease and deletes its keys. A lease that is gone already is a success."""

    def watch(
        self,
        prefix: str,
        listener: WatchListener,
        *,
        silence: float,
        name: str = "discordha-watch",
        heartbeats: bool = False,
        quiet: str | None = None,
        apart: str | None = None,
    ) -> Watch:
        """A watch on all keys below ``prefix``, not started yet, with connections of its own.

        :param silence: seconds without a sign of life after which the stream is replaced.
        :param name: of the thread.
        :param heartbeats: keys below the prefix change several times within ``silence``, so that only changes
            count as signs of life.
        :param quiet: of the keys below this longer prefix, only deletes are told, in no order with the
            others; snapshots leave them out.
        :param apart: with ``quiet``, the last keys: those from here on are told as ``narrow`` says.
        """

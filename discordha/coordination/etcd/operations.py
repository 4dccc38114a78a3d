"""The words of the store: operations, comparisons, answers, settings. Plain data, no I/O.

Everything here is immutable and is imported through ``discordha.coordination.etcd.store``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from discordha.errors import DiscordHAError

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
    "MemberStatus",
    "Op",
    "Put",
    "PutDone",
    "RequestRefused",
    "Response",
    "Snapshot",
    "StoreSettings",
    "Txn",
    "TxnResult",
    "WatchBatch",
    "WatchEvent",
    "prefix_end",
]


class LeaseNotFound(DiscordHAError):
    """The write names a lease that has run out or was revoked. Nothing was written."""


class RequestRefused(DiscordHAError):
    """etcd refuses the request as such (too large, a key twice in one transaction): repeating it can't help.

    Nothing was written.
    """


class KeyValue(NamedTuple):
    """A key as etcd holds it. ``create_revision`` is the fencing token of whoever created it."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


class Put(NamedTuple):
    """Writes a key; ``lease`` 0 means that it stays for ever."""

    key: str
    value: bytes
    lease: int = 0


class Get(NamedTuple):
    """Reads one key: a list of one or no ``KeyValue``."""

    key: str


class GetPrefix(NamedTuple):
    """Reads all keys that start with ``prefix``. Not paged: for few keys."""

    prefix: str


class Delete(NamedTuple):
    """Deletes one key, if it is there."""

    key: str


class Compare(NamedTuple):
    """A condition of a transaction: one attribute of one key equals a value (``below``: is less). An absent
    key has version and revisions 0."""

    key: str
    target: Literal["version", "create_revision", "mod_revision", "value"]
    expected: int | bytes
    below: bool = False

    @staticmethod
    def version(key: str, number: int) -> Compare:
        """The key was written ``number`` times since it was created; 0: the key is absent."""
        return Compare(key, "version", number)

    @staticmethod
    def version_below(key: str, number: int) -> Compare:
        """The key was written less than ``number`` times, or is absent."""
        return Compare(key, "version", number, below=True)

    @staticmethod
    def create_revision(key: str, revision: int) -> Compare:
        """The key was created at ``revision``: it is the same incarnation; 0: the key is absent."""
        return Compare(key, "create_revision", revision)

    @staticmethod
    def mod_revision(key: str, revision: int) -> Compare:
        """The key was written last at ``revision``; 0: the key is absent."""
        return Compare(key, "mod_revision", revision)

    @staticmethod
    def value(key: str, value: bytes) -> Compare:
        """The key is there and holds ``value``."""
        return Compare(key, "value", value)


class Txn(NamedTuple):
    """If all comparisons hold ``success``, else ``failure``: at once, at one revision. May be nested.

    etcd refuses a transaction in which two operations write one key, and more than 128 operations at one
    level.
    """

    compare: Sequence[Compare]
    success: Sequence[Op]
    failure: Sequence[Op] = ()


class Guarded(NamedTuple):
    """The transaction that claims and marks are made of: a put of one key under one condition on it, else the
    key is read. As one flat object, since Python's collector walks over all that wait in a burst.
    """

    key: str
    target: Literal["version", "create_revision"]
    expected: int
    value: bytes
    lease: int

    @property
    def compare(self) -> tuple[Compare, ...]:
        """As ``Txn`` has it."""
        return (Compare(self.key, self.target, self.expected),)

    @property
    def success(self) -> tuple[Op, ...]:
        """As ``Txn`` has it."""
        return (Put(self.key, self.value, self.lease),)

    @property
    def failure(self) -> tuple[Op, ...]:
        """As ``Txn`` has it."""
        return (Get(self.key),)


Op: TypeAlias = Put | Get | GetPrefix | Delete | Txn | Guarded


class PutDone(NamedTuple):
    """The answer to a ``Put`` within a transaction."""


class DeleteDone(NamedTuple):
    """The answer to a ``Delete`` within a transaction: how many keys there were."""

    deleted: int


class TxnResult(NamedTuple):
    """The answer to a transaction: one response for each operation of the branch that ran, in order.

    ``revision`` is the store's revision after it, the same for nested ones.
    """

    succeeded: bool
    revision: int
    responses: list[Response]


Response: TypeAlias = PutDone | list[KeyValue] | DeleteDone | TxnResult


class Snapshot(NamedTuple):
    """All keys below a prefix as they were at ``revision``."""

    revision: int
    items: list[KeyValue]


class Lease(NamedTuple):
    """A granted lease. ``ttl``: seconds that etcd granted, which may be more than was asked for."""

    id: int
    ttl: float


class MemberStatus(NamedTuple):
    """What one endpoint says of itself; when it does not answer, ``error`` says why and the rest is empty.

    ``latency`` is seconds; ``db_size`` is bytes.
    """

    endpoint: str
    version: str
    is_leader: bool
    db_size: int
    latency: float
    error: str | None


class WatchEvent(NamedTuple):
    """One change. For a delete only ``kv.key`` and ``kv.mod_revision`` mean anything."""

    kind: Literal["put", "delete"]
    kv: KeyValue


class WatchBatch(NamedTuple):
    """One message of a watch stream.

    :param revision: of the last change in ``events``; 0 when there is none.
    :param compacted: the oldest revision that can still be watched, when the asked one is gone; else 0.
    :param cancelled: why etcd ended the watch; ``None`` while it goes on.
    :param store_revision: of the member when it sent a message without changes. Before etcd 3.5.8 changes
        may still follow that are older, so it says nothing about what has been delivered.
    """

    revision: int
    events: list[WatchEvent]
    created: bool = False
    compacted: int = 0
    cancelled: str | None = None
    store_revision: int = 0


@dataclass(frozen=True)
class StoreSettings:
    """How to reach etcd.

    :param endpoints: ``host:port`` of each member; ``https://`` before it means TLS.
    :param ca_cert: PEM file of the authority; switches TLS on.
    :param cert: PEM file of the client certificate, with ``key``.
    :param timeout: seconds that a request may take.
    """

    endpoints: tuple[str, ...]
    ca_cert: str | None = None
    cert: str | None = None
    key: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 5.0


def prefix_end(prefix: bytes) -> bytes:
    """The first key after all keys with the prefix, as etcd's range requests want it."""
    end = bytearray(prefix)
    while end:
        if end[-1] < 0xFF:
            end[-1] += 1
            return bytes(end)
        end.pop()
    return b"\0"  # every key from the prefix on

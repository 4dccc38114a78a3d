"""Contents of a transaction: how large it is, and the leases that it names. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from discordha.coordination.etcd.store import Guarded, Put, Txn

__all__ = ["leases_of", "size_of"]

#: Bytes of an operation beside its keys and values, about.
OVERHEAD = 100


def _puts(txn: Txn | Guarded) -> Iterator[tuple[str, bytes, int]]:
    """Keys, values and leases that a transaction may write, in all branches."""
    if isinstance(txn, Guarded):
        yield txn.key, txn.value, txn.lease
        return
    for op in (*txn.success, *txn.failure):
        if isinstance(op, Put):
            yield op.key, op.value, op.lease
        elif isinstance(op, (Txn, Guarded)):
            yield from _puts(op)


def leases_of(txn: Txn | Guarded) -> set[int]:
    """The leases that it writes under."""
    return {lease for _, _, lease in _puts(txn)}


def size_of(txn: Txn | Guarded) -> int:
    """About how many bytes of a request it takes."""
    if isinstance(txn, Guarded):
        return len(txn.key) + len(txn.value) + OVERHEAD
    return sum(len(key) + len(value) + OVERHEAD for key, value, _ in _puts(txn)) + 2 * OVERHEAD

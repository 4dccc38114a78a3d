"""Operations: what a group commit sends, and which of them wait after a refusal or an outage. No I/O.

Guarantees
- A kind of writes that etcd refuses holds up no other kind: its persistent operations wait, and are tried
  again after a pause that doubles from ``first_pause`` to ``LAST_PAUSE``.
- An operation that follows a waiting one, by key or by order, waits behind it.

Threads and locks: none; whoever owns a ``Holdback`` guards it.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from discordha.coordination.etcd.store import Guarded, Put, StoreRefused, Txn, TxnResult
from discordha.errors import StoreUnavailable

__all__ = [
    "MAX_BYTES",
    "MAX_OPERATIONS",
    "Call",
    "Holdback",
    "Operation",
    "fail",
    "kind_of",
    "leases_of",
    "size_of",
    "tell",
    "unsent",
]

_log = logging.getLogger(__name__)

Told = TypeVar("Told")

#: etcd's default limit is 128 operations per transaction, less those inside the nested transactions.
MAX_OPERATIONS = 120
#: etcd's default limit (``--max-request-bytes``) is 1.5 MiB, less margin for keys and framing.
MAX_BYTES = 1024 * 1024
#: Bytes of an operation beside its keys and values, about.
OVERHEAD = 100
#: The longest pause between two tries, seconds.
LAST_PAUSE = 1.0


class Call:
    """A caller that waits for its operations: woken once all have an answer, or to become the sender."""

    __slots__ = ("left", "promoted", "wake")

    def __init__(self, left: int) -> None:
        self.left = left
        self.promoted = False
        self.wake = threading.Lock()  # used as a binary semaphore: cheaper than an Event, one per call
        self.wake.acquire()


class Operation:
    """One nested transaction and its answer.

    :param txn: the transaction; its branches contain few operations.
    :param keys: the keys that it may write. Operations with a common key keep their order and never share a
        transaction, since etcd rejects one that puts a key twice.
    :param callback: called with the operation once it has an answer, if nobody waits for it.
    :param together: the same, called once for all those of a transaction that share it.
    :param persistent: sent again until etcd answers; only for ``submit``.
    :param order: operations of one order do not overtake each other; only for persistent ones.
    """

    __slots__ = ("call", "callback", "error", "keys", "order", "persistent", "result", "together", "txn")

    def __init__(
        self,
        txn: Txn | Guarded,
        keys: tuple[str, ...],
        callback: Callable[[Operation], None] | None = None,
        *,
        persistent: bool = False,
        order: str | None = None,
        together: Callable[[list[Operation]], None] | None = None,
    ) -> None:
        self.persistent = persistent
        self.together = together
        self.order = order
        self.txn = txn
        self.keys = keys
        self.callback = callback
        self.call: Call | None = None
        self.result: TxnResult | None = None
        self.error: Exception | None = None

    def value(self) -> TxnResult:
        """The answer; raises the error of the transaction that carried the operation."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


def fail(operations: Iterable[Operation], error: Exception) -> None:
    """Gives all of them an error for an answer."""
    for operation in operations:
        operation.error = error


def tell(answered: Iterable[Operation]) -> None:
    """Calls the callbacks of operations that have their answers. No error of one keeps others from theirs."""
    together: dict[Callable[[list[Operation]], None], list[Operation]] = {}
    for operation in answered:
        if operation.callback is not None:
            _call(operation.callback, operation)
        elif operation.together is not None:
            together.setdefault(operation.together, []).append(operation)
    for callback, operations in together.items():
        _call(callback, operations)


def _call(callback: Callable[[Told], None], answered: Told) -> None:
    try:
        callback(answered)
    except Exception:  # noqa: BLE001 - the other operations need their answers all the same
        _log.exception("the callback of a write failed; other writes go on")


def unsent(outage: StoreUnavailable) -> StoreUnavailable:
    """The error of an operation that was to follow one without an answer."""
    refused = isinstance(outage, StoreRefused)
    return StoreRefused(str(outage)) if refused else StoreUnavailable(str(outage))


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


def kind_of(operation: Operation, root: str) -> str:
    """What etcd grants or refuses as one: the first components of its keys below ``root``. Operations of one
    order are of one kind.
    """
    keys = operation.keys[:1] if operation.order is not None else operation.keys
    return " ".join(sorted({key.removeprefix(root).partition("/")[0] for key in keys}))


@dataclasses.dataclass(slots=True)
class _Hold:
    """One kind that waits: ``until`` when, by the clock, after a pause of ``pause`` seconds."""

    until: float
    pause: float
    refused: bool
    operations: list[Operation]


class Holdback:
    """Persistent operations that wait for their next try, by kind.

    :param root: see ``kind_of``.
    """

    def __init__(self, root: str, first_pause: float) -> None:
        self._root = root
        self._first_pause = first_pause
        self._holds: dict[str, _Hold] = {}
        self._keys: set[str] = set()  # that waiting operations may write
        self._orders: set[str] = set()  # of waiting operations
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return bool(self._holds)

    def kind(self, operation: Operation) -> str:
        """See ``kind_of``."""
        return kind_of(operation, self._root)

    def is_behind(self, operation: Operation) -> bool:
        """Whether an operation follows one that waits, by key or by order."""
        return operation.order in self._orders or not self._keys.isdisjoint(operation.keys)

    def keeps(self, operation: Operation, now: float) -> bool:
        """Keeps a persistent operation that may not be sent yet, behind the others of its kind."""
        hold = self._holds.get(kind := self.kind(operation))
        if (hold is None or hold.until <= now) and not self.is_behind(operation):
            return False
        self._add(kind, operation, now)
        return True

    def failed(self, operations: Iterable[Operation], now: float) -> None:
        """Keeps operations that etcd refused, or did not answer, for their next try; clears their errors."""
        seen: set[str] = set()
        for operation in operations:
            refused = isinstance(operation.error, StoreRefused)
            operation.error = None
            kind = self.kind(operation)
            if kind not in seen:
                seen.add(kind)
                hold = self._holds.get(kind)
                pause = self._first_pause if hold is None else min(2 * hold.pause, LAST_PAUSE)
                kept = [] if hold is None else hold.operations
                self._holds[kind] = _Hold(now + pause, pause, refused, kept)
            self._add(kind, operation, now)

    def _add(self, kind: str, operation: Operation, now: float) -> None:
        hold = self._holds.setdefault(kind, _Hold(now, self._first_pause, False, []))
        hold.operations.append(operation)
        self._size += 1
        self._keys.update(operation.keys)
        if operation.order is not None:
            self._orders.add(operation.order)

    def accepted(self, kinds: Iterable[str]) -> None:
        """etcd took writes of these kinds: they wait no longer, nor do those that it did not answer."""
        for kind in kinds:
            if (hold := self._holds.get(kind)) is not None:
                hold.refused = False
        for kind, hold in list(self._holds.items()):
            if not hold.refused:
                hold.until, hold.pause = 0.0, self._first_pause
                if not hold.operations:
                    del self._holds[kind]

    def release(self) -> None:
        """Lets all be tried at once."""
        for hold in self._holds.values():
            hold.until = 0.0

    def due(self, now: float) -> list[Operation]:
        """Takes out the operations whose time has come; those of one kind in their order."""
        found: list[Operation] = []
        for hold in self._holds.values():
            if hold.operations and hold.until <= now:
                found.extend(hold.operations)
                hold.operations = []
        if found:
            left = [operation for hold in self._holds.values() for operation in hold.operations]
            self._size = len(left)
            self._keys = {key for operation in left for key in operation.keys}
            self._orders = {operation.order for operation in left if operation.order is not None}
        return found

    def next_at(self) -> float | None:
        """When the next operations are due, by the clock; ``None`` while none wait."""
        return min((hold.until for hold in self._holds.values() if hold.operations), default=None)

"""Group commit: everything that waits to be written goes out as one transaction of nested transactions.

Guarantees
- A lone operation costs one round trip and waits for nobody. While a transaction is in flight, operations are
  collected for the next one, so the cost of an operation falls as load rises.
- Each operation gets its own answer, or the error of the transaction that carried it.
- A *persistent* operation is sent again until etcd has answered: for writes that may be repeated.
- Operations of one *order* are sent in the order of submission, unanswered ones before later ones.

Other operations are not retried: the error says whether the write may have been applied
(``StoreUnavailable.maybe_applied``), and only the caller knows how to read it back.

Source: *flat combining* (Hendler, Incze, Shavit, Tzafrir, SPAA 2010) applied to a log: a caller that finds no
sender becomes the sender; the others wait, and one of them is promoted.

Threads and locks
- ``_lock`` guards ``_pending``, ``_unanswered``, ``_sending``, ``_armed``, ``_since``, ``_gap`` and
  ``_closed``; no I/O and no callback under it.
- ``discordha-commit``: started by ``start``, joined by ``stop``. It sends operations that nobody waits for,
  unless a waiting caller takes them along first.
- Callbacks run on the thread that sent the transaction, with no lock held, and must not block.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from discordha.coordination.etcd.store import Guarded, LeaseNotFound, Transactions, Txn, TxnResult
from discordha.errors import StoreUnavailable
from discordha.process.threads import unending

__all__ = ["GroupCommit", "Operation"]

_log = logging.getLogger(__name__)

#: The pause between two tries of persistent operations while etcd does not answer, seconds.
RETRY_PAUSE = 0.25
#: Longer gaps between two callers count as this long, seconds.
FAR_APART = 0.1
#: Operations wait for a ride while the average gap between callers is below this share of it.
LIKELY = 0.75
#: etcd's default limit is 128 operations per transaction, less those inside the nested transactions.
MAX_OPERATIONS = 120


class Operation:
    """One nested transaction and its answer.

    :param txn: the transaction; its branches contain few operations.
    :param keys: the keys that it may write. Operations with a common key keep their order and never share a
        transaction, since etcd rejects one that puts a key twice.
    :param callback: called with the operation once it has an answer, if nobody waits for it.
    :param persistent: sent again until etcd answers; only for ``submit``.
    :param order: operations of one order do not overtake each other; only for persistent ones.
    """

    __slots__ = ("call", "callback", "error", "keys", "order", "persistent", "result", "txn")

    def __init__(
        self,
        txn: Txn | Guarded,
        keys: tuple[str, ...],
        callback: Callable[[Operation], None] | None = None,
        *,
        persistent: bool = False,
        order: str | None = None,
    ) -> None:
        self.persistent = persistent
        self.order = order
        self.txn = txn
        self.keys = keys
        self.callback = callback
        self.call: _Call | None = None
        self.result: TxnResult | None = None
        self.error: Exception | None = None

    def value(self) -> TxnResult:
        """The answer; raises the error of the transaction that carried the operation."""
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


class _Call:
    """A caller that waits for its operations: woken once all have an answer, or to become the sender."""

    __slots__ = ("left", "promoted", "wake")

    def __init__(self, left: int) -> None:
        self.left = left
        self.promoted = False
        self.wake = threading.Lock()  # used as a binary semaphore: cheaper than an Event, one per call
        self.wake.acquire()


class GroupCommit:
    """Combines the writes of one replica. Any thread but the gateway's loop thread.

    :param linger: seconds that an operation may wait for others if no caller waits for it.
    :param ride: the same while callers come so often that the next one probably arrives within it and takes
        the operation along: one transaction less, and one message less on every replica's watch.
    """

    def __init__(
        self,
        store: Transactions,
        *,
        linger: float = 0.003,
        ride: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._linger = linger
        self._ride = max(ride, linger)
        self._clock = clock
        self._since = 0.0  # when the oldest operation in ``_pending`` was submitted
        self._called = clock() - FAR_APART  # when the last caller came
        self._gap = FAR_APART  # seconds between two callers, averaged over the last few
        self._lock = threading.Lock()
        self._pending: deque[Operation] = deque()
        self._unanswered: list[Operation] = []  # persistent, waiting for their next try
        self._sending = False
        self._armed = False  # the background thread knows that something is pending
        self._closed = False
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-commit", daemon=True
        )
        self.transactions = 0
        self.operations = 0

    def start(self) -> None:
        """Starts the background thread. Does not block."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many operations wait to be sent or sent again."""
        return len(self._pending) + len(self._unanswered)

    def stop(self) -> None:
        """Sends once more what is pending, then joins the thread; later operations fail with
        ``StoreUnavailable``. Blocks for at most the store's timeout. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            self._closed = True
            left = [*self._pending, *self._unanswered]
            self._pending.clear()
            self._unanswered.clear()
        self._answer_all(left, StoreUnavailable("the replica has stopped"))

    def due(self) -> float:
        """When pending operations are sent at the latest, by the clock."""
        return self._since + (self._ride if self._gap < LIKELY * self._ride else self._linger)

    def submit(self, operations: Sequence[Operation]) -> None:
        """Queues operations whose answers go to their callbacks. Never blocks; any thread."""
        with self._lock:
            closed = self._closed
            if not closed:
                if not self._pending:
                    self._since = self._clock()
                self._pending.extend(operations)
                arm = not self._armed and not self._sending
                self._armed = self._armed or arm
        if closed:
            self._answer_all(operations, StoreUnavailable("the replica has stopped"))
        elif arm:
            self._wake.set()

    def execute(self, operations: Sequence[Operation]) -> None:
        """Sends operations and blocks until each has an answer (``operation.value()``)."""
        if not operations:
            return
        call = _Call(len(operations))
        for operation in operations:
            operation.call = call
        with self._lock:
            closed = self._closed
            if not closed:
                now = self._clock()
                self._gap += (min(now - self._called, FAR_APART) - self._gap) / 4
                self._called = now
                if not self._pending:
                    self._since = now
                self._pending.extend(operations)
                lead = not self._sending
                self._sending = True
        if closed:
            self._answer_all(operations, StoreUnavailable("the replica has stopped"))
            return
        if not lead:
            call.wake.acquire()
            if not call.promoted:
                return
        while call.left:
            self._send_one_batch()
        self._hand_over()

    # -- the sender -----------------------------------------------------------------------------------------

    def _take_batch(self) -> list[Operation]:
        with self._lock:
            pending = self._pending
            pending.extendleft(reversed(self._unanswered))
            self._unanswered.clear()
            batch: list[Operation] = []
            written: set[str] = set()
            held_back: set[str] = set()
            deferred: list[Operation] = []
            while pending and len(batch) < MAX_OPERATIONS:
                operation = pending.popleft()
                if operation.order not in held_back and written.isdisjoint(operation.keys):
                    batch.append(operation)
                else:
                    deferred.append(operation)
                    if operation.order is not None:
                        held_back.add(operation.order)
                # Deferred operations, too, hold back their successors.
                written.update(operation.keys)
            pending.extendleft(reversed(deferred))
            return batch

    def _send_one_batch(self) -> bool:
        batch = self._take_batch()
        if not batch:
            return False
        answered = True
        self.transactions += 1
        self.operations += len(batch)
        try:
            if len(batch) == 1:
                txn = batch[0].txn
                batch[0].result = self._store.txn(txn.compare, txn.success, txn.failure)
            else:
                whole = self._store.txn((), [operation.txn for operation in batch])
                for operation, response in zip(batch, whole.responses, strict=True):
                    assert isinstance(response, TxnResult)
                    operation.result = response
        except LeaseNotFound:
            # One dead lease fails the whole transaction: find out which operation named it.
            self._send_singly(batch)
        except Exception as error:  # noqa: BLE001 - every caller gets the error, whatever it is
            answered = False
            for operation in batch:
                operation.error = error
        self._answer(batch)
        return answered

    def _send_singly(self, batch: Sequence[Operation]) -> None:
        for operation in batch:
            txn = operation.txn
            try:
                operation.result = self._store.txn(txn.compare, txn.success, txn.failure)
            except Exception as error:  # noqa: BLE001 - goes to the caller
                operation.error = error

    def _answer(self, batch: Sequence[Operation]) -> None:
        for operation in batch:
            if operation.persistent and isinstance(operation.error, StoreUnavailable):
                with self._lock:
                    if not self._closed:
                        operation.error = None
                        self._unanswered.append(operation)
                        self._wake.set()
                        continue
            call = operation.call
            if call is not None:
                # Only the sender decrements, and there is one at a time.
                call.left -= 1
                if call.left == 0:
                    call.wake.release()
            if operation.callback is not None:
                try:
                    operation.callback(operation)
                except Exception:  # noqa: BLE001 - the other operations need their answers all the same
                    _log.exception("a commit callback failed")

    def _answer_all(self, operations: Sequence[Operation], error: Exception) -> None:
        for operation in operations:
            operation.error = error
        self._answer(operations)

    def _hand_over(self) -> None:
        """Makes the next waiting caller the sender, else the background thread."""
        with self._lock:
            successor: _Call | None = None
            if not self._pending:
                self._sending = False
                return
            for operation in self._pending:
                if operation.call is not None:
                    successor = operation.call
                    break
            if successor is None:
                self._sending = False
                self._armed = True
        if successor is not None:
            successor.promoted = True
            successor.wake.release()
        else:
            self._wake.set()

    # -- the background thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        self._wake.set()  # if an error ended the last run, what woke it then is still to be done
        while not self._stop.is_set():
            self._wake.wait()
            if self._unanswered:
                self._stop.wait(RETRY_PAUSE)
            else:
                self._await_company()
            self._wake.clear()
            self._drain()
        while self._drain():
            pass

    def _await_company(self) -> None:
        """Blocks until the oldest pending operation is due, or a caller has taken everything along."""
        while not self._stop.is_set():
            with self._lock:
                if not self._pending or self._unanswered:
                    return
            left = self.due() - self._clock()
            if left <= 0:
                return
            self._stop.wait(left)

    def _drain(self) -> bool:
        """Sends one batch; false if another thread is sending, nothing waits, or etcd did not answer."""
        with self._lock:
            self._armed = False
            if self._sending or not (self._pending or self._unanswered):
                return False
            self._sending = True
        try:
            return self._send_one_batch()
        finally:
            self._hand_over()

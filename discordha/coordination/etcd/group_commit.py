"""Group commit: everything that waits to be written goes out as one transaction of nested transactions.

Guarantees
- A lone operation costs one round trip and waits for nobody. While a transaction is in flight, operations are
  collected for the next one, so the cost of an operation falls as load rises.
- Each operation gets its own answer, or the error of the transaction that carried it. A transaction that
  fails for its contents is split until the operation at fault is alone; the others are not harmed by it. The
  next ones are smaller for a while, in case that etcd takes less than usual.
- A *persistent* operation is sent again until etcd takes it: for writes that may be repeated. Meanwhile
  it stands in nobody's way but those of its kind (``Holdback``).
- Operations of one *order* are sent in the order of submission, unanswered ones before later ones.

Other operations are not retried: the error says whether the write may have been applied
(``StoreUnavailable.maybe_applied``), and only the caller knows how to read it back.

Source: *flat combining* (Hendler, Incze, Shavit, Tzafrir, SPAA 2010) applied to a log: a caller that finds no
sender becomes the sender; the others wait, and one of them is promoted.

Threads and locks
- ``_lock`` guards ``_pending``, ``_held``, ``_sending``, ``_armed``, ``_since``, ``_gap`` and ``_closed``; no
  I/O and no callback under it.
- ``discordha-commit``: started by ``start``, joined by ``stop``. It sends operations that nobody waits for,
  unless a waiting caller takes them along first.
- Callbacks run on the thread that sent the transaction, with no lock held, and must not block.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from discordha.coordination.etcd.operations import (
    MAX_BYTES,
    MAX_OPERATIONS,
    Call,
    Holdback,
    Operation,
    fail,
    leases_of,
    size_of,
    tell,
    unsent,
)
from discordha.coordination.etcd.store import (
    LeaseNotFound,
    RequestRefused,
    StoreRefused,
    Transactions,
    TxnResult,
)
from discordha.errors import ConfigError, StoreUnavailable
from discordha.process.threads import unending

__all__ = ["GroupCommit", "Operation"]

_log = logging.getLogger(__name__)

#: The first pause between two tries of persistent operations while etcd does not take them, seconds.
RETRY_PAUSE = 0.25
#: Longer gaps between two callers count as this long, seconds.
FAR_APART = 0.1
#: Operations wait for a ride while the average gap between callers is below this share of it.
LIKELY = 0.75
#: Batches grow towards ``MAX_BYTES`` after a refusal, by this share each.
GROWTH = 0.125


class GroupCommit:
    """Combines the writes of one replica. Any thread but the gateway's loop thread.

    :param root: what all keys begin with; the next component tells the kind (``kind_of``).
    :param linger: seconds that an operation may wait for others if no caller waits for it.
    :param ride: the same while the next caller probably comes within it and takes the operation along.
    :param last_words: for how many seconds ``stop`` begins to send what is pending.
    """

    def __init__(
        self,
        store: Transactions,
        *,
        root: str = "",
        linger: float = 0.003,
        ride: float = 0.0,
        last_words: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._linger = linger
        self._ride = max(ride, linger)
        self._clock = clock
        self._last_words = last_words
        self._since = 0.0  # when the oldest operation in ``_pending`` was submitted
        self._called = clock() - FAR_APART  # when the last caller came
        self._gap = FAR_APART  # seconds between two callers, averaged over the last few
        self._lock = threading.Lock()
        self._pending: deque[Operation] = deque()
        self._held = Holdback(root, RETRY_PAUSE)
        self._room, self._splits = MAX_BYTES, 0  # of a batch, and how often one was split: the sender's
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
        return len(self._pending) + len(self._held)

    def stop(self) -> None:
        """Sends once more what is pending, then joins the thread; later operations fail with
        ``StoreUnavailable``. Blocks for ``last_words`` and the store's timeout at most. Idempotent.
        """
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            self._closed = True
            self._held.release()
            left = [*self._held.due(self._clock()), *self._pending]
            self._pending.clear()
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
        call = Call(len(operations))
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

    def _take_batch(self) -> tuple[list[Operation], list[Operation]]:
        """What is sent next, and operations that others wait for and that can't be sent now."""
        with self._lock:
            pending, held, now = self._pending, self._held, self._clock()
            pending.extendleft(reversed(held.due(now)))
            batch: list[Operation] = []
            behind: list[Operation] = []
            written: set[str] = set()
            held_back: set[str] = set()
            deferred: list[Operation] = []
            room = self._room
            holds = bool(held)
            while pending and len(batch) < MAX_OPERATIONS:
                operation = pending[0]
                if holds:
                    if operation.persistent and held.keeps(operation, now):
                        pending.popleft()
                        continue
                    if held.is_behind(operation):
                        behind.append(pending.popleft())
                        continue
                size = size_of(operation.txn)
                if batch and size > room:
                    break
                pending.popleft()
                if operation.order not in held_back and written.isdisjoint(operation.keys):
                    batch.append(operation)
                    room -= size
                else:
                    deferred.append(operation)
                    if operation.order is not None:
                        held_back.add(operation.order)
                # Deferred operations, too, hold back their successors.
                written.update(operation.keys)
            pending.extendleft(reversed(deferred))
            return batch, behind

    def _send_one_batch(self) -> bool:
        """Sends one batch; false if nothing may be sent now, or etcd did not answer."""
        batch, behind = self._take_batch()
        if behind:
            self._answer_all(behind, StoreUnavailable("etcd has not taken an earlier write of the same key"))
        if not batch:
            return False
        self.operations += len(batch)
        splits = self._splits
        outage = self._send(batch)
        if self._splits != splits:
            self._room = sum(size_of(operation.txn) for operation in batch) // 2
        elif self._room < MAX_BYTES:
            self._room = min(self._room + int(self._room * GROWTH) + 1, MAX_BYTES)
        self._answer(batch)
        return outage is None

    def _send(self, batch: Sequence[Operation]) -> StoreUnavailable | None:
        """Gives each operation its result or its error. Returns the error if etcd did not answer."""
        self.transactions += 1
        try:
            if len(batch) == 1:
                txn = batch[0].txn
                batch[0].result = self._store.txn(txn.compare, txn.success, txn.failure)
            else:
                whole = self._store.txn((), [operation.txn for operation in batch])
                for operation, response in zip(batch, whole.responses, strict=True):
                    assert isinstance(response, TxnResult)
                    operation.result = response
        except LeaseNotFound as error:
            if len(batch) > 1:
                return self._send_without_dead_leases(batch)
            batch[0].error = error
        except StoreUnavailable as error:
            if not (isinstance(error, StoreRefused) and error.by_key):
                fail(batch, error)
                return error
            kinds = self._by_kind(batch)
            if len(kinds) > 1:
                return self._send_parts(kinds)
            fail(batch, error)
        except ConfigError as error:
            fail(batch, error)
        except Exception as error:  # noqa: BLE001 - the request is at fault, or this library
            if len(batch) > 1:
                self._splits += isinstance(error, RequestRefused)
                half = len(batch) // 2
                return self._send_parts((batch[:half], batch[half:]))
            batch[0].error = error
        return None

    def _by_kind(self, batch: Sequence[Operation]) -> list[list[Operation]]:
        kinds: dict[str, list[Operation]] = {}
        for operation in batch:
            kinds.setdefault(self._held.kind(operation), []).append(operation)
        return list(kinds.values())

    def _send_parts(self, parts: Iterable[Sequence[Operation]]) -> StoreUnavailable | None:
        """Sends one after another, until etcd does not answer."""
        outage: StoreUnavailable | None = None
        for part in parts:
            if outage is None:
                outage = self._send(part)
            else:
                fail(part, unsent(outage))
        return outage

    def _send_without_dead_leases(self, batch: Sequence[Operation]) -> StoreUnavailable | None:
        """Finds an operation whose lease is dead, fails all of that lease, and sends the rest together."""
        for index, operation in enumerate(batch):
            rest = batch[index + 1 :]
            outage = self._send((operation,))
            if outage is not None:
                fail(rest, unsent(outage))
                return outage
            leases = leases_of(operation.txn)
            if isinstance(operation.error, LeaseNotFound) and len(leases) == 1:
                fail([each for each in rest if leases & leases_of(each.txn)], operation.error)
                living = [each for each in rest if each.error is None]
                return self._send(living) if living else None
        return None

    def _answer(self, batch: Sequence[Operation]) -> None:
        again = [each for each in batch if each.persistent and isinstance(each.error, StoreUnavailable)]
        if again or self._held:
            with self._lock:
                self._held.accepted({self._held.kind(each) for each in batch if each.error is None})
                if self._closed:
                    again = []
                self._held.failed(again, self._clock())
        kept = set(again)
        answered = [each for each in batch if each not in kept] if kept else batch
        with self._lock:  # the sender answers, and so does ``stop``
            for operation in answered:
                call = operation.call
                if call is not None:
                    call.left -= 1
                    if call.left == 0 and not call.promoted:  # one that is the sender has been woken
                        call.wake.release()
        tell(answered)

    def _answer_all(self, operations: Sequence[Operation], error: Exception) -> None:
        for operation in operations:
            operation.error = error
        self._answer(operations)

    def _hand_over(self) -> None:
        """Makes the next waiting caller the sender, else the background thread."""
        with self._lock:
            successor: Call | None = None
            if not self._pending:
                self._sending = False
                # The thread waits until they are due; after a batch of its own it looks by itself.
                if self._held and threading.current_thread() is not self._thread:
                    self._wake.set()
                return
            for operation in self._pending:
                if operation.call is not None:
                    successor = operation.call
                    successor.promoted = True
                    break
            if successor is None:
                self._sending = False
                self._armed = True
        if successor is not None:
            successor.wake.release()
        else:
            self._wake.set()

    # -- the background thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        self._wake.set()  # if an error ended the last run, what woke it then is still to be done
        while not self._stop.is_set():
            self._wake.wait(self._until_retry())
            self._await_company()
            self._wake.clear()
            self._drain()
        with self._lock:
            self._held.release()
        until = self._clock() + self._last_words
        while self._clock() < until and self._drain():
            pass

    def _until_retry(self) -> float | None:
        """Seconds until an operation is to be sent again; ``None`` while there is none."""
        with self._lock:
            at = None if self._sending else self._held.next_at()
        return None if at is None else max(at - self._clock(), 0.0)

    def _await_company(self) -> None:
        """Blocks until the oldest pending operation is due, or a caller has taken everything along."""
        while not self._stop.is_set():
            with self._lock:
                if not self._pending:
                    return
            left = self.due() - self._clock()
            if left <= 0:
                return
            self._stop.wait(left)

    def _drain(self) -> bool:
        """Sends one batch; false if another thread is sending, nothing is due, or etcd did not answer."""
        with self._lock:
            self._armed = False
            if self._sending or not (self._pending or self._held):
                return False
            self._sending = True
        try:
            return self._send_one_batch()
        finally:
            self._hand_over()

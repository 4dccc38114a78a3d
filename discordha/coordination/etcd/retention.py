"""Retention leases: marks outlive every replay, with one lease per time bucket instead of one per mark.

Guarantees
- A key written under ``current()`` lives for at least ``retention`` and at most ``retention + bucket``
  seconds, while etcd answers. Leases are granted ahead of time, so only the first caller waits.
- A lease gets about ``FULL`` keys: etcd deletes them at once when it ends, and answers nobody meanwhile (25
  ms for 5,000 keys, 155 ms for 15,000).
- A lease that etcd lost is replaced once, however many writers notice.
- ``announce`` has been called with a lease before it is handed out. If it raises, the lease is not used.

If an outage begins before the next bucket's lease is granted, keys live for what is left of the old one.
Leases are never revoked, because their keys must outlive the replica.

Threads and locks
- ``discordha-retention`` grants the next lease: started by ``start``, joined by ``stop``.
- ``_granting`` is held while a lease is granted. ``_current`` is replaced as a whole and read without a lock.
  ``_used`` counts without one: a few more or less do not matter.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from discordha.coordination.etcd.store import Leases
from discordha.errors import DiscordHAError
from discordha.process.threads import unending

__all__ = ["RetentionLeases"]

_log = logging.getLogger(__name__)

#: The next lease is granted when this share of the bucket is left.
GRANT_AHEAD = 0.25
#: The next lease is also granted when the current one was handed out this often.
FULL = 2_000
#: Pauses between two tries while etcd does not answer, seconds: doubled from the first to the last.
FIRST_PAUSE = 0.1
LAST_PAUSE = 2.0


class _Bucket(NamedTuple):
    lease_id: int
    ends_at: float  # afterwards the lease lives for less than the retention


class RetentionLeases:
    """Hands out the lease of the current time bucket. Any thread.

    :param retention: seconds that a key lives at least.
    :param bucket: seconds that one lease is handed out at most; by default a tenth of the retention.
    :param announce: tells others of a lease; it may block and raise as calls to etcd do.
    """

    def __init__(
        self,
        store: Leases,
        *,
        retention: float,
        bucket: float | None = None,
        announce: Callable[[int], None] = lambda lease: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._announce = announce
        self._retention = retention
        self._bucket = bucket if bucket is not None else max(retention / 10, 1.0)
        self._clock = clock
        self._current: _Bucket | None = None
        self._granting = threading.Lock()
        self._waiting = threading.Lock()  # guards the next two
        self._refused: list[Callable[[], None]] = []  # what waits for another lease
        self._over = False  # the thread makes no more calls
        self._used = 0  # how often the current lease was handed out
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-retention", daemon=True
        )
        self.granted = 0

    def start(self) -> None:
        """Grants the first lease and starts the thread. Blocks for one call to etcd.

        :raises StoreUnavailable: etcd did not answer; the thread is not started.
        """
        self.current()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; the leases live on. Blocks for a call in flight. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._waiting:
            self._over = True
        self._renew_refused()

    def current(self) -> int:
        """The lease to write under. Only the first call asks etcd, and may raise ``StoreUnavailable``."""
        bucket = self._current
        self._used += 1
        if self._used >= FULL and not self._wake.is_set():
            self._wake.set()
        return bucket.lease_id if bucket is not None else self._replace(None).lease_id

    def renew(self, lost: int | None = None) -> bool:
        """Grants another lease after a write was refused because its lease is gone, unless that was done.

        Blocks for a call or two to etcd. False if etcd does not answer: the old lease stays until the next
        refusal.

        :param lost: the lease that was refused; ``None`` asks etcd whether the current one exists.
        """
        bucket = self._current
        if bucket is not None and lost is not None and bucket.lease_id != lost:
            return True
        try:
            if bucket is None or lost is not None or self._store.keep_alive(bucket.lease_id) <= 0.0:
                self._replace(bucket)
        except DiscordHAError as error:
            _log.warning("no retention lease could be granted, and it is tried again: %s", error)
            return False
        return True

    def renew_then(self, call: Callable[[], None]) -> None:
        """Does ``renew`` on the thread, then calls ``call`` there. Never blocks; any thread. At ``stop`` the
        call is made without a renewal."""
        with self._waiting:
            if not self._over:
                self._refused.append(call)
                self._wake.set()
                return
        call()

    def _renew_refused(self) -> None:
        with self._waiting:
            calls, self._refused = self._refused, []
        if calls and not self._stop.is_set() and not self.renew():
            self._stop.wait(FIRST_PAUSE)
        for call in calls:
            call()

    def _replace(self, old: _Bucket | None) -> _Bucket:
        with self._granting:
            current = self._current
            if current is not None and current is not old:
                return current  # another thread was faster
            asked_at = self._clock()
            lease = self._store.grant(self._retention + self._bucket)
            self._announce(lease.id)
            new = self._current = _Bucket(lease.id, asked_at + self._bucket)
            self._used = 0
            self.granted += 1
            return new

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            if self._refused:
                self._renew_refused()
            bucket = self._current
            assert bucket is not None  # start() has granted one
            left = bucket.ends_at - self._bucket * GRANT_AHEAD - self._clock()
            if self._used < FULL and left > 0:
                self._wake.wait(left)
                self._wake.clear()
                continue
            try:
                self._replace(bucket)  # unless another thread was faster
                pause = FIRST_PAUSE
            except DiscordHAError as error:
                level = logging.WARNING if pause == FIRST_PAUSE else logging.DEBUG
                _log.log(level, "waiting for a retention lease: %s", error)
                self._stop.wait(pause)
                pause = min(pause * 2, LAST_PAUSE)

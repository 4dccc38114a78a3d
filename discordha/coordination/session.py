"""Session: one lease in etcd that says "this replica lives". Everything that the replica owns depends on it.

Guarantees
- ``Grant.alive`` turns false no later than the lease can run out in etcd: its deadline counts from *before*
  the last successful renewal was sent, by the local monotonic clock. It never turns true again.
- A grant is lost if etcd says that the lease is gone, if no renewal succeeded before the deadline (etcd is
  out of reach, the process was paused), or when the session stops. The next grant begins as soon as etcd
  answers.
- Two renewals fit into the time that is left when one fails, on different endpoints if there are several.

etcd may keep the lease for up to one TTL after the grant is dead, longer if etcd was down; the old lease is
therefore revoked when the next grant begins. A suspended machine stops its monotonic clock, too.

Source: Gray and Cheriton, "Leases" (SOSP 1989), section 2, for the local deadline; etcd's
``client/v3/concurrency`` for the roles of session and recipes.

Threads and locks
- ``discordha-session``: started by ``start``, joined by ``stop`` after the renewal in flight, a quarter of
  the TTL at most. It alone talks to etcd, over its own connections, so that no large transaction delays a
  renewal. It alone calls the listeners, in order of registration, with no lock held; they must not block.
- ``Grant._lock`` guards the step from alive to ended against a simultaneous renewal. Nothing is called under
  it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from discordha.coordination.etcd.store import Store, StoreRefused
from discordha.errors import ConfigError, DiscordHAError, SessionExpired, StoreUnavailable
from discordha.process.threads import unending

__all__ = ["Grant", "Session"]

_log = logging.getLogger(__name__)

#: Pauses between two tries to begin a grant, seconds. They double from the first to the last.
FIRST_PAUSE = 0.05
LAST_PAUSE = 1.0


class Grant:
    """One lease of the session. What was owned under one grant is not owned under the next. A grant dies at
    ``deadline``, by the session's clock, unless it is renewed; ``number`` counts this process's grants."""

    __slots__ = ("_clock", "_ended", "_lock", "deadline", "lease_id", "number")

    def __init__(self, lease_id: int, number: int, deadline: float, clock: Callable[[], float]) -> None:
        self.lease_id = lease_id
        self.number = number
        self.deadline = deadline
        self._clock = clock
        self._ended = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Grant {self.number} lease {self.lease_id:x} {'alive' if self.alive else 'ended'}>"

    @property
    def alive(self) -> bool:
        """Whether the replica still owns what it got under this grant. No I/O; any thread; never true again
        once false."""
        if self._ended:
            return False
        if self._clock() < self.deadline:
            return True
        with self._lock:
            if self._clock() >= self.deadline:
                self._ended = True
            return not self._ended

    def end(self) -> None:
        """Ends the grant. For the session only."""
        with self._lock:
            self._ended = True

    def extend(self, deadline: float) -> bool:
        """Moves the deadline after a renewal; false if the grant is dead already. For the session only."""
        with self._lock:
            if self._ended or self._clock() >= self.deadline:
                self._ended = True
                return False
            self.deadline = max(self.deadline, deadline)
            return True


class Session:
    """Keeps one grant alive and begins the next one when it is lost.

    :param store: cloned; the session closes its clone.
    :param ttl: seconds until etcd gives up a dead replica. Only etcd rounds up to whole seconds. Infinite for
        a store in this process: the grant needs no renewal, and no thread.
    """

    def __init__(self, store: Store, *, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store.clone()
        self._ttl = ttl
        self._clock = clock
        self._try_for = ttl / 4  # two tries fit between a failed renewal (at TTL/3) and the deadline
        self._listeners: list[tuple[Callable[[Grant], None], Callable[[Grant], None]]] = []
        self._current: Grant | None = None
        self._lost: Grant | None = None  # not revoked yet
        self._number = 0
        self._stop = threading.Event()
        self._begun = threading.Event()  # the first grant exists, or the thread has given up
        self._start_error: DiscordHAError | None = None
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-session", daemon=True
        )
        self.renewals = 0
        self.losses = 0
        self._moves_by = math.inf  # when the thread has done what it does now, at the latest

    def add_listener(self, on_begin: Callable[[Grant], None], on_lost: Callable[[Grant], None]) -> None:
        """Calls listeners when a grant begins and when it is lost, but not at ``stop``. Before ``start``."""
        self._listeners.append((on_begin, on_lost))

    def start(self, timeout: float) -> None:
        """Begins the first grant. Blocks until the listeners have heard of it. A second call raises
        ``RuntimeError``.

        :param timeout: seconds.
        :raises StoreUnavailable: etcd did not answer in time; the session is stopped.
        :raises ConfigError: etcd refuses this replica; the session is stopped.
        """
        if self._ttl == math.inf:
            self._begin(None)
            return
        self._thread.start()
        in_time = self._begun.wait(timeout)
        if in_time and self._start_error is None and not self._stop.is_set():
            return
        self.stop()
        if isinstance(self._start_error, ConfigError):
            raise self._start_error
        raise StoreUnavailable(
            f"no session within {timeout:.3g} s: {self._start_error or 'etcd did not answer'}"
        )

    def interrupt(self) -> None:
        """Ends a ``start`` that waits for etcd. Does not block; any thread."""
        if self._current is None:
            self._stop.set()
            self._begun.set()
            self._store.close()

    def stop(self, *, revoke: bool = True, timeout: float = math.inf) -> None:
        """Ends the grant, revokes its lease and closes the connections. Blocks for at most half the TTL.
        Idempotent; any thread.

        :param revoke: false leaves the lease, and everything owned under it, until it runs out.
        :param timeout: seconds, if they are less than half the TTL.
        """
        deadline = self._clock() + timeout
        self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(min(timeout, self._ttl))
            if self._thread.is_alive():  # etcd does not answer a renewal
                self._store.close()
                self._thread.join()
        grant, self._current = self._current, None
        if grant is not None:
            grant.end()
            if revoke:
                self._revoke(grant, max(deadline - self._clock(), 0.001))
        self._store.close()

    @property
    def overdue(self) -> float:
        """For how many seconds the session's thread has not moved, though it should have. 0.0 while it waits
        for what has an end, and after ``stop``. No I/O; any thread.
        """
        return 0.0 if self._stop.is_set() else max(self._clock() - self._moves_by, 0.0)

    @property
    def current(self) -> Grant | None:
        """The living grant; ``None`` while it is lost. No I/O; any thread."""
        grant = self._current
        return grant if grant is not None and grant.alive else None

    def require(self) -> Grant:
        """The living grant; raises ``SessionExpired`` if it is lost and the next one has not begun."""
        grant = self.current
        if grant is None:
            raise SessionExpired(
                "the session is lost: the replica owns nothing until etcd has given it a new lease"
            )
        return grant

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        lost, self._lost = self._lost, None
        if self._current is not None:  # the thread failed while it kept this grant
            lost = self._current
            self._lose(lost, "an internal error")
        try:
            while not self._stop.is_set():
                grant = self._begin(lost)
                reason = self._keep(grant) if grant is not None else None
                if grant is None or reason is None:
                    return  # stopped, or refused at the first try
                self._lose(grant, reason)
                lost = self._lost = grant
        finally:
            self._begun.set()

    def _begin(self, lost: Grant | None) -> Grant | None:
        """Asks for a lease until etcd grants one; ``None`` at stop, or if etcd rejects the first for good."""
        pause = FIRST_PAUSE
        waiting_since = self._clock()
        said = False
        while not self._stop.is_set():
            self._moves_by = self._clock() + 2 * self._try_for
            try:
                return self._ask(lost, waiting_since)
            except DiscordHAError as error:
                if not self._begun.is_set():
                    self._start_error = error
                    if isinstance(error, ConfigError):
                        return None
                elif not said:
                    said = True
                    refused = isinstance(error, (ConfigError, StoreRefused))
                    level = logging.ERROR if refused else logging.WARNING
                    _log.log(level, "waiting for a new session: %s", error)
            self._moves_by = self._clock() + pause
            self._stop.wait(pause)
            pause = min(pause * 2, LAST_PAUSE)
        return None

    def _ask(self, lost: Grant | None, waiting_since: float) -> Grant:
        asked_at = self._clock()
        lease = self._store.grant(self._ttl, timeout=self._try_for)
        grant = Grant(lease.id, self._number + 1, asked_at + min(self._ttl, lease.ttl), self._clock)
        if lost is not None:
            self._revoke(lost)
        if not grant.alive:
            raise StoreUnavailable("etcd took longer than the TTL to grant a lease")
        self._number = grant.number
        self._start_error = None
        self._current = grant
        if lost is not None:
            waited = self._clock() - waiting_since
            _log.info(
                "session %d (lease %x) began, %.2f s after the loss", grant.number, grant.lease_id, waited
            )
        for on_begin, _ in self._listeners:
            self._tell(on_begin, grant)
        self._begun.set()
        return grant

    def _keep(self, grant: Grant) -> str | None:
        """Renews the grant until it is lost, and returns the reason; ``None`` at stop."""
        due = grant.deadline - self._ttl * 2 / 3
        failure: DiscordHAError | None = None
        while True:
            self._moves_by = max(min(due, grant.deadline), self._clock())
            if self._stop.wait(max(min(due, grant.deadline) - self._clock(), 0.0)):
                return None
            sent_at = self._clock()
            self._moves_by = sent_at + self._try_for
            if not grant.alive:
                return f"no renewal in time ({failure or 'the process stood still'})"
            try:
                granted = self._store.keep_alive(
                    grant.lease_id, timeout=min(self._try_for, grant.deadline - sent_at)
                )
            except DiscordHAError as error:
                failure = error
                due = self._clock() + self._ttl / 50
                continue
            if granted <= 0.0:
                return "etcd does not know its lease any more"
            if grant.extend(sent_at + min(self._ttl, granted)):
                self.renewals += 1
                failure = None
            due = sent_at + self._ttl / 3

    def _lose(self, grant: Grant, reason: str) -> None:
        grant.end()
        self._current = None
        self.losses += 1
        _log.warning("session %d (lease %x) is lost: %s", grant.number, grant.lease_id, reason)
        for _, on_lost in self._listeners:
            self._tell(on_lost, grant)

    def _revoke(self, grant: Grant, timeout: float = math.inf) -> None:
        try:
            self._store.revoke(grant.lease_id, timeout=min(self._try_for, timeout))
        except DiscordHAError as error:
            _log.warning("lease %x was not revoked and runs out by itself: %s", grant.lease_id, error)

    def _tell(self, call: Callable[[Grant], None], grant: Grant) -> None:
        try:
            call(grant)
        except Exception:  # noqa: BLE001 - the session outlives its listeners' faults
            _log.exception("a listener of the session failed; the session goes on")

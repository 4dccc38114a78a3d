"""One shard's election as one replica takes part in it, its terms, and how listeners hear of them.

Guarantees: a ``LeaderTerm`` ends with its session's grant, without asking etcd. ``elections`` has the rest.

Threads and locks: no threads. The lock of ``Elections`` guards an election's state and the notifier's queue.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from discordha.coordination.etcd.store import Compare
from discordha.coordination.membership.shard_keys import number_of
from discordha.coordination.session import Grant

__all__ = ["FIRST_PAUSE", "Election", "LeaderTerm", "SerialNotifier"]

_log = logging.getLogger(__name__)

#: The first pause between two tries while etcd does not answer, seconds.
FIRST_PAUSE = 0.05


class LeaderTerm:
    """One term of leading a shard. Once ended, it never begins again: the next term is another object."""

    __slots__ = ("_ended", "fencing_token", "grant", "key", "shard_id")

    def __init__(self, shard_id: int, key: str, fencing_token: int, grant: Grant) -> None:
        self.shard_id = shard_id
        self.key = key
        self.fencing_token = fencing_token
        self.grant = grant
        self._ended = False

    def __repr__(self) -> str:
        state = "alive" if self.alive else "ended"
        return f"<LeaderTerm of shard {self.shard_id} token {self.fencing_token} {state}>"

    @property
    def alive(self) -> bool:
        """Whether this replica still leads. No I/O; any thread; never true again once false."""
        return not self._ended and self.grant.alive

    @property
    def lease_id(self) -> int:
        """The lease of the session that the term depends on."""
        return self.grant.lease_id

    def guard(self) -> Compare:
        """A condition by which etcd refuses a transaction once the term has ended there."""
        return Compare.create_revision(self.key, self.fencing_token)

    def end(self) -> None:
        """Ends the term here. For ``Elections`` only."""
        self._ended = True


class _Owner(Protocol):
    """``Elections``, as its elections use it."""

    def campaign(self, election: Election) -> None: ...
    def resign(self, election: Election, again: bool, timeout: float) -> bool: ...
    def withdraw(self, election: Election) -> None: ...
    def leader(self, election: Election) -> str | None: ...


class Election:
    """One shard's election as one replica takes part in it. Made by ``Elections.open``; any thread.

    :param guard: conditions that etcd checks when a candidate registers.
    """

    def __init__(
        self,
        elections: _Owner,
        shard_id: int,
        on_elected: Callable[[LeaderTerm], None],
        on_deposed: Callable[[LeaderTerm], None],
        *,
        participate: bool,
        guard: Sequence[Compare],
    ) -> None:
        self._elections = elections
        self.shard_id = shard_id
        self.on_elected = on_elected
        self.on_deposed = on_deposed
        self.participate = participate
        self.guard = guard
        #: Called on the watch's thread when an operator asks this leader to resign; must not block.
        self.on_asked: Callable[[], None] = self._resign_at_once
        #: Called on the watch's thread when the last candidate is gone; must not block.
        self.on_vacant: Callable[[], None] = lambda: None
        # Guarded by the lock of ``Elections``:
        self.wanted = False  # campaigns or leads
        self.leaving = False  # its key has to be deleted
        self.closed = False  # to be forgotten once it has left
        self.entered: Grant | None = None  # a key may exist in etcd under this grant
        self.revision = 0  # of that key's creation, once known
        self.outdated = False  # candidates changed: read them again
        self.term: LeaderTerm | None = None
        # The election's thread only:
        self.retry_at = 0.0
        self.pause = FIRST_PAUSE

    def _resign_at_once(self) -> None:
        self.resign(True)

    @property
    def leadership(self) -> LeaderTerm | None:
        """The present term; ``None`` if this replica does not lead. No I/O."""
        term = self.term
        return term if term is not None and term.alive else None

    @property
    def is_leader(self) -> bool:
        """Whether this replica leads the shard. No I/O."""
        return self.leadership is not None

    @property
    def leader(self) -> str | None:
        """The replica that leads as far as the watch shows; ``None`` if it is known to be dead. No I/O."""
        return self._elections.leader(self)

    @property
    def is_out(self) -> bool:
        """Whether this replica has no key in this election, as far as it knows. No I/O."""
        return self.entered is None

    def campaign(self) -> None:
        """Wants to lead from now on, again after every loss, if this replica participates. Does not block."""
        self._elections.campaign(self)

    def withdraw(self) -> None:
        """Campaigns no more, whatever is called later; a present term goes on. Does not block."""
        self._elections.withdraw(self)

    def resign(self, again: bool, *, timeout: float = 0.0) -> bool:
        """Ends the term or the candidacy at once, and lets the next candidate lead.

        :param again: register again, at the back of the queue.
        :param timeout: seconds to wait until etcd has deleted the key; 0 does not block. If etcd does not
            answer, the deletion is retried until the session ends.
        :return: whether the key is deleted.
        """
        return self._elections.resign(self, again, timeout)


class SerialNotifier:
    """Calls listeners in the order in which things happened, one at a time, with no lock held.

    When ``deliver`` returns, another thread may still be about to call. Listeners' errors are logged.
    ``lock`` guards the queue and is held by callers of ``put``."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._waiting: deque[tuple[Callable[[LeaderTerm], None], LeaderTerm]] = deque()
        self._delivering = False

    def put(self, call: Callable[[LeaderTerm], None], term: LeaderTerm) -> None:
        """Queues a call for the next ``deliver``. Caller holds the lock."""
        self._waiting.append((call, term))

    def deliver(self) -> None:
        """Makes the queued calls on this thread, unless another thread is making them. Blocks meanwhile."""
        while True:
            with self._lock:
                if self._delivering or not self._waiting:
                    return
                self._delivering = True
                call, term = self._waiting.popleft()
            try:
                call(term)
            except Exception:  # noqa: BLE001 - the election outlives its listeners' faults
                _log.exception(
                    "a listener of the election of shard %d failed; the election goes on",
                    number_of(term.shard_id),
                )
            finally:
                with self._lock:
                    self._delivering = False

"""Marks on their way: written in the background until etcd has taken them, or until they are somebody else's.

Promises
- A mark whose answer got lost is sent again, and counts once: its key's version tells (see ``Journal``).
- One that is refused because leadership is lost is kept, and written should this replica lead again before
  another has run the event.
- With its first answer an event is no longer on its last attempt (``LastAttempts``).

Concurrency: no thread; ``write`` runs on handler threads and on the leader's, answers on coordination's. The
lock is the journal's, which guards the tally and the entries' states; no call to another part under it. At
stop ``GroupCommit`` answers ``StoreUnavailable``: the successor runs the event again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.group_commit import GroupCommit, Operation
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import LeaseNotFound, Op
from discordha.coordination.journal.entries import Entry, EntryState
from discordha.coordination.journal.tally import Tally
from discordha.coordination.journal.writes import JournalWrites
from discordha.errors import StoreUnavailable

__all__ = ["JournalMarks"]


class JournalMarks:
    """See the module.

    :param leadership: this replica's, if it has one; called under the lock.
    """

    def __init__(
        self,
        commit: GroupCommit,
        leases: RetentionLeases,
        writes: JournalWrites,
        *,
        tally: Tally,
        lock: threading.Lock,
        leadership: Callable[[], LeaderTerm | None],
        last_attempts: LastAttempts,
    ) -> None:
        self._commit = commit
        self._leases = leases
        self._writes = writes
        self._tally = tally
        self._lock = lock
        self._leadership = leadership
        self._last_attempts = last_attempts

    def write(self, entry: Entry, more: tuple[Op, ...] = ()) -> None:
        """Marks an event as handled. Never blocks.

        :param more: is written with it.
        """
        with self._lock:
            gone = entry.state is EntryState.GONE
            if not gone:
                entry.state = EntryState.FINISHED
                entry.began = self._tally.began(entry)
        if gone:
            self._last_attempts.leave(entry)
            return
        leadership = entry.leadership
        assert leadership is not None
        operation = self._writes.mark(
            entry,
            leadership,
            self._leases.current(),
            more,
            lambda operation: self._on_answer(entry, operation, more),
        )
        self._commit.submit((operation,))

    def _on_answer(self, entry: Entry, operation: Operation, more: tuple[Op, ...]) -> None:
        again = self._is_refused(entry, operation)
        self._last_attempts.leave(entry)  # also where it is: its mark may wait for that of an equal event
        if again:
            self.write(entry, more)

    def _is_refused(self, entry: Entry, operation: Operation) -> bool:
        """Whether an entry is to be marked once more."""
        try:
            version = self._writes.version_instead(operation.value())
        except LeaseNotFound:
            self._leases.renew()
            return True
        except StoreUnavailable:
            return False
        if version is None or version >= entry.occurrence:
            return False  # the watch strikes it out; an earlier try may have been applied, its answer lost
        with self._lock:
            if entry.state is not EntryState.FINISHED:
                return False
            if entry.lost:
                leadership = self._leadership()
                if leadership is None or not leadership.alive:
                    entry.refused = True
                    return False
                entry.leadership, entry.carry = leadership, 0
            if version < entry.occurrence - 1 and not self._tally.waits_for_earlier(entry):
                entry.occurrence = version + 1  # the key expired meanwhile, and counts anew
        return True

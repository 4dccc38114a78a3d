"""Standby journal: events without an identity are handled by the leader, and none is lost with it.

Every replica keeps each such event that it receives. The leader handles its own, in order, and writes one
mark for each; every replica strikes one entry out for each mark that it sees. The entries that remain when a
replica becomes leader are those that the old one left undone. docs/design.md has the protocol.

Guarantees: one mark for each event: three equal events are three entries and three marks. Within a lane, an
entry begins when all that were received before it have been run, whoever led meanwhile. A leader that
resigns hands over what its handlers still run. An event that is run again is a dead letter after
``max_attempts``. A handler may run twice: a leader may die between the side effect and the mark, and a young
gateway session can't match all marks (``Tally``).

Threads and locks: no thread. ``received`` runs on the gateway's and never blocks, ``begin`` and ``finished``
on handler threads, ``on_snapshot`` and ``on_events`` on the watch's. ``_lock`` guards all state. Under it,
only ``LastAttempts.enter``, ``put`` and ``unplaced`` are called: a ``QUEUED`` entry is in its lane, in order,
whenever the lock is free.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import KeyValue, LeaseNotFound, Op, Put, WatchEvent
from discordha.coordination.journal.entries import NEVER, UNDER_WAY, EntryState, JournalEntry
from discordha.coordination.journal.marks import JournalWriter
from discordha.coordination.journal.questions import JournalQuestions
from discordha.coordination.journal.tally import Tally
from discordha.errors import StoreUnavailable

__all__ = ["Journal"]

_log = logging.getLogger(__name__)

#: Seconds after which an entry that its leader has not handled counts as one that the leader never received.
LEFT_OUT = 30.0
#: The pause before an attempt that etcd did not take is noted again, seconds.
ATTEMPT_PAUSE = 0.5


class Journal:
    """One shard's journal. Follows the watch through ``JournalRouter``.

    :param put: puts an entry into its lane; called under the journal's lock, so it may take none that
        somebody holds while calling the journal.
    :param size: entries kept at the most.
    :param dropped: hears why an entry was let go.
    :param buried: hears the name of an event that became a dead letter.
    :param unplaced: called when marks wait for ``JournalQuestions.reached``; must not block.
    """

    def __init__(
        self,
        writer: JournalWriter,
        *,
        put: Callable[[JournalEntry], None],
        size: int,
        retention: float,
        last_attempts: LastAttempts,
        dropped: Callable[[str], None],
        buried: Callable[[str], None],
        unplaced: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._put = put
        self._size = size
        self._retention = retention
        self._last_attempts = last_attempts
        self._dropped = dropped
        self._buried = buried
        self._unplaced = unplaced
        self._clock = clock
        self._lock = threading.Lock()
        self._tally = Tally(*writer.prefixes, replica_id=writer.replica_id, clock=clock)
        self._leadership: LeaderTerm | None = None
        self._leads_no_more = threading.Event()
        self._sessions = 0  # of the gateway
        self._aside: set[str] = set()  # lanes that wait until another event's last attempt is over
        self.questions = JournalQuestions(
            writer.shard_id, self._tally, self._lock, lambda: self._leadership, self._release
        )

    # -- events ----------------------------------------------------------------------------------------------

    def received(self, entry: JournalEntry) -> None:
        """Takes an event. Never blocks; gateway thread, in the order of the gateway."""
        with self._lock:
            tally = self._tally
            waited = tally.unplaced.last > 0
            is_marked = tally.take_early_mark(entry)
            if waited:
                self._release()
            self._tell_unplaced()
            if is_marked:
                return
            full = len(tally) >= self._size
            if full:
                self.questions.dropped()
            if full and (self._leadership is not None or not tally.drop_oldest()):
                entry.state = EntryState.GONE
            else:
                tally.add(entry)
                if self._leads() and entry.lane not in self._blocked():
                    entry.state = EntryState.QUEUED
                    self._put(entry)
        if full:
            self._dropped("journal_full")

    def on_new_session(self) -> None:
        """The gateway began a new session."""
        with self._lock:
            self._tally.new_session()
            self._sessions += 1
            self.questions.new_session()

    @property
    def sessions(self) -> int:
        """The number of gateway sessions so far. Any thread."""
        return self._sessions

    def note_session(self, revision: int, number: int) -> bool:
        """The gateway session ``number`` receives events younger than a revision; false when it is over."""
        with self._lock:
            if number != self._sessions:
                return False
            self._tally.sessions.note(revision)
            return True

    # -- leadership ------------------------------------------------------------------------------------------

    def _leads(self) -> bool:
        """Whether this replica acts as the leader. Caller holds the lock."""
        return self._leadership is not None and self._leadership.alive

    def _blocked(self) -> set[str]:
        """The lanes in which nothing may begin now. Caller holds the lock."""
        return self._tally.blocked_lanes() | self._aside

    def activate(self, leadership: LeaderTerm, since: int = NEVER) -> None:
        """This replica leads. It has seen all marks of earlier leaders, up to ``since``; it runs the rest."""
        with self._lock:
            self._leadership = leadership
            self._leads_no_more.clear()
            # Run here in an earlier term: the mark was refused, or will be, since it names that term.
            finished = [e for e in self._tally if e.state is EntryState.FINISHED and e.lost]
            unmarked = [entry for entry in finished if entry.refused]
            for entry in finished:
                entry.refused = False
                entry.leadership, entry.carry = leadership, 0
                entry.occurrence = self._tally.occurrence(entry)
            self._tally.leads(since)
            self._release()
        for entry in unmarked:
            self._mark(entry)

    def deactivate(self) -> None:
        """This replica leads no more. Unstarted entries stay, for the case that it leads again."""
        with self._lock:
            self._deactivate()

    def _deactivate(self) -> None:
        """Caller holds the lock."""
        self._leadership = None
        self._leads_no_more.set()
        for entry in self._tally:
            if entry.state is EntryState.QUEUED:
                entry.state = EntryState.HELD

    def _release(self) -> None:
        """Puts the entries into their lanes that may run now. Caller holds the lock."""
        if not self._leads():
            return
        blocked = self._blocked()
        for entry in self._tally:
            if entry.state is EntryState.HELD and entry.lane not in blocked:
                entry.state = EntryState.QUEUED
                self._put(entry)

    def hand_over(self, leadership: LeaderTerm, timeout: float | None = None) -> bool:
        """Leaves a carry for each event that runs here, and begins no other. Blocks on etcd. False when etcd
        does not answer: an entry without a carry is lost to its handler when leadership ends.
        """
        with self._lock:
            self._deactivate()
            under_way = [entry for entry in self._tally if entry.state in UNDER_WAY]
            carried = [entry for entry in under_way if entry.leadership is leadership and not entry.carry]
        return self._writer.carry(carried, leadership, timeout)

    # -- running ---------------------------------------------------------------------------------------------

    def begin(self, entry: JournalEntry) -> bool:
        """Before an entry is run; false when it is not to be run here and now. Blocks on etcd for events that
        an earlier leader may have begun.
        """
        with self._lock:
            leadership = self._leadership
            if entry.state is not EntryState.QUEUED:
                return False
            if leadership is None or not leadership.alive or entry.lane in self._tally.unplaced_lanes():
                entry.state = EntryState.HELD
                return False
            first = self._tally.entries.first_to_run(entry.lane)
            if first is not None and first is not entry:
                # Leadership went and came while this entry had left its lane: it stands behind the first.
                entry.state = first.state if first.state is EntryState.QUEUED else EntryState.HELD
                if entry.state is EntryState.QUEUED:  # else it is released with the first
                    self._put(entry)
                return False
            entry.state = EntryState.RUNNING
            entry.leadership = leadership
            entry.occurrence = self._tally.occurrence(entry)
            entry.epoch = self._tally.epochs.of(entry.name)
            if self._tally.may_be_handled(entry):
                entry.ambiguous = entry.replayed = True
                entry.doubt = self._tally.ambiguous.doubt_of(entry.name)
            known = self._tally.records.attempts.get((entry.name, entry.occurrence))
            if not entry.replayed and known is None:
                return True
            made = known.attempt if known is not None else 1
            if known is not None and (known.replica, made) == (self._writer.replica_id, entry.unstarted):
                made -= 1
            entry.attempt = made + 1
            last = self._last_attempts.concerns(entry.attempt)
            if last and not self._last_attempts.enter(entry, self, self._release_aside):
                entry.state = EntryState.HELD
                self._aside.add(entry.lane)
                return False
        noted = self._writer.attempt(entry, leadership)
        if isinstance(noted, Put):
            self._buried(entry.event_name)
            self._mark(entry, (noted,))
            return False
        if noted:
            entry.unstarted = 0
            return True
        entry.unstarted = entry.attempt
        # etcd did not take it, or this replica leads no more; if it still does, the entry is tried again.
        self._leads_no_more.wait(ATTEMPT_PAUSE)
        self._keep(entry, replayed=entry.replayed)
        return False

    def _keep(self, entry: JournalEntry, *, replayed: bool) -> None:
        """Keeps an entry that was not handled, for whichever replica leads."""
        with self._lock:
            if entry.state is EntryState.RUNNING:
                entry.state = EntryState.HELD
                entry.replayed = replayed
            self._release()
        self._last_attempts.leave(entry)

    def _release_aside(self) -> None:
        """No event is on its last attempt now. Any thread, without the lock."""
        with self._lock:
            self._aside.clear()
            self._release()

    def bury_orphans(self) -> None:
        """Makes dead letters of events that ended all replicas of theirs. Blocks; ``StoreUnavailable``."""
        with self._lock:
            leadership = self._leadership
            orphans = self._tally.orphans(self._last_attempts.max_attempts)
        for (name, occurrence), record in orphans:
            if leadership is None:
                return
            self._buried(record.event.partition("/")[0])
            self._writer.bury(name, occurrence, record, leadership)

    def finished(self, entry: JournalEntry, *, handled: bool) -> None:
        """After an entry was run; not ``handled``, where its handler lost it. Never blocks."""
        if handled:
            self._mark(entry)
        else:
            self._keep(entry, replayed=True)

    # -- marks -----------------------------------------------------------------------------------------------

    def _mark(self, entry: JournalEntry, more: tuple[Op, ...] = ()) -> None:
        """Marks an event as handled, and writes ``more`` with the mark. Never blocks."""
        with self._lock:
            gone = entry.state is EntryState.GONE
            if not gone:
                entry.state = EntryState.FINISHED
                entry.began = self._tally.sessions.began(entry)
        if gone:
            self._last_attempts.leave(entry)
        else:
            self._writer.mark(entry, more, lambda operation: self._on_marked(entry, more, operation))

    def _on_marked(self, entry: JournalEntry, more: tuple[Op, ...], operation: Operation) -> None:
        try:
            again = self._is_to_mark_again(entry, more, operation)
        except LeaseNotFound:
            self._writer.renew_then(lambda: self._mark(entry, more))
            again = False
        self._last_attempts.leave(entry)  # with the first answer: a second mark may wait for an equal event's
        if again:
            self._mark(entry, more)

    def _is_to_mark_again(self, entry: JournalEntry, more: tuple[Op, ...], operation: Operation) -> bool:
        try:
            version = self._writer.version_instead(operation)
        except LeaseNotFound:
            raise
        except StoreUnavailable:
            return False
        except Exception as error:  # noqa: BLE001 - its equals must not wait for a mark that can't be made
            if more:
                _log.error("the dead letter of %s is too large: %s", entry.key, error)
                self._mark(entry, self._writer.smaller(more))
            else:
                _log.error("the mark of %s is refused: the next leader runs it again: %s", entry.key, error)
                with self._lock:
                    self._tally.forget(entry)
                    self._release()
            return False
        with self._lock:
            if version is None or entry.state is not EntryState.FINISHED:
                return False  # the watch strikes it out
            if version >= entry.occurrence:
                # The watch strikes it out, if the answer to an earlier try was lost; else another leader has
                # marked an equal event meanwhile, and this one has no mark.
                entry.refused = entry.lost
                return False
            if entry.lost:
                leadership = self._leadership
                if leadership is None or not leadership.alive:
                    entry.refused = True
                    return False
                entry.leadership, entry.carry = leadership, 0
            elif version == entry.occurrence - 1 and entry.carry:
                entry.refused = entry.carry == entry.refused_carry  # the carry is gone
                entry.refused_carry = entry.carry
                return not entry.refused
            if version < entry.occurrence - 1 and not self._tally.waits_for_earlier(entry):
                entry.occurrence = version + 1  # the key expired meanwhile, and counts anew
        return True

    # -- what others ask; any thread -------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._tally)

    def keys(self) -> list[str]:
        """The keys of all entries, in order of arrival."""
        with self._lock:
            return [entry.key for entry in self._tally]

    @property
    def under_way(self) -> int:
        """The number of entries that run here, or wait for their mark."""
        with self._lock:
            return self._tally.entries.under_way()

    @property
    def oldest(self) -> float | None:
        """When the oldest entry was received; ``None`` when there is none."""
        with self._lock:
            return self._tally.entries.oldest

    def unstarted(self) -> list[float]:
        """When each entry was received that has not begun, the oldest first."""
        with self._lock:
            return self._tally.entries.unstarted()

    def passed_over(self, before: float) -> bool:
        """Whether the leader has left out an entry that was received before a moment: it has handled one
        behind it in its lane, or not handled it for ``LEFT_OUT`` seconds.
        """
        with self._lock:
            return self._tally.entries.any_passed_over(before, self._clock() - LEFT_OUT)

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, items: Sequence[KeyValue]) -> None:
        """Replaces the view; the versions tell which marks were missed. Watch thread."""
        with self._lock:
            self._tally.snapshot(items)
            self._release()
            self._tell_unplaced()

    def on_events(self, events: Sequence[WatchEvent]) -> None:
        """Strikes out marked entries. Watch thread."""
        with self._lock:
            if self._tally.apply(events):
                self._release()
            self._tell_unplaced()

    def _tell_unplaced(self) -> None:
        if self._tally.unplaced.last:
            self._unplaced()

    def sweep(self) -> None:
        """Forgets entries that are too old. Called now and then by the owner."""
        with self._lock:
            expired = self._tally.expire(self._clock() - self._retention)
        for _ in range(expired):
            self._dropped("expired")

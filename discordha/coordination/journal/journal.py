"""Standby journal: events without an identity of their own are handled by the leader, and none is lost with
it.

Every replica keeps each such event that it receives. The leader handles its own, in order, and writes one
mark for each; every replica strikes one event out for each mark that it sees. What remains when a replica
becomes leader is what the old one left undone.

Promises
- Equal events are counted, not hashed away: three equal reactions are three entries and three marks. The
  *version* of the key ``j/<guild>/<digest>`` counts the marks, so a watch that is rebuilt, or a mark whose
  answer was lost and is sent again, changes nothing.
- A mark may be seen before its event arrives: it is kept as a *surplus*, and strikes the event out when it
  comes.
- A leader that resigns hands over: for each event that its handlers still run it leaves a *carry* key under
  its own session. Its successor leaves those events, and what waits behind them in their lanes, alone until
  they are marked; should the old leader die, its carries vanish with its session, and the successor runs
  them.
- Within a lane, an entry begins when all that were received before it have been run, however often leadership
  came and went meanwhile.
- An event that a successor runs again has its attempts counted in etcd; after ``max_attempts`` it is a dead
  letter. The last of them is made while no other event's last one is under way (``LastAttempts``).

Does not promise that a handler runs once: a leader may die between the side effect and the mark. Nor that
events which discord.py dispatches only for cached objects are the same on all replicas. A replica whose
gateway session has just begun can't always tell whose mark it sees (see ``Tally``), and keeps the event
then: should it lead before a later event of the lane is marked, that event runs again. It is never lost for
that. What it asks the leader meanwhile is ``questions``.

Protocol, all under the retention lease unless said otherwise. ``n`` is the *occurrence*: the version that the
mark will get, which is the same on every replica that has seen the same marks.

- mark: ``leadership key stands and version(j) == n - 1 -> put j``; or, for a carried event, ``carry stands
  and version(j) == n - 1 -> put j, delete carry``. Else the version that is found tells: ``n`` or more, it
  was applied.
- carry: ``leadership key stands and version(j) < n -> put jc/<guild>/<digest>/<n>`` under the session lease.
- attempt: ``leadership key stands -> put ja/<guild>/<digest>/<n>``, before an event is run again. Where the
  answer is lost, nothing is run, and the same attempt is noted again.

The guild in a key (0 where there are no shards, or no guild) tells which shard's journal it belongs to,
however many shards there are: so both generations of a bot that is being resharded count in the same keys.

Concurrency
- No thread. ``received`` runs on the gateway thread and never blocks; ``on_snapshot`` and ``on_events`` on
  the watch's; ``begin`` and ``finished`` on handler threads; ``activate``, ``deactivate`` and ``hand_over``
  on the owner's.
- ``_lock`` guards all state. No I/O is made under it, and no call but ``LastAttempts.enter``, and ``ready``,
  which puts entries in line: what is ``QUEUED`` is in line, and in order, whenever the lock is free.
- At a lost lease the leadership ends by its own deadline: nothing more is begun, handlers in flight get
  ``LockLost``.
- At a lost watch nothing is struck out until it is back; then versions tell what was missed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.store import (
    KeyValue,
    LeaseNotFound,
    Put,
    Store,
    TxnResult,
    WatchEvent,
)
from discordha.coordination.journal.entries import Entry, EntryState
from discordha.coordination.journal.marks import JournalMarks
from discordha.coordination.journal.questions import JournalQuestions
from discordha.coordination.journal.tally import Tally
from discordha.coordination.journal.writes import JournalWrites
from discordha.errors import DiscordHAError

__all__ = ["Journal"]

_log = logging.getLogger(__name__)

_WAITS = (EntryState.HELD, EntryState.QUEUED)
#: Carries that go into one transaction.
BATCH = 100
#: What its leader has not handled for so long it may not have received, seconds.
LEFT_OUT = 30.0


class Journal:
    """One shard's journal. A ``WatchListener`` for its keys; see ``Journals``.

    :param ready: called with entries that are this replica's to run, in order; any thread, under the lock: it
        may take no lock but one that nobody holds while calling the journal.
    :param size: entries kept at the most.
    :param last_attempts: the process's own.
    :param dropped: hears why an entry was let go; ``buried``, the name of an event that became a dead letter.
    :param proven: a revision that is older than every event which is received from now on; gateway thread. It
        goes into marks, so that others can tell which events they did not receive.
    """

    def __init__(
        self,
        store: Store,
        commit: GroupCommit,
        leases: RetentionLeases,
        root: str,
        shard_id: int,
        *,
        replica_id: str,
        ready: Callable[[Sequence[Entry]], None],
        size: int,
        retention: float,
        dropped: Callable[[str], None],
        buried: Callable[[str], None],
        last_attempts: LastAttempts,
        proven: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._commit = commit
        self._leases = leases
        self._shard_id = shard_id
        self._replica_id = replica_id
        self._writes = writes = JournalWrites(root, shard_id, replica_id, last_attempts.max_attempts)
        self._ready = ready
        self._size = size
        self._retention = retention
        self._last_attempts = last_attempts
        self._dropped = dropped
        self._buried = buried
        self._proven = proven
        self._clock = clock
        self._lock = threading.Lock()
        self._tally = Tally(
            writes.marks_at, writes.carries_at, writes.attempts_at, replica_id=replica_id, clock=clock
        )
        self._leadership: LeaderTerm | None = None
        self._received = 0  # how many
        self._sessions = 0  # of the gateway's
        self._aside: set[str] = set()  # lanes that wait until another event's last attempt is over
        self.replayed = 0
        self.questions = JournalQuestions(shard_id, self._tally, self._lock, lambda: self._leadership)
        self._marks = JournalMarks(
            commit,
            leases,
            writes,
            tally=self._tally,
            lock=self._lock,
            leadership=lambda: self._leadership,
            last_attempts=last_attempts,
        )

    # -- events ----------------------------------------------------------------------------------------------

    def received(self, key: str, lane: str, item: Any, payload: str | None, *, partition: str = "0") -> None:
        """Takes an event. Never blocks; gateway thread, in the order of the gateway.

        :param partition: the event's guild.
        """
        entry = Entry(key, lane, item, payload, self._clock(), partition)
        entry.revision = self._proven()
        with self._lock:
            self._received += 1
            entry.number = self._received
            tally = self._tally
            if tally.consume_surplus(entry):
                return
            full = len(tally) >= self._size
            if full and (self._leadership is not None or not tally.drop_oldest()):
                entry.state = EntryState.GONE
            else:
                tally.add(entry)
                if self._may_run(entry):
                    entry.state = EntryState.QUEUED
                    self._ready((entry,))
            if full:
                self.questions.dropped()
        if full:
            self._dropped("journal_full")

    def on_new_session(self) -> None:
        """The gateway began a new session: what marks say now may be about events that this replica never
        got.
        """
        with self._lock:
            self._tally.new_session()
            self._sessions += 1
            self.questions.new_session()

    @property
    def sessions(self) -> int:
        """How many gateway sessions have begun. Any thread."""
        return self._sessions

    def note_session(self, revision: int, number: int) -> bool:
        """What is younger than this revision comes in here.

        :param number: of which session; false, and nothing, when it is not the present one.
        """
        with self._lock:
            if number != self._sessions:
                return False
            self._tally.note_session(revision)
            return True

    def _may_run(self, entry: Entry) -> bool:
        """Whether an entry is ours to run now. Caller holds the lock."""
        if self._leadership is None or not self._leadership.alive:
            return False
        return entry.lane not in self._blocked()

    def _blocked(self) -> set[str]:
        """The lanes of which nothing may begin now. Caller holds the lock."""
        return self._tally.blocked_lanes() | self._aside

    # -- leadership ------------------------------------------------------------------------------------------

    def activate(self, leadership: LeaderTerm) -> None:
        """This replica leads, and has seen all marks of its predecessors: what they left undone is run."""
        with self._lock:
            self._leadership = leadership
            # Run here in an earlier term: its mark was refused, or will be, for it is on its way under that
            # term.
            finished = [e for e in self._tally if e.state is EntryState.FINISHED and e.lost]
            unmarked = [entry for entry in finished if entry.refused]
            for entry in finished:
                entry.refused = False
                entry.leadership, entry.carry = leadership, 0
                entry.occurrence = self._tally.occurrence(entry)
            for entry in self._tally:
                if entry.state is EntryState.HELD:
                    entry.replayed = True
                    entry.doubtful = self._tally.may_be_handled(entry)
            self._release()
        for entry in unmarked:
            self._marks.write(entry)

    def deactivate(self) -> None:
        """This replica leads no more: what has not begun is kept for the case that it leads again."""
        with self._lock:
            self._deactivate()

    def _deactivate(self) -> None:
        """Caller holds the lock."""
        self._leadership = None
        for entry in self._tally:
            if entry.state is EntryState.QUEUED:
                entry.state = EntryState.HELD

    def _release(self) -> None:
        """Gives the owner what is its to run. Caller holds the lock."""
        if self._leadership is None or not self._leadership.alive:
            return
        blocked = self._blocked()
        ready = [e for e in self._tally if e.state is EntryState.HELD and e.lane not in blocked]
        for entry in ready:
            entry.state = EntryState.QUEUED
        self._ready(ready)

    def hand_over(self, leadership: LeaderTerm) -> bool:
        """Leaves a carry for each event that runs here, and begins no other. Blocks on etcd; then resign.

        :return: whether all carries stand; what has none is lost to its handler when leadership ends.
        """
        with self._lock:
            self._deactivate()
            under_way = [
                entry
                for entry in self._tally
                if entry.state in (EntryState.RUNNING, EntryState.FINISHED)
                and entry.leadership is leadership
                and not entry.carry
            ]
        for start in range(0, len(under_way), BATCH):
            batch = under_way[start : start + BATCH]
            puts = [self._writes.carry(entry, leadership.lease_id) for entry in batch]
            try:
                result = self._store.txn((leadership.guard(),), puts)
            except (DiscordHAError, LeaseNotFound) as error:
                _log.warning("shard %d is handed over with handlers running: %s", self._shard_id, error)
                return False
            if not result.succeeded:
                return False
            for entry, answer in zip(batch, result.responses, strict=True):
                if isinstance(answer, TxnResult) and answer.succeeded:
                    entry.carry = result.revision
        return True

    # -- running ---------------------------------------------------------------------------------------------

    def begin(self, entry: Entry) -> bool:
        """Before an entry is run; false when it is not to be run (here, now, or at all).

        Blocks on etcd for events that an earlier leader may have begun. Handler threads.
        """
        with self._lock:
            leadership = self._leadership
            if entry.state is not EntryState.QUEUED:
                return False
            if leadership is None or not leadership.alive:
                entry.state = EntryState.HELD
                return False
            first = self._tally.entries.first_to_run(entry.lane)
            if first is not None and first is not entry:
                # Leadership went and came while this one had been taken from the line: it stands behind.
                if first.state is EntryState.QUEUED:
                    self._ready((entry,))
                else:
                    entry.state = EntryState.HELD  # whatever releases the first releases this one
                return False
            entry.state = EntryState.RUNNING
            entry.leadership = leadership
            entry.occurrence = self._tally.occurrence(entry)
            known = self._tally.records.attempts.get((entry.name, entry.occurrence))
            if not entry.replayed and known is None:
                return True
            made = known.attempt if known is not None else 1
            if known is not None and (known.replica, known.attempt) == (self._replica_id, entry.unstarted):
                made -= 1
            entry.attempt = made + 1
            last = self._last_attempts.concerns(entry.attempt)
            if last and not self._last_attempts.enter(entry, self, self._release_aside):
                entry.state = EntryState.HELD
                self._aside.add(entry.lane)
                return False
        if entry.attempt > self._last_attempts.max_attempts:
            self._marks.write(entry, (self._letter(entry.key, entry.payload),))
            return False
        return self._note_attempt(entry, leadership)

    def _note_attempt(self, entry: Entry, leadership: LeaderTerm) -> bool:
        operation = self._writes.attempt(entry, leadership, self._leases.current())
        self._commit.execute((operation,))
        try:
            noted = operation.value().succeeded
        except (DiscordHAError, LeaseNotFound):
            noted = False
        entry.unstarted = 0 if noted else entry.attempt
        if noted:
            self.replayed += 1
            return True
        with self._lock:
            if entry.state is EntryState.RUNNING:
                entry.state = EntryState.HELD
            # etcd did not answer, or this replica leads no more; if it still does, the entry is tried again.
            self._release()
        self._last_attempts.leave(entry)
        return False

    def _release_aside(self) -> None:
        """No event is on its last attempt now. Any thread, without the lock."""
        with self._lock:
            self._aside.clear()
            self._release()

    def _letter(self, event: str, payload: str | None) -> Put:
        error = f"{self._last_attempts.max_attempts} attempts ended with their leader"
        _log.error("%s is a dead letter: %s", event, error)
        self._buried(event.split("/", 1)[0])
        return self._writes.letter(event, payload, error)

    def bury_orphans(self) -> None:
        """Makes dead letters of events that ended with every replica which had received them. Blocks on etcd.

        :raises StoreUnavailable: etcd does not answer.
        """
        with self._lock:
            leadership = self._leadership
            orphans = self._tally.orphans(self._last_attempts.max_attempts)
        for (name, occurrence), record in orphans:
            if leadership is None:
                return
            over = self._writes.forget_attempt(name, occurrence)
            self._store.txn((leadership.guard(),), (self._letter(record.event, record.payload), over))

    def finished(self, entry: Entry, *, handled: bool) -> None:
        """After an entry was run. Never blocks; handler threads.

        :param handled: false when its handler was stopped because it was lost: it is kept, for whoever leads.
        """
        if handled:
            self._marks.write(entry)
            return
        with self._lock:
            if entry.state is EntryState.RUNNING:
                entry.state = EntryState.HELD
                entry.replayed = True
            self._release()
        self._last_attempts.leave(entry)

    @property
    def under_way(self) -> int:
        """How many entries run here, or wait for their mark."""
        with self._lock:
            return sum(1 for e in self._tally if e.state in (EntryState.RUNNING, EntryState.FINISHED))

    @property
    def oldest(self) -> float | None:
        """When the oldest entry came in; ``None`` when there is none."""
        with self._lock:
            return self._tally.entries.oldest

    @property
    def oldest_in_line(self) -> float | None:
        """The same of those that have not begun."""
        with self._lock:
            return next((entry.received_at for entry in self._tally if entry.state in _WAITS), None)

    def passed_over(self, before: float) -> bool:
        """Whether the leader has left out what came in here before a moment: it has handled what stands
        behind it in its lane, or not handled it for ``LEFT_OUT`` seconds.
        """
        late = self._clock() - LEFT_OUT
        with self._lock:
            return any(
                entry.state is EntryState.HELD
                and entry.received_at < before
                and (entry.passed_over or entry.received_at < late)
                for entry in self._tally
            )

    def in_line(self) -> list[float]:
        """When those came in that have not begun."""
        with self._lock:
            return [entry.received_at for entry in self._tally if entry.state in _WAITS]

    def __len__(self) -> int:
        return len(self._tally)

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, items: Sequence[KeyValue]) -> None:
        """Replaces the view; what was missed is told by the versions. Watch thread."""
        with self._lock:
            self._tally.snapshot(items)
            self._release()

    def on_events(self, events: Sequence[WatchEvent]) -> None:
        """Strikes out what is marked. Watch thread."""
        with self._lock:
            if self._tally.apply(events):
                self._release()

    def sweep(self) -> None:
        """Forgets what is too old. Called now and then by the owner."""
        with self._lock:
            expired = self._tally.expire(self._clock() - self._retention)
        for _ in range(expired):
            self._dropped("expired")

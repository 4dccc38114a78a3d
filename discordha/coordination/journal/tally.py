"""Tally: matches marks with entries, by content. docs/design.md says which event a mark is about, and why.

Guarantees: no entry goes without a mark, and no mark without an entry: each strikes out one, waits for one,
or leaves one ambiguous. A certain mark strikes out the oldest equal entry of this session that its writer
has received, and with it the ambiguous entries before that in its lane. An uncertain mark strikes out an
entry of an earlier session, if it is certain for that one and its writer has received the event; nothing of
this session, so that no event is lost that nobody has handled. A certain mark by a leader whose own session
may be younger than all equal entries waits until everything older than the mark has arrived: then its event
is among them.

Rests on leaders that handle all they receive, lane by lane in order: ``tests/model/sessions_model.py``.

Threads and locks: no I/O, no thread; the journal's lock guards all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.journal.entries import (
    NEVER,
    UNSTARTED,
    AttemptRecord,
    EntryState,
    JournalEntry,
    JournalMark,
)
from discordha.coordination.journal.epochs import MarkEpochs
from discordha.coordination.journal.sessions import SETTLE, AmbiguousEntries, GatewaySessions
from discordha.coordination.journal.tables import (
    EarlyMark,
    EarlyMarks,
    EntryIndex,
    RunRecords,
    UnplacedMarks,
)

__all__ = ["EARLY_MARK_LIFE", "Tally"]

#: An early mark waits so long for its event, seconds.
EARLY_MARK_LIFE = 60.0


class Tally:
    """See the module. ``marks``, ``carries`` and ``attempts`` are prefixes of keys."""

    def __init__(
        self,
        marks: str,
        carries: str,
        attempts: str,
        *,
        replica_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._marks_at = marks
        self._replica_id = replica_id
        self._clock = clock
        self.entries = EntryIndex()
        self.records = RunRecords(carries, attempts)
        self.sessions = GatewaySessions(clock)
        self.ambiguous = AmbiguousEntries()
        self.early = EarlyMarks(EARLY_MARK_LIFE, clock)
        self.unplaced = UnplacedMarks()
        self._inferred = EarlyMarks(SETTLE, clock)  # marks to come of entries that were struck out before
        self._versions: dict[str, int] = {}
        self.epochs = MarkEpochs(clock)
        self._seen_snapshot = False
        self._told_at = 0.0  # when etcd last said anything
        self._led = NEVER
        self._ahead: dict[str, int] | None = None  # marks since the last IDENTIFY, by name; none: READY came

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(self.entries)

    def take_early_mark(self, entry: JournalEntry) -> bool:
        """Whether an entry's mark was here before it; the mark is used up. Once for each that comes in."""
        self.reached(entry.revision)
        mark = self.early.take(entry.name)
        if mark is None:
            return False
        if mark.written and mark.session > entry.revision:  # perhaps about a later one
            self.unplaced.put(entry.name, mark.written, mark.session)
            return False
        if self.ambiguous:
            self._strike_ambiguous(entry, mark.session)
        return True

    def add(self, entry: JournalEntry) -> None:
        """Adds an entry behind all others."""
        self.entries.add(entry)
        self.ambiguous.received(entry)
        if not self.sessions.is_settled(entry):
            self.ambiguous.add(entry, self._present(entry.name))
        self._spread(entry.name)

    def _present(self, name: str) -> list[JournalEntry]:
        """The equal entries of this session."""
        return [entry for entry in self.entries.equal(name) if self.sessions.is_present(entry)]

    def _first(self, name: str) -> JournalEntry | None:
        """The oldest of them."""
        present = (entry for entry in self.entries.equal(name) if self.sessions.is_present(entry))
        return next(present, None)

    def _spread(self, name: str) -> None:
        """Makes as many equal entries ambiguous as there are uncertain marks of their name."""
        more = self.ambiguous.uncertain(name)
        if not more:
            return
        self.ambiguous.moved(name, self._clock())
        present = self._present(name)
        more -= sum(entry in self.ambiguous for entry in present)
        for entry in present:
            if more > 0 and entry not in self.ambiguous:
                self.ambiguous.add(entry, present)
                more -= 1

    def forget(self, entry: JournalEntry) -> None:
        """Removes an entry."""
        self.entries.remove(entry)
        if self.sessions.is_present(entry):
            self.ambiguous.gone(entry)
        else:
            self.ambiguous.gone_earlier(entry)
        if entry.name not in self.entries:
            self.ambiguous.none_left(entry.name)

    def drop_oldest(self) -> bool:
        """Makes room; false when the oldest entry is more than held."""
        oldest = self.entries.first
        if oldest is None or oldest.state is not EntryState.HELD:
            return False
        self.forget(oldest)
        return True

    def expire(self, before: float) -> int:
        """Forgets old marks, and entries that were held since before a moment; returns how many entries."""
        self.early.expire()
        self._inferred.expire()
        self.epochs.expire()
        if not self.sessions.is_young:
            self.ambiguous.forget_idle(self._clock() - SETTLE, self.entries)
        old = [e for e in self if e.received_at < before and e.state is EntryState.HELD]
        for entry in old:
            self.forget(entry)
        return len(old)

    def occurrence(self, entry: JournalEntry) -> int:
        """The version that the entry's mark will get."""
        return self._versions.get(entry.name, 0) + 1 + self.entries.equal(entry.name).index(entry)

    def leads(self, revision: int) -> None:
        """This replica leads, and earlier leaders wrote nothing behind a revision. They may have begun what
        is held.
        """
        self._led = revision
        for entry in self:
            if entry.state is EntryState.HELD:
                entry.replayed = True

    def may_be_handled(self, entry: JournalEntry) -> bool:
        """Whether an earlier leader may have handled an entry: a mark was seen that may be about it. Of equal
        ones as many as there are such marks, the oldest.
        """
        if entry.revision >= self._led or not self.ambiguous.may_be_handled(entry):
            return False
        doubtful = (other for other in self.entries.equal(entry.name) if other in self.ambiguous)
        return entry in islice(doubtful, self.ambiguous.uncertain(entry.name))

    def waits_for_earlier(self, entry: JournalEntry) -> bool:
        """Whether the mark of an equal entry before it is on the way."""
        return any(
            other.state is EntryState.FINISHED and other.occurrence < entry.occurrence
            for other in self.entries.equal(entry.name)
        )

    def blocked_lanes(self) -> set[str]:
        """The lanes of entries that another replica still runs, or may have run."""
        blocked = self.unplaced_lanes()
        for (name, occurrence), replica in self.records.carried.items():
            if replica == self._replica_id:
                continue
            for entry in self.entries.equal(name):
                if self.occurrence(entry) == occurrence:
                    blocked.add(entry.lane)
        return blocked

    def unplaced_lanes(self) -> set[str]:
        """The lanes of entries that unplaced marks may be about."""
        return {entry.lane for name in self.unplaced for entry in self.entries.equal(name)}

    def orphans(self, max_attempts: int) -> list[tuple[tuple[str, int], AttemptRecord]]:
        """Events that were started ``max_attempts`` times, and that this replica does not have."""
        here = {(entry.name, self.occurrence(entry)) for entry in self}
        return [
            (at, record)
            for at, record in self.records.attempts.items()
            if at not in here and record.attempt >= max_attempts
        ]

    def identifies(self) -> None:
        """An IDENTIFY leaves. Marks that come before its READY may be about events that come behind it."""
        self._ahead = {}

    def new_session(self) -> None:
        """A gateway session begins."""
        self.sessions.begin(self.entries.oldest)
        self.ambiguous.begin(self._ahead or {})
        self._ahead = None
        self.early.clear()
        self.unplaced.clear()
        self._inferred.clear()

    def reached(self, revision: int) -> None:
        """Every event has arrived that is older than a revision: strikes out an entry for each unplaced mark
        that was written by then. Leaders of younger gateway sessions receive the later ones of equal events.
        """
        if not self.unplaced:
            return
        for name, session in self.unplaced.take(revision):
            present = self._present(name)
            fitting = [entry for entry in present if entry.revision < session] or present
            if not fitting:
                # The mark of a later equal event has struck out its entry.
                self.early.put(name, EarlyMark(NEVER))
            elif all(entry.state in UNSTARTED for entry in fitting):  # else one was run twice
                self.forget(fitting[-1])

    @property
    def in_doubt(self) -> bool:
        """Whether a leader may not know of the session yet, or may have handled an entry before it did."""
        aware = self.sessions.aware_at
        return self._clock() < aware or any(
            e.state is EntryState.HELD and e.received_at < aware for e in self.ambiguous
        )

    @property
    def may_ask(self) -> bool:
        """Whether there is something to ask the leader."""
        return self.sessions.revision is not None and self.ambiguous.held > 0

    def ask(self) -> dict[str, int]:
        """The names to ask the leader for, each with a revision that is older than all its entries."""
        return self.ambiguous.ask() if self.sessions.revision is not None else {}

    def left(self, names: Mapping[str, int]) -> dict[str, int]:
        """A leader's answer: how many entries there are of each name that this replica can tell of."""
        return {
            name: len(self.entries.equal(name))
            for name, since in names.items()
            if self.sessions.covers(since)
        }

    def settle(self, left: Mapping[str, int]) -> int:
        """Takes the leader's answer: strikes out the entries that it has handled; returns how many."""
        unplaced = {name: self.unplaced.count(name) for name in left}
        handled = [
            entry
            for name, count in self.ambiguous.handled(left, unplaced).items()
            for entry in [e for e in self._present(name) if e.state is EntryState.HELD][:count]
        ]
        for entry in handled:
            self.forget(entry)
        return len(handled)

    def snapshot(self, items: Sequence[KeyValue]) -> None:
        """Replaces the view; the versions tell which marks were missed."""
        cut = len(self._marks_at)
        marks = {kv.key[cut:]: kv for kv in items if kv.key.startswith(self._marks_at)}
        self.records.clear()
        for kv in items:
            self.records.apply("put", kv)
        if self._seen_snapshot:
            settled = self.sessions.settled_at(self._told_at)
            told = [(name, kv, _read_mark(kv)) for name, kv in marks.items()]
            for name, kv, mark in sorted(told, key=lambda told: (told[1].mod_revision, told[2].number)):
                self._count_up(name, kv.version, mark, settled=settled)
        self._told_at = self._clock()
        # The first snapshot is the baseline: marks before it are not about events that come.
        self._seen_snapshot = True
        self._versions = {name: kv.version for name, kv in marks.items()}
        self.epochs.keep(set(marks))

    def apply(self, events: Sequence[WatchEvent]) -> bool:
        """Follows the watch; true when a carry is gone, so that a lane may be free."""
        freed = False
        self._told_at = self._clock()
        for kind, kv, mark in self._in_order(events):
            name = kv.key[len(self._marks_at) :]
            if mark is not None:
                self._count_up(name, kv.version, mark)
                self._versions[name] = kv.version
                self.epochs.written(name)
            elif not kv.key.startswith(self._marks_at):
                freed |= self.records.apply(kind, kv)
            else:
                self._versions.pop(name, None)
                self.epochs.gone(name, kv.mod_revision)
        return freed

    def _in_order(self, events: Sequence[WatchEvent]) -> list[tuple[str, KeyValue, JournalMark | None]]:
        """Events as they were written: etcd shows those of one transaction in the order of their keys."""
        told: list[tuple[str, KeyValue, JournalMark | None]] = [
            (k, kv, self._mark(k, kv)) for k, kv in events
        ]
        if len(told) > 1:
            told.sort(key=lambda t: (t[1].mod_revision, NEVER if t[2] is None else t[2].number))
        return told

    def _mark(self, kind: str, kv: KeyValue) -> JournalMark | None:
        return _read_mark(kv) if kind == "put" and kv.key.startswith(self._marks_at) else None

    def _count_up(self, name: str, version: int, mark: JournalMark, *, settled: bool = True) -> None:
        """Counts the marks since the last time; ``settled``: those before the last are as certain as that
        one.
        """
        known = self._versions.get(name, 0)
        uncertain = mark._replace(revision=0)
        # A lower version: the key expired meanwhile, and counts anew.
        missed = version - known if version >= known else version
        for left in range(missed, 0, -1):
            self.acknowledge(name, mark if settled or left == 1 else uncertain)

    def acknowledge(self, name: str, mark: JournalMark) -> None:
        """Counts one mark: strikes out its entry, or notes that it is early, unplaced or uncertain."""
        certain = self.sessions.covers(mark.revision)
        entry = self._find(name, mark)
        if entry is None and self._ahead is not None:
            self._ahead[name] = self._ahead.get(name, 0) + 1
        if entry is not None:
            in_order = self._first(name) in (None, entry)
            self.forget(entry)
            if entry.ambiguous and mark.writer == self._replica_id:
                self.ambiguous.explain(name)  # whether it was run once more, or for the first time
            if certain:
                if self.ambiguous and in_order:
                    self._strike_ambiguous(entry, mark.session)
                self._spread(name)
        elif certain and self._first(name) is None:
            if self._inferred.take(name) is None:
                self.early.put(name, EarlyMark(mark.session, mark.written))
        elif certain:
            self.unplaced.put(name, mark.written, mark.session)
        elif self.ambiguous or self.sessions.is_young:
            self.ambiguous.note_uncertain(name)
            self._spread(name)

    def _find(self, name: str, mark: JournalMark) -> JournalEntry | None:
        """The equal entry that a mark is about."""
        same = self.entries.equal(name)
        if mark.writer == self._replica_id:
            finished = next((entry for entry in same if entry.state is EntryState.FINISHED), None)
            if finished is not None:
                return finished
        if not self.sessions.covers(mark.revision):
            earlier = (entry for entry in same if not self.sessions.is_present(entry))
            return next((entry for entry in earlier if self.sessions.may_be_of(entry, mark)), None)
        first = self._first(name)
        if first is None:
            return next(iter(same), None)
        # The oldest that its writer has received for sure. A later one would take the entries before it, too.
        if mark.session <= first.revision:
            return first
        return next((entry for entry in self._present(name) if mark.session <= entry.revision), None)

    def _strike_ambiguous(self, struck: JournalEntry, session: int) -> None:
        """Strikes out what stands before a struck entry in its lane, and came in its leader's gateway
        session.
        """
        for entry in self.ambiguous:
            before = entry.lane == struck.lane and entry.sequence < struck.sequence
            if before and entry.state is EntryState.HELD and session <= entry.revision:
                self.forget(entry)
                if not self.ambiguous.explain(entry.name):
                    # Its mark is late, because etcd did not take it at once.
                    self._inferred.put(entry.name, EarlyMark(session))


def _read_mark(kv: KeyValue) -> JournalMark:
    return JournalMark.parse(kv.value)._replace(written=kv.mod_revision)

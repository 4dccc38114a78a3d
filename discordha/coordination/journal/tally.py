"""Tally: what a journal holds, and what etcd and the gateway tell of it. ``MarkMatching`` matches both.

Guarantees: marks count in the order in which they were written, those that the watch has missed included. A
replica's answer to a question tells only of names of which it must have received everything that the asker
has.

Threads and locks: no I/O, no thread; the journal's lock guards all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, takewhile

from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.journal.entries import (
    NEVER,
    UNKNOWN,
    AttemptRecord,
    EntryState,
    JournalEntry,
    JournalMark,
)
from discordha.coordination.journal.epochs import MarkEpochs
from discordha.coordination.journal.matching import MarkMatching
from discordha.coordination.journal.sessions import SETTLE
from discordha.coordination.journal.tables import RunRecords

__all__ = ["Tally"]


class Tally(MarkMatching):
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
        super().__init__(replica_id=replica_id, clock=clock)
        self._marks_at = marks
        self.records = RunRecords(carries, attempts)
        self.epochs = MarkEpochs(clock)
        self._seen_snapshot = False
        self._told_at = 0.0  # when etcd last said anything
        self._led = NEVER

    def drop_oldest(self) -> bool:
        """Makes room; false when the oldest entry is more than held."""
        oldest = self.entries.first
        if oldest is None or oldest.state is not EntryState.HELD:
            return False
        self.forget(oldest)
        return True

    def expire(self, before: float) -> int:
        """Forgets old marks, and entries that were held since before a moment; returns how many entries."""
        self.give_up_early()
        self.early.expire()
        self._inferred.expire()
        self.epochs.expire()
        if not self.sessions.is_young:
            self.ambiguous.forget_idle(self._clock() - SETTLE, self.entries)
            self._placed = {name: more for name, more in self._placed.items() if name in self.entries}
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
        self.landmarks.close()
        for entry in self:
            if entry.state is EntryState.HELD:
                entry.replayed = True

    def may_be_handled(self, entry: JournalEntry) -> bool:
        """Whether an earlier leader may have handled an entry: a mark was seen that may be about it. Of equal
        ones as many as there are such marks, the oldest.
        """
        return entry.revision < self._led and self._is_doubtful(entry)

    def _is_doubtful(self, entry: JournalEntry) -> bool:
        if not self.ambiguous.may_be_handled(entry):
            return False
        doubtful = (other for other in self.entries.equal(entry.name) if other in self.ambiguous)
        return entry in islice(doubtful, self.ambiguous.uncertain(entry.name))

    def is_missed(self, leader: str, after: float, before: float) -> bool:
        """Whether an entry that was received between two moments waits for this replica: the leader's gateway
        session is younger, so that it may not have received the event, and no mark tells that it is handled.
        """
        if self._writer != leader or leader == self._replica_id:
            return False
        return any(
            entry.received_at > after
            and entry.state is EntryState.HELD
            and entry.revision < self._writer_since
            and not self._is_doubtful(entry)
            and not self.unplaced.count(entry.name)
            for entry in takewhile(lambda entry: entry.received_at < before, self)
        )

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
        if not self.unplaced.last:
            return set()
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
        self._placed.clear()
        self.landmarks.close()
        self.positions.clear()

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
        return self.sessions.revision is not None and self.ambiguous.is_open

    def ask(self) -> dict[str, int]:
        """The names to ask the leader for, each with a revision that is older than all its entries."""
        names = self.ambiguous.ask() if self.sessions.revision is not None else {}
        self.landmarks.open(names, self.ambiguous.guild)
        return names

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

    def passes(self, guild: str, message: str) -> None:
        """A message came in, in its place among the events of its guild."""
        self.positions.passes(guild, message)
        for name, last, after in self.landmarks.passes(guild, message):
            self.place(name, last, after)

    def told(self, message: str, last: Mapping[str, int]) -> None:
        """The leader has told of a message that came in, or will."""
        for name, number, after in self.landmarks.told(message, last):
            self.place(name, number, after)

    def last(self, name: str) -> int | None:
        """The number of the last equal event that came in, by the marks: the version that its mark has or
        will get. ``None`` while this replica can't tell.
        """
        here = self.entries.equal(name)
        if any(map(self.may_be_handled, here)) or self.unplaced.count(name) or self._inferred.count(name):
            return None
        last = self._versions.get(name, 0) + len(here) - self.early.count(name)
        return last if last >= 0 else None  # the key expired meanwhile, and counts anew

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
        # A lower version: the key expired meanwhile, and counts anew.
        missed = version - known if version >= known else version
        if missed > 1:
            self.ambiguous.know_better(name)
            other = mark._replace(revision=mark.revision if settled else UNKNOWN, position="")
            for _ in range(missed - 1):
                self.acknowledge(name, other)
        if missed:
            self.acknowledge(name, mark)


def _read_mark(kv: KeyValue) -> JournalMark:
    return JournalMark.parse(kv.value, kv.mod_revision)

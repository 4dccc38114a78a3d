"""The tally of a journal: entries by content, and what etcd says of them. No I/O, no threads, no lock of
its own.

Promises: equal entries stand in the order of arrival; each mark strikes out the one that it is about, or is
kept as a surplus for it to come; an entry's *occurrence* is the version that its mark will get.

Which one a mark is about. A new gateway session has not received what happened before it, and the marks of
that still come. Every mark tells a revision that was proven to be older than the event when its writer
received it. After a session begins, this replica writes a marker (``session_revision``). A mark of that
revision or a later one is about an event of this session: it is *certain*. Any other mark may be about an
event from before: it strikes out what was received in an earlier session for which it is certain, if its
writer has received that, too; and nothing of this one, lest an event be lost that nobody has handled.
Entries that came in before the marker was seen here, or soon after, are *doubtful*: some of them were
handled, and their marks were not certain. A certain mark strikes out the oldest equal entry of this session
that its writer has received, too: its event is that one, or a later one. Leaders work a lane in order, and so
their marks arrive: with that entry goes what is doubtful before it in the same lane. What is left over, since
its mark struck out an older one, is as doubtful as that was (see ``Doubts``).

Rests on this: an event is stamped with what a heartbeat has proven, which left once that had been seen here,
and whose answer comes behind all events that had happened by then (``gateway.heartbeats``). Whatever a
connection ends by, that is set back to what its last frame found proven: RESUME may bring what is older.
And on leaders that handle all they receive: what one lets go (its journal is full) is struck out with what
comes behind it in the lane. ``tests/model/sessions_model.py`` has all of it, and what is lost without.

Concurrency: ``Journal`` calls everything here under its lock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.journal.ambiguity import Doubts
from discordha.coordination.journal.early_marks import Foreseen
from discordha.coordination.journal.entries import NEVER, Attempted, Entry, EntryState, Mark
from discordha.coordination.journal.index import EntryIndex
from discordha.coordination.journal.records import Records

__all__ = ["AWARE", "SETTLE", "Tally"]

#: A surplus mark waits so long for its event, seconds.
SURPLUS_LIFE = 60.0
#: A gateway session younger than this, seconds, may lack what is still under way; and for so long the mark of
#: an event that was struck out with a later one may still come.
SETTLE = 5.0
#: A leader whose watch does not lag behind has seen the session's marker so long after it was seen here,
#: seconds.
AWARE = 0.25


class Tally:
    """See the module.

    :param marks: prefix of the keys whose versions count the marks.
    :param carries: prefix of the keys that say who still runs what.
    :param attempts: prefix of the keys that count attempts.
    """

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
        self.records = Records(carries, attempts)
        self._versions: dict[str, int] = {}
        self._surplus = Foreseen(SURPLUS_LIFE, clock)  # marks that were here before their entry
        self._inferred = Foreseen(SETTLE, clock)  # those of entries that were struck out before them
        self._seen_snapshot = False
        self._session_at = clock()
        self.session_revision: int | None = None  # what was received at it or later is received here, too
        self._earlier: list[tuple[float, int | None]] = []  # sessions: when each ended, and its revision
        self._noted_at = 0.0  # when it was seen here
        self._told_at = 0.0  # when etcd last said anything
        self._doubts = Doubts()
        self.struck = 0

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    # -- entries ---------------------------------------------------------------------------------------------

    def consume_surplus(self, entry: Entry) -> bool:
        """Whether an entry's mark was here before it."""
        session = self._surplus.take(entry.name)
        if session is None:
            return False
        self.struck += 1
        if self._doubts:
            self._strike_doubtful(entry, session)
        return True

    def add(self, entry: Entry) -> None:
        """Keeps an entry, behind all others."""
        self.entries.add(entry)
        self._doubts.received(entry)
        if not self._is_settled(entry):
            self._doubts.add(entry, self._present(entry.name))
        self._doubt(entry.name)

    def _is_certain(self, revision: int) -> bool:
        """Whether an event that was received at a revision is one of this session."""
        return self.session_revision is not None and revision >= self.session_revision

    def began(self, entry: Entry) -> int | None:
        """The revision of the session in which an entry was received; ``None`` when that was never noted."""
        return next((began for end, began in self._earlier if entry.received_at < end), self.session_revision)

    def _is_of(self, entry: Entry, mark: Mark) -> bool:
        """Whether a mark is about an event of the session of an entry, or a later one, and its writer has
        received what the entry stands for: else there may be an equal one that only the writer has.
        """
        began = self.began(entry)
        return began is not None and mark.revision >= began and mark.session <= entry.revision

    def _is_settled(self, entry: Entry) -> bool:
        """Whether the mark of an entry will be certain, as far as this replica can tell: its leader's watch
        may lag behind.
        """
        return self._is_certain(entry.revision) and entry.received_at >= self._noted_at + SETTLE

    @property
    def _is_young(self) -> bool:
        """Whether what is under way may be from before the session."""
        return self.session_revision is None or self._clock() < self._noted_at + SETTLE

    def _present(self, name: str) -> list[Entry]:
        """The equal entries of this session."""
        return [e for e in self.entries.equal(name) if e.received_at >= self._session_at]

    def _first(self, name: str) -> Entry | None:
        present = (e for e in self.entries.equal(name) if e.received_at >= self._session_at)
        return next(present, None)

    def _doubt(self, name: str) -> None:
        """Sees to it that as many equal entries are doubtful as marks were seen that may have been theirs."""
        more = self._doubts.uncertain(name)
        if not more:
            return
        self._doubts.moved(name, self._clock())
        present = self._present(name)
        more -= sum(entry in self._doubts for entry in present)
        for entry in present:
            if more > 0 and entry not in self._doubts:
                self._doubts.add(entry, present)
                more -= 1

    def may_be_handled(self, entry: Entry) -> bool:
        """Whether a mark was seen that may have been about an entry, and did not strike it out."""
        return self._doubts.may_be_handled(entry)

    def forget(self, entry: Entry) -> None:
        """The entry is gone."""
        self.entries.remove(entry)
        if entry.received_at >= self._session_at:
            self._doubts.gone(entry)
        else:
            self._doubts.gone_earlier(entry)
        if entry.name not in self.entries:
            self._doubts.none_left(entry.name)

    def drop_oldest(self) -> bool:
        """Makes room; false when the oldest entry is not only held."""
        oldest = self.entries.first
        if oldest is None or oldest.state is not EntryState.HELD:
            return False
        self.forget(oldest)
        return True

    def occurrence(self, entry: Entry) -> int:
        """The version that the entry's mark will get."""
        return self._versions.get(entry.name, 0) + 1 + self.entries.equal(entry.name).index(entry)

    def waits_for_earlier(self, entry: Entry) -> bool:
        """Whether the mark of an equal entry before it is on the way."""
        return any(
            other.state is EntryState.FINISHED and other.occurrence < entry.occurrence
            for other in self.entries.equal(entry.name)
        )

    def blocked_lanes(self) -> set[str]:
        """The lanes of events that another replica still runs."""
        blocked = set()
        for (name, occurrence), replica in self.records.carried.items():
            if replica == self._replica_id:
                continue
            for entry in self.entries.equal(name):
                if self.occurrence(entry) == occurrence:
                    blocked.add(entry.lane)
        return blocked

    def orphans(self, max_attempts: int) -> list[tuple[tuple[str, int], Attempted]]:
        """Events that were started often enough, and that this replica does not have."""
        here = {(name, self.occurrence(entry)) for name, same in self.entries.by_name() for entry in same}
        return [
            (at, record)
            for at, record in self.records.attempts.items()
            if at not in here and record.attempt >= max_attempts
        ]

    def note_session(self, revision: int) -> None:
        """The session's marker was seen at a revision."""
        self.session_revision = revision
        self._noted_at = self._clock()

    def new_session(self) -> None:
        """A new gateway session: what marks say now may be about events that this replica never got."""
        now = self._clock()
        oldest = self.entries.oldest
        self._earlier = [(end, began) for end, began in self._earlier if oldest is not None and oldest < end]
        if oldest is not None:
            self._earlier.append((now, self.session_revision))
        self._session_at = now
        self.session_revision = None
        self._doubts.begin()
        self._surplus.clear()
        self._inferred.clear()

    def expire(self, before: float) -> int:
        """Forgets entries that have been held since before a moment, and old surplus marks; how many
        entries.
        """
        now = self._clock()
        self._surplus.expire()
        self._inferred.expire()
        if not self._is_young:
            self._doubts.forget_idle(now - SETTLE, self.entries)
        old = [e for e in self if e.received_at < before and e.state is EntryState.HELD]
        for entry in old:
            self.forget(entry)
        return len(old)

    # -- what the leader says --------------------------------------------------------------------------------

    @property
    def in_doubt(self) -> bool:
        """Whether a leader that hears of the session in time may have handled something before that, or may
        still not have heard of it.
        """
        aware = self._noted_at + AWARE if self.session_revision is not None else math.inf
        return self._clock() < aware or any(
            e.state is EntryState.HELD and e.received_at < aware for e in self._doubts
        )

    @property
    def doubtful(self) -> int:
        """How many entries the leader may have handled, for all that is known here."""
        return sum(entry.state is EntryState.HELD for entry in self._doubts)

    @property
    def may_ask(self) -> bool:
        """Whether there is something to ask the leader."""
        return self.session_revision is not None and any(e.state is EntryState.HELD for e in self._doubts)

    def ask(self) -> dict[str, int]:
        """The names of entries that the leader may have handled, for a question to it, each with a revision
        that is older than all of them; ``settle`` is given its answer.
        """
        return self._doubts.ask() if self.session_revision is not None else {}

    def has_received(self, since: int) -> bool:
        """Whether everything that is younger than a revision comes in here: the session began before that."""
        return self.session_revision is not None and self.session_revision <= since

    def left(self, names: Mapping[str, int]) -> dict[str, int]:
        """For an answer: how many entries there are of each name that this replica can tell of.

        :param names: each with a revision that is older than all that it stands for.
        """
        return {
            name: len(self.entries.equal(name)) for name, since in names.items() if self.has_received(since)
        }

    def settle(self, left: Mapping[str, int]) -> int:
        """Strikes out what the leader has handled; how many entries.

        :param left: its answer to the last question: of each name that it can tell of, how many entries it
            has not handled.
        """
        handled = [
            entry
            for name, count in self._doubts.handled(left).items()
            for entry in [e for e in self._present(name) if e.state is EntryState.HELD][:count]
        ]
        for entry in handled:
            self.forget(entry)
        self.struck += len(handled)
        return len(handled)

    # -- what etcd says --------------------------------------------------------------------------------------

    def snapshot(self, items: Sequence[KeyValue]) -> None:
        """Replaces the view; what was missed is told by the versions."""
        cut = len(self._marks_at)
        marks = {kv.key[cut:]: kv for kv in items if kv.key.startswith(self._marks_at)}
        self.records.clear()
        for kv in items:
            self.records.apply("put", kv)
        if self._seen_snapshot:
            settled = self._told_at >= self._noted_at + SETTLE
            told = [(name, kv, Mark.parse(kv.value)) for name, kv in marks.items()]
            for name, kv, mark in sorted(told, key=lambda told: (told[1].mod_revision, told[2].number)):
                self._count_up(name, kv.version, mark, settled=settled)
        self._told_at = self._clock()
        # The first snapshot is the baseline: what was marked before it is not about events that come.
        self._seen_snapshot = True
        self._versions = {name: kv.version for name, kv in marks.items()}

    def apply(self, events: Sequence[WatchEvent]) -> bool:
        """Follows the watch; true when a carry is gone, so that something may run now."""
        freed = False
        self._told_at = self._clock()
        for kind, kv, mark in self._in_order(events):
            name = kv.key[len(self._marks_at) :]
            if mark is not None:
                self._count_up(name, kv.version, mark)
                self._versions[name] = kv.version
            elif not kv.key.startswith(self._marks_at):
                freed |= self.records.apply(kind, kv)
            else:
                self._versions.pop(name, None)
        return freed

    def _in_order(self, events: Sequence[WatchEvent]) -> list[tuple[str, KeyValue, Mark | None]]:
        """As they were written. etcd tells what one transaction wrote in the order of the keys."""
        told: list[tuple[str, KeyValue, Mark | None]] = [(k, kv, self._mark(k, kv)) for k, kv in events]
        if len(told) > 1:
            told.sort(key=lambda t: (t[1].mod_revision, NEVER if t[2] is None else t[2].number))
        return told

    def _mark(self, kind: str, kv: KeyValue) -> Mark | None:
        return Mark.parse(kv.value) if kind == "put" and kv.key.startswith(self._marks_at) else None

    def _count_up(self, name: str, version: int, mark: Mark, *, settled: bool = True) -> None:
        """Strikes out what was marked since the last time.

        :param settled: of several marks that were missed, those before the last are as certain as that one.
        """
        known = self._versions.get(name, 0)
        unsettled = mark._replace(revision=0)
        # A lower version: the key expired meanwhile, and counts anew.
        missed = version - known if version >= known else version
        for left in range(missed, 0, -1):
            self._strike(name, mark if settled or left == 1 else unsettled)

    def _strike(self, name: str, mark: Mark) -> None:
        certain = self._is_certain(mark.revision)
        struck = self._find(name, mark)
        if struck is not None:
            in_order = self._first(name) in (None, struck)
            self.forget(struck)
            self.struck += 1
            if certain:
                if self._doubts and in_order:
                    self._strike_doubtful(struck, mark.session)
                self._doubt(name)
        elif self._first(name) if certain else self._doubts or self._is_young:
            self._doubts.note_uncertain(name)
            self._doubt(name)
        elif certain and self._inferred.take(name) is None:
            self._surplus.put(name, mark.session)

    def _find(self, name: str, mark: Mark) -> Entry | None:
        """Which of the equal entries a mark is about."""
        same = self.entries.equal(name)
        if mark.writer == self._replica_id:
            finished = next((entry for entry in same if entry.state is EntryState.FINISHED), None)
            if finished is not None:
                return finished
        if not self._is_certain(mark.revision):
            earlier = (entry for entry in same if entry.received_at < self._session_at)
            return next((entry for entry in earlier if self._is_of(entry, mark)), None)
        first = self._first(name)
        if first is None:
            return next(iter(same), None)
        # The oldest that its writer has received for sure. Were it a later one, what stands before that
        # would be taken for handled, too.
        if mark.session <= first.revision:
            return first
        return next((entry for entry in self._present(name) if mark.session <= entry.revision), None)

    def _strike_doubtful(self, struck: Entry, session: int) -> None:
        """Leaders work a lane in order: what stands before a struck entry was handled as well, if its leader
        has received it, whose session began at a revision.
        """
        for entry in self._doubts:
            before = entry.lane == struck.lane and entry.received_at <= struck.received_at
            if before and entry.state is EntryState.HELD and session <= entry.revision:
                self.forget(entry)
                self.struck += 1
                if not self._doubts.explain(entry.name):
                    # Its mark is late, because etcd did not take it at once.
                    self._inferred.put(entry.name, session)

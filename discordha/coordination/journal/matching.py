"""Matches marks with entries, by content. docs/design.md says which event a mark is about, and why.

Guarantees: no entry goes without a mark, and no mark without an entry: each strikes out one, waits for one,
or leaves one ambiguous. A mark that tells a position is about the event with that position, and no other
(``Positions``). The rest is about marks whose position is missing, or says nothing here.

A certain mark strikes out the oldest equal entry of this session that its writer has received, and with it
the ambiguous entries before that in its lane. An uncertain mark strikes out an entry of an earlier session,
if it is certain for that one and its writer has received the event; nothing of this session, so that no event
is lost that nobody has handled. The mark of an event that perhaps ran again strikes out nothing, since that
may have had its mark, unless this replica shares the doubt. A certain mark by a leader whose own session may
be younger than all equal entries waits until everything older than the mark has arrived: then its event is
among them. Once a landmark places a name, all marks of it are certain.

Rests on leaders that handle all they receive, lane by lane in order: ``tests/model/sessions_model.py``.

Threads and locks: no I/O, no thread; the journal's lock guards all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from discordha.coordination.journal.entries import (
    NEVER,
    UNKNOWN,
    UNSTARTED,
    EntryState,
    JournalEntry,
    JournalMark,
)
from discordha.coordination.journal.landmarks import Landmarks
from discordha.coordination.journal.positions import Came, Positions
from discordha.coordination.journal.sessions import SETTLE, AmbiguousEntries, GatewaySessions
from discordha.coordination.journal.tables import EarlyMark, EarlyMarks, EntryIndex, UnplacedMarks

__all__ = ["EARLY_MARK_LIFE", "MarkMatching"]

#: An early mark waits so long for its event at the least, seconds.
EARLY_MARK_LIFE = 60.0


class MarkMatching:
    """See the module. ``Tally`` feeds it with what etcd and the gateway tell."""

    def __init__(self, *, replica_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._replica_id = replica_id
        self._clock = clock
        self.entries = EntryIndex()
        self.sessions = GatewaySessions(clock)
        self.ambiguous = AmbiguousEntries()
        self.early = EarlyMarks(EARLY_MARK_LIFE, clock)
        self.unplaced = UnplacedMarks()
        self.landmarks = Landmarks()
        self.positions = Positions()
        self._inferred = EarlyMarks(SETTLE, clock)  # marks to come of entries that were struck out before
        #: Names that a landmark has placed, each with the number of marks to come that are about events from
        #: before the session.
        self._placed: dict[str, int] = {}
        self._writer: str | None = None  # of the last mark
        self._writer_since = 0  # the youngest gateway session that its marks tell of
        self._versions: dict[str, int] = {}  # of the marks' keys, by name
        self._ahead: dict[str, int] | None = None  # marks since the last IDENTIFY, by name; none: READY came

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(self.entries)

    def add(self, entry: JournalEntry) -> None:
        """Adds an entry behind all others."""
        self.entries.add(entry)
        self.ambiguous.received(entry)
        if entry.name not in self._placed and not self.sessions.is_settled(entry):
            self.ambiguous.add(entry, lambda: self._present(entry.name))
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
        known = self.ambiguous.number(name)
        if known >= min(more, len(self.entries.equal(name))):  # of thousands, it looks at none
            return
        for entry in self._present(name):
            if known < more and entry not in self.ambiguous:
                self.ambiguous.add(entry, lambda: self._present(name))
                known += 1

    def forget(self, entry: JournalEntry) -> None:
        """Removes an entry."""
        self.entries.remove(entry)
        if self.sessions.is_present(entry):
            self.ambiguous.gone(entry)
        else:
            self.ambiguous.gone_earlier(entry)
        if entry.name not in self.entries:
            self.ambiguous.none_left(entry.name)

    def acknowledge(self, name: str, mark: JournalMark) -> None:
        """Counts one mark: strikes out its entry, or notes that it is early, unplaced or uncertain."""
        if mark.again or self._writer not in (None, mark.writer):  # who leads next may run events again
            self.landmarks.close()
        if self._writer == self._replica_id != mark.writer:
            self.ambiguous.know_better()  # what this replica has run itself
        self._writer_since = max(self._writer_since if self._writer == mark.writer else 0, mark.session)
        self._writer = mark.writer
        if mark.position and self._acknowledge_at(name, mark):
            return
        again = mark.again and mark.writer != self._replica_id
        shared = again and self._is_shared(name, mark)
        if shared:
            again = False
            self.ambiguous.explain(name, shared=True)
        certain = not again and self._is_certain(name, mark)
        # If it was a second run, its event has had its mark: this one must not strike out another.
        entry = None if again else self._find(name, mark, certain=certain)
        if entry is None and self._ahead is not None:
            self._ahead[name] = self._ahead.get(name, 0) + 1
        if entry is not None:
            in_order = certain and bool(self.ambiguous) and self._first(name) in (None, entry) and not shared
            self.forget(entry)
            if entry.ambiguous and mark.writer == self._replica_id:
                self.ambiguous.explain(name, own=True)  # whether it was run once more, or for the first time
            if certain:
                if in_order:
                    self._strike_ambiguous(entry, mark.session)
                self._spread(name)
        elif certain and self._first(name) is None:
            if self._inferred.take(name) is None:
                self.early.put(name, EarlyMark(mark.session, mark.written))
        elif certain:
            self.unplaced.put(name, mark.written, mark.session)
        elif again or (
            name not in self._placed
            and (self.ambiguous or self.sessions.is_young or mark.revision == UNKNOWN)
        ):
            covers = again and self.sessions.covers(mark.revision)
            if again and not covers:
                self.ambiguous.know_better(name)
            self.ambiguous.note_uncertain(name, mark.written if covers else 0)
            self._spread(name)

    def _acknowledge_at(self, name: str, mark: JournalMark) -> bool:
        """Counts a mark that tells its event's position; false where that says nothing here."""
        same = self.entries.equal(name)
        entry = next((entry for entry in same if entry.position == mark.position), None)
        if entry is not None:
            came = Came.YES
        else:
            came = self.positions.came(name, mark.position, same[0].guild if same else None)
        if came is Came.UNKNOWN:
            # It came before the session's first message. If others came behind that, it can't come any more.
            present = self._present(name)
            return bool(present) and all(entry.position for entry in present)
        if came is Came.ELSEWHERE or (entry is None and self._ahead is not None):
            return False
        if mark.again:
            self.ambiguous.know_better(name)
        if came is Came.NOT_YET:
            self.early.put(name, EarlyMark(mark.session, mark.written, mark.position, mark.again))
        elif entry is None:
            if not self.unplaced.correct(name, mark.position, mark.written):
                self._inferred.take(name)
        else:
            self.forget(entry)
            if entry.ambiguous and mark.writer == self._replica_id:
                self.ambiguous.explain(name, own=True)
            if self.ambiguous:
                self._strike_ambiguous(entry, mark.session)
            self._spread(name)
        if name in self._placed:
            self._placed[name] = 0
        return True

    def give_up_early(self) -> None:
        """Strikes out an entry for each mark whose event has not come in at its position for ``SETTLE``
        seconds: Discord sent it elsewhere among the messages. Where none fits, it may come yet.
        """
        for name, mark, put_at in self.early.overdue(SETTLE):
            fitting = (
                entry
                for entry in self._present(name)
                if entry.state is EntryState.HELD
                and entry.received_at < put_at
                and mark.session <= entry.revision
            )
            entry = None if mark.again else next(fitting, None)
            if entry is not None:
                self.early.take(name, mark.position)
                self.forget(entry)

    def _is_shared(self, name: str, mark: JournalMark) -> bool:
        """Whether the mark of a second run ends a doubt that its writer shared with this replica."""
        covers = mark.doubt and self.sessions.covers(mark.revision)
        return bool(covers) and self.ambiguous.shares(name, mark.doubt)

    def _is_certain(self, name: str, mark: JournalMark) -> bool:
        """Whether a mark is about an event of this session."""
        before = self._placed.get(name)
        covers = self.sessions.covers(mark.revision)
        if not before:
            return covers or before == 0
        # A lane's marks come in its order: those of earlier sessions first.
        covers = covers or mark.writer == self._replica_id
        self._placed[name] = 0 if covers else before - 1
        return covers

    def _find(self, name: str, mark: JournalMark, *, certain: bool) -> JournalEntry | None:
        """The equal entry that a mark is about."""
        same = self.entries.equal(name)
        if mark.writer == self._replica_id:
            finished = next((entry for entry in same if entry.state is EntryState.FINISHED), None)
            if finished is not None:
                return finished
        if not certain:
            earlier = (entry for entry in same if not self.sessions.is_present(entry))
            return next((entry for entry in earlier if self.sessions.may_be_of(entry, mark)), None)
        first = self._first(name)
        if first is None:
            return next(iter(same), None)
        # The oldest that its writer has received for sure. A later one would take the entries before it, too.
        if mark.session <= first.revision:
            return first
        fitting = (entry for entry in self._present(name) if mark.session <= entry.revision)
        return next((entry for entry in fitting if not (mark.position and entry.position)), None)

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

    def take_early_mark(self, entry: JournalEntry) -> bool:
        """Whether an entry's mark was here before it; the mark is used up. Once for each that comes in."""
        self.reached(entry.revision)
        self.landmarks.received(entry.name)
        guild = entry.guild
        if guild is not None:
            entry.position = self.positions.next(guild, entry.name)
        mark = self.early.take(entry.name, entry.position)
        if mark is None:
            return False
        if mark.written and not mark.position and mark.session > entry.revision:  # perhaps about a later one
            self.unplaced.put(entry.name, mark.written, mark.session)
            return False
        if self.ambiguous:
            self._strike_ambiguous(entry, mark.session)
        return True

    def reached(self, revision: int) -> None:
        """Every event has arrived that is older than a revision: strikes out an entry for each unplaced mark
        that was written by then. Leaders of younger gateway sessions receive the later ones of equal events.
        """
        self.early.reached = max(self.early.reached, revision)
        if not self.unplaced.last:
            return
        for name, session in self.unplaced.take(revision):
            present = self._present(name)
            fitting = [entry for entry in present if entry.revision < session] or present
            if not fitting:
                # The mark of a later equal event has struck out its entry.
                self.early.put(name, EarlyMark(NEVER))
            elif all(entry.state in UNSTARTED for entry in fitting):  # else one was run twice
                self.forget(fitting[-1])
                if fitting[-1].position:
                    self.unplaced.has_struck(name, fitting[-1].position, session)

    def place(self, name: str, last: int, after: int) -> None:
        """Counts equal events as the leader does from now on: strikes out the entries that are handled.

        :param last: the number of the last equal event before a landmark.
        :param after: how many have come in here behind it.
        """
        behind = self._versions.get(name, 0) - last  # so many behind the landmark are marked
        left = max(-behind, 0) + max(after - max(behind, 0), 0)
        here = self._present(name)
        for entry in [e for e in here if e.state is EntryState.HELD][: max(len(here) - left, 0)]:
            self.forget(entry)
        for marks in (self.early, self.unplaced, self._inferred):
            marks.drop(name)
        for _ in range(behind - after):
            self.early.put(name, EarlyMark(NEVER))
        self.ambiguous.settled(name)
        self._placed[name] = max(left - len(here), 0)

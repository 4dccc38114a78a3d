"""The gateway sessions of one replica: which events each must have received, and which entries that leaves
ambiguous.

A session has received every event that is younger than its greeting in etcd, since an event is stamped with a
revision that a heartbeat has proven to be older: a mark whose stamp is not below the greeting is *certain*.
Any other mark is *uncertain*: it strikes nothing out, and entries stay ambiguous until a later mark of their
lane, or the leader's answer, resolves them. We track how many equal entries are ambiguous, not which: as
many, at the least, as there are uncertain marks that nothing explains. docs/design.md says how an answer
counts.

Threads and locks: no I/O, no thread; the journal's lock guards all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from discordha.coordination.journal.entries import EntryState, JournalEntry, JournalMark

__all__ = ["ASKED", "AWARE", "SETTLE", "AmbiguousEntries", "GatewaySessions"]

#: A gateway session younger than this, seconds, may lack what is still under way; and for so long the mark of
#: an event that was struck out with a later one may still come.
SETTLE = 5.0
#: Seconds after which a leader whose watch does not lag has seen the greeting that was seen here.
AWARE = 0.25
#: Names in one question at the most.
ASKED = 500


class GatewaySessions:
    """See the module.

    :ivar revision: the revision of the present session's greeting; ``None`` until it is noted.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began_at = clock()
        self.revision: int | None = None
        self._noted_at = 0.0
        self.earlier: list[tuple[float, int | None]] = []  # when each session ended, and its revision

    def begin(self, oldest: float | None) -> None:
        """A new session begins; those from before the ``oldest`` entry are forgotten."""
        now = self._clock()
        self.earlier = [(end, began) for end, began in self.earlier if oldest is not None and oldest < end]
        if oldest is not None:
            self.earlier.append((now, self.revision))
        self._began_at = now
        self.revision = None

    def note(self, revision: int) -> None:
        """The present session's greeting was written at a revision, and seen here."""
        self.revision = revision
        self._noted_at = self._clock()

    def is_present(self, entry: JournalEntry) -> bool:
        """Whether an entry was received in the present session."""
        return entry.received_at >= self._began_at

    def covers(self, revision: int) -> bool:
        """Whether the present session has received everything that is younger than a revision."""
        return self.revision is not None and revision >= self.revision

    def began(self, entry: JournalEntry) -> int | None:
        """The revision of the session that received an entry; ``None`` when that was never noted."""
        return next((began for end, began in self.earlier if entry.received_at < end), self.revision)

    def may_be_of(self, entry: JournalEntry, mark: JournalMark) -> bool:
        """Whether a mark is about an event of the entry's session or a later one, and its writer has received
        the entry's event: else it may be about an equal one that only the writer received.
        """
        began = self.began(entry)
        return began is not None and mark.revision >= began and mark.session <= entry.revision

    def is_settled(self, entry: JournalEntry) -> bool:
        """Whether the mark of an entry will be certain, even if its leader's watch lags behind."""
        return self.covers(entry.revision) and entry.received_at >= self._noted_at + SETTLE

    @property
    def is_young(self) -> bool:
        """Whether marks that are under way may be from before the session."""
        return self.revision is None or not self.settled_at(self._clock())

    def settled_at(self, moment: float) -> bool:
        """Whether a moment is long after the last session that was noted."""
        return moment >= self._noted_at + SETTLE

    @property
    def aware_at(self) -> float:
        """From when on leaders know of the session, whose watch does not lag."""
        return self._noted_at + AWARE if self.revision is not None else math.inf


class _Count:
    """The entries of one name since it became ambiguous. ``since``: a revision that is older than all of
    them.
    """

    __slots__ = ("received", "since", "struck")

    def __init__(self, since: int) -> None:
        self.received = 0
        self.struck = 0
        self.since = since

    def add(self, entry: JournalEntry) -> None:
        self.received += 1
        self.since = min(self.since, entry.revision)


class AmbiguousEntries:
    """The ambiguous entries of one gateway session."""

    def __init__(self) -> None:
        self._entries: dict[JournalEntry, None] = {}  # in order
        self._number: dict[str, int] = {}  # of them, by name
        self._uncertain: dict[str, int] = {}  # marks that may have been about them, by name
        self._second: dict[str, tuple[int, int]] = {}  # those of second runs among them: the first, how many
        self._moved_at: dict[str, float] = {}  # when an entry or mark of each of those names came last
        self._counts: dict[str, _Count] = {}
        self._asked: dict[str, tuple[int, int]] = {}  # by name: how many were received, and uncertain
        self._gone_earlier: dict[str, int] = {}  # of earlier sessions, since this one began, by name
        self._first: dict[str, JournalEntry] = {}  # the first one of each name, though it is gone

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(tuple(self._entries))

    def __contains__(self, entry: JournalEntry) -> bool:
        return entry in self._entries

    def number(self, name: str) -> int:
        """The number of ambiguous entries of a name."""
        return self._number.get(name, 0)

    def add(self, entry: JournalEntry, equal: Callable[[], Iterable[JournalEntry]]) -> None:
        """Adds an entry that is not ambiguous yet.

        :param equal: all equal entries of this session, with it; called for the first one of a name.
        """
        self._entries[entry] = None
        self._number[entry.name] = self.number(entry.name) + 1
        self._first.setdefault(entry.name, entry)
        if entry.name not in self._counts:
            self._counts[entry.name] = count = _Count(entry.revision)
            for each in equal():
                count.add(each)

    def received(self, entry: JournalEntry) -> None:
        """Counts an entry that came in, ambiguous or not, where equal ones are ambiguous."""
        count = self._counts.get(entry.name)
        if count is not None:
            count.add(entry)

    def gone_earlier(self, entry: JournalEntry) -> None:
        """Counts an entry of an earlier session that is gone."""
        self._gone_earlier[entry.name] = self._gone_earlier.get(entry.name, 0) + 1

    def gone(self, entry: JournalEntry) -> None:
        """Counts an entry of this session that is gone, ambiguous or not."""
        count = self._counts.get(entry.name)
        if count is not None:
            count.struck += 1
        if entry in self._entries:
            del self._entries[entry]
            self._lower_number(entry.name)
            if not self._entries:
                self._counts.clear()
                self._asked.clear()

    def _lower_number(self, name: str) -> None:
        self._number[name] -= 1
        if not self._number[name]:
            del self._number[name]

    def none_left(self, name: str) -> None:
        """No entry of a name is left: counting begins anew with the next."""
        if name not in self._asked:
            self._counts.pop(name, None)
        if name not in self._uncertain:
            self._first.pop(name, None)

    def begin(self, uncertain: Mapping[str, int]) -> None:
        """A new session: nothing is ambiguous yet. ``uncertain``: marks of before, by name, that may be about
        events of it.
        """
        for kept in (self._entries, self._uncertain, self._second, self._moved_at, self._counts, self._asked):
            kept.clear()
        self._gone_earlier.clear()
        self._first.clear()
        self._number.clear()
        self._uncertain.update(uncertain)

    def note_uncertain(self, name: str, second: int = 0) -> None:
        """A mark was seen that may be about one of the entries, and struck none out.

        :param second: its revision, if it is perhaps that of a second run, and its event one of this session.
        """
        self._uncertain[name] = self.uncertain(name) + 1
        if second:
            first, count = self._second.get(name, (second, 0))
            self._second[name] = first, count + 1

    def moved(self, name: str, now: float) -> None:
        """An entry or a mark of a name came."""
        if name in self._uncertain:
            self._moved_at[name] = now

    def forget_idle(self, before: float, present: Container[str]) -> None:
        """Forgets uncertain marks of names that have no entry, and of which nothing came since a moment."""
        for name in [name for name in self._uncertain if name not in present]:
            if self._moved_at.get(name, before) <= before:
                self._lower(name, self._uncertain[name])
                self._first.pop(name, None)

    def uncertain(self, name: str) -> int:
        """The number of uncertain marks of a name."""
        return self._uncertain.get(name, 0)

    def doubt_of(self, name: str) -> int:
        """The revision of the first of the marks that leave a name in doubt, where all are of second runs;
        else 0.
        """
        first, count = self._second.get(name, (0, 0))
        return first if count >= self.uncertain(name) else 0

    def shares(self, name: str, since: int) -> bool:
        """Whether a replica whose doubts of a name began with that mark has the same ones as this one. All
        that have seen the same marks since then have: until one of them learns more, and forgets when they
        began.
        """
        return name in self._second and self._second[name][0] == since

    def know_better(self, name: str | None = None) -> None:
        """Others are perhaps not in the same doubts of that name any more, or of any."""
        if name is None:
            self._second.clear()
        else:
            self._second.pop(name, None)

    def explain(self, name: str, *, shared: bool = False, own: bool = False) -> bool:
        """One of them was about an entry that has been struck out now; false when there is none.

        :param shared: whoever shared the doubt has ended it, for all. ``own``: this replica has run it.
        """
        if not self.uncertain(name):
            return False
        first, count = self._second.get(name, (0, 0))
        self._lower(name, 1)
        count = min(count - shared, self.uncertain(name))
        if (shared or own) and count > 0:
            self._second[name] = first, count
        received, uncertain = self._asked.get(name, (0, 0))
        if uncertain:
            self._asked[name] = received, uncertain - 1
        return True

    def _lower(self, name: str, explained: int) -> None:
        self.know_better(name)
        left = self.uncertain(name) - explained
        if left > 0:
            self._uncertain[name] = left
        else:
            self._uncertain.pop(name, None)
            self._moved_at.pop(name, None)

    def settled(self, name: str) -> None:
        """Nothing of a name is ambiguous any more, and no mark of it is uncertain."""
        for entry in [entry for entry in self._entries if entry.name == name]:
            del self._entries[entry]
        self._number.pop(name, None)
        for kept in (self._uncertain, self._second, self._moved_at, self._counts, self._asked, self._first):
            kept.pop(name, None)

    def may_be_handled(self, entry: JournalEntry) -> bool:
        """Whether a mark was seen that may have been about an entry, and did not strike it out."""
        return self.uncertain(entry.name) > 0 and entry in self._entries

    @property
    def held(self) -> int:
        """The number of ambiguous entries that have not begun here."""
        return sum(entry.state is EntryState.HELD for entry in self._entries)

    @property
    def is_open(self) -> bool:
        """Whether there is an ambiguous entry that has not begun here, or was one of a name that still has
        uncertain marks.
        """
        return self.held > 0 or any(name in self._first for name in self._uncertain)

    def ask(self) -> dict[str, int]:
        """Ends the last question; returns names, each with a revision that is older than all its entries."""
        self._asked.clear()
        for entry in self._entries:
            if entry.state is EntryState.HELD:
                name = entry.name
                self._asked[name] = self._counts[name].received, self.uncertain(name)
                if len(self._asked) == ASKED:
                    break
        names = {name: self._counts[name].since for name in self._asked}
        for name in self._uncertain:  # equal ones may come at any moment
            if name in self._first and len(names) < ASKED:
                names.setdefault(name, self._first[name].revision)
        return names

    def guild(self, name: str) -> str | None:
        """The guild of a name's events, if any."""
        return self._first[name].guild if name in self._first else None

    def handled(self, left: Mapping[str, int], unplaced: Mapping[str, int]) -> dict[str, int]:
        """Ends the question. Returns, by name, how many more entries of this session to strike out.

        :param unplaced: by name, the number of marks that will strike out an entry each.

        The answer explains as many uncertain marks as it strikes out entries; and all that had been seen
        before the question, where no equal event came since: else more may have been handled than it tells.
        """
        asked, self._asked = self._asked, {}
        more = {}
        for name, (received, uncertain) in asked.items():
            if name not in left:
                continue
            gone = self._counts[name].struck + self._gone_earlier.get(name, 0)
            # Each handled event has had its mark. One that the leader never had, or dropped, has not.
            count = min(received - left[name] - gone - unplaced[name], self.uncertain(name))
            if count > 0:
                more[name] = count
            explained = max(count, uncertain if self._counts[name].received == received else 0)
            if explained:
                self._lower(name, explained)
        return more

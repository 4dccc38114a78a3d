"""Ambiguous entries: those of a young gateway session that a leader may have handled.

A leader that does not know of the session yet marks its events as it marks those from before, which this
replica never received. Such a mark is *uncertain*: it strikes nothing out, and its entries stay ambiguous
until a later mark of their lane, or the leader's answer, resolves them. We track how many equal entries are
ambiguous, not which: as many, at the least, as there are uncertain marks that nothing explains.

Counting an answer. Of a name's entries ``received`` came in before the question. The leader, which has
received all of them, has not handled ``left`` equal ones, and ``struck`` are gone here since, for whatever
reason. So at least ``received - left - struck`` more were handled: the oldest are struck out. Equal events
that keep coming lower that number, to none at the worst; then the entries stay ambiguous, and are asked for
again.

Guarantees
- Nothing that is counted twice strikes out more, and no answer strikes out more entries than uncertain marks
  were seen: a leader may have dropped an event, or never had it.
- ``struck`` includes entries of earlier sessions that went since this one began: a mark may have struck out
  one of those in the place of one of this session, which then stands for it.

Threads and locks: no I/O, no thread, no lock. The journal's lock guards all of it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from discordha.coordination.journal.entries import EntryState, JournalEntry

__all__ = ["ASKED", "AmbiguousEntries"]

#: Names in one question at the most.
ASKED = 500


class _Count:
    """The entries of one name since it became ambiguous: how many were received, and how many are gone.
    ``since``: a revision of etcd that is older than all of them.
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
        self._uncertain: dict[str, int] = {}  # marks that may have been about them, by name
        self._moved_at: dict[str, float] = {}  # when an entry or mark of each of those names came last
        self._counts: dict[str, _Count] = {}
        self._asked: dict[str, tuple[int, int]] = {}  # by name: how many were received, and uncertain
        self._gone_earlier: dict[str, int] = {}  # of earlier sessions, since this one began, by name

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(tuple(self._entries))

    def __contains__(self, entry: JournalEntry) -> bool:
        return entry in self._entries

    def add(self, entry: JournalEntry, equal: Iterable[JournalEntry]) -> None:
        """Adds an entry.

        :param equal: all equal entries of this session, with it.
        """
        self._entries[entry] = None
        if entry.name not in self._counts:
            self._counts[entry.name] = count = _Count(entry.revision)
            for each in equal:
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
            if not self._entries:
                self._counts.clear()
                self._asked.clear()

    def none_left(self, name: str) -> None:
        """No entry of a name is left: counting begins anew with the next."""
        if name not in self._asked:
            self._counts.pop(name, None)

    def begin(self) -> None:
        """A new session: nothing is ambiguous yet."""
        for kept in (self._entries, self._uncertain, self._moved_at, self._counts, self._asked):
            kept.clear()
        self._gone_earlier.clear()

    # -- uncertain marks -------------------------------------------------------------------------------------

    def note_uncertain(self, name: str) -> None:
        """A mark was seen that may be about one of the entries, and struck none out."""
        self._uncertain[name] = self._uncertain.get(name, 0) + 1

    def moved(self, name: str, now: float) -> None:
        """An entry or a mark of a name came."""
        if name in self._uncertain:
            self._moved_at[name] = now

    def forget_idle(self, before: float, present: Container[str]) -> None:
        """Forgets the uncertain marks of names that have no entry, and that nothing came of since a moment:
        those marks had nothing to do with this session.
        """
        for name in [name for name in self._uncertain if name not in present]:
            if self._moved_at.get(name, before) <= before:
                self._lower(name, self._uncertain[name])

    def uncertain(self, name: str) -> int:
        """The number of uncertain marks of a name."""
        return self._uncertain.get(name, 0)

    def explain(self, name: str) -> bool:
        """One of them was about an entry that has been struck out now; false when there is none."""
        if not self.uncertain(name):
            return False
        self._lower(name, 1)
        received, uncertain = self._asked.get(name, (0, 0))
        if uncertain:
            self._asked[name] = received, uncertain - 1
        return True

    def _lower(self, name: str, explained: int) -> None:
        left = self.uncertain(name) - explained
        if left > 0:
            self._uncertain[name] = left
        else:
            self._uncertain.pop(name, None)
            self._moved_at.pop(name, None)

    def may_be_handled(self, entry: JournalEntry) -> bool:
        """Whether a mark was seen that may have been about an entry, and did not strike it out."""
        return self.uncertain(entry.name) > 0 and entry in self._entries

    # -- question and answer ---------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """The number of ambiguous entries that have not begun here."""
        return sum(entry.state is EntryState.HELD for entry in self._entries)

    def ask(self) -> dict[str, int]:
        """The names to ask the leader for, each with a revision that is older than all its entries. Ends the
        question before.
        """
        self._asked.clear()
        for entry in self._entries:
            if entry.state is EntryState.HELD:
                name = entry.name
                self._asked[name] = self._counts[name].received, self.uncertain(name)
                if len(self._asked) == ASKED:
                    break
        return {name: self._counts[name].since for name in self._asked}

    def handled(self, left: Mapping[str, int]) -> dict[str, int]:
        """Ends the question. Returns, by name, how many more entries of this session the leader has handled;
        the caller strikes them out.

        The answer explains as many uncertain marks as it strikes out entries. Where no equal event came since
        the question, it explains all that had been seen before; otherwise more may have been handled than it
        tells.

        :param left: the answer: by name, how many the leader has not handled; others it can't tell of.
        """
        asked, self._asked = self._asked, {}
        more = {}
        for name, (received, uncertain) in asked.items():
            if name not in left:
                continue
            gone = self._counts[name].struck + self._gone_earlier.get(name, 0)
            # Each handled event has had its mark. One that the leader never had, or dropped, has not.
            count = min(received - left[name] - gone, self.uncertain(name))
            if count > 0:
                more[name] = count
            explained = uncertain if self._counts[name].received == received else max(count, 0)
            if explained:
                self._lower(name, explained)
        return more

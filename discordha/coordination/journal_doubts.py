"""What a journal can't tell of the entries of a young gateway session: which of them a leader has handled.

A leader that did not know of the session yet marked what it ran as it would have marked what came before the
session, which was never received here. So such a mark strikes nothing out, and the entries stay *doubtful*:
until a later event of the lane is marked, or until the leader is asked (see ``reconciliation``).

The answer counts, as all of the journal does. Of a name's entries ``received`` came in before the question;
of equal ones, ``left`` are those that the leader, who has received all of them, has not handled; ``struck``
are gone here since, whatever struck them out. So ``received - left - struck`` more were handled, at the
least: those are struck out, the oldest first. Nothing that is counted twice can make it strike more; and no
more are than marks were seen that may have been theirs, since a leader may have dropped an event, or never
have had it.
``struck`` has those of earlier sessions, too, since the session began: a mark may have struck out one of them
in the place of one of this session, which then stands for it; and the leader may never have received it.

Concurrency: as ``Tally``, which owns it: no lock, no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from discordha.coordination.journal_entries import Entry, EntryState

__all__ = ["Doubts"]

#: So many names are asked for at once.
ASKED = 500


class _Count:
    """Of one name, since there have been doubts: how many came in, how many of these are gone. ``since``: a
    revision of etcd that is older than all of them.
    """

    __slots__ = ("received", "since", "struck")

    def __init__(self, since: int) -> None:
        self.received = 0
        self.struck = 0
        self.since = since


class Doubts:
    """The doubtful entries of one gateway session."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()  # those that are gone leave it at its head, and are skipped
        self._uncertain: dict[str, int] = {}  # marks that may have been about them, by name
        self._counts: dict[str, _Count] = {}
        self._asked: dict[str, int] = {}  # by name: how many had been received
        self._gone_earlier: dict[str, int] = {}  # of earlier sessions, since this one began, by name

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return (entry for entry in self._entries if entry.state is not EntryState.GONE)

    def add(self, entry: Entry) -> None:
        """An entry came in whose mark may not be certain."""
        self._entries.append(entry)
        self._count(self._counts.setdefault(entry.name, _Count(entry.revision)), entry)

    def add_settled(self, entry: Entry) -> None:
        """An entry came in whose mark will be certain: it counts where equal ones are doubtful."""
        count = self._counts.get(entry.name)
        if count is not None:
            self._count(count, entry)

    @staticmethod
    def _count(count: _Count, entry: Entry) -> None:
        count.received += 1
        count.since = min(count.since, entry.revision)

    def gone_earlier(self, entry: Entry) -> None:
        """An entry of an earlier session is gone."""
        self._gone_earlier[entry.name] = self._gone_earlier.get(entry.name, 0) + 1

    def gone(self, entry: Entry) -> None:
        """An entry of this session, doubtful or not, is gone."""
        count = self._counts.get(entry.name)
        if count is not None:
            count.struck += 1
        entries = self._entries
        while entries and entries[0].state is EntryState.GONE:
            entries.popleft()

    def none_left(self, name: str) -> None:
        """There is no entry of a name any more: nothing is to be counted until the next comes in."""
        if name not in self._asked:
            self._counts.pop(name, None)

    def forget_gone(self) -> None:
        """Makes room, and ends all that was counted when nothing is doubtful any more."""
        self._entries = deque(self)
        if not self._entries:
            self.clear()

    def begin(self) -> None:
        """A new session."""
        self.clear()
        self._gone_earlier.clear()

    def clear(self) -> None:
        """Nothing is doubtful."""
        self._entries.clear()
        self._uncertain.clear()
        self._counts.clear()
        self._asked.clear()

    # -- marks that are not certain --------------------------------------------------------------------------

    def note_uncertain(self, name: str) -> None:
        """A mark was seen that is perhaps about one of the doubtful entries, and struck none out."""
        self._uncertain[name] = self._uncertain.get(name, 0) + 1

    def uncertain(self, name: str) -> int:
        """How many such marks there are."""
        return self._uncertain.get(name, 0)

    def explain(self, name: str) -> bool:
        """One of them was about an entry that has been struck out now; false when there is none."""
        seen = self._uncertain.get(name, 0)
        if seen:
            self._uncertain[name] = seen - 1
        return seen > 0

    def may_be_handled(self, entry: Entry) -> bool:
        """Whether a mark was seen that may have been about an entry, and did not strike it out."""
        return self.uncertain(entry.name) > 0 and entry in self._entries

    # -- question and answer ---------------------------------------------------------------------------------

    def ask(self) -> dict[str, int]:
        """The names to ask the leader for, with a revision that is older than all that they stand for; what
        was asked before is not waited for any more.
        """
        self._asked.clear()
        for entry in self._entries:
            if entry.state is EntryState.HELD:
                self._asked[entry.name] = self._counts[entry.name].received
                if len(self._asked) == ASKED:
                    break
        return {name: self._counts[name].since for name in self._asked}

    def handled(self, left: Mapping[str, int]) -> dict[str, int]:
        """By name, how many more entries of this session a leader has handled of what it was asked for. The
        question is over.

        :param left: its answer: by name, how many it has not handled; it can't tell of others.
        """
        asked, self._asked = self._asked, {}
        more = {}
        for name, received in asked.items():
            gone = self._counts[name].struck + self._gone_earlier.get(name, 0)
            # Each that was handled has had its mark. What the leader never had, or dropped, has not.
            count = min(received - left.get(name, received) - gone, self.uncertain(name))
            if count > 0:
                more[name] = count
        return more

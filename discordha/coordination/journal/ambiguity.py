"""What a journal can't tell of the entries of a young gateway session: which of them a leader has handled.

A leader that did not know of the session yet marked what it ran as it would have marked what came before the
session, which was never received here. So such a mark, which is *uncertain*, strikes nothing out, and the
entries stay *doubtful*: until a later event of the lane is marked, or until the leader is asked (see
``reconciliation``). Of equal ones as many are doubtful, at the least, as uncertain marks have been seen that
nothing explains: a later mark, which is certain, strikes out the oldest, and then one that it may have been
about is left in its place. So what is doubtful is the count, rather than the entry.

The answer counts, as all of the journal does. Of a name's entries ``received`` came in before the question;
of equal ones, ``left`` are those that the leader, who has received all of them, has not handled; ``struck``
are gone here since, whatever struck them out. So ``received - left - struck`` more were handled, at the
least: those are struck out, the oldest first. While equal events keep coming, it is less than that, down to
none: ``struck`` has those, too, and ``received`` has not. So they stay doubtful, and are asked for again.
Nothing that is counted twice can make it strike more; and no more are than marks were seen that may have been
theirs, since a leader may have dropped an event, or never have had it.
``struck`` has those of earlier sessions, too, since the session began: a mark may have struck out one of them
in the place of one of this session, which then stands for it; and the leader may never have received it.

Concurrency: as ``Tally``, which owns it: no lock, no I/O.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from discordha.coordination.journal.entries import Entry, EntryState

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

    def add(self, entry: Entry) -> None:
        self.received += 1
        self.since = min(self.since, entry.revision)


class Doubts:
    """The doubtful entries of one gateway session."""

    def __init__(self) -> None:
        self._entries: dict[Entry, None] = {}  # in order
        self._uncertain: dict[str, int] = {}  # marks that may have been about them, by name
        self._moved_at: dict[str, float] = {}  # when something was last seen of each of those names
        self._counts: dict[str, _Count] = {}
        self._asked: dict[str, tuple[int, int]] = {}  # by name: how many were received, and uncertain
        self._gone_earlier: dict[str, int] = {}  # of earlier sessions, since this one began, by name

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._entries

    def add(self, entry: Entry, equal: Iterable[Entry]) -> None:
        """An entry is doubtful.

        :param equal: all of this session that there are, with it.
        """
        self._entries[entry] = None
        if entry.name not in self._counts:
            self._counts[entry.name] = count = _Count(entry.revision)
            for each in equal:
                count.add(each)

    def received(self, entry: Entry) -> None:
        """An entry came in, doubtful or not: it counts where equal ones are doubtful."""
        count = self._counts.get(entry.name)
        if count is not None:
            count.add(entry)

    def gone_earlier(self, entry: Entry) -> None:
        """An entry of an earlier session is gone."""
        self._gone_earlier[entry.name] = self._gone_earlier.get(entry.name, 0) + 1

    def gone(self, entry: Entry) -> None:
        """An entry of this session, doubtful or not, is gone."""
        count = self._counts.get(entry.name)
        if count is not None:
            count.struck += 1
        if entry in self._entries:
            del self._entries[entry]
            if not self._entries:
                self._counts.clear()
                self._asked.clear()

    def none_left(self, name: str) -> None:
        """There is no entry of a name any more: nothing is to be counted until the next comes in."""
        if name not in self._asked:
            self._counts.pop(name, None)

    def begin(self) -> None:
        """A new session: nothing is doubtful yet."""
        for kept in (self._entries, self._uncertain, self._moved_at, self._counts, self._asked):
            kept.clear()
        self._gone_earlier.clear()

    # -- marks that are not certain --------------------------------------------------------------------------

    def note_uncertain(self, name: str) -> None:
        """A mark was seen that is perhaps about one of the doubtful entries, and struck none out."""
        self._uncertain[name] = self._uncertain.get(name, 0) + 1

    def moved(self, name: str, now: float) -> None:
        """Something was seen of a name: an entry, or a mark."""
        if name in self._uncertain:
            self._moved_at[name] = now

    def forget_idle(self, before: float, present: Container[str]) -> None:
        """Of names that have no entry, and of which nothing was seen since a moment, all that was received is
        gone, with a mark for each: what other marks there were had nothing to do with this session.
        """
        for name in [name for name in self._uncertain if name not in present]:
            if self._moved_at.get(name, before) <= before:
                del self._uncertain[name]
                self._moved_at.pop(name, None)

    def uncertain(self, name: str) -> int:
        """How many such marks there are."""
        return self._uncertain.get(name, 0)

    def explain(self, name: str) -> bool:
        """One of them was about an entry that has been struck out now; false when there is none."""
        seen = self._uncertain.get(name, 0)
        if not seen:
            return False
        self._uncertain[name] = seen - 1
        received, uncertain = self._asked.get(name, (0, 0))
        if uncertain:
            self._asked[name] = received, uncertain - 1
        return True

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
                name = entry.name
                self._asked[name] = self._counts[name].received, self.uncertain(name)
                if len(self._asked) == ASKED:
                    break
        return {name: self._counts[name].since for name in self._asked}

    def handled(self, left: Mapping[str, int]) -> dict[str, int]:
        """By name, how many more entries of this session a leader has handled of what it was asked for, which
        the caller strikes out. The question is over. It explains as many marks as it strikes out entries;
        and all that had been seen before it, where no equal event came in since: else more may have been
        handled than it can tell.

        :param left: its answer: by name, how many it has not handled; it can't tell of others.
        """
        asked, self._asked = self._asked, {}
        more = {}
        for name, (received, uncertain) in asked.items():
            if name not in left:
                continue
            gone = self._counts[name].struck + self._gone_earlier.get(name, 0)
            # Each that was handled has had its mark. What the leader never had, or dropped, has not.
            count = min(received - left[name] - gone, self.uncertain(name))
            if count > 0:
                more[name] = count
            explained = uncertain if self._counts[name].received == received else max(count, 0)
            if explained:
                self._uncertain[name] = max(self.uncertain(name) - explained, 0)
        return more

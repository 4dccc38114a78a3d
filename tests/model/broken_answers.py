"""Tallies that are wrong about their leader's answers, most as ``Tally`` once was.

An answer strikes out no more than there were marks, and that alone would hide what is wrong with most of
them: they do without it (``Uncapped``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from discordha.coordination.journal.entries import EntryState, JournalEntry
from discordha.coordination.journal.landmarks import Landmarks
from discordha.coordination.journal.sessions import AmbiguousEntries
from discordha.coordination.journal.tables import UnplacedMarks
from discordha.coordination.journal.tally import Tally

__all__ = [
    "CountsDoubtful",
    "FinishedIsHandled",
    "KeepsNumbers",
    "KeepsQuestion",
    "SettlesForEarlierSessions",
    "SettlesForUnplaced",
    "SettlesTwice",
    "SettlesWithoutMarks",
]


class SettlesForUnplaced(Tally):
    """An answer strikes out entries that unplaced marks will strike out, too."""

    def settle(self, left: Mapping[str, int]) -> int:
        unplaced, self.unplaced = self.unplaced, UnplacedMarks()
        struck = super().settle(left)
        self.unplaced = unplaced
        return struck


class SettlesWithoutMarks(Tally):
    """An answer strikes out what the leader does not have, whether or not there was a mark of it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ambiguous = Uncapped()


class Uncapped(AmbiguousEntries):
    """Each may have had its mark."""

    def handled(self, left: Mapping[str, int], unplaced: Mapping[str, int]) -> dict[str, int]:
        uncertain, self._uncertain = self._uncertain, dict.fromkeys(self._asked, 1000)
        more = super().handled(left, unplaced)
        self._uncertain = uncertain
        return more


class SettlesTwice(Tally):
    """An answer strikes out what it tells of, whatever is struck out already."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ambiguous = Unstruck()


class Unstruck(Uncapped):
    """What is gone is not counted."""

    def gone(self, entry: JournalEntry) -> None:
        count = self._counts.get(entry.name)
        struck = count.struck if count is not None else 0
        super().gone(entry)
        if count is not None:
            count.struck = struck


class SettlesForEarlierSessions(Tally):
    """The model: what stood for an event of an earlier session, which the leader had never received, was
    struck out.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ambiguous = EarlierUnstruck()


class EarlierUnstruck(Uncapped):
    """What is gone of earlier sessions is not counted."""

    def gone_earlier(self, entry: JournalEntry) -> None:
        pass


class CountsDoubtful(Tally):
    """The model: of equal events, those that are not doubtful were counted in answers, and not here."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ambiguous = SettledUncounted()


class SettledUncounted(AmbiguousEntries):
    """What came in and is not doubtful is not counted."""

    def received(self, entry: JournalEntry) -> None:
        pass


class FinishedIsHandled(SettlesWithoutMarks):
    """An answer leaves out what has been run, and whose mark is on its way."""

    def left(self, names: Mapping[str, int]) -> dict[str, int]:
        return {
            name: sum(1 for entry in self.entries.equal(name) if entry.state is EntryState.HELD)
            for name in super().left(names)
        }


class KeepsQuestion(Tally):
    """A question outlives its session."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ambiguous = Unforgetting()


class Unforgetting(Uncapped):
    """What was asked is remembered."""

    def begin(self, uncertain: Mapping[str, int]) -> None:
        asked = dict(self._asked)
        super().begin(uncertain)
        self._asked.update(asked)

    def gone(self, entry: JournalEntry) -> None:
        asked = dict(self._asked)
        super().gone(entry)
        self._asked.update(asked)

    def handled(self, left: Mapping[str, int], unplaced: Mapping[str, int]) -> dict[str, int]:
        self._asked = {name: asked for name, asked in self._asked.items() if name in self._counts}
        return super().handled(left, unplaced)


class KeepsNumbers(Tally):
    """The model: a leader had told the number of an event, another ran an event again, and then the message
    came behind which the number counts.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.landmarks = Unvoided()


class Unvoided(Landmarks):
    """Numbers stay what they were until the next question."""

    def open(self, names: Mapping[str, int], guild_of: Callable[[str], str | None]) -> None:
        super().close()
        super().open(names, guild_of)

    def close(self) -> None:
        pass

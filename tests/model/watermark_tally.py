"""The watermark: a rule that was tried in the place of questions and answers. ``watermark_model`` has it.

``Tally`` does all but that. A young session counts what it has received of each name, and writes a
checkpoint, which needs no names. A leader tells how far everything is marked that it has received: its
*low*. Once that is not below the checkpoint, all that was counted has been handled. So as many more entries
are struck out as were counted, less those that are gone, whichever marks those were: but for the marks that
are surely about later events, since their stamps are not below the checkpoint.
"""

from __future__ import annotations

from typing import Any

from discordha.coordination.journal.entries import NEVER, EntryState, JournalEntry, JournalMark
from discordha.coordination.journal.tables import EarlyMark
from discordha.coordination.journal.tally import Tally

__all__ = ["Uncapped", "WatermarkTally"]


class WatermarkTally(Tally):
    """See the module. ``capped``: no more is struck out than there were marks that struck nothing."""

    capped = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._came: dict[str, int] = {}  # entries of this session
        self._oldest: dict[str, int] = {}  # a revision that is older than all of them
        self._went: dict[
            str, int
        ] = {}  # entries that went since it began, but for those that a later mark struck out
        self._counted: dict[str, int] = {}  # what had come when the checkpoint was written
        self._checkpoint = 0  # its revision; 0 until the watch has shown it

    def new_session(self) -> None:
        super().new_session()
        for counts in (self._came, self._oldest, self._went, self._counted):
            counts.clear()
        self._checkpoint = 0

    def add(self, entry: JournalEntry) -> None:
        super().add(entry)
        if self.sessions.is_young:
            self._came[entry.name] = self._came.get(entry.name, 0) + 1
            self._oldest[entry.name] = min(self._oldest.get(entry.name, NEVER), entry.revision)

    def forget(self, entry: JournalEntry) -> None:
        super().forget(entry)
        if self.sessions.is_young:
            self._went[entry.name] = self._went.get(entry.name, 0) + 1

    def acknowledge(self, name: str, mark: JournalMark) -> None:
        before = self._went.get(name, 0)
        super().acknowledge(name, mark)
        if name in self._went and 0 < self._checkpoint <= mark.revision:
            self._went[name] = before

    def checkpoint(self, revision: int) -> None:
        """Counts. The checkpoint's revision is 0 as long as it is not known: see ``note_checkpoint``."""
        self._counted = dict(self._came)
        self._checkpoint = revision

    def note_checkpoint(self, revision: int) -> None:
        """The watch shows it."""
        self._checkpoint = revision

    def low(self, acknowledged: int) -> int:
        """Everything that this replica received before a revision is marked, and it received everything."""
        return min([acknowledged, *(entry.revision for entry in self)])

    def passed(self, low: int, began: int) -> int:
        """Takes the watermark of a leader whose session began at a revision; returns how many entries it
        strikes out.
        """
        if not self._checkpoint or low < self._checkpoint:
            return 0
        struck = 0
        for name, counted in self._counted.items():
            if began > self._oldest[name]:
                continue  # it may lack some
            more = counted - self._went.get(name, 0) - self.unplaced.count(name)
            more = max(min(more, self.ambiguous.uncertain(name)) if self.capped else more, 0)
            held = [each for each in self._present(name) if each.state is EntryState.HELD]
            for entry in held[:more]:
                self.forget(entry)
            for _ in range(more - len(held[:more])):
                self.early.put(name, EarlyMark(NEVER))  # a later mark struck out its entry, and comes early
            for _ in range(more):
                self.ambiguous.explain(name)
            struck += more
        self._counted.clear()
        return struck


class Uncapped(WatermarkTally):
    """Strikes out what was counted, whatever marks there were: alone that would hide what else is wrong."""

    capped = False

"""Tallies that are wrong, most as ``journal_tally`` once was: what chaos runs, or the model, found.

An answer strikes out no more than there were marks, and that alone would hide what is wrong with most that
has to do with answers: they do without it (``Uncapped``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.journal.ambiguity import Doubts
from discordha.coordination.journal.early_marks import Foreseen
from discordha.coordination.journal.entries import Entry, EntryState, Mark
from discordha.coordination.journal.tally import SETTLE, SURPLUS_LIFE, Tally

__all__ = [
    "AllMarksStrike",
    "AnyLeaderHasAll",
    "AnyMarkStrikesEarlierSessions",
    "AnyWriterStrikesEarlierSessions",
    "CertainByTime",
    "CountsDoubtful",
    "FinishedIsHandled",
    "KeepsQuestion",
    "KeepsSurplus",
    "LaterMayBeMeant",
    "LowWater",
    "NoSettle",
    "SettledFirst",
    "SettlesForEarlierSessions",
    "SettlesTwice",
    "SettlesWithoutMarks",
    "SnapshotsAreCertain",
    "StrikesByHash",
    "SurplusTellsNothing",
    "UncertainStrike",
]


class StrikesByHash(Tally):
    """One mark for all equal events."""

    def _strike(self, name: str, mark: Mark) -> None:
        for entry in list(self.entries.equal(name)):
            self.forget(entry)


class AllMarksStrike(Tally):
    """Chaos: marks of the time before a session struck out events of it."""

    def _is_certain(self, revision: int) -> bool:
        return True


class CertainByTime(Tally):
    """Chaos: what is marked some seconds after a session's begin may still be from before, where a leader
    died meanwhile.
    """

    def _is_certain(self, revision: int) -> bool:
        return self._clock() >= self._session_at + SETTLE


class KeepsSurplus(Tally):
    """What was marked in an earlier session strikes out events of the next."""

    def new_session(self) -> None:
        surplus, self._surplus = self._surplus, Foreseen(SURPLUS_LIFE, self._clock)
        super().new_session()
        self._surplus = surplus


class UncertainStrike(Tally):
    """Marks that are not certain strike out what is doubtful."""

    def _find(self, name: str, mark: Mark) -> Entry | None:
        return super()._find(name, mark) or next(iter(self.entries.equal(name)), None)


class NoSettle(Tally):
    """Chaos: an entry that came in after the marker was seen here had a mark that was not certain, since its
    leader's watch lagged behind; no later one ever struck it out.
    """

    def _is_settled(self, entry: Entry) -> bool:
        return self._is_certain(entry.revision)


class InWhateverOrder(Tally):
    """What is struck out is taken to be the oldest of its kind."""

    def _first(self, name: str) -> Entry | None:
        return None


class SettledFirst(NoSettle, InWhateverOrder):
    """Chaos: a certain mark about a doubtful event struck out a later one."""

    def _find(self, name: str, mark: Mark) -> Entry | None:
        same = self.entries.equal(name)
        finished = next((entry for entry in same if entry.state is EntryState.FINISHED), None)
        own = mark.writer == self._replica_id
        if not self._is_certain(mark.revision) or (own and finished is not None):
            return super()._find(name, mark)
        return next((entry for entry in same if self._is_settled(entry)), next(iter(same), None))


class LaterMayBeMeant(InWhateverOrder):
    """Chaos: where each doubtful event might have had its mark, a certain one struck out a later event, and
    with it what was doubtful before that. But its leader was late: it was about a doubtful one, and the other
    marks were about what had been before the session.
    """

    def _find(self, name: str, mark: Mark) -> Entry | None:
        found = super()._find(name, mark)
        if found is None or not self._is_certain(mark.revision) or found.state is EntryState.FINISHED:
            return found
        doubtful = [entry for entry in self._present(name) if not self._is_settled(entry)]
        if len(doubtful) > self._doubts.uncertain(name):
            return found
        return next((entry for entry in self._present(name) if self._is_settled(entry)), found)


class AnyLeaderHasAll(Tally):
    """A leader whose session is younger than an entry was taken to have received it."""

    def _strike(self, name: str, mark: Mark) -> None:
        super()._strike(name, mark._replace(session=0))


class AnyMarkStrikesEarlierSessions(Tally):
    """The model: a mark of the time before a session struck out an event of it, after the next had begun."""

    def _is_of(self, entry: Entry, mark: Mark) -> bool:
        return True


class AnyWriterStrikesEarlierSessions(Tally):
    """The model: of two sessions that had ended, one leader had received what another's entry stands for, and
    the next had not: the mark of an equal event struck it out.
    """

    def _is_of(self, entry: Entry, mark: Mark) -> bool:
        return super()._is_of(entry, mark._replace(session=0))


class LowWater(Tally):
    """An idea for what stays doubtful: marks also tell how far their writer has marked everything, and what
    came in here before that is forgotten. But its watch may be ahead of its gateway connection.
    """

    def apply(self, events: Sequence[WatchEvent]) -> bool:
        for kind, kv in events:
            low = next(iter(kv.value.split()[3:]), None)
            super().apply([WatchEvent(kind, kv)])
            for entry in [each for each in self if each.state is EntryState.HELD]:
                if low is not None and entry.revision < int(low):
                    self.forget(entry)
        return False


class SurplusTellsNothing(Tally):
    """The model: what stands before an event whose mark was here first stays doubtful."""

    def consume_surplus(self, entry: Entry) -> bool:
        doubts, self._doubts = self._doubts, Doubts()
        found = super().consume_surplus(entry)
        self._doubts = doubts
        return found


class SnapshotsAreCertain(Tally):
    """The model: all marks that a watch missed are taken to be as certain as the last one."""

    def snapshot(self, items: Sequence[KeyValue]) -> None:
        self._told_at = math.inf
        super().snapshot(items)


class SettlesWithoutMarks(Tally):
    """An answer strikes out what the leader does not have, whether or not there was a mark of it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._doubts = Uncapped()


class Uncapped(Doubts):
    """Each may have had its mark."""

    def handled(self, left: Mapping[str, int]) -> dict[str, int]:
        uncertain, self._uncertain = self._uncertain, dict.fromkeys(self._asked, 1000)
        more = super().handled(left)
        self._uncertain = uncertain
        return more


class SettlesTwice(Tally):
    """An answer strikes out what it tells of, whatever is struck out already."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._doubts = Unstruck()


class Unstruck(Uncapped):
    """What is gone is not counted."""

    def gone(self, entry: Entry) -> None:
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
        self._doubts = EarlierUnstruck()


class EarlierUnstruck(Uncapped):
    """What is gone of earlier sessions is not counted."""

    def gone_earlier(self, entry: Entry) -> None:
        pass


class CountsDoubtful(Tally):
    """The model: of equal events, those that are not doubtful were counted in answers, and not here."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._doubts = SettledUncounted()


class SettledUncounted(Doubts):
    """What came in and is not doubtful is not counted."""

    def received(self, entry: Entry) -> None:
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
        self._doubts = Unforgetting()


class Unforgetting(Uncapped):
    """What was asked is remembered."""

    def begin(self) -> None:
        asked = dict(self._asked)
        super().begin()
        self._asked.update(asked)

    def gone(self, entry: Entry) -> None:
        asked = dict(self._asked)
        super().gone(entry)
        self._asked.update(asked)

    def handled(self, left: Mapping[str, int]) -> dict[str, int]:
        self._asked = {name: asked for name, asked in self._asked.items() if name in self._counts}
        return super().handled(left)

"""Tallies that are wrong, most as ``journal_tally`` once was: what chaos runs, or the model, found."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from discordha.coordination.journal_entries import Entry, EntryState
from discordha.coordination.journal_tally import SETTLE, Tally
from discordha.coordination.store import KeyValue, WatchEvent

__all__ = [
    "AllMarksStrike",
    "AnyMarkStrikesEarlierSessions",
    "CertainByTime",
    "KeepsSurplus",
    "LowWater",
    "NoSettle",
    "SettledFirst",
    "SnapshotsAreCertain",
    "StrikesByHash",
    "SurplusTellsNothing",
    "UncertainStrike",
]


class StrikesByHash(Tally):
    """One mark for all equal events."""

    def _strike(self, name: str, own: bool, revision: int) -> None:
        for entry in list(self._by_digest.get(name, ())):
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
        surplus = dict(self._surplus)
        super().new_session()
        self._surplus.update(surplus)


class UncertainStrike(Tally):
    """Marks that are not certain strike out what is doubtful."""

    def _find(self, name: str, own: bool, revision: int) -> Entry | None:
        return super()._find(name, own, revision) or next(iter(self._by_digest.get(name, ())), None)


class NoSettle(Tally):
    """Chaos: an entry that came in after the marker was seen here had a mark that was not certain, since its
    leader's watch lagged behind; no later one ever struck it out.
    """

    def _is_settled(self, entry: Entry) -> bool:
        return self._is_certain(entry.revision)


class SettledFirst(NoSettle):
    """Chaos: a certain mark about a doubtful event struck out a later one."""

    def _find(self, name: str, own: bool, revision: int) -> Entry | None:
        same = self._by_digest.get(name, ())
        finished = next((entry for entry in same if entry.state is EntryState.FINISHED), None)
        if not self._is_certain(revision) or (own and finished is not None):
            return super()._find(name, own, revision)
        return next((entry for entry in same if self._is_settled(entry)), next(iter(same), None))


class AnyMarkStrikesEarlierSessions(Tally):
    """The model: a mark of the time before a session struck out an event of it, after the next had begun."""

    def _is_of(self, entry: Entry, revision: int) -> bool:
        return True


class LowWater(Tally):
    """An idea for what stays doubtful: marks also tell how far their writer has marked everything, and what
    came in here before that is forgotten. But its watch may be ahead of its gateway connection.
    """

    def apply(self, events: Sequence[WatchEvent]) -> bool:
        for kind, kv in events:
            writer, revision, *low = kv.value.split()
            super().apply([WatchEvent(kind, kv._replace(value=writer + b" " + revision))])
            for entry in [each for each in self if each.state is EntryState.HELD]:
                if low and entry.revision < int(low[0]):
                    self.forget(entry)
        return False


class SurplusTellsNothing(Tally):
    """The model: what stands before an event whose mark was here first stays doubtful."""

    def consume_surplus(self, entry: Entry) -> bool:
        doubtful, self._doubtful = self._doubtful, deque()
        found = super().consume_surplus(entry)
        self._doubtful = doubtful
        return found


class SnapshotsAreCertain(Tally):
    """The model: all marks that a watch missed are taken to be as certain as the last one."""

    def snapshot(self, items: Sequence[KeyValue]) -> None:
        self._told_at = math.inf
        super().snapshot(items)

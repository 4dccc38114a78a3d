"""Tallies that are wrong, most as ``Tally`` once was: what chaos runs, or the model, found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from discordha.coordination.etcd.store import WatchEvent
from discordha.coordination.journal.entries import EntryState, JournalEntry, JournalMark
from discordha.coordination.journal.matching import EARLY_MARK_LIFE
from discordha.coordination.journal.positions import Came, Positions
from discordha.coordination.journal.sessions import SETTLE, AmbiguousEntries, GatewaySessions
from discordha.coordination.journal.tables import EarlyMarks, UnplacedMarks
from discordha.coordination.journal.tally import Tally

__all__ = [
    "AllMarksStrike",
    "AllShareDoubts",
    "AnyLeaderHasAll",
    "AnyMarkStrikesEarlierSessions",
    "AnyWriterStrikesEarlierSessions",
    "CertainByTime",
    "CountsFromItsBegin",
    "DeafBeforeReady",
    "EarlyMarksFitAll",
    "ForgetsUnplaced",
    "IgnoresUnknownMessages",
    "KeepsSurplus",
    "LaterMayBeMeant",
    "LowWater",
    "NoSettle",
    "PlacesAtOnce",
    "SecondRunsStrike",
    "RunsUnplaced",
    "SettledFirst",
    "SnapshotsAreCertain",
    "StrikesByHash",
    "SurplusTellsNothing",
    "UncertainStrike",
    "YoungerLeadersTellNothing",
]


class StrikesByHash(Tally):
    """One mark for all equal events."""

    def acknowledge(self, name: str, mark: JournalMark) -> None:
        for entry in list(self.entries.equal(name)):
            self.forget(entry)


class AllMarksStrike(Tally):
    """Chaos: marks of the time before a session struck out events of it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sessions = CoversAll(self._clock)


class CoversAll(GatewaySessions):
    """Any event is one of the present session."""

    def covers(self, revision: int) -> bool:
        return True


class CertainByTime(Tally):
    """Chaos: what is marked some seconds after a session's begin may still be from before, where a leader
    died meanwhile.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sessions = CoversAfterAWhile(self._clock)


class CoversAfterAWhile(GatewaySessions):
    """Any event is one of the present session once that has lasted for some seconds."""

    def covers(self, revision: int) -> bool:
        return self._clock() >= self._began_at + SETTLE


class KeepsSurplus(Tally):
    """What was marked in an earlier session strikes out events of the next."""

    def new_session(self) -> None:
        early, self.early = self.early, EarlyMarks(EARLY_MARK_LIFE, self._clock)
        super().new_session()
        self.early = early


class UncertainStrike(Tally):
    """Marks that are not certain strike out what is doubtful."""

    def _find(self, name: str, mark: JournalMark, *, certain: bool) -> JournalEntry | None:
        return super()._find(name, mark, certain=certain) or next(iter(self.entries.equal(name)), None)


class NoSettle(Tally):
    """Chaos: an entry that came in after the marker was seen here had a mark that was not certain, since its
    leader's watch lagged behind; no later one ever struck it out.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sessions = SettledAtOnce(self._clock)


class SettledAtOnce(GatewaySessions):
    """Leaders' watches do not lag behind."""

    def is_settled(self, entry: JournalEntry) -> bool:
        return self.covers(entry.revision)


class InWhateverOrder(Tally):
    """What is struck out is taken to be the oldest of its kind."""

    def _first(self, name: str) -> JournalEntry | None:
        return None


class SettledFirst(NoSettle, InWhateverOrder):
    """Chaos: a certain mark about a doubtful event struck out a later one."""

    def _find(self, name: str, mark: JournalMark, *, certain: bool) -> JournalEntry | None:
        same = self.entries.equal(name)
        finished = next((entry for entry in same if entry.state is EntryState.FINISHED), None)
        own = mark.writer == self._replica_id
        if not certain or (own and finished is not None):
            return super()._find(name, mark, certain=certain)
        return next((entry for entry in same if self.sessions.is_settled(entry)), next(iter(same), None))


class LaterMayBeMeant(InWhateverOrder):
    """Chaos: where each doubtful event might have had its mark, a certain one struck out a later event, and
    with it what was doubtful before that. But its leader was late: it was about a doubtful one, and the other
    marks were about what had been before the session.
    """

    def _find(self, name: str, mark: JournalMark, *, certain: bool) -> JournalEntry | None:
        found = super()._find(name, mark, certain=certain)
        if found is None or not certain or found.state is EntryState.FINISHED:
            return found
        doubtful = [entry for entry in self._present(name) if not self.sessions.is_settled(entry)]
        if len(doubtful) > self.ambiguous.uncertain(name):
            return found
        return next((entry for entry in self._present(name) if self.sessions.is_settled(entry)), found)


class AnyLeaderHasAll(Tally):
    """A leader whose session is younger than an entry was taken to have received it."""

    def acknowledge(self, name: str, mark: JournalMark) -> None:
        super().acknowledge(name, mark._replace(session=0))


class AnyMarkStrikesEarlierSessions(Tally):
    """The model: a mark of the time before a session struck out an event of it, after the next had begun."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sessions = AnyMark(self._clock)


class AnyMark(GatewaySessions):
    """Any mark may be about an entry of an earlier session."""

    def may_be_of(self, entry: JournalEntry, mark: JournalMark) -> bool:
        return True


class AnyWriterStrikesEarlierSessions(Tally):
    """The model: of two sessions that had ended, one leader had received what another's entry stands for, and
    the next had not: the mark of an equal event struck it out.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sessions = AnyWriter(self._clock)


class AnyWriter(GatewaySessions):
    """Whoever wrote a mark has received everything."""

    def may_be_of(self, entry: JournalEntry, mark: JournalMark) -> bool:
        return super().may_be_of(entry, mark._replace(session=0))


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


class YoungerLeadersTellNothing(Tally):
    """Chaos: marks of a leader whose gateway session was younger than an entry, by its stamp, never struck it
    out: a replica that etcd had not reached for seconds ran all again that it had received meanwhile.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.unplaced = Unkept()


class Unkept(UnplacedMarks):
    """No mark waits."""

    def put(self, name: str, written: int, session: int) -> None:
        pass


class PlacesAtOnce(Tally):
    """Marks of younger leaders strike out an entry before all has arrived that is older than they are."""

    def acknowledge(self, name: str, mark: JournalMark) -> None:
        super().acknowledge(name, mark)
        self.reached(mark.written)


class EarlyMarksFitAll(Tally):
    """The model: a mark of a leader with a younger session was here first, and was used up by an equal event
    that this leader had never received.
    """

    def take_early_mark(self, entry: JournalEntry) -> bool:
        if self.early.take(entry.name) is not None:
            return True
        return super().take_early_mark(entry)


class ForgetsUnplaced(Tally):
    """The model: two marks, and the first could not be placed; the second struck out the entry of the first,
    and its own event came later.
    """

    def reached(self, revision: int) -> None:
        early, self.early = self.early, EarlyMarks(EARLY_MARK_LIFE, self._clock)
        super().reached(revision)
        self.early = early


class RunsUnplaced(Tally):
    """The model: a new leader ran what an unplaced mark was about, and the mark struck out a later event."""

    def unplaced_lanes(self) -> set[str]:
        return set()


class SurplusTellsNothing(Tally):
    """The model: what stands before an event whose mark was here first stays doubtful."""

    def take_early_mark(self, entry: JournalEntry) -> bool:
        doubts, self.ambiguous = self.ambiguous, AmbiguousEntries()
        found = super().take_early_mark(entry)
        self.ambiguous = doubts
        return found


class SnapshotsAreCertain(Tally):
    """The model: all marks that a watch missed are taken to be as certain as the last one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sessions = AlwaysSettled(self._clock)


class AlwaysSettled(GatewaySessions):
    """No session was young when a watch was lost."""

    def settled_at(self, moment: float) -> bool:
        return True

    @property
    def is_young(self) -> bool:
        return self.revision is None or not super().settled_at(self._clock())


class SecondRunsStrike(Tally):
    """Deploys whose leaders were killed: the mark of a second run struck out the next equal event at a
    replica that had been in no doubt, and whatever was ambiguous before that in its lane.
    """

    def acknowledge(self, name: str, mark: JournalMark) -> None:
        super().acknowledge(name, mark._replace(again=False))


class CountsFromItsBegin(Tally):
    """An idea for events from before a session's first message: they are counted from where it began."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.positions = BeginsAtZero()


class BeginsAtZero(Positions):
    """A message that nobody has sent stands before the first event of each session."""

    def next(self, guild: str, name: str) -> str:
        if guild not in self._last:
            self.passes(guild, "0")
        return super().next(guild, name)


class IgnoresUnknownMessages(Tally):
    """A mark of an event behind a message that is not known is of no event of the session."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.positions = KnowsAllMessages()


class KnowsAllMessages(Positions):
    """What came behind an unknown message has come in."""

    def came(self, name: str, position: str, guild: str | None = None) -> Came:
        return Came.YES


class AllShareDoubts(Tally):
    """Deploys whose leaders were killed: a doubt of second runs was taken to be one of all replicas."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ambiguous = Shared()


class Shared(AmbiguousEntries):
    """Whatever leaves another in doubt does so here, too."""

    def shares(self, name: str, since: int) -> bool:
        return True


class DeafBeforeReady(Tally):
    """Deploys under load: marks that come while READY is on its way tell nothing of events behind it."""

    def identifies(self) -> None:
        pass

"""Tallies as values: the library's own ``Tally``, as the transition function of a model.

Promises: a tally is a number; a call on it gives the number of what it is then, and its answer, and is
computed once. Two tallies have one number exactly when nothing tells them apart.

The calls do what ``Journal`` does with its tally.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from watermark_tally import WatermarkTally

from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.journal.entries import AGAIN, AT, EntryState, JournalEntry, digest
from discordha.coordination.journal.landmarks import Landmarks
from discordha.coordination.journal.positions import Positions
from discordha.coordination.journal.sessions import SETTLE, AmbiguousEntries, GatewaySessions
from discordha.coordination.journal.tables import EarlyMarks, EntryIndex, RunRecords, UnplacedMarks
from discordha.coordination.journal.tally import Tally

__all__ = ["Mark", "Tallies", "lane_of", "revision_of", "waits_to_place"]

MARKS = "/j/"
GUILD = "1"


class Clock:
    """One replica's; it stands still but for events and what the model makes of it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Mark(NamedTuple):
    """One revision of etcd, or on its way there. ``stamp``: what was proven at its writer when it received
    the event; ``session``: when the gateway session began in which that was, or ``None`` where it had not
    noted that. ``index``: which event it was, which nobody knows. ``low``: everything that its writer
    received before it had seen so much is marked; only where that is tried. ``again``: an earlier leader may
    have handled the event; ``doubt``, ``position``: see ``JournalEntry``.
    """

    content: str
    replica: int
    stamp: int
    session: int | None
    occurrence: int
    index: int
    low: int = 0
    again: bool = False
    doubt: int = 0
    position: str = ""


class Entry(JournalEntry):
    """All happen in one guild."""

    __slots__ = ()

    @property
    def guild(self) -> str:
        return GUILD


class Tallies:
    """All that were met so far.

    :param kind: the class that keeps count.
    """

    def __init__(self, kind: type[Tally]) -> None:
        self._kind = kind
        self._stored: list[bytes] = []
        self._numbers: dict[Any, int] = {}
        self._done: dict[tuple[Any, ...], tuple[int, Any]] = {}
        self._contents: dict[str, str] = {}  # by name

    def settled(self, replica_id: str) -> int:
        """One whose gateway session began long ago."""
        clock = Clock()
        tally = self._kind(MARKS, "/jc/", "/ja/", replica_id=replica_id, clock=clock)
        tally.snapshot([])
        tally.sessions.note(0)
        clock.now += SETTLE + 1
        return self._store(tally, clock)

    def held(self, node: int) -> str:
        """The contents of what has not been run."""
        return str(self.ask(node, _held))

    def do(self, node: int, call: str, *arguments: Any) -> tuple[int, Any]:
        """What a tally is after a call, and what it answered. Computed once."""
        key = (node, call, *arguments)
        found = self._done.get(key)
        if found is None:
            tally, self._clock = self._load(node)
            answer = getattr(self, f"_do_{call}")(tally, *arguments)
            found = self._done[key] = self._store(tally, self._clock), answer
        return found

    def ask(self, node: int, question: Callable[[Tally], Any]) -> Any:
        """What a function of the tally gives; a function of a module, which is the same at each call."""
        key = (node, question)
        found = self._done.get(key)
        if found is None:
            found = self._done[key] = node, question(self._load(node)[0])
        return found[1]

    def _store(self, tally: Tally, clock: Clock) -> int:
        key = _freeze(vars(tally))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._stored)
            self._stored.append(pickle.dumps((tally, clock)))
        return number

    def _load(self, node: int) -> tuple[Tally, Clock]:
        tally, clock = pickle.loads(self._stored[node])
        return tally, clock

    def _come(self, content: str, index: int, revision: int) -> JournalEntry:
        self._clock.now += 0.001
        self._contents[digest(content)] = content
        return Entry(
            content, lane_of(content), sequence=index, received_at=self._clock.now, revision=revision
        )

    def _do_received(self, tally: Tally, content: str, index: int, revision: int) -> None:
        """``Journal.received``."""
        entry = self._come(content, index, revision)
        if not tally.take_early_mark(entry):
            tally.add(entry)

    def _do_drops(self, tally: Tally, content: str, index: int, revision: int) -> None:
        """``Journal.received`` of a leader whose journal is full."""
        tally.take_early_mark(self._come(content, index, revision))

    def _do_apply(self, tally: Tally, mark: Mark, revision: int) -> None:
        tally.apply([WatchEvent("put", _value(mark, revision))])

    def _do_snapshot(self, tally: Tally, *marks: tuple[Mark, int]) -> None:
        tally.snapshot([_value(mark, revision) for mark, revision in marks])

    def _do_reached(self, tally: Tally, revision: int) -> None:
        """``SessionCatchUp.tend``: a heartbeat was acknowledged."""
        tally.reached(revision)

    def _do_ask(self, tally: Tally) -> tuple[tuple[str, int], ...]:
        """``Journal.ask``: contents, each with what all that it stands for is younger than."""
        return tuple(sorted((self._contents[name], since) for name, since in tally.ask().items()))

    def _do_left(self, tally: Tally, *names: tuple[str, int]) -> tuple[tuple[str, int], ...]:
        """``Journal.answer``; nothing where the tally can't tell of any."""
        left = tally.left({digest(content): since for content, since in names})
        return tuple((content, left[digest(content)]) for content, _ in names if digest(content) in left)

    def _do_settle(self, tally: Tally, *left: tuple[str, int]) -> int:
        """``JournalQuestions.on_answer``."""
        return tally.settle({digest(content): count for content, count in left})

    def _do_checkpoint(self, tally: WatermarkTally, revision: int) -> None:
        tally.checkpoint(revision)

    def _do_note_checkpoint(self, tally: WatermarkTally, revision: int) -> None:
        tally.note_checkpoint(revision)

    def _do_low(self, tally: WatermarkTally, acknowledged: int) -> int:
        return tally.low(acknowledged)

    def _do_passed(self, tally: WatermarkTally, low: int, began: int) -> int:
        return tally.passed(low, began)

    def _do_landmark(self, tally: Tally, message: str) -> tuple[str, ...]:
        """``Tally.passes``: contents that are counted as the leader counts them since."""
        return self._note_placed(tally, lambda: tally.passes(GUILD, message))

    def _do_told(self, tally: Tally, message: str, *last: tuple[str, int]) -> tuple[str, ...]:
        """``JournalQuestions.on_answer``: a landmark."""
        numbers = {digest(content): at for content, at in last}
        placed = self._note_placed(tally, lambda: tally.told(message, numbers))
        tally.landmarks.answered()
        return placed

    def _note_placed(self, tally: Tally, call: Callable[[], None]) -> tuple[str, ...]:
        placed, place = [], tally.place

        def note(name: str, last: int, after: int) -> None:
            placed.append(self._contents[name])
            place(name, last, after)

        tally.place = note  # type: ignore[method-assign]
        call()
        del tally.place
        return tuple(placed)

    def _do_last(self, tally: Tally, *contents: str) -> tuple[tuple[str, int], ...]:
        """``JournalQuestions.passes`` of a leader."""
        told = ((content, tally.last(digest(content))) for content in contents)
        return tuple((content, last) for content, last in told if last is not None)

    def _do_identifies(self, tally: Tally) -> None:
        tally.identifies()

    def _do_new_session(self, tally: Tally) -> None:
        self._clock.now += 0.001
        tally.new_session()

    def _do_note_session(self, tally: Tally, revision: int) -> None:
        tally.sessions.note(revision)

    def _do_passes(self, tally: Tally) -> None:
        self._clock.now += SETTLE + 1

    def _do_leads(self, tally: Tally, revision: int) -> None:
        """``Journal.activate``."""
        tally.leads(revision)

    def _do_runs(
        self, tally: Tally, lane: str
    ) -> tuple[int, int, int, int | None, int, bool, int, str] | None:
        """From ``Journal.begin`` to its mark: the first of a lane that has not been run."""
        entry = tally.entries.first_to_run(lane)
        if entry is None or lane in tally.unplaced_lanes():
            return None
        entry.occurrence = tally.occurrence(entry)
        entry.ambiguous = tally.may_be_handled(entry)
        doubt = tally.ambiguous.doubt_of(entry.name) if entry.ambiguous else 0
        entry.state = EntryState.FINISHED
        low = min((each.revision for each in tally if each.state is EntryState.HELD), default=-1)
        began = tally.sessions.began(entry)
        position = entry.position
        return entry.sequence, entry.occurrence, entry.revision, began, low, entry.ambiguous, doubt, position


def revision_of(tally: Tally) -> int | None:
    """When its gateway session began, once that is noted."""
    return tally.sessions.revision


def waits_to_place(tally: Tally) -> bool:
    """Whether it has marks that wait until everything older has arrived."""
    return bool(tally.unplaced.last)


def _held(tally: Tally) -> str:
    return "".join(entry.key for entry in tally if entry.state is EntryState.HELD)


def lane_of(content: str) -> str:
    """Capitals have a lane of their own."""
    return content if content.isupper() else "lane"


def _value(mark: Mark, revision: int) -> KeyValue:
    """``JournalWriter.mark``."""
    session = "-" if mark.session is None else mark.session
    content = f"{mark.replica} {mark.stamp} {session}{f' {mark.low}' if mark.low else ''}"
    if mark.again:
        content = f"{mark.replica} {mark.stamp} {session} {mark.low} {AGAIN} {mark.doubt}"
    if mark.position:
        content = f"{mark.replica} {mark.stamp} {session} {mark.low}"
        content += f" {AGAIN} {mark.doubt}" if mark.again else ""
        content += f" {AT}{mark.position}"
    return KeyValue(f"{MARKS}{digest(mark.content)}", content.encode(), 1, revision, mark.occurrence, 0)


def _is_gone(value: Any) -> bool:
    """Those that are gone are skipped wherever they stand."""
    return isinstance(value, JournalEntry) and value.state is EntryState.GONE


def _freeze(value: Any) -> Any:
    """Something hashable that tells two tallies apart exactly when they may act differently."""
    if isinstance(value, JournalEntry):
        return (
            value.sequence,
            value.key,
            value.received_at,
            value.revision,
            value.state.value,
            value.occurrence,
            value.ambiguous,
            value.position,
        )
    if isinstance(value, dict):
        return tuple(
            (key, _freeze(value[key]))
            for key in sorted(value, key=str)
            if key not in ("_marks_at", "_carries_at", "_attempts_at", "_moved_at", "reached")
        )
    if isinstance(value, EntryIndex):
        return tuple(_freeze(entry) for entry in value)
    if isinstance(value, EarlyMarks | RunRecords | UnplacedMarks | GatewaySessions | Landmarks):
        return _freeze(vars(value))
    if isinstance(value, Positions):
        known = {message: (here.is_last, _freeze(here.counts)) for message, here in value._known.items()}
        return _freeze({guild: message.id for guild, message in value._last.items()}), _freeze(known)
    if isinstance(value, AmbiguousEntries):
        first = {name: entry.revision for name, entry in value._first.items()}
        return tuple(_freeze(entry) for entry in value), _freeze(
            {**vars(value), "_entries": None, "_first": first}
        )
    if hasattr(value, "since"):  # what is counted of a name
        return value.received, value.struck, value.since
    if isinstance(value, deque):
        return tuple(_freeze(each) for each in value if not _is_gone(each))
    if isinstance(value, list | tuple):
        return tuple(_freeze(each) for each in value)
    if isinstance(value, Clock):
        return value.now
    return value

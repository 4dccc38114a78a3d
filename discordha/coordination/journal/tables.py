"""The tables of a tally: entries, early and unplaced marks, and what etcd holds of entries that were begun.

Threads and locks: no I/O, no thread; the journal's lock guards all of it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from discordha.coordination.etcd.store import KeyValue
from discordha.coordination.journal.entries import (
    UNDER_WAY,
    UNSTARTED,
    AttemptRecord,
    EntryState,
    JournalEntry,
)
from discordha.coordination.membership.shard_keys import is_number

__all__ = ["EarlyMark", "EarlyMarks", "EntryIndex", "RunRecords", "UnplacedMarks"]

_log = logging.getLogger(__name__)

_OVER = (EntryState.GONE, EntryState.FINISHED)


class EntryIndex:
    """The entries of a journal, in order of arrival: all, by name, and by lane. No operation but ``remove``
    looks at more entries than it returns, and that one only at the equal ones.
    """

    def __init__(self) -> None:
        self._order: deque[JournalEntry] = deque()  # skips gone entries, and drops them at its head
        self._by_name: dict[str, deque[JournalEntry]] = {}
        self._by_lane: dict[str, deque[JournalEntry]] = {}  # as ``_order``
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[JournalEntry]:
        return (entry for entry in self._order if entry.state is not EntryState.GONE)

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry of a name."""
        return name in self._by_name

    @property
    def first(self) -> JournalEntry | None:
        """The oldest entry."""
        return next(iter(self), None)

    @property
    def oldest(self) -> float | None:
        """When the oldest entry was received."""
        first = self.first
        return None if first is None else first.received_at

    def unstarted(self) -> list[float]:
        """When each entry was received that has not begun, the oldest first."""
        return [entry.received_at for entry in self._order if entry.state in UNSTARTED]

    def under_way(self) -> int:
        """The number of entries that run here, or wait for their mark."""
        return sum(1 for entry in self._order if entry.state in UNDER_WAY)

    def any_passed_over(self, before: float, late: float) -> bool:
        """Whether an entry that was received before a moment is passed over, or late."""
        return any(
            entry.state is EntryState.HELD
            and entry.received_at < before
            and (entry.passed_over or entry.received_at < late)
            for entry in self._order
        )

    def equal(self, name: str) -> Sequence[JournalEntry]:
        """The entries of one name; not a copy."""
        return self._by_name.get(name, ())

    def first_to_run(self, lane: str) -> JournalEntry | None:
        """The oldest entry of a lane that has not been run."""
        return next((entry for entry in self._by_lane.get(lane, ()) if entry.state not in _OVER), None)

    def add(self, entry: JournalEntry) -> None:
        """Adds an entry behind all others."""
        self._order.append(entry)
        self._by_name.setdefault(entry.name, deque()).append(entry)
        self._by_lane.setdefault(entry.lane, deque()).append(entry)
        self._count += 1

    def remove(self, entry: JournalEntry) -> None:
        """Removes an entry, whose state becomes ``GONE``. Idempotent."""
        entry.state = EntryState.GONE
        same = self._by_name.get(entry.name)
        if same is not None and entry in same:
            same.remove(entry)
            self._count -= 1
            if not same:
                del self._by_name[entry.name]
        _drop_gone(self._order)
        lane = self._by_lane.get(entry.lane)
        if lane is not None:
            _drop_gone(lane)
            if not lane:
                del self._by_lane[entry.lane]
            elif lane[0].sequence < entry.sequence:
                lane[0].passed_over = True


def _drop_gone(line: deque[JournalEntry]) -> None:
    while line and line[0].state is EntryState.GONE:
        line.popleft()


class EarlyMark(NamedTuple):
    """A mark that fits no entry. ``session``: the revision at which its writer's gateway session began;
    ``written``: its own revision, 0 where it fits whichever equal event comes next. ``position``: that of the
    only event that it fits. ``again``: perhaps of a second run.
    """

    session: int
    written: int = 0
    position: str = ""
    again: bool = False


#: Early marks of one name at the most.
EARLY = 10_000


class EarlyMarks:
    """Marks that fit no entry: by name, the first to come the first to go. Each stays for ``life`` seconds,
    and until everything older than it has arrived: a connection that was away for long brings its event late.
    """

    def __init__(self, life: float, clock: Callable[[], float]) -> None:
        self._life = life
        self._clock = clock
        self._waiting: dict[str, deque[tuple[float, EarlyMark]]] = {}  # with the end of each
        #: Every event has arrived that is older than this revision.
        self.reached = 0

    def put(self, name: str, mark: EarlyMark) -> None:
        """Keeps a mark."""
        self._waiting.setdefault(name, deque(maxlen=EARLY)).append((self._clock() + self._life, mark))

    def _stays(self, until: float, mark: EarlyMark) -> bool:
        return mark.written > self.reached or until > self._clock()

    def take(self, name: str, position: str = "") -> EarlyMark | None:
        """Takes the mark of a position, else the first mark of the name that tells none. Marks come in the
        order of their events: so the first one mostly fits.
        """
        waiting = self._waiting.get(name, ())
        while waiting and not self._stays(*waiting[0]):
            self._remove(name, waiting[0])
        found = next((each for each in waiting if each[1].position == position), None)
        if found is None:
            found = next((each for each in waiting if not each[1].position), None)
        if found is None:
            return None
        self._remove(name, found)
        return found[1]

    def _remove(self, name: str, each: tuple[float, EarlyMark]) -> None:
        waiting = self._waiting[name]
        waiting.remove(each)
        if not waiting:
            del self._waiting[name]

    def overdue(self, age: float) -> list[tuple[str, EarlyMark, float]]:
        """The marks of positions that have waited for so many seconds: names, marks, and since when."""
        before = self._clock() - age
        return [
            (name, mark, until - self._life)
            for name, waiting in self._waiting.items()
            for until, mark in waiting
            if mark.position and until - self._life <= before
        ]

    def count(self, name: str) -> int:
        """The number of marks of a name."""
        return sum(self._stays(*each) for each in self._waiting.get(name, ()))

    def drop(self, name: str) -> None:
        """Forgets the marks of a name."""
        self._waiting.pop(name, None)

    def expire(self) -> None:
        """Forgets the marks whose time is over."""
        for name, waiting in list(self._waiting.items()):
            for each in [each for each in waiting if not self._stays(*each)]:
                self._remove(name, each)

    def clear(self) -> None:
        """Forgets all marks: a new session."""
        self._waiting.clear()
        self.reached = 0


#: Entries that were struck out by a mark which may have been about an equal one, at the most.
STRUCK = 1000


class UnplacedMarks:
    """Marks of events that this gateway session receives, where no equal entry is known to be one that their
    writer has received: each waits until everything older than it has arrived here. Those that tell no
    position are remembered with the position of the entry that they have struck out: ``STRUCK`` at the most.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[int, int]]] = {}  # by name: the mark's revision, its session
        self._struck: dict[tuple[str, str], int] = {}  # sessions, by name and position
        #: The revision of the last one; 0 when there is none.
        self.last = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __iter__(self) -> Iterator[str]:
        return iter(self._waiting)

    def put(self, name: str, written: int, session: int) -> None:
        """Keeps a mark.

        :param written: the revision of the mark.
        :param session: the revision at which its writer's gateway session began.
        """
        self._waiting.setdefault(name, []).append((written, session))
        self.last = max(self.last, written)

    def take(self, revision: int) -> list[tuple[str, int]]:
        """Takes the marks that are not younger than a revision; returns their names and sessions."""
        taken = []
        for name, waiting in list(self._waiting.items()):
            taken += [(name, session) for written, session in waiting if written <= revision]
            left = [each for each in waiting if each[0] > revision]
            if left:
                self._waiting[name] = left
            else:
                del self._waiting[name]
        if not self._waiting:
            self.last = 0
        return taken

    def has_struck(self, name: str, position: str, session: int) -> None:
        """One of them has struck out the entry with that position."""
        self._struck[name, position] = session
        if len(self._struck) > STRUCK:
            del self._struck[next(iter(self._struck))]

    def correct(self, name: str, position: str, written: int) -> bool:
        """The mark of the event with that position has come. False if none of them took its entry; else that
        one was about an earlier event, and waits again.
        """
        session = self._struck.pop((name, position), None)
        if session is None:
            return False
        self.put(name, written, session)
        return True

    def count(self, name: str) -> int:
        """The number of marks of a name."""
        return len(self._waiting.get(name, ()))

    def drop(self, name: str) -> None:
        """Forgets the marks of a name."""
        self._waiting.pop(name, None)
        if not self._waiting:
            self.last = 0

    def clear(self) -> None:
        """Forgets all marks."""
        self._waiting.clear()
        self._struck.clear()
        self.last = 0


class RunRecords:
    """What etcd holds of entries that were begun: who still runs them (carries), and how often they were
    started (attempts), by name and occurrence. A key that something else wrote is ignored, with a warning.
    """

    def __init__(self, carries: str, attempts: str) -> None:
        self._carries_at = carries
        self._attempts_at = attempts
        self.carried: dict[tuple[str, int], str] = {}  # the replica
        self.attempts: dict[tuple[str, int], AttemptRecord] = {}

    def clear(self) -> None:
        """Forgets everything: a snapshot follows."""
        self.carried.clear()
        self.attempts.clear()

    def apply(self, kind: str, kv: KeyValue) -> bool:
        """Follows a change of any key; true when a carry is gone."""
        if kv.key.startswith(self._carries_at):
            at = _at(kv.key, self._carries_at)
            if at is None:
                return False
            if kind == "delete":
                return self.carried.pop(at, None) is not None
            self.carried[at] = kv.value.decode(errors="replace")
        elif kv.key.startswith(self._attempts_at):
            at = _at(kv.key, self._attempts_at)
            if at is not None:
                self._apply_attempt(kind, at, kv)
        return False

    def _apply_attempt(self, kind: str, at: tuple[str, int], kv: KeyValue) -> None:
        if kind == "delete":
            self.attempts.pop(at, None)
            return
        record = AttemptRecord.parse(kv.value)
        if record is None:
            _log.warning("the key %s holds no attempts: ignored", kv.key)
        else:
            self.attempts[at] = record


def _at(key: str, prefix: str) -> tuple[str, int] | None:
    name, _, number = key[len(prefix) :].rpartition("/")
    return (name, int(number)) if is_number(number) else None

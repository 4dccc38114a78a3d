"""Whatever happens between a young replica and its leaders, in whatever order: no answer strikes out an event
that nobody has handled.

What surrounds the tallies (gateway, etcd, who leads) is a few lists here; that leaders answer only when they
have received what the asker had is what ``SessionCatchUp`` and ``ShardClient.caught_up`` are for.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from discordha.coordination.etcd.store import KeyValue, WatchEvent
from discordha.coordination.journal.entries import EntryState, JournalEntry, digest
from discordha.coordination.journal.sessions import SETTLE
from discordha.coordination.journal.tally import Tally

#: The revision of the young session's marker, and one before.
MARKER, BEFORE = 50, 10


class Mark(NamedTuple):
    key: str
    version: int
    writer: str
    stamp: int
    session: int | None


class Answer(NamedTuple):
    number: int
    left: dict[str, int]


class Side:
    """One replica: its tally, how far it has received, and how far it has seen the log."""

    def __init__(self, name: str) -> None:
        self.now = 1000.0
        self.name = name
        self.tally = Tally("/j/", "/jc/", "/ja/", replica_id=name, clock=lambda: self.now)
        self.tally.snapshot([])
        self.tally.sessions.note(BEFORE)
        self.now += SETTLE + 1
        self.received = 0
        self.seen = 0
        self.stamp = BEFORE
        self.had: list[JournalEntry] = []

    def receive(self, at: int, key: str) -> None:
        self.now += 0.001
        lane = "elsewhere" if key == "c" else "lane"
        entry = JournalEntry(key, lane, sequence=at, received_at=self.now, revision=self.stamp)
        if not self.tally.take_early_mark(entry):
            self.tally.add(entry)
            self.had.append(entry)

    def strike(self, mark: Mark) -> None:
        session = "-" if mark.session is None else mark.session
        content = f"{mark.writer} {mark.stamp} {session}".encode()
        kv = KeyValue(f"/j/{digest(mark.key)}", content, 1, 1, mark.version, 0)
        self.tally.apply([WatchEvent("put", kv)])

    def held(self) -> Counter[str]:
        return Counter(entry.key for entry in self.tally)


class World:
    """Events, marks and answers; ``step`` does what may be done, and nothing else."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.young = Side("young")
        self.seniors = [Side("a"), Side("b")]
        self.leader = 0
        self.since: int | None = None  # the first event of the young session
        self.before = 0  # how many it had received before that
        self.log: list[Mark | Answer] = []
        self.wire: list[JournalEntry] = []
        self.handled: set[int] = set()
        self.gone: Counter[str] = Counter()  # made room
        self.number = 0
        self.names: dict[str, int] = {}
        self.asked: int | None = None  # how much the young one had received
        self.struck = 0

    def step(self, step: str) -> None:
        kind, _, rest = step.partition(" ")
        getattr(self, f"_{kind}")(*rest.split())

    def _event(self, key: str) -> None:
        self.events.append(key)

    def _begins(self) -> None:
        """The young replica's session ends, and the next one begins with what happens from now on."""
        if self.since is None:
            self.before = self.young.received
            self.young.received = self.since = len(self.events)
            self.young.now += 1
            self.young.tally.new_session()

    def _notes(self) -> None:
        if self.since is not None and self.young.tally.sessions.revision is None:
            self.young.stamp = MARKER
            self.young.tally.sessions.note(MARKER)

    def _knows(self, number: str) -> None:
        """A senior sees the marker: it has received what happened before the session."""
        senior = self.seniors[int(number)]
        if self.since is not None and senior.received >= self.since:
            senior.stamp = MARKER

    def _receives(self, number: str) -> None:
        side = self.young if number == "y" else self.seniors[int(number)]
        if side.received < len(self.events):
            side.receive(side.received, self.events[side.received])
            side.received += 1

    def _sees(self, number: str) -> None:
        side = self.young if number == "y" else self.seniors[int(number)]
        if side.seen == len(self.log):
            return
        write = self.log[side.seen]
        side.seen += 1
        if isinstance(write, Mark):
            side.strike(write)
        elif side is self.young and write.number == self.number and self.asked is not None:
            self.asked = None
            self.struck += side.tally.settle(write.left)

    def _handles(self, lane: str) -> None:
        side = self.seniors[self.leader]
        entry = side.tally.entries.first_to_run(lane)
        if entry is not None:
            self.handled.add(entry.sequence)
            entry.occurrence = side.tally.occurrence(entry)
            entry.state = EntryState.FINISHED
            entry.began = side.tally.sessions.began(entry)
            self.wire.append(entry)

    def _arrives(self, at: int = 0) -> None:
        if self.wire:
            entry = self.wire.pop(at)
            side = self.seniors[self.leader]
            self.log.append(Mark(entry.key, entry.occurrence, side.name, entry.revision, entry.began))

    def _dies(self) -> None:
        """The second senior leads, once it has seen all marks; others of the first are refused."""
        if self.leader == 0:
            self.leader = 1
            self.wire.clear()
            while self.seniors[1].seen < len(self.log):
                self._sees("1")

    def _asks(self) -> None:
        self.names = self.young.tally.ask()
        if self.names:
            self.number += 1
            self.asked = self.young.received
        else:
            self.asked = None

    def _answers(self) -> None:
        side = self.seniors[self.leader]
        if self.asked is not None and side.received >= self.asked:
            left = side.tally.left(self.names)
            if left:
                self.log.append(Answer(self.number, left))

    def _drops(self) -> None:
        """Only of a lane where all are equal: the mark of one that made room is taken for that of the next
        equal one, and what stands before that in its lane for handled.
        """
        oldest = next(iter(self.young.tally), None)
        if oldest is not None and oldest.key == "c":
            assert self.young.tally.drop_oldest()
            self.gone[oldest.key] += 1

    def _passes(self) -> None:
        """Seconds: all that could be written, received and seen has been."""
        while self.wire:
            self._arrives()
        for number in "01y":
            side = self.young if number == "y" else self.seniors[int(number)]
            while side.received < len(self.events):
                self._receives(number)
            while side.seen < len(self.log):
                self._sees(number)
            if self.since is not None:
                side.stamp = MARKER
        self._notes()
        for side in (self.young, *self.seniors):
            side.now += SETTLE + 1

    def check(self) -> None:
        """Of what the young replica has received, all that nobody has handled is still here."""
        first = self.since or 0
        come = [*range(self.before), *range(first, self.young.received)]
        unhandled = Counter(self.events[at] for at in come if at not in self.handled)
        short = unhandled - (self.young.held() + self.gone)
        assert not short, f"{short} lost of {self.events} from {first} on, handled {sorted(self.handled)}"


ODD = [
    *["event a", "event b", "event c", "receives y", "receives 0", "receives 1"],
    *["sees y", "sees 0", "sees 1", "handles lane", "handles elsewhere", "arrives"],
    *["asks", "answers", "notes", "knows 0", "knows 1", "dies", "drops", "passes", "begins"],
]
#: What mostly happens.
USUAL = {
    "is known": ["knows 0", "knows 1"],
    "comes": ["event a", "receives y", "receives 0", "receives 1"],
    "comes elsewhere": ["event c", "receives y", "receives 0", "receives 1"],
    "works elsewhere": ["handles elsewhere", "arrives", "sees 0", "sees 1"],
    "comes early": ["event a", "receives y"],
    "toggles": ["event b", "receives y", "receives 0", "receives 1"],
    "is late": ["event a", "receives 0", "receives 1"],
    "works": ["handles lane", "arrives", "sees 0", "sees 1"],
    "works fast": ["handles lane", "arrives"] * 2,
    "reads": ["sees y"] * 3,
    "is read by": ["sees 0", "sees 1"] * 2,
    "doubts": ["notes", "asks"],
    "is told": ["receives 0", "receives 1", "answers"],
    "settles": ["notes", "asks", "receives 0", "receives 1", "answers", "sees y", "sees y", "sees y"],
}


def story(seed: int) -> list[str]:
    """Long, and with a question or two: what hypothesis would make of single steps hardly ever has any."""
    chance = random.Random(seed)
    steps = USUAL["comes"] * chance.randrange(3) + ["begins"]
    for _ in range(chance.randrange(5, 25)):
        steps += chance.choice([*USUAL.values()]) if chance.random() < 0.75 else [chance.choice(ODD)]
    return steps


def run(steps: list[str]) -> World:
    world = World()
    for step in steps:
        world.step(step)
        world.check()
    return world


@settings(max_examples=2000)
@given(st.integers(0, 2**32).map(story))
def test_what_nobody_has_handled_is_kept(steps: list[str]) -> None:
    run(steps)


def test_what_was_handled_is_struck_out() -> None:
    """So that what the other test finds is not for want of answers."""
    handled = ["handles lane", "arrives", "sees 0", "sees y"]
    come = ["event a", "receives 0", "receives y"]
    world = run(["begins", *come, *handled, *come, "notes", "asks", "answers", "sees y"])
    assert world.struck == 1
    assert world.young.held() == {"a": 1}

"""What an entry says of when it came in: its mark tells others which events they did not receive."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import Compare, KeyValue, Put, TxnResult, WatchEvent
from discordha.coordination.journal.entries import JournalEntry, JournalKeys, digest
from discordha.coordination.journal.journal import Journal
from discordha.coordination.journal.marks import JournalWriter


def name(key: str) -> str:
    """That of its entry."""
    return f"0/{digest(key)}"


class Bench:
    """A journal without etcd: what it writes is kept."""

    def __init__(self) -> None:
        self.stamp = 0
        self.sequence = 0
        self.now = 1000.0
        self.committed = Committed()
        self.line: list[JournalEntry] = []
        alive: Any = SimpleNamespace(alive=True, guard=lambda: Compare.version("/l/0", 1))
        self.term: LeaderTerm = alive
        nothing: Any = None
        leases: Any = SimpleNamespace(current=lambda: 7)
        self.journal = Journal(
            JournalWriter(
                nothing, cast(Any, self.committed), leases, JournalKeys("/"), 0, "me", max_attempts=3
            ),
            put=self.line.append,
            size=100,
            retention=600.0,
            last_attempts=LastAttempts(3),
            dropped=lambda reason: None,
            buried=lambda event: None,
            clock=lambda: self.now,
        )

    def receive(self, key: str) -> JournalEntry:
        self.now += 1
        self.sequence += 1
        entry = JournalEntry(
            key,
            key,
            sequence=self.sequence,
            received_at=self.now,
            revision=self.stamp,
            partition="0",
        )
        self.journal.received(entry)
        return entry

    def new_session(self) -> None:
        """Its marker is not written yet."""
        self.now += 1
        self.journal.on_new_session()

    def note(self, revision: int) -> bool:
        """The present session's marker is written."""
        return self.journal.note_session(revision, self.journal.sessions)

    def run(self, *entries: JournalEntry) -> None:
        for entry in entries:
            assert self.journal.begin(entry)
            self.journal.finished(entry, handled=True)


def test_a_question_is_as_old_as_what_was_proven_when_the_first_of_a_name_came_in() -> None:
    bench = Bench()
    bench.new_session()
    bench.stamp = 3
    bench.receive("one")
    assert bench.journal.questions.ask() is None  # nobody knows yet when the session began
    assert bench.note(6)
    bench.stamp = 7
    bench.receive("one")
    bench.receive("two")
    asked = bench.journal.questions.ask()
    assert asked is not None
    assert asked[1] == {name("one"): 3, name("two"): 7}


def test_what_was_written_of_a_session_that_is_over_is_not_noted() -> None:
    """What is younger than its marker does not come in here: the next session began later."""
    bench = Bench()
    bench.new_session()
    first = bench.journal.sessions
    bench.new_session()  # while the first one's marker is on its way to etcd
    assert bench.journal.sessions == first + 1
    assert not bench.journal.note_session(6, first)
    bench.receive("one")
    assert bench.journal.questions.ask() is None
    assert not bench.journal.note_session(6, first + 2)
    assert bench.journal.questions.ask() is None
    assert bench.journal.note_session(9, first + 1)
    assert bench.journal.questions.ask() is not None
    # Nor does one that was late change what is noted.
    assert not bench.journal.note_session(6, first)
    bench.journal.activate(bench.term)
    bench.run(bench.receive("two"))
    assert bench.committed.marks() == [b"me 0 9 2"]


class Committed:
    """Stands for the group commit: keeps what is to be written."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def submit(self, operations: Sequence[Operation]) -> None:
        self.operations += operations

    def execute(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            operation.result = TxnResult(True, 1, [])

    def marks(self) -> list[bytes]:
        puts = [op for operation in self.operations for op in operation.txn.success if isinstance(op, Put)]
        return [put.value for put in puts]


def test_a_mark_tells_of_which_session_its_event_is() -> None:
    """In which its writer received it, not the one in which it is marked."""
    bench = Bench()
    bench.journal.activate(bench.term)
    bench.new_session()
    bench.stamp = 3
    unnoted = bench.receive("unnoted")
    bench.new_session()
    bench.stamp = 11
    before = bench.receive("before its marker was")
    assert bench.note(10)
    bench.stamp = 12
    after = bench.receive("after")
    bench.run(before)
    bench.new_session()
    bench.run(unnoted, after)
    new = bench.receive("new")
    bench.run(new)
    assert bench.note(20)
    bench.run(bench.receive("newer"))
    assert bench.committed.marks() == [b"me 11 10 2", b"me 3 - 1", b"me 12 10 3", b"me 12 - 4", b"me 12 20 5"]


def test_an_answer_to_another_of_the_same_name_is_none_to_this_one() -> None:
    """What was given to a replica before it was started anew still stands in etcd."""
    numbers = set()
    for _ in range(2):
        bench = Bench()
        assert bench.note(6)
        bench.receive("one")
        asked = bench.journal.questions.ask()
        assert asked is not None
        numbers.add(asked[0])
    assert len(numbers) == 2


def mark_unaware(bench: Bench, key: str) -> None:
    """A leader that does not know of the session has handled an event of this content."""
    mark = KeyValue(f"/j/{name(key)}", b"leader 1 0", 1, 8, 1, 0)
    bench.journal.on_events([WatchEvent("put", mark)])


def test_an_event_that_comes_after_its_mark_to_a_new_leader_may_have_been_handled_too() -> None:
    """It was not here yet as the leadership began: it is run, and counts as run again."""
    bench = Bench()
    bench.journal.on_snapshot([])
    bench.new_session()
    bench.note(6)
    bench.stamp = 7
    mark_unaware(bench, "one")
    bench.journal.activate(bench.term, 9)
    late, other = bench.receive("one"), bench.receive("other")
    assert bench.journal.begin(late)
    assert bench.journal.begin(other)
    assert (late.ambiguous, late.attempt) == (True, 2)
    assert (other.ambiguous, other.attempt) == (False, 1)


def test_what_is_younger_than_a_leadership_is_not_run_again() -> None:
    """The mark was about an event from before the session: no earlier leader has this one."""
    bench = Bench()
    bench.journal.on_snapshot([])
    bench.new_session()
    bench.note(6)
    mark_unaware(bench, "one")
    bench.journal.activate(bench.term, 9)
    bench.stamp = 9  # the heartbeat that the leadership began with is answered
    entry = bench.receive("one")
    assert bench.journal.begin(entry)
    assert (entry.ambiguous, entry.attempt) == (False, 1)

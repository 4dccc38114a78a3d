"""Which gap an event's nonces carry: the one that all replicas name that received the event."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from discordha.context import CurrentEvent
from discordha.coordination.journal.entries import JournalKeys
from discordha.dispatch.items import LeaderItem
from discordha.events import Event, Identity, Scope
from discordha.leader.shard import GAP_SHIFT, LeaderShard

GAP, NEXT = 70_000, 90_000


class Election:
    """Of a shard that another replica leads."""

    leader = "other"
    leadership: Any = None
    is_leader = False

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: None


class Journal:
    """Keeps what it is given, and runs it when told."""

    def __init__(self) -> None:
        self.sessions = 0
        self.items: list[LeaderItem] = []
        self.received = self.items.append

    def begin(self, item: LeaderItem) -> bool:
        item.leadership = SimpleNamespace(fencing_token=1)  # type: ignore[assignment]
        return True

    def on_new_session(self) -> None:
        self.sessions += 1

    def deactivate(self) -> None: ...


class Bench:
    """A replica that follows a leader."""

    def __init__(self, *, catch_up: float = 600.0) -> None:
        nothing: Any = None
        coordination: Any = SimpleNamespace(
            **dict.fromkeys(("store", "commit", "leases", "last_attempts", "session")),
            plan=SimpleNamespace(serving=None),
            members=SimpleNamespace(poke=lambda: None, was_heard=lambda member: True),
            root="/",
            journal_keys=JournalKeys("/"),
            elections=SimpleNamespace(open=lambda *arguments, **options: Election()),
            exchange=Election(),
        )
        config: Any = SimpleNamespace(
            max_attempts=3,
            queue_size=10,
            retention=600.0,
            participate_in_election=True,
            ha=True,
            catch_up=catch_up,
        )
        parts: Any = (config, coordination, "me", nothing, nothing, nothing, lambda: None)
        self.shard = LeaderShard(parts, 0, 0, None, guard=(), may_act=lambda: True)
        catch_up_of_sessions: Any = SimpleNamespace(new_session=lambda: None)
        self.shard.catch_up = catch_up_of_sessions
        self.journal = Journal()
        journal: Any = self.journal
        self.shard.journal = journal

    def begin_session(self) -> None:
        self.shard.new_session()

    def receive(self, *, number: int = 1) -> LeaderItem:
        identity = Identity(Scope.LEADER, "reaction", "lane", None)
        self.shard.received(Event("raw_reaction_add", (), identity, 0, None, 0.0), (), number)
        return self.journal.items[-1]

    def gap_of(self, item: LeaderItem) -> int:
        """In a run by this replica."""
        current = self.shard.begin(item)
        assert isinstance(current, CurrentEvent)
        return current.epoch >> GAP_SHIFT


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.begin_session()
    return bench


def test_what_came_before_anything_is_known_of_gaps_carries_the_one_before_its_session(bench: Bench) -> None:
    """A replica that has just started knows no gap yet, and its peers have known the last one for long."""
    first = bench.receive()
    bench.shard.note_gap(GAP)
    second = bench.receive()
    bench.shard.note_gap(GAP, session=1)
    third = bench.receive()
    bench.shard.note_gap(NEXT, session=1)
    last = bench.receive()
    assert [bench.gap_of(item) for item in (first, second, third, last)] == [GAP, GAP, GAP, NEXT]


def test_what_is_told_of_an_earlier_session_is_not_about_this_one(bench: Bench) -> None:
    bench.shard.note_gap(GAP, session=1)
    earlier = bench.receive()
    bench.begin_session()
    item = bench.receive()
    bench.shard.note_gap(GAP, session=1)
    bench.shard.note_gap(NEXT, session=2)
    assert [bench.gap_of(each) for each in (earlier, item)] == [GAP, NEXT]


def test_without_a_leader_nobody_has_run_it(bench: Bench) -> None:
    bench.shard.note_gap(GAP, session=1)
    bench.shard.election.leader = None  # type: ignore[misc]
    item = bench.receive()
    bench.shard.note_gap(NEXT, session=1)
    assert bench.gap_of(item) == NEXT


def test_without_catch_up_there_are_no_gaps() -> None:
    bench = Bench(catch_up=0.0)
    bench.begin_session()
    item = bench.receive()
    assert item.gap == 0
    assert bench.gap_of(item) == 0

"""Questions and answers on their way through a journal: which of them count, and what comes before them."""

from __future__ import annotations

from typing import Any

import pytest
from kept_journal import Kept, name

from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent
from discordha.coordination.journal.entries import JournalKeys
from discordha.coordination.journal.questions import QuestionExchange
from discordha.coordination.memory.store import MemoryStore


def test_an_answer_to_another_question_is_passed_over() -> None:
    kept = Kept()
    kept.new_session(10)
    kept.receive("add")
    kept.mark("add", certain=False)
    first, names = kept.ask()
    assert names == {name("add"): 11}
    second, _ = kept.ask()
    handled = {name("add"): 0}
    for number in (first, second + 1, 0):
        kept.journal.questions.on_answer(number, handled, {})
    assert len(kept.journal) == 1
    kept.journal.questions.on_answer(second, handled, {})
    assert len(kept.journal) == 0
    assert kept.journal.questions.ask() is None
    # Nor does it come twice (a snapshot of the watch's brings what still stands).
    kept.receive("add")
    kept.journal.questions.on_answer(second, handled, {})
    assert len(kept.journal) == 1


def test_an_answer_of_another_life_does_not_fit() -> None:
    """The shard's last journal asked, or that of a process which had the same name."""
    numbers = set()
    for _ in range(10):
        kept = Kept()
        kept.new_session(10)
        kept.receive("add")
        numbers.add(kept.ask()[0])
    assert len(numbers) == 10


def test_a_new_session_ends_the_question() -> None:
    kept = Kept()
    kept.new_session(10)
    kept.receive("add")
    number, *_ = kept.ask()
    kept.new_session(20)
    kept.receive("add")
    kept.journal.questions.on_answer(number, {name("add"): 0}, {})
    assert len(kept.journal) == 2
    kept.ask()
    kept.journal.questions.on_answer(number, {name("add"): 0}, {})
    assert len(kept.journal) == 2


def test_what_the_leader_can_not_tell_of_is_asked_again() -> None:
    kept = Kept()
    kept.new_session(10)
    kept.receive("add", "remove")
    kept.mark("add", certain=False)
    kept.mark("remove", certain=False)
    number, names = kept.ask()
    assert list(names) == [name("add"), name("remove")]
    kept.journal.questions.on_answer(number, {name("add"): 0}, {})
    assert kept.left() == ["remove"]
    kept.journal.questions.on_answer(number, {name("remove"): 0}, {})  # that question is over
    assert kept.left() == ["remove"]
    number, names = kept.ask()
    assert list(names) == [name("remove")]
    kept.journal.questions.on_answer(number, {name("remove"): 0}, {})
    assert kept.left() == []


def test_a_leader_answers_what_is_younger_than_its_own_session() -> None:
    kept = Kept()
    names = {name("old"): 9, name("add"): 10, name("none"): 11}
    kept.new_session(10)
    kept.receive("old", "add")
    assert not kept.journal.questions.may_answer(names)  # it leads nothing
    assert kept.journal.questions.answer(names) is None
    kept.lead()
    assert kept.journal.questions.may_answer(names)
    assert kept.journal.questions.answer(names) == {name("add"): 1, name("none"): 0}
    assert not kept.journal.questions.may_answer({name("old"): 9})
    assert kept.journal.questions.answer({name("old"): 9}) is None
    kept.journal.on_new_session()
    assert not kept.journal.questions.may_answer(names)  # until it is known when that began
    assert kept.journal.questions.answer(names) is None


def test_a_leadership_that_is_over_answers_nothing() -> None:
    kept = Kept()
    kept.new_session(10)
    kept.lead()
    assert kept.journal.questions.may_answer({name("add"): 10})
    kept.alive = False
    assert not kept.journal.questions.may_answer({name("add"): 10})
    assert kept.journal.questions.answer({name("add"): 10}) is None


@pytest.mark.parametrize("leads", [True, False])
def test_a_leader_that_had_to_drop_entries_answers_nothing_until_its_next_session(leads: bool) -> None:
    """It would say of what it dropped that it was handled; also of what it dropped before it led."""
    kept = Kept(size=2)
    kept.new_session(10)
    if leads:
        kept.lead()
    names = {name("add"): 15}
    kept.receive("one", "two")
    if leads:
        assert kept.journal.questions.answer(names) == {name("add"): 0}  # full, and nothing dropped
    kept.receive("add", "three", "four")
    assert kept.dropped == ["journal_full"] * 3
    kept.lead()
    for _ in range(2):
        assert not kept.journal.questions.may_answer(names)
        assert kept.journal.questions.answer(names) is None
        # Nor when there is room again: what is gone is gone.
        for key in kept.left():
            kept.mark(key)
        kept.receive("room")
    kept.new_session(12)
    assert kept.journal.questions.may_answer(names)
    assert kept.journal.questions.answer(names) == {name("add"): 0}


class Marks:
    """Stands for the journals."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self._told.append("marks")

    def on_events(self, revision: int, events: Any) -> None:
        self._told.append("marks")

    def on_lost(self) -> None: ...


def test_marks_are_told_before_an_answer_whatever_else_came_with_them() -> None:
    """A mark that came after an answer which has counted it would strike out another event."""
    told: list[str] = []
    nothing: Any = None
    router = WatchRouter("/x/")
    exchange = QuestionExchange(nothing, JournalKeys("/x/"), "me")
    exchange.listen(
        0,
        on_question=lambda revision: None,
        on_answer=lambda number, left, landmarks: told.append(f"answer {number}"),
    )
    router.subscribe(Marks(told), "j")
    router.subscribe(exchange, "jq", "jr")
    question = b'{"number": 1, "names": {}}'
    written = [("jq/0/other", question), ("j/0/mark", b"leader 5"), ("jr/0/me", b'{"number": 7, "left": {}}')]
    items = [KeyValue(f"/x/{key}", value, at, at, 1, 0) for at, (key, value) in enumerate(written, 1)]
    router.on_events(3, [WatchEvent("put", item) for item in items])
    assert told == ["marks", "answer 7"]
    router.on_snapshot(Snapshot(3, [items[0], items[2], items[1]]))
    assert told == ["marks", "answer 7"] * 2


def test_what_whoever_claims_it_runs_is_forgotten_unless_it_has_begun() -> None:
    kept = Kept()
    kept.new_session(10)
    kept.lead()
    kept.receive("edit/1", "edit/2", "edit/3", "add", "edit/2")
    first = next(entry for entry in kept.journal._tally if entry.key == "edit/1")
    assert kept.journal.begin(first)
    kept.journal.questions.leave_to_claims([name("edit/1"), name("edit/2"), name("edit/9")])
    assert kept.left() == ["edit/1", "edit/3", "add"]
    kept.journal.finished(first, handled=False)
    assert kept.left() == ["edit/1", "edit/3", "add"]


def test_leaders_of_another_generation_hear_a_greeting_too() -> None:
    """While a bot is resharded they mark the same events: their marks must say soon which of them came after
    the greeting. The greeting leaves a replica's own question to that shard alone.
    """
    store = MemoryStore()
    lease = store.grant(30).id
    young, host = (QuestionExchange(store, JournalKeys("/"), replica) for replica in ("young", "host"))
    heard: list[int] = []
    host.listen(1, on_question=heard.append, on_answer=lambda *a: None)
    asked = young.ask(1, 5, {"0/add": 3}, lease=lease)
    greeting = young.greet(1_000_005, [1], lease=lease)
    found = store.range("/jq/")
    host.on_snapshot(Snapshot(found.revision, found.items))
    assert heard[0] == asked
    assert len(heard) == 2
    assert heard[1] > greeting, "an acknowledgement of it must be one of the greeting, too"
    assert [q.number for q in host.questions(1) if q.names] == [5]

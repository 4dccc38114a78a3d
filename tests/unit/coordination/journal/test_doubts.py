"""What a tally makes of its leader's answer: it strikes out what was handled, and never more."""

from __future__ import annotations

import pickle

import pytest
from tally_bench import SESSION, Bench, Young

from discordha.coordination.journal.entries import EntryState, JournalEntry, digest
from discordha.coordination.journal.sessions import ASKED, AWARE, AmbiguousEntries


def test_what_the_leader_has_handled_is_struck_out_the_oldest_first() -> None:
    young = Young()
    entries = [young.receive(key) for key in ("add", "remove", "add", "add", "other")]
    for key in ("add", "add", "other"):
        young.uncertain(key)
    assert len(young.tally) == 5
    assert young.asked() == ["add", "remove", "other"]
    assert young.settle(add=1, remove=1) == 3
    assert list(young.tally) == [entries[1], entries[3]]
    assert young.settle() == 0
    # What was seen of the marks was about those that are gone.
    assert not any(young.tally.ambiguous.may_be_handled(entry) for entry in young.tally)
    assert young.settle(add=1, remove=1) == 0


def test_when_all_is_settled_nothing_is_asked_any_more() -> None:
    young = Young()
    young.receive("add")
    young.uncertain("add")
    assert young.tally.in_doubt
    assert young.tally.may_ask
    assert young.asked() == ["add"]
    assert young.settle() == 1
    assert not young.tally.may_ask
    assert young.asked() == []
    assert pickle.dumps(young.tally.ambiguous) == pickle.dumps(AmbiguousEntries()), "something is kept"


def test_nothing_is_asked_before_the_marker_is_seen() -> None:
    bench = Bench()
    bench.new_session()
    bench.receive("add")
    bench.mark("add", received=SESSION - 1)
    assert bench.tally.in_doubt
    assert not bench.tally.may_ask
    assert bench.tally.ask() == {}
    bench.now += 1
    bench.seen()
    assert bench.tally.may_ask
    assert bench.tally.in_doubt
    assert list(bench.tally.ask()) == [digest("add")]
    bench.tally.settle({digest("add"): 0})
    assert not bench.tally.in_doubt


def test_a_leader_may_not_know_of_the_session_yet() -> None:
    bench = Bench()
    bench.new_session()
    assert bench.tally.in_doubt
    bench.tally.sessions.note(SESSION)
    assert bench.tally.in_doubt
    assert not bench.tally.may_ask
    bench.now += AWARE
    assert not bench.tally.in_doubt


def test_an_answer_that_names_more_than_was_received_strikes_nothing() -> None:
    """Those were from before the session, or came after the question."""
    young = Young()
    young.receive("add")
    young.asked()
    assert young.settle(add=5) == 0
    assert young.left() == ["add"]
    assert young.tally.may_ask


def test_names_that_were_not_asked_for_are_let_alone() -> None:
    young = Young()
    young.receive("add")
    young.uncertain("add")
    assert young.asked() == ["add"]
    young.receive("later")
    young.uncertain("later")
    assert young.settle(later=0, elsewhere=0) == 1
    assert young.left() == ["later"]


def test_what_came_in_after_the_question_is_not_struck_by_its_answer() -> None:
    """The leader may have answered before it had received that."""
    young = Young()
    young.receive("add")
    young.asked()
    second = young.receive("add")
    young.uncertain("add")
    young.uncertain("add")
    assert young.settle() == 1
    assert list(young.tally) == [second]
    assert young.settle() == 0


def test_what_a_mark_struck_out_meanwhile_counts() -> None:
    young = Young()
    young.receive("add")
    second = young.receive("add")
    young.asked()
    young.mark("add")
    assert list(young.tally) == [second]
    assert young.settle(add=1) == 0
    assert list(young.tally) == [second]
    # And where both were handled, the other mark was an uncertain one.
    young.uncertain("add")
    young.asked()
    assert young.settle() == 1


def test_marks_that_were_here_before_their_events_count_for_those() -> None:
    young = Young()
    young.receive("add")
    young.asked()
    young.mark("add")
    young.mark("add")
    assert young.receive("add") is None  # the mark was a surplus
    third = young.receive("add")
    assert young.settle() == 0
    assert list(young.tally) == [third]


def test_what_runs_here_or_waits_for_its_mark_is_not_struck_out() -> None:
    young = Young()
    entries = [young.receive(key) for key in ("add", "add", "add", "remove")]
    for entry in entries:
        young.uncertain(entry.key)
    young.asked()
    for entry, state in zip(
        entries, (EntryState.RUNNING, EntryState.FINISHED, EntryState.HELD, EntryState.QUEUED), strict=True
    ):
        assert entry is not None
        entry.state = state
    assert young.settle() == 1
    assert list(young.tally) == [entries[0], entries[1], entries[3]]
    assert young.asked() == []
    assert not young.tally.may_ask


def test_so_many_names_are_asked_for_at_once_and_then_the_rest() -> None:
    young = Young()
    keys = [f"{number}" for number in range(ASKED + 10)]
    for key in [*keys, *keys]:
        young.receive(key)
        young.uncertain(key)
    assert young.asked() == keys[:ASKED]
    assert young.settle() == 2 * ASKED
    assert young.asked() == keys[ASKED:]
    assert young.settle() == 20
    assert not young.tally.may_ask


def test_an_answer_to_a_question_of_the_session_before_strikes_nothing() -> None:
    young = Young()
    young.receive("add")
    young.asked()
    young.new_session()
    young.receive("add")
    young.seen(SESSION + 10)
    assert young.settle() == 0
    assert young.left() == ["add", "add"]


@pytest.mark.parametrize("handled", [0, 1])
def test_what_made_room_meanwhile_is_not_struck_twice(handled: int) -> None:
    young = Young()
    young.receive("add")
    second = young.receive("add")
    for _ in range(1 + handled):
        young.uncertain("add")
    young.asked()
    assert young.tally.drop_oldest()
    # The one that is gone was handled; or so were both.
    assert young.settle(add=1 - handled) == handled
    assert list(young.tally) == ([] if handled else [second])


def test_what_has_expired_meanwhile_is_not_struck_twice() -> None:
    young = Young()
    young.receive("add")
    young.now += 1
    second = young.receive("add")
    young.asked()
    assert young.tally.expire(young.now - 0.5) == 1
    assert young.settle(add=1) == 0
    assert list(young.tally) == [second]


@pytest.mark.parametrize("keys", [("add",), ("add", "remove")])
def test_an_answer_is_of_no_use_once_all_doubts_have_gone(keys: tuple[str, ...]) -> None:
    """New ones of the same name are not those that were asked for."""
    young = Young()
    for key in keys:
        young.receive(key)
    young.asked()
    young.mark(keys[-1])  # and with it what stood before it in its lane
    assert young.left() == []
    if len(keys) > 1:
        young.mark("add")  # it was late
    new = young.receive("add")
    assert young.settle() == 0
    assert list(young.tally) == [new]


@pytest.mark.parametrize("uncertain", [1, 3000])
def test_an_event_costs_the_same_however_many_equal_ones_are_in_doubt(uncertain: int) -> None:
    """The gateway's thread adds it: a backlog in one channel must not hold the connection up."""
    young = Young()
    for _ in range(1000):
        young.receive("add")
    for _ in range(uncertain):
        young.uncertain("add")
    looks, is_present = [], young.tally.sessions.is_present

    def look(entry: JournalEntry) -> bool:
        looks.append(entry)
        return is_present(entry)

    young.tally.sessions.is_present = look  # type: ignore[method-assign]
    for _ in range(10):
        young.receive("add")
    assert len(looks) < 100
    assert young.tally.ambiguous.number(digest("add")) == 1010

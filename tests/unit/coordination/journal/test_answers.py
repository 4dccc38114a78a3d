"""What a leader answers, and which stamps and marks count for a question."""

from __future__ import annotations

import pytest
from tally_bench import EARLIER, SESSION, Bench, Young

from discordha.coordination.journal.entries import EntryState, digest
from discordha.coordination.journal.sessions import SETTLE


def test_only_the_last_question_is_answered() -> None:
    """In the tally; numbers tell in the journal which one that is."""
    young = Young()
    young.receive("add")
    young.asked()
    young.receive("remove")
    young.uncertain("add")
    young.uncertain("remove")
    assert young.asked() == ["add", "remove"]
    assert young.settle(remove=1) == 1
    assert young.left() == ["remove"]


def test_a_leader_says_what_it_has_not_seen_the_marks_of() -> None:
    """And in so many words where there is nothing left: what it does not name it can't tell of."""
    bench = Bench()
    for key in ("add", "remove", "add", "add"):
        bench.receive(key)
    first, *_ = bench.tally
    first.state = EntryState.FINISHED
    names = {digest(key): EARLIER for key in ("add", "remove", "unknown")}
    assert bench.tally.left(names) == {digest("add"): 3, digest("remove"): 1, digest("unknown"): 0}
    bench.mark("add")
    bench.mark("remove")
    assert bench.tally.left(names) == {digest("add"): 2, digest("remove"): 0, digest("unknown"): 0}


def test_a_leader_tells_of_nothing_that_is_older_than_its_session() -> None:
    """It may never have received that."""
    bench = Bench()
    bench.receive("add")
    bench.new_session()
    names = {digest("add"): SESSION, digest("remove"): SESSION - 1, digest("other"): SESSION + 1}
    assert bench.tally.left(names) == {}  # nobody knows yet when its session began
    bench.seen()
    assert bench.tally.left(names) == {digest("add"): 1, digest("other"): 0}
    for since, received in ((SESSION - 1, False), (SESSION, True), (SESSION + 1, True)):
        assert bench.tally.sessions.covers(since) is received


def test_what_the_leader_can_not_tell_of_is_left_alone() -> None:
    """And may be asked for again."""
    young = Young()
    young.receive("add")
    other = young.receive("other")
    young.uncertain("add")
    young.uncertain("other")
    assert young.asked() == ["add", "other"]
    assert young.partial(add=0) == 1
    assert list(young.tally) == [other]
    assert young.partial(other=0) == 0  # that question is over
    assert young.asked() == ["other"]
    assert young.partial(add=0) == 0
    assert young.asked() == ["other"]
    assert young.partial(other=0) == 1
    assert young.left() == []


def test_an_answer_that_tells_of_nothing_strikes_nothing() -> None:
    young = Young()
    young.receive("add")
    young.uncertain("add")
    young.asked()
    assert young.partial() == 0
    assert young.left() == ["add"]
    assert young.tally.may_ask


@pytest.mark.parametrize("stamps", [(3, 7, 9), (7, 3, 9), (9, 7, 3)])
def test_a_question_is_as_old_as_the_oldest_that_it_counts(stamps: tuple[int, ...]) -> None:
    """Stamps are not in order: a gap sets them back, and what RESUME brings has those of before it."""
    young = Young()
    for stamp in stamps:
        young.receive("add", stamp=stamp)
    young.receive("other", stamp=8)
    assert young.since() == {"add": 3, "other": 8}


def test_what_is_settled_counts_with_its_own_stamp() -> None:
    """It is asked for under the name of a doubtful one."""
    young = Young()
    young.receive("add", stamp=SESSION + 5)
    young.now += SETTLE + 1
    young.receive("add", stamp=SESSION + 2)
    young.uncertain("add")
    assert young.since() == {"add": SESSION + 2}
    assert young.settle(add=1) == 1


def test_what_is_gone_keeps_its_stamp_while_it_counts() -> None:
    """``received`` has it, and so a leader that never received it can't tell."""
    young = Young()
    young.receive("add", stamp=3)
    young.receive("add", stamp=7)
    young.uncertain("add")
    assert young.tally.drop_oldest()
    assert young.since() == {"add": 3}
    # Once all of a name are gone, and nothing is asked, the next begins anew.
    assert young.settle(add=0) == 1
    young.receive("other", stamp=1)
    young.receive("add", stamp=9)
    assert young.since() == {"other": 1, "add": 9}


def test_what_came_after_the_question_changes_the_next() -> None:
    young = Young()
    young.receive("add", stamp=7)
    assert young.since() == {"add": 7}
    young.receive("add", stamp=3)
    assert young.since() == {"add": 3}


def test_what_made_room_after_the_question_is_not_taken_for_another() -> None:
    young = Young()
    young.receive("add")
    young.asked()
    assert young.tally.drop_oldest()
    new = young.receive("add")
    assert young.settle() == 0
    assert new in list(young.tally)


def test_what_a_leader_never_had_is_not_taken_for_handled() -> None:
    """Its journal was full; or its version of the bot has no handler for it."""
    young = Young()
    for key in ("add", "add", "other"):
        young.receive(key)
    young.uncertain("add")
    young.asked()
    assert young.settle() == 1
    assert young.left() == ["add", "other"]


def test_marks_of_before_the_session_do_not_explain_what_a_later_mark_tells() -> None:
    """Found by chaos: they did, and the next mark was kept for another event, which was lost."""
    young = Young()
    young.uncertain("add")  # of before the session
    young.receive("add")
    young.receive("other")
    young.mark("add")
    young.mark("other")
    assert young.left() == []
    new = young.receive("add")
    assert list(young.tally) == [new]


def test_an_answer_explains_what_marks_there_were_before_the_question() -> None:
    young = Young()
    young.uncertain("add")  # of before the session
    young.receive("add")
    young.asked()
    young.uncertain("add")
    assert young.settle(add=1) == 0
    assert young.tally.ask()
    assert young.settle(add=0) == 1
    young.now += SETTLE + 1
    young.receive("add")
    assert young.tally.ambiguous.held == 0


def test_while_equal_events_keep_coming_an_answer_ends_no_doubt() -> None:
    """Their marks count as if they were those of what was asked for."""
    young = Young()
    young.receive("add")
    young.uncertain("add")
    young.asked()
    for _ in range(3):
        young.receive("add")
        young.mark("add", received=SESSION)
    assert young.settle() == 0
    (left,) = young.tally
    assert young.tally.ambiguous.may_be_handled(left)
    assert young.asked() == ["add"]
    assert young.settle() == 1
    assert not young.tally.may_ask


def test_what_such_an_answer_strikes_out_it_explains() -> None:
    young = Young()
    for _ in range(3):
        young.receive("add")
        young.uncertain("add")
    young.asked()
    later = young.receive("add")
    young.mark("add", received=SESSION)
    assert young.settle() == 2
    assert list(young.tally) == [later]
    assert young.tally.ambiguous.may_be_handled(later)
    young.asked()
    assert young.settle(add=1) == 0
    assert not young.tally.ambiguous.may_be_handled(later)


def test_a_name_is_asked_for_while_its_marks_are_uncertain_though_none_is_held_just_now() -> None:
    """Equal events that keep coming are handled one by one: at most moments there is none."""
    young = Young()
    young.receive("add")
    young.uncertain("add")
    young.uncertain("add")
    young.mark("add", received=SESSION)
    assert len(young.tally) == 0
    assert young.tally.may_ask
    assert young.tally.ask() == {digest("add"): SESSION}
    assert young.settle() == 0
    # Names of which nothing ever came leave nothing to be told.
    young.uncertain("remove")
    assert young.tally.ask() == {digest("add"): SESSION}
    young.now += SETTLE + 1
    young.tally.expire(0.0)
    assert not young.tally.may_ask

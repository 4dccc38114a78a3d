"""Which events marks are about where gateway sessions have just begun, here or at the leader."""

from __future__ import annotations

import pickle

import pytest
from tally_bench import EARLIER, SESSION, Bench, Young, value

from discordha.coordination.journal.entries import EntryState, digest
from discordha.coordination.journal.sessions import SETTLE, AmbiguousEntries


def test_marks_of_the_time_before_a_session_strike_out_nothing_of_it() -> None:
    """However long they go on, and however many leaders die over them."""
    bench = Bench()
    bench.new_session()
    bench.receive("add")
    bench.mark("add", received=SESSION - 1, by="first")
    bench.seen()
    bench.receive("add")
    bench.now += 60
    bench.mark("add", received=SESSION - 1, by="second")
    assert bench.left() == ["add", "add"]
    assert bench.receive("add") is not None


def test_they_strike_out_what_came_in_before_the_session_too() -> None:
    bench = Bench()
    bench.receive("add")
    bench.new_session()
    second = bench.receive("add")
    bench.mark("add", received=SESSION - 1)
    assert list(bench.tally) == [second]


def test_before_the_marker_is_seen_no_mark_is_certain() -> None:
    bench = Bench()
    bench.new_session()
    bench.mark("add", received=10**6)
    assert bench.receive("add") is not None


@pytest.mark.parametrize(
    ("began", "strikes"),
    [
        pytest.param(EARLIER, True, id="as old as the entry's"),
        pytest.param(30, True, id="began no later than what the entry's event is younger than"),
        pytest.param(31, False, id="began later: the entry's event is perhaps not one of its own"),
        pytest.param(10**9, False, id="began much later"),
        pytest.param(None, True, id="of a version that did not tell"),
        pytest.param("-", False, id="never noted"),
        pytest.param("", False, id="empty"),
        pytest.param("-1", False, id="below zero"),
        pytest.param("nonsense", False, id="garbage"),
        pytest.param("1e1", False, id="no number"),
        pytest.param(f"{EARLIER} more", True, id="what a later version adds says nothing here"),
    ],
)
def test_a_mark_of_who_may_not_have_received_it_strikes_out_nothing_earlier(
    began: int | str | None, strikes: bool
) -> None:
    """Found by the model: both sessions end; one replica handles an event that the other never got. That one
    has an older equal one, which the first never got: its mark is not about that.
    """
    bench = Bench()
    entry = bench.receive("add", stamp=30)
    bench.new_session()
    bench.mark("add", received=SESSION - 1, began=began)
    assert list(bench.tally) == ([] if strikes else [entry])


def test_nor_once_the_session_is_noted_while_the_mark_is_not_one_of_it() -> None:
    bench = Bench()
    entry = bench.receive("add", stamp=30)
    bench.new_session()
    bench.seen()
    bench.mark("add", received=SESSION - 1, began=31)
    assert list(bench.tally) == [entry]
    bench.mark("add", received=SESSION - 1, began=30)
    assert bench.left() == []


def test_of_equal_ones_it_strikes_out_the_oldest_that_its_writer_received() -> None:
    bench = Bench()
    first, second = bench.receive("add", stamp=20), bench.receive("add", stamp=30)
    third = bench.receive("add", stamp=40)
    bench.new_session()
    bench.mark("add", received=SESSION - 1, began=25)
    assert list(bench.tally) == [first, third]
    bench.mark("add", received=SESSION - 1, began=25)
    bench.mark("add", received=SESSION - 1, began=25)
    assert list(bench.tally) == [first]
    assert second is not None
    assert second.state is EntryState.GONE


@pytest.mark.parametrize("began", [SESSION + 10, "-"])
def test_what_a_younger_leader_never_received_is_not_struck_out_by_its_marks(began: int | str) -> None:
    """Nor what stands before that in the lane; a leader that has not noted its session says nothing."""
    bench = Bench()
    bench.new_session()
    bench.seen()
    bench.receive("remove")
    bench.receive("add")
    bench.mark("add", received=SESSION + 10, began=began, written=SESSION + 20)
    assert bench.left() == ["remove", "add"]
    assert bench.tally.unplaced.count(digest("add")) == 1
    bench.receive("add", stamp=SESSION + 10)
    bench.mark("add", received=SESSION + 10, began=SESSION + 10)
    assert bench.left() == ["remove", "add"]


def test_an_own_mark_does_not_either() -> None:
    bench = Bench()
    entry = bench.receive("add")
    assert entry is not None
    entry.state = EntryState.FINISHED
    bench.new_session()
    bench.mark("add", received=EARLIER - 1, by="me", began="-")
    assert bench.left() == []


def test_an_entry_tells_when_the_session_began_in_which_it_came_in() -> None:
    """Of several that have ended, and of those that were never noted."""
    bench = Bench()
    first = bench.receive("first")
    bench.new_session()
    unnoted = bench.receive("unnoted")
    bench.new_session()
    early = bench.receive("early")  # before its session's marker was
    bench.seen()
    late = bench.receive("late")
    assert first is not None and unnoted is not None and early is not None and late is not None  # noqa: PT018
    assert [bench.tally.sessions.began(entry) for entry in (first, unnoted, early, late)] == [
        EARLIER,
        None,
        SESSION,
        SESSION,
    ]


def test_marks_of_the_time_before_a_session_strike_out_nothing_of_it_after_the_next_has_begun() -> None:
    """Found by the model."""
    bench = Bench()
    bench.new_session()
    bench.seen()
    bench.receive("add")
    bench.new_session()
    bench.mark("add", received=SESSION - 1)
    assert bench.left() == ["add"]
    bench.mark("add", received=SESSION)
    assert bench.left() == []


def test_sessions_are_forgotten_with_what_came_in_in_them() -> None:
    bench = Bench()
    for _ in range(3):
        bench.receive("add")
        bench.new_session()
    assert len(bench.tally.sessions.earlier) == 3
    bench.now += 1
    bench.tally.expire(bench.now)
    bench.new_session()
    assert bench.tally.sessions.earlier == []


def test_of_marks_that_were_missed_in_a_young_session_only_the_last_is_certain() -> None:
    """The others may be about events from before it. Found by the model."""
    bench = Bench()
    bench.new_session()
    bench.tally.sessions.note(SESSION)
    first, second = bench.receive("add"), bench.receive("add")
    assert first is not None and second is not None  # noqa: PT018
    bench.tally.snapshot([value(f"/j/{digest('add')}", 2, b"leader 50")])
    assert list(bench.tally) == [second]
    # Where the session was old before they were missed, they are as certain.
    bench.now += SETTLE
    bench.mark("remove")
    third = bench.receive("add")
    assert third is not None
    bench.tally.snapshot([value(f"/j/{digest('add')}", 4, b"leader 50")])
    assert bench.left() == []


def test_what_is_doubtful_is_bounded_while_the_marker_is_not_seen() -> None:
    """Events come, etcd is away, and the journal makes room for the newest."""
    bench = Bench()
    bench.new_session()
    for number in range(50):
        bench.receive(f"{number}")
        if len(bench.tally) > 5:
            assert bench.tally.drop_oldest()
    assert len(list(bench.tally.ambiguous)) == 5
    bench.tally.sessions.note(SESSION)
    assert len(bench.tally.ask()) == 5
    for entry in list(bench.tally):
        bench.tally.forget(entry)
    assert pickle.dumps(bench.tally.ambiguous) == pickle.dumps(AmbiguousEntries()), "something is kept"


#: The leader's session, which began after all that comes in here, by its stamp.
YOUNGER = 90


def placing() -> Bench:
    bench = Bench()
    bench.new_session()
    bench.seen()
    return bench


def test_a_younger_leaders_mark_waits_until_all_that_is_older_has_arrived() -> None:
    bench = placing()
    bench.receive("add")
    bench.mark("add", received=YOUNGER, began=YOUNGER, written=100)
    bench.tally.reached(99)
    assert bench.left() == ["add"]
    assert bench.tally.unplaced_lanes() == bench.tally.blocked_lanes() == {"lane"}
    bench.tally.reached(100)
    assert bench.left() == []
    assert not bench.tally.unplaced
    assert not bench.tally.blocked_lanes()


def test_it_strikes_out_the_last_of_equal_ones_that_its_session_may_have_received() -> None:
    bench = placing()
    first = bench.receive("add", stamp=SESSION)
    bench.receive("add", stamp=SESSION)
    bench.mark("add", received=YOUNGER, began=YOUNGER, written=100)
    later = bench.receive("add", stamp=YOUNGER)
    bench.tally.reached(100)
    assert list(bench.tally) == [first, later]


def test_an_event_that_comes_later_proves_it_too() -> None:
    bench = placing()
    bench.receive("add")
    bench.mark("add", received=YOUNGER, began="-", written=100)
    bench.receive("other", stamp=100)
    assert bench.left() == ["other"]


def test_a_mark_that_was_here_first_waits_where_it_may_be_about_a_later_event() -> None:
    bench = placing()
    bench.mark("add", received=YOUNGER, began=YOUNGER, written=100)
    first = bench.receive("add", stamp=SESSION)
    assert first is not None  # perhaps its leader never received it
    bench.receive("add", stamp=SESSION)
    bench.tally.reached(100)
    assert list(bench.tally) == [first]


def test_where_the_mark_of_a_later_event_took_its_entry_it_strikes_out_that_event() -> None:
    bench = placing()
    bench.receive("add", stamp=YOUNGER)
    bench.mark("add", received=YOUNGER, began="-", written=100)
    bench.mark("add", received=YOUNGER, began=YOUNGER, written=101)
    assert bench.left() == []
    assert bench.receive("add", stamp=101) is None
    assert bench.receive("add", stamp=101) is not None


def test_a_new_session_forgets_marks_that_wait() -> None:
    bench = placing()
    bench.receive("add")
    bench.mark("add", received=YOUNGER, began=YOUNGER, written=100)
    bench.new_session()
    bench.seen(110)
    bench.tally.reached(200)
    assert bench.left() == ["add"]


def test_an_answer_strikes_out_nothing_that_a_waiting_mark_will() -> None:
    """One mark is from before this session. The leader that answers has handled one of the two, which the
    other mark is about.
    """
    bench = Bench()
    bench.new_session()
    bench.receive("add", stamp=SESSION - 1)
    bench.receive("add", stamp=SESSION - 1)
    bench.mark("add", received=SESSION - 1)
    bench.seen()
    bench.mark("add", received=YOUNGER, began=YOUNGER, written=100)
    assert bench.tally.ask() == {digest("add"): SESSION - 1}
    assert bench.tally.settle({digest("add"): 1}) == 0
    bench.tally.reached(100)
    assert bench.left() == ["add"]


@pytest.mark.parametrize(
    "known", [True, False], ids=["after an old session", "after one that was never noted"]
)
def test_marks_that_come_before_ready_may_be_about_events_that_come_behind_it(known: bool) -> None:
    """Its thread is late with READY, and the watch is not: the leader has handled the session's first events.
    Its answer strikes them out, however few marks were seen since.
    """
    bench = Bench()
    if not known:
        bench.new_session()
    bench.tally.identifies()
    bench.mark("add")
    bench.mark("add")
    bench.new_session()
    entries = [bench.receive("add"), bench.receive("add"), bench.receive("add")]
    bench.seen()
    doubtful = [entry is not None and bench.tally.may_be_handled(entry) for entry in entries]
    assert doubtful == [True, True, False]
    bench.tally.ask()
    assert bench.tally.settle({digest("add"): 1}) == 2
    assert list(bench.tally) == entries[2:]


def test_marks_from_before_an_identify_are_about_none_of_its_session() -> None:
    bench = Bench()
    bench.tally.identifies()
    bench.mark("add")
    bench.tally.identifies()  # the first one was refused
    bench.new_session()
    bench.mark("remove")
    bench.new_session()  # of a RESUME that was refused
    assert bench.receive("add") is not None
    assert bench.tally.ambiguous.uncertain(digest("add")) == 0
    assert bench.tally.ambiguous.uncertain(digest("remove")) == 0


def test_what_strikes_out_an_entry_before_ready_is_about_that() -> None:
    bench = Bench()
    bench.receive("add")
    bench.tally.identifies()
    bench.mark("add")
    bench.new_session()
    assert bench.receive("add") is not None
    assert bench.tally.ambiguous.uncertain(digest("add")) == 0


def test_marks_that_were_missed_just_after_a_session_began_leave_no_equal_event_behind() -> None:
    """The watch told nothing from then on, until its snapshot showed the last of them."""
    bench = Bench("guild")
    bench.new_session()
    bench.tally.sessions.note(SESSION)
    bench.mark("other")
    bench.now += SETTLE + 1
    for message in (7, 8):
        bench.message(message)
        bench.receive("add")
    bench.tally.snapshot([value(f"/j/{digest('add')}", 2, b"leader 50 10 0 @8.1")])
    assert bench.left() == []


def test_without_a_position_as_many_are_in_doubt_as_marks_were_missed() -> None:
    bench = Bench()
    bench.new_session()
    bench.tally.sessions.note(SESSION)
    bench.mark("other")
    bench.now += SETTLE + 1
    for _ in range(3):
        bench.receive("add")
    bench.tally.snapshot([value(f"/j/{digest('add')}", 2, b"leader 50 10")])
    assert bench.left() == ["add", "add"]
    assert list(bench.tally.ask()) == [digest("add")]
    assert bench.tally.settle({digest("add"): 1}) == 1


@pytest.mark.parametrize(
    ("leader", "began", "missed"), [("leader", 30, True), ("leader", 20, False), ("other", 30, False)]
)
def test_whether_the_leader_has_missed_an_event(leader: str, began: int, missed: bool) -> None:
    """Its gateway session is younger than the event's stamp."""
    bench = Bench()
    before = bench.now
    bench.receive("only here", stamp=20)
    bench.mark("another", received=40, began=began)
    assert bench.tally.is_missed(leader, before, bench.now + 1) is missed
    assert not bench.tally.is_missed(leader, bench.now, bench.now + 1), "it came earlier"
    assert not bench.tally.is_missed(leader, before, before), "it came later"
    bench.mark("only here", received=20, began=10)
    assert not bench.tally.is_missed(leader, before, bench.now + 1)


@pytest.mark.parametrize("has_led", [False, True])
def test_what_may_have_been_handled_is_not_missed_for_sure(has_led: bool) -> None:
    bench = Young()
    before = bench.now
    if has_led:
        bench.tally.leads(SESSION - 5)
    bench.receive("add", stamp=SESSION)
    bench.mark("another", received=SESSION + 9, began=SESSION + 1)
    assert bench.tally.is_missed("leader", before, bench.now + 1)
    bench.mark("add", received=SESSION - 1, began=SESSION + 1)
    assert not bench.tally.is_missed("leader", before, bench.now + 1)

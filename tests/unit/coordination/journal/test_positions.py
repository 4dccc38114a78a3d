"""Positions behind messages: to all sessions that have received a message, a mark means the same event."""

from __future__ import annotations

import pytest
from tally_bench import SESSION, Bench

from discordha.coordination.journal.entries import JournalEntry, JournalMark, digest
from discordha.coordination.journal.matching import EARLY_MARK_LIFE
from discordha.coordination.journal.positions import KNOWN, Came, Positions
from discordha.coordination.journal.sessions import SETTLE

ADD = digest("add")


def in_session(*, messages: tuple[int, ...] = (7,)) -> Bench:
    """A gateway session of a guild's; the first event makes it count messages."""
    bench = Bench(guild="1")
    bench.new_session()
    bench.seen()
    bench.receive("remove")
    bench.mark("remove")
    for message in messages:
        bench.message(message)
    return bench


def test_a_mark_strikes_out_its_event_and_no_other() -> None:
    bench = in_session()
    first, second = bench.receive("add"), bench.receive("add")
    bench.mark("add", at="7.2")
    assert list(bench.tally) == [first]
    bench.mark("add", at="7.2", again=0)
    bench.mark("add", at="7.2")
    assert list(bench.tally) == [first]
    assert second is not None
    assert second.position == "7.2"
    assert bench.tally.ambiguous.uncertain(ADD) == 0


def test_however_low_its_stamp_and_whether_it_ran_for_the_first_time_or_again() -> None:
    bench = in_session()
    bench.receive("add")
    bench.mark("add", at="7.1", received=1, again=0)
    assert bench.left() == []


def test_counting_begins_anew_with_each_message() -> None:
    bench = in_session()
    bench.receive("add")
    bench.message(8)
    bench.message(7)  # a replay
    later = bench.receive("add")
    bench.mark("add", at="7.1")
    assert list(bench.tally) == [later]
    bench.mark("add", at="7.1", again=0)
    assert list(bench.tally) == [later]
    bench.mark("add", at="8.1")
    assert bench.left() == []


def test_an_event_that_stands_elsewhere_among_the_messages_is_counted() -> None:
    """Discord sent it behind a message to the leader, and before it to this replica, or the other way."""
    bench = in_session()
    bench.message(8)
    bench.receive("add")
    bench.mark("add", at="7.1")
    assert bench.left() == []
    first, _ = bench.receive("add"), bench.receive("add")
    bench.mark("add", at="9.1", received=SESSION)
    bench.mark("add", at="9.2", again=0)
    bench.receive("add")
    bench.tally.expire(0.0)
    assert len(bench.left()) == 3
    bench.now += SETTLE
    bench.tally.expire(0.0)
    assert first not in list(bench.tally)
    assert len(bench.left()) == 2


@pytest.mark.parametrize("at", ["7.2", "8.1"])
def test_a_mark_that_is_here_first_waits_for_its_event(at: str) -> None:
    """Also where its message is still to come."""
    bench = in_session()
    bench.mark("add", at=at)
    first = bench.receive("add")
    assert list(bench.tally) == [first]
    if at.startswith("8"):
        bench.message(8)
    assert bench.receive("add") is None
    assert bench.receive("add") is not None


@pytest.mark.parametrize("away", [SETTLE, EARLY_MARK_LIFE])
@pytest.mark.parametrize("again", [None, 0])
def test_it_waits_until_the_connection_is_back(away: float, again: int | None) -> None:
    """A gateway connection that is silent or gone for long: RESUME brings what came meanwhile, in order."""
    bench = in_session()
    bench.mark("add", at="8.1", written=SESSION + 9, again=again)
    bench.now += away + 1
    bench.tally.expire(0.0)
    bench.message(8)
    assert bench.receive("add") is None


def test_it_waits_no_longer_once_everything_older_has_come() -> None:
    bench = in_session()
    bench.mark("add", at="8.1", written=SESSION + 9)
    bench.tally.reached(SESSION + 9)
    bench.now += EARLY_MARK_LIFE
    bench.tally.expire(0.0)
    bench.message(8)
    assert bench.receive("add") is not None


def test_it_waits_for_a_message_that_is_to_come_behind_one_with_a_greater_id() -> None:
    """Of another guild, or of the same one: the ids of two messages are made on different machines."""
    for guild in ("1", "2"):
        bench = in_session()
        first = bench.receive("add")
        bench.tally.passes(guild, "10")
        bench.mark("add", at="9.1")
        assert list(bench.tally) == [first]
        bench.message(9)
        assert bench.receive("add") is None, "its mark was here before it"


def test_what_came_before_the_first_message_is_matched_by_its_stamp() -> None:
    bench = in_session(messages=())
    early = bench.receive("add")
    bench.message(7)
    later = bench.receive("add")
    bench.mark("add", at="6.3", received=SESSION - 1)
    assert list(bench.tally) == [early, later]
    bench.mark("add", at="6.4")
    assert list(bench.tally) == [later]
    bench.mark("add", at="6.5")  # it is gone already, whatever it was
    bench.mark("add", at="6.6", again=0)
    assert list(bench.tally) == [later]
    assert bench.tally.ambiguous.uncertain(ADD) <= 1


def test_a_leader_without_a_message_strikes_out_the_oldest() -> None:
    bench = in_session()
    bench.receive("add")
    later = bench.receive("add")
    bench.mark("add")
    assert list(bench.tally) == [later]
    bench.mark("add", at="7.1")
    assert list(bench.tally) == [later]


def test_the_first_mark_with_a_position_ends_the_doubts_before_it_in_its_lane() -> None:
    bench = Bench(guild="1")
    bench.new_session()
    bench.tally.sessions.note(SESSION)
    for _ in range(3):
        bench.receive("add")
    bench.message(7)
    last = bench.receive("remove")
    assert last is not None
    bench.mark("add", received=SESSION - 1)
    bench.mark("remove", at="7.1", again=0)
    assert bench.left() == []


def test_a_new_session_knows_no_message() -> None:
    bench = in_session()
    bench.receive("add")
    bench.new_session()
    bench.seen(SESSION + 50)
    second = bench.receive("add", stamp=SESSION + 50)
    assert second is not None
    assert second.position == ""
    bench.mark("add", at="7.1", received=SESSION)
    assert list(bench.tally) == [second]


def test_a_mark_between_identify_and_ready_may_be_about_what_comes_behind_it() -> None:
    bench = in_session()
    bench.tally.identifies()
    bench.mark("add", at="7.9")
    bench.new_session()
    bench.receive("add")
    assert bench.tally.ambiguous.uncertain(ADD) == 1


def test_a_watch_that_begins_anew_tells_the_position_of_the_last_mark_alone() -> None:
    bench = in_session()
    first, _ = bench.receive("add"), bench.receive("add")
    bench.versions["add"] = 1
    bench.mark("add", at="7.2", received=SESSION)
    assert first is not None
    assert bench.left() == []


def test_events_without_a_guild_have_no_position() -> None:
    bench = Bench()
    bench.message(7)
    entry = bench.receive("add")
    assert entry is not None
    assert entry.position == ""


def test_messages_count_once_there_is_an_event_to_count() -> None:
    positions = Positions()
    assert not positions.wanted
    assert positions.next("1", "add") == ""
    assert positions.wanted


def test_the_last_messages_are_remembered() -> None:
    positions = Positions()
    for message in range(1, KNOWN + 2):
        positions.passes("1", str(message))
    assert positions.came("add", "1.1") is Came.UNKNOWN
    assert positions.came("add", "2.1") is Came.ELSEWHERE
    assert positions.came("add", f"{KNOWN + 1}.1") is Came.NOT_YET
    assert positions.came("add", f"{KNOWN + 2}.1") is Came.NOT_YET
    assert positions.next("1", "add") == f"{KNOWN + 1}.1"
    assert positions.came("add", f"{KNOWN + 1}.1") is Came.YES
    assert positions.next("2", "add") == ""
    for guild in (None, "1"):
        assert positions.came("add", "1.1", guild) is Came.UNKNOWN
        assert positions.came("add", f"{KNOWN + 2}.1", guild) is Came.NOT_YET
    assert positions.came("add", f"{KNOWN + 2}.1", "2") is Came.UNKNOWN, "no session begins there"


def test_the_form_of_a_position() -> None:
    for word in (
        b"",
        b" later",
        b" @",
        b" @7",
        b" @7.",
        b" @.1",
        b" @-7.1",
        b" @7.x",
        b" @7.1.2",
        b" x @7.1",
    ):
        assert JournalMark.parse(b"me 7 5 3" + word).position == ""
    assert JournalMark.parse(b"me 7 @7.1").position == ""
    entry = JournalEntry("add", "lane", sequence=3, received_at=0.0, revision=7)
    entry.began, entry.position = 5, "7.1"
    assert JournalMark.of(entry, "me") == b"me 7 5 3 @7.1"
    assert JournalMark.parse(b"me 7 5 3 @7.1") == JournalMark("me", 7, 5, 3, position="7.1")
    entry.ambiguous, entry.doubt = True, 9
    assert JournalMark.of(entry, "me") == b"me 7 5 3 again 9 @7.1"
    mark = JournalMark.parse(b"me 7 5 3 again 9 @7.1")
    assert mark == JournalMark("me", 7, 5, 3, again=True, doubt=9, position="7.1")


def test_a_mark_without_position_that_took_a_later_event_is_placed_anew_once_that_ones_mark_comes() -> None:
    """The leader's session began between two messages; a standby that etcd did not reach received it all."""
    bench = in_session()
    first = bench.receive("add")
    bench.message(8)
    second = bench.receive("add")
    younger = SESSION + 20
    bench.mark("add", received=younger, began=younger, written=80)
    assert list(bench.tally) == [first, second], "which of them it is about is not known yet"
    bench.tally.reached(80)
    assert list(bench.tally) == [first], "no event is lost that the leader has not received"
    bench.mark("add", received=younger, began=younger, written=81, at="8.1")
    bench.tally.reached(81)
    assert bench.left() == []
    bench.mark("add", received=younger, began=younger, written=82, at="8.1", again=0)
    assert not bench.tally.unplaced, "it has been placed once"


def test_nothing_is_placed_anew_where_the_mark_was_about_the_last_event() -> None:
    bench = in_session()
    first = bench.receive("add")
    bench.message(8)
    bench.receive("add")
    younger = SESSION + 20
    bench.mark("add", received=younger, began=younger, written=80)
    bench.tally.reached(80)
    third = bench.receive("add")
    bench.mark("add", received=younger, began=younger, written=81, at="8.2")
    bench.tally.reached(81)
    assert third is not None
    assert list(bench.tally) == [first]

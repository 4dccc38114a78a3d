"""The journal's tally: events and marks of equal content are counted off against each other."""

from __future__ import annotations

import pickle

import pytest
from tally_bench import EARLIER, SESSION, Bench, value

from discordha.coordination.etcd.store import WatchEvent
from discordha.coordination.journal.entries import NEVER, EntryState, JournalEntry, JournalMark, digest
from discordha.coordination.journal.matching import EARLY_MARK_LIFE
from discordha.coordination.journal.sessions import SETTLE
from discordha.coordination.journal.tables import EntryIndex


def test_each_mark_strikes_the_oldest_of_its_content() -> None:
    bench = Bench()
    first, other, second = (bench.receive(key) for key in ("add", "remove", "add"))
    bench.mark("add")
    assert first is not None and other is not None and second is not None  # noqa: PT018
    assert first.state is EntryState.GONE
    assert bench.left() == ["remove", "add"]
    assert bench.tally.occurrence(second) == 2


def test_a_mark_before_its_event_is_kept_for_a_while() -> None:
    bench = Bench()
    bench.mark("add")
    bench.mark("add")
    assert bench.receive("add") is None
    bench.now += EARLY_MARK_LIFE
    assert bench.receive("add") is not None


def test_a_snapshot_counts_what_was_missed_and_a_key_that_began_anew() -> None:
    bench = Bench()
    for _ in range(5):
        bench.receive("add")
    bench.mark("add")
    bench.tally.snapshot([value(f"/j/{digest('add')}", 3, b"leader 50")])
    assert len(bench.tally) == 2
    # The key expired and was written once since.
    bench.tally.snapshot([value(f"/j/{digest('add')}", 1, b"leader 50")])
    assert len(bench.tally) == 1


def test_a_certain_mark_strikes_out_what_is_doubtful_before_its_event() -> None:
    """That was handled, and its mark told nothing certain."""
    bench = Bench()
    bench.new_session()
    for key in ("add", "remove"):
        bench.receive(key)
        bench.mark(key, received=SESSION - 1)
    bench.receive("elsewhere", "other lane")
    bench.seen()
    bench.receive("other")
    bench.receive("last")
    bench.mark("other")
    assert bench.left() == ["elsewhere", "last"]
    # The marks of what was struck out had been here: none is waited for.
    bench.mark("add")
    assert bench.receive("add") is None


def test_a_certain_mark_strikes_out_the_oldest_whatever_others_there_were() -> None:
    """Found by chaos: the leader was late, and because of marks of before the session one that was about a
    doubtful event struck out a later one, and with it what was not handled yet.
    """
    bench = Bench()
    bench.new_session()
    for key in ("add", "remove"):
        bench.mark(key, received=SESSION - 1)
        bench.receive(key)
    bench.seen()
    for key in ("add", "remove"):
        bench.receive(key)
    for key in ("add", "remove"):
        bench.mark(key)
    assert bench.left() == ["add", "remove"]
    for key in ("add", "remove"):
        bench.mark(key)
    assert bench.left() == []
    assert bench.receive("add") is not None


def test_the_doubt_passes_on_to_a_later_event() -> None:
    bench = Bench()
    bench.new_session()
    bench.receive("add")
    bench.mark("add", received=SESSION - 1)
    bench.seen()
    for _ in range(3):
        new = bench.receive("add")
        bench.mark("add")
        assert new is not None
        assert list(bench.tally) == [new]
        assert bench.tally.ambiguous.held == 1
    assert bench.tally.settle(dict.fromkeys(bench.tally.ask(), 0)) == 1
    bench.receive("add")
    assert bench.tally.ambiguous.held == 0


def test_the_doubt_waits_for_an_event_whose_mark_was_here_first() -> None:
    bench = Bench()
    bench.new_session()
    bench.receive("add")
    bench.mark("add", received=SESSION - 1)
    bench.seen()
    bench.mark("add")
    assert bench.left() == []
    bench.receive("add")
    assert bench.tally.ambiguous.held == 1
    assert bench.tally.settle(dict.fromkeys(bench.tally.ask(), 0)) == 1


def test_marks_that_nothing_was_left_of_are_forgotten_after_a_while() -> None:
    bench = Bench()
    bench.new_session()
    bench.mark("add", received=SESSION - 1)
    bench.seen()
    bench.receive("add")
    bench.mark("add")
    bench.tally.expire(0)
    bench.receive("add")
    assert bench.tally.ambiguous.held == 1, "one may be under way"
    bench.mark("add")
    bench.now += SETTLE + 1
    bench.tally.expire(0)
    bench.receive("add")
    assert bench.tally.ambiguous.held == 0


def test_a_mark_that_comes_late_is_not_taken_for_the_next_one() -> None:
    """Its event was struck out with a later one of its lane."""
    bench = Bench()
    bench.new_session()
    bench.receive("add")
    bench.seen()
    bench.receive("remove")
    bench.mark("remove")
    assert bench.left() == []
    bench.mark("add")
    assert bench.receive("add") is not None


def test_a_certain_mark_may_be_about_what_is_doubtful() -> None:
    """Its leader had seen the marker before this replica did."""
    bench = Bench()
    bench.new_session()
    first = bench.receive("add")
    bench.seen()
    second = bench.receive("add")
    assert first is not None and second is not None  # noqa: PT018
    bench.mark("add")
    assert list(bench.tally) == [second]
    bench.mark("add")
    assert bench.left() == []


def test_a_leader_whose_watch_lags_leaves_a_doubt_behind() -> None:
    """It had not seen the marker when it received what came in here right after."""
    bench = Bench()
    bench.new_session()
    bench.tally.sessions.note(SESSION)
    bench.receive("add")
    bench.mark("add", received=SESSION - 1)
    bench.now += SETTLE + 1
    bench.receive("add")
    bench.mark("add")
    assert bench.left() == ["add"]
    bench.tally.settle(dict.fromkeys(bench.tally.ask(), 0))
    assert bench.left() == []


def test_an_own_mark_is_about_what_was_run_here() -> None:
    bench = Bench()
    bench.new_session()
    first, second = bench.receive("add"), bench.receive("add")
    assert first is not None and second is not None  # noqa: PT018
    first.state = EntryState.FINISHED
    bench.mark("add", received=SESSION - 1, by="me")
    assert list(bench.tally) == [second]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"me 7 5 3 again", ("me", 7, 5, 3, True)),
        (b"me 7 5 3 again later", ("me", 7, 5, 3, True)),
        (b"me 7 5 3 later", ("me", 7, 5, 3, False)),
        (b"me 7 again", ("me", 7, NEVER, 0, False)),
        (b"me 7 5 3", ("me", 7, 5, 3)),
        (b"me 7 5", ("me", 7, 5, 0)),
        (b"me 7 0", ("me", 7, 0, 0)),
        (b"me 7", ("me", 7, 0, 0)),
        (b"me", ("me", 0, 0, 0)),
        (b"", ("", 0, 0, 0)),
        (b"me 7 - 3", ("me", 7, NEVER, 3)),
        (b"me 7 - -", ("me", 7, NEVER, 0)),
        (b"me 7 ", ("me", 7, NEVER, 0)),
        (b"me - 5", ("me", 0, 5, 0)),
        (b"me \xff \xff", ("me", 0, NEVER, 0)),
    ],
)
def test_marks_as_they_are_stored(content: bytes, expected: tuple[object, ...]) -> None:
    assert JournalMark.parse(content, 9)[: len(expected)] == expected
    assert JournalMark.parse(content, 9).written == 9


def test_the_mark_of_an_event_that_may_have_been_handled_says_so() -> None:
    entry = JournalEntry("add", "lane", sequence=3, received_at=0.0, revision=7)
    entry.began = 5
    assert JournalMark.of(entry, "me") == b"me 7 5 3"
    entry.ambiguous = True
    assert JournalMark.parse(JournalMark.of(entry, "me")) == JournalMark("me", 7, 5, 3, again=True)


def test_the_marks_of_one_transaction_count_in_their_writers_order() -> None:
    """etcd tells them in the order of their keys. The first was handled before its session's marker was
    seen, the second after: told the other way around, the second would have struck out the first, too, and
    its own mark the next that is equal.
    """
    bench = Bench()
    bench.new_session()
    before, after = sorted(("add", "remove"), key=digest, reverse=True)
    bench.mark(before, received=EARLIER)
    bench.receive(before, stamp=SESSION)
    bench.receive(after, stamp=SESSION)
    bench.tally.sessions.note(SESSION)
    bench.tally.apply(
        [
            WatchEvent(
                "put", value(f"/j/{digest(key)}", version, f"leader {SESSION} {EARLIER} {number}".encode())
            )
            for key, version, number in ((after, 1, 2), (before, 2, 1))
        ]
    )
    assert bench.left() == []
    assert bench.receive(before, stamp=SESSION) is not None


def test_lanes_are_blocked_by_what_others_still_run() -> None:
    bench = Bench()
    bench.receive("add")
    bench.receive("add")
    carry = f"/jc/{digest('add')}/1"
    bench.tally.apply([WatchEvent("put", value(carry, 1, b"other"))])
    assert bench.tally.blocked_lanes() == {"lane"}
    freed = bench.tally.apply([WatchEvent("delete", value(carry, 0))])
    assert freed
    assert bench.tally.blocked_lanes() == set()


def test_the_first_to_run_of_a_lane() -> None:
    bench = Bench()
    first, second = bench.receive("one"), bench.receive("two")
    assert first is not None and second is not None  # noqa: PT018
    assert bench.tally.entries.first_to_run("lane") is first
    first.state = EntryState.FINISHED
    assert bench.tally.entries.first_to_run("lane") is second
    bench.tally.forget(second)
    assert bench.tally.entries.first_to_run("lane") is None
    bench.mark("one")
    assert pickle.dumps(bench.tally.entries) == pickle.dumps(EntryIndex()), "something is kept"


def test_old_entries_are_forgotten() -> None:
    bench = Bench()
    bench.receive("old")
    bench.now += 10
    bench.receive("new")
    assert bench.tally.expire(bench.now - 5) == 1
    assert bench.left() == ["new"]


def test_a_mark_that_was_before_its_event_tells_of_what_stands_before_that() -> None:
    """Found by the model."""
    bench = Bench()
    bench.new_session()
    bench.receive("add")
    bench.mark("add", received=SESSION - 1)
    bench.seen()
    bench.mark("remove")
    assert bench.left() == ["add"]
    assert bench.receive("remove") is None
    assert bench.left() == []


def test_an_event_that_may_have_been_handled_is_known() -> None:
    bench = Bench()
    bench.new_session()
    entry, other = bench.receive("add"), bench.receive("remove")
    assert entry is not None and other is not None  # noqa: PT018
    bench.mark("add", received=SESSION - 1)
    assert bench.left() == ["add", "remove"]
    assert bench.tally.ambiguous.may_be_handled(entry)
    assert not bench.tally.ambiguous.may_be_handled(other)
    bench.seen()
    settled = bench.receive("add")
    assert settled is not None
    assert not bench.tally.ambiguous.may_be_handled(settled)


def test_of_equal_ones_as_many_may_have_been_handled_as_marks_were_seen() -> None:
    """The oldest. Each of them that is run again, here, accounts for one of the marks."""
    bench = Bench()
    bench.new_session()
    entries = [bench.receive("add") for _ in range(3)]
    bench.mark("add", received=SESSION - 1)

    def doubtful() -> list[int]:
        return [
            at for at, each in enumerate(entries) if each is not None and bench.tally.may_be_handled(each)
        ]

    assert doubtful() == [0]
    first = entries[0]
    assert first is not None
    first.ambiguous = True
    first.state = EntryState.FINISHED
    assert doubtful() == [0], "the next ones are not"
    bench.mark("add", received=SESSION - 1, by="me")
    assert first.state is EntryState.GONE
    assert doubtful() == []

"""Marks of events that may have run twice: what they strike out, and in whose doubts they leave a replica.

Bench ``me`` is one replica; marks 60, 70 and so on are etcd's revisions.
"""

from __future__ import annotations

from tally_bench import SESSION, Bench

from discordha.coordination.journal.entries import EntryState, JournalEntry, JournalMark, digest


def run_all(bench: Bench, first: int) -> list[JournalMark]:
    """This replica leads: it runs what it holds, as ``Journal.begin`` does; the marks that it writes."""
    tally, marks = bench.tally, []
    tally.leads(first)
    for entry in list(tally):
        entry.occurrence = tally.occurrence(entry)
        entry.ambiguous = tally.may_be_handled(entry)
        entry.doubt = tally.ambiguous.doubt_of(entry.name) if entry.ambiguous else 0
        entry.state = EntryState.FINISHED
        marks.append(JournalMark.parse(JournalMark.of(entry, "me")))
        bench.mark(entry.key, by="me", again=entry.doubt if entry.ambiguous else None, written=first)
    return marks


def in_session() -> Bench:
    bench = Bench()
    bench.new_session()
    bench.seen()
    return bench


def test_a_second_run_strikes_out_nothing() -> None:
    bench = in_session()
    bench.receive("add")
    bench.mark("add", again=0, written=60)
    assert bench.left() == ["add"]


def test_who_shares_all_doubts_with_its_writer_counts_it_as_the_end_of_one() -> None:
    """Else each leader's second runs would leave all others in twice as many doubts."""
    bench = in_session()
    for _ in range(3):
        bench.receive("add")
    bench.mark("add", again=0, written=60)
    bench.mark("add", again=0, written=70)
    bench.mark("add", by="next", again=60, written=80)
    bench.mark("add", by="next", again=60, written=90)
    assert bench.left() == ["add"]
    assert bench.tally.ambiguous.uncertain(digest("add")) == 0


def test_who_was_never_in_doubt_keeps_what_it_holds() -> None:
    """Deploys whose leaders were killed: it would lose an event for each that its leader ran again."""
    bench = in_session()
    bench.receive("add")
    bench.mark("add", by="next", again=60, written=80)
    assert bench.left() == ["add"]


def test_a_second_run_of_what_came_before_the_session_begins_no_doubt_that_is_shared() -> None:
    """The replica holds nothing of it, and has other doubts of the same name from then on."""
    bench = in_session()
    bench.mark("add", received=SESSION - 1, again=0, written=60)
    bench.receive("add")
    bench.mark("add", again=0, written=70)
    for first in (60, 80):
        bench.mark("add", by="next", again=first, written=90)
    assert bench.left() == ["add"]


def test_who_learned_more_from_its_leader_keeps_what_is_left() -> None:
    bench = in_session()
    tally, name = bench.tally, digest("add")
    for _ in range(3):
        bench.receive("add")
    bench.mark("add", again=0, written=60)
    bench.mark("add", again=0, written=70)
    assert name in tally.ask()
    assert tally.settle({name: 2}) == 1
    bench.mark("add", by="next", again=60, written=80)
    assert bench.left() == ["add", "add"]


def test_who_handled_one_itself_keeps_what_is_left() -> None:
    """A leader that lost its leadership and lives on, in whose second runs others are in doubt."""
    bench = in_session()
    for _ in range(4):
        bench.receive("add")
    bench.mark("add", again=0, written=60)
    bench.mark("add", again=0, written=70)
    bench.tally.leads(75)
    first = next(iter(bench.tally))
    first.state, first.ambiguous = EntryState.FINISHED, True
    bench.mark("add", by="me", again=60, written=80)
    assert bench.left() == ["add"] * 3
    bench.mark("add", by="next", again=60, written=90)
    assert bench.left() == ["add"] * 3


def test_who_missed_a_mark_shares_no_doubt() -> None:
    """A watch that begins anew shows the last mark alone."""
    bench = in_session()
    for _ in range(3):
        bench.receive("add")
    bench.mark("add", again=0, written=60)
    bench.versions["add"] += 1
    bench.mark("add", again=0, written=80)
    left = bench.left()
    bench.mark("add", by="next", again=60, written=90)
    assert bench.left() == left


def test_a_leader_tells_when_its_doubts_began_once_all_are_of_second_runs() -> None:
    """Those of plain marks come first: other replicas know of which events these were."""
    bench = in_session()
    for _ in range(4):
        bench.receive("add", stamp=SESSION + 5)
    bench.now -= 6  # the session is young
    bench.mark("add", received=SESSION - 1, written=55)
    bench.mark("add", again=0, written=60)
    bench.mark("add", again=0, written=70)
    marks = run_all(bench, 80)
    assert [(mark.again, mark.doubt) for mark in marks] == [(True, 0), (True, 60), (True, 60), (False, 0)]


def test_what_stands_before_a_shared_second_run_is_not_struck_out_with_it() -> None:
    """It struck out another entry than its own, perhaps a later one."""
    bench = in_session()
    bench.receive("add")
    bench.receive("remove")
    bench.receive("add")
    for key in ("add", "remove"):
        bench.mark(key, again=0, written=60)
    bench.tally.forget(next(iter(bench.tally)))
    bench.mark("add", by="next", again=60, written=80)
    assert bench.left() == ["remove"]


def test_an_unknown_word_behind_again_says_nothing() -> None:
    for word in (b"", b" -", b" soon", b" -1", b" 1e3"):
        assert JournalMark.parse(b"me 7 5 3 again" + word) == JournalMark("me", 7, 5, 3, again=True)
    assert JournalMark.parse(b"me 7 5 3 again 9 more").doubt == 9
    entry = JournalEntry("add", "lane", sequence=3, received_at=0.0, revision=7)
    entry.began, entry.ambiguous, entry.doubt = 5, True, 9
    assert JournalMark.of(entry, "me") == b"me 7 5 3 again 9"

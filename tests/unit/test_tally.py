"""The journal's tally: events and marks of equal content are counted off against each other."""

from __future__ import annotations

from discordha.coordination.journal_entries import Entry, EntryState, digest
from discordha.coordination.journal_tally import MOMENT, SETTLE, SURPLUS_LIFE, Tally
from discordha.coordination.store import KeyValue, WatchEvent


class Bench:
    """A tally with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.tally = Tally("/j/", "/jc/", "/ja/", replica_id="me", clock=lambda: self.now)
        self.tally.snapshot([])
        self.versions: dict[str, int] = {}
        self.now += 2 * SETTLE

    def receive(self, key: str, lane: str = "lane") -> Entry | None:
        """``None`` when a mark was here before."""
        entry = Entry(key, lane, key, None, self.now)
        if self.tally.consume_surplus(entry.digest):
            return None
        self.tally.add(entry)
        return entry

    def mark(self, key: str, leader: bytes = b"") -> None:
        """Some replica has handled one event of this content."""
        version = self.versions[key] = self.versions.get(key, 0) + 1
        self.tally.apply([WatchEvent("put", value(f"/j/{digest(key)}", version, leader))])

    def left(self) -> list[str]:
        return [entry.key for entry in self.tally]


def value(key: str, version: int, content: bytes = b"") -> KeyValue:
    return KeyValue(key, content, 1, 1, version, 0)


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
    bench.now += SURPLUS_LIFE
    assert bench.receive("add") is not None


def test_a_snapshot_counts_what_was_missed_and_a_key_that_began_anew() -> None:
    bench = Bench()
    for _ in range(5):
        bench.receive("add")
    bench.mark("add")
    bench.tally.snapshot([value(f"/j/{digest('add')}", 3)])
    assert len(bench.tally) == 2
    # The key expired and was written once since.
    bench.tally.snapshot([value(f"/j/{digest('add')}", 1)])
    assert len(bench.tally) == 1


def test_in_a_young_session_what_stands_before_a_marked_event_was_handled_too() -> None:
    """Its mark may have come before it did, and was ignored."""
    bench = Bench()
    bench.mark("add")
    bench.tally.new_session()
    bench.mark("add")  # of an event before the session
    bench.receive("add")
    bench.receive("remove")
    bench.receive("elsewhere", "other lane")
    bench.mark("remove")
    assert bench.left() == ["elsewhere"]


def test_a_mark_that_comes_late_is_not_taken_for_the_next_one() -> None:
    """Struck out by inference in a young session; its own mark comes when the session is young no more."""
    bench = Bench()
    bench.mark("add")
    bench.tally.new_session()
    bench.receive("add")
    bench.receive("remove")
    bench.now += SETTLE - 0.1
    bench.mark("remove")
    assert bench.left() == []
    bench.now += 0.2
    bench.mark("add")
    assert bench.receive("add") is not None


def test_what_a_leader_left_of_the_time_before_a_session_is_marked_by_its_successor() -> None:
    """Found by chaos: two leaders died within seconds of a session's begin. Each content was one mark ahead
    from then on, and the third leader knew nothing of the last event of each.
    """
    bench = Bench()
    bench.mark("add", b"first")
    bench.tally.new_session()
    bench.receive("add")
    bench.mark("add", b"first")  # of an event before the session
    bench.now += SETTLE + 1  # the leader dies, and nobody leads for a while
    bench.mark("add", b"second")  # of the event that was struck out
    assert bench.receive("add") is not None
    bench.now += SETTLE
    bench.mark("add", b"second")
    assert bench.left() == []
    bench.mark("add", b"third")  # before its event: this leader's predecessor had settled the session
    assert bench.receive("add") is None


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
    assert bench.tally.first_to_run("lane") is first
    first.state = EntryState.FINISHED
    assert bench.tally.first_to_run("lane") is second
    bench.tally.forget(second)
    assert bench.tally.first_to_run("lane") is None
    bench.mark("one")
    assert bench.tally._by_lane == {}


def test_old_entries_are_forgotten() -> None:
    bench = Bench()
    bench.receive("old")
    bench.now += 10
    bench.receive("new")
    assert bench.tally.expire(bench.now - 5) == 1
    assert bench.left() == ["new"]


def test_a_mark_of_an_event_from_before_the_session_is_not_taken_for_the_next_one() -> None:
    """Its content had never been seen: only its writer can tell when it received it."""
    bench = Bench()
    bench.tally.new_session()
    bench.tally.session_revision = 50
    bench.tally.apply([WatchEvent("put", value(f"/j/{digest('before')}", 1, b"leader 49"))])
    bench.tally.apply([WatchEvent("put", value(f"/j/{digest('after')}", 1, b"leader 50"))])
    bench.now += 2 * MOMENT
    assert bench.receive("before") is not None
    assert bench.receive("after") is None

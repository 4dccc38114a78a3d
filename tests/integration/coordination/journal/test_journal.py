"""The standby journal on a real etcd: what is counted, struck out, handed over, run again, in which order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from journal_node import Node
from store_helpers import store_of

from discordha.coordination.journal.sessions import SETTLE
from discordha.testing import FaultProxy, LocalEtcd, wait_for

Nodes = Callable[..., Node]


@pytest.fixture
def node(local_etcd: LocalEtcd, root: str) -> Iterator[Nodes]:
    """Makes nodes of one bot."""
    made: list[Node] = []

    def make(name: str, **options: Any) -> Node:
        new = Node(local_etcd, root, name, **options)
        made.append(new)
        new.start()
        revision = new.coordination.watch.revision
        assert all(each.coordination.watch.wait_revision(revision, 15) for each in made)
        return new

    yield make
    for each in made:
        each.coordination.stop()


@contextmanager
def mark_count(etcd: LocalEtcd, root: str) -> Iterator[Callable[[], list[int]]]:
    with store_of(etcd) as store:
        yield lambda: sorted(kv.version for kv in store.range(f"{root}j/0/").items)


def test_equal_events_are_counted(node: Nodes, local_etcd: LocalEtcd, root: str) -> None:
    leader, standby = node("a"), node("b")
    leader.lead()
    for each in (leader, standby):
        each.receive("add", "remove", "add", "add")
    assert leader.work(3) == ["add 1 1", "remove 1 1", "add 2 1"]
    wait_for(lambda: leader.settled(1) and standby.settled(1), 15, "three marks")
    with mark_count(local_etcd, root) as counts:
        assert counts() == [1, 2]
    assert leader.work() == ["add 3 1"]
    wait_for(lambda: leader.settled(0) and standby.settled(0), 15, "the last mark")


def test_marks_that_come_before_their_events(node: Nodes) -> None:
    leader, standby = node("a"), node("b")
    leader.lead()
    leader.receive("add", "add")
    leader.work(2)
    wait_for(lambda: leader.settled(0), 15, "the marks")
    assert standby.coordination.watch.sync(15)
    standby.receive("add", "add", "add")
    assert len(standby.journal) == 1


def test_a_young_session_does_not_take_marks_of_events_before_it_for_those_of_the_next(node: Nodes) -> None:
    """What was handled before this replica connected must not strike out what comes after."""
    leader, young = node("a"), node("b")
    leader.lead()
    leader.receive("add", "add", "add")
    young.receive("add")
    leader.work(1)
    wait_for(lambda: young.settled(0), 15, "the first mark")
    young.journal.on_new_session()
    leader.work(2)
    wait_for(lambda: leader.settled(0), 15, "the marks")
    assert leader.coordination.watch.wait_revision(young.note_session(), 15)
    leader.receive("add")
    young.receive("add")
    assert len(young.journal) == 1
    leader.work(1)
    wait_for(lambda: leader.settled(0) and young.settled(0), 15, "the mark")


def test_what_a_dead_leader_left_is_run_in_order(node: Nodes) -> None:
    first, second = node("a"), node("b")
    first.lead()
    for each in (first, second):
        each.receive("add", "remove", "add", "remove", "add")
    first.work(2)
    wait_for(lambda: second.settled(3), 15, "two marks")
    running = first.begin()
    assert running is not None
    first.coordination.session.stop()  # as if its process were gone
    assert second.lead().fencing_token > 0
    assert running.lost
    # The first one may have been started before: its attempt says so.
    assert second.work(3) == ["add 2 2", "remove 2 2", "add 3 2"]
    wait_for(lambda: second.settled(0), 15, "the marks")


def test_what_runs_is_handed_over_with_its_lane(node: Nodes) -> None:
    first, second = node("a"), node("b")
    first.lead()
    for each in (first, second):
        each.receive("one", "two")
        each.receive("other", lane="other lane")
    running = first.begin()
    assert running is not None
    first.resign()
    assert not running.lost
    second.lead()
    assert second.work() == ["other 1 2"]
    assert second.line == []
    first.journal.finished(running, handled=True)
    wait_for(lambda: second.line, 15, "the rest of the lane")
    assert second.work() == ["two 1 2"]
    wait_for(lambda: second.settled(0) and first.settled(0), 15, "all marks")


def test_the_carries_of_a_replica_that_dies_go_with_it(node: Nodes) -> None:
    first, second = node("a"), node("b")
    first.lead()
    for each in (first, second):
        each.receive("one", "two")
    running = first.begin()
    assert running is not None
    first.resign()
    second.lead()
    assert second.line == []
    first.coordination.session.stop()
    wait_for(lambda: second.line, 15, "the lane to be free")
    assert second.work(2) == ["one 1 2", "two 1 2"]


def test_a_carry_whose_answer_was_lost_is_left_again(node: Nodes, local_etcd: LocalEtcd) -> None:
    """The mark names the carry that stands. Under another one it was refused for ever, and sent again and
    again.
    """
    with FaultProxy.to(local_etcd.endpoints[0]) as link:
        first, second = node("a", link=link), node("b")
        leadership = first.lead()
        for each in (first, second):
            each.receive("one", "two")
        running = first.begin()
        assert running is not None
        link.black_hole("to_client")
        assert not first.journal.hand_over(leadership, 0.5)
        assert running.carry == 0
        link.heal()
        first.resign()
        assert running.carry > 0
        second.lead()
        assert second.line == []
        first.journal.finished(running, handled=True)
        wait_for(lambda: second.line, 15, "the mark")
        assert second.work() == ["two 1 2"]
        wait_for(lambda: second.settled(0) and first.settled(0), 15, "all marks")


def test_no_carry_stands_where_the_mark_was_faster(node: Nodes, local_etcd: LocalEtcd, root: str) -> None:
    """It would stand in the way of a later event of the same content, once the mark has expired."""
    first = node("a")
    leadership = first.lead()
    first.receive("one")
    entry = first.begin()
    assert entry is not None
    with store_of(local_etcd) as store:
        store.put(f"{root}j/{entry.name}", b"the mark, whose event the watch has not told yet")
        assert first.journal.hand_over(leadership)
        assert store.range(f"{root}jc/").items == []
        assert entry.carry == 0


def test_order_is_kept_when_leadership_goes_and_comes(node: Nodes) -> None:
    """A thread has taken two events from the line when leadership ends, the first is stopped, and
    leadership begins again: the second must not be run before the first.
    """
    only = node("a")
    only.lead()
    only.receive("one", "two", "three")
    taken = [only.line.pop(0), only.line.pop(0)]
    assert only.journal.begin(taken[0])
    only.resign()
    only.journal.finished(taken[0], handled=False)  # LockLost
    only.lead()
    assert not only.journal.begin(taken[1])  # it is the second in line now
    keys = []
    while only.line:
        only.line.sort(key=lambda entry: entry.received_at)
        keys += only.work()
    assert [key.split()[0] for key in keys] == ["one", "two", "three"]
    wait_for(lambda: only.settled(0), 15, "all marks")


def test_a_mark_under_way_from_an_earlier_term_is_handed_over_too(
    node: Nodes, local_etcd: LocalEtcd, root: str
) -> None:
    """Else the second event's mark would wait for the first's, and its carry would keep the successor out."""
    first, second = node("a"), node("b")
    first.lead()
    for each in (first, second):
        each.receive("add", "add")
    first.wire.keep()
    assert first.work() == ["add 1 1"]
    first.election.resign(False, timeout=15)  # leadership is lost with the mark on its way
    first.lead()
    entry = first.begin() or first.begin()  # the first stood in line for the term before
    assert entry is not None
    first.resign()
    first.wire.let_through()
    second.lead()
    assert not second.line
    first.journal.finished(entry, handled=True)
    wait_for(lambda: first.settled(0) and second.settled(0), 15, "both marks")
    assert not second.line
    with mark_count(local_etcd, root) as counts:
        assert counts() == [2]


def test_a_mark_whose_number_another_leader_has_used_meanwhile_is_made_in_the_next_term(
    node: Nodes, local_etcd: LocalEtcd, root: str
) -> None:
    """Found by chaos: a leader lost its leadership with a mark on its way. The next one had not received that
    event, and marked an equal one. The first led again, and marked none of the equal events any more.
    """
    first = node("a")
    first.lead()
    first.receive("add")
    second = node("b")
    first.wire.keep()
    assert first.work() == ["add 1 1"]
    first.election.resign(False, timeout=15)
    for each in (first, second):
        each.receive("add")
    second.lead()
    assert second.work() == ["add 1 2"]
    wait_for(lambda: second.settled(0) and len(first.journal) == 1, 15, "the mark of the younger one")
    first.wire.let_through()
    second.resign()
    first.lead()
    wait_for(lambda: first.settled(0), 15, "the mark of the older one")
    first.receive("add")
    assert first.work() == ["add 3 1"]
    wait_for(lambda: first.settled(0), 15, "the mark of the next")
    with mark_count(local_etcd, root) as counts:
        assert counts() == [3]


def test_an_event_that_comes_while_leadership_begins_stands_behind(node: Nodes) -> None:
    only = node("a")
    only.receive("old")
    only.election.campaign()
    wait_for(lambda: only.election.is_leader, 10, "leadership")
    only.act()
    only.receive("new")
    assert [entry.key for entry in only.line] == ["old", "new"]


def test_a_watch_that_is_rebuilt_counts_versions(node: Nodes, local_etcd: LocalEtcd, root: str) -> None:
    leader, standby = node("a"), node("b")
    standby.clock = lambda: time.monotonic() + SETTLE  # its gateway session is no longer young
    leader.lead()
    for each in (leader, standby):
        each.receive(*["add"] * 5)
    leader.work(1)
    wait_for(lambda: standby.settled(4), 15, "the first mark")
    standby.coordination.journals.close(0)  # what the watch tells is missed from here on
    leader.work(3)
    wait_for(lambda: leader.settled(1), 15, "three more marks")
    assert len(standby.journal) == 4
    assert standby.coordination.watch.sync(15)
    standby.coordination.journals.open(0, standby.journal)
    assert len(standby.journal) == 1


def test_poison_becomes_a_dead_letter(node: Nodes, local_etcd: LocalEtcd, root: str) -> None:
    """Its leader dies each time; the third one does not run it any more."""
    nodes = [node(name, max_attempts=2) for name in "abc"]
    for each in nodes:
        each.receive("poison", "well")
    for each, attempt in zip(nodes[:2], (2, 3), strict=True):
        each.lead()
        entry = each.begin()
        if attempt == 2:
            assert entry is not None
            assert entry.attempt == attempt
            each.coordination.session.stop()
    # The second leader buried it, and goes on with what stands behind.
    assert nodes[1].buried == ["poison"]
    assert nodes[1].dropped == []
    assert nodes[1].work() == ["well 1 2"]
    wait_for(lambda: nodes[1].settled(0) and nodes[2].settled(0), 15, "the marks")
    with store_of(local_etcd) as store:
        (letter,) = store.range(f"{root}dead/").items
        assert letter.key == f"{root}dead/poison"
        assert b'"attempt": 2' in letter.value
        assert store.range(f"{root}ja/").items == []


def test_an_attempt_whose_answer_is_lost_is_not_counted_until_it_is_made(
    node: Nodes, local_etcd: LocalEtcd
) -> None:
    with FaultProxy.to(local_etcd.endpoints[0]) as link:
        first, second = node("a"), node("b", link=link)
        first.lead()
        for each in (first, second):
            each.receive("one")
        assert first.begin() is not None
        first.coordination.session.stop()
        second.lead()
        for _ in range(3):
            link.black_hole("to_client")
            assert second.begin() is None
            link.heal()
            wait_for(second.caught_up, 15, "the watch to tell of the attempt")
        assert second.work() == ["one 1 2"]
        assert second.buried == []
        wait_for(lambda: second.settled(0), 15, "the mark")


def test_a_full_journal_drops_its_oldest_and_counts(node: Nodes) -> None:
    standby = node("a", size=3)
    standby.receive("one", "two", "three", "four")
    assert len(standby.journal) == 3
    assert standby.dropped == ["journal_full"]
    standby.lead()
    assert [entry.key for entry in standby.line] == ["two", "three", "four"]


def test_the_last_attempts_are_made_one_at_a_time(node: Nodes) -> None:
    """What stands beside a poisonous event is not begun with it, and can't be buried with it."""
    first, second = (node(name, max_attempts=2) for name in "ab")
    for each in (first, second):
        each.receive("one", lane="one")
        each.receive("two", "behind it", lane="two")
    first.coordination.session.stop()
    second.lead()
    one = second.begin()
    assert one is not None
    assert one.attempt == 2
    assert [second.begin(), second.begin()] == [None, None], "begun beside another, or before it in its lane"
    assert second.line == []
    second.receive("fresh", lane="fresh")
    assert second.work() == ["fresh 1 1"]
    second.journal.finished(one, handled=True)
    wait_for(lambda: second.line, 15, "the next in line")
    assert second.work(len(second.line)) == ["two 1 2"]
    wait_for(lambda: second.line, 15, "the last in line")
    assert second.work() == ["behind it 1 2"]
    wait_for(lambda: second.settled(0), 15, "all marks")


def test_what_its_leader_has_passed_over_is_known(node: Nodes) -> None:
    """It has not received what it has not handled: it never begins what stands behind something in a lane."""
    standby = node("b")
    came = time.monotonic()
    standby.receive("only here", lane="one")
    leader = node("a")  # its session is younger
    leader.lead()
    for each in (leader, standby):
        each.receive("first", "second", lane="one")
        each.receive("third", "fourth", lane="two")
    now = time.monotonic()
    assert not standby.journal.passed_over(now)
    assert leader.work(3) == ["first 1 1", "second 1 1", "third 1 1"]
    wait_for(lambda: standby.settled(2), 15, "the marks")
    assert standby.journal.passed_over(now)
    assert not standby.journal.passed_over(came), "it came later"
    assert leader.work() == ["fourth 1 1"]
    wait_for(lambda: standby.settled(1), 15, "the mark")
    leader.resign()
    standby.lead()
    assert standby.work() == ["only here 1 2"]
    wait_for(lambda: standby.settled(0), 15, "the mark")


def test_what_its_leader_has_in_line_is_not_passed_over(node: Nodes) -> None:
    leader, standby = node("a"), node("b")
    leader.lead()
    for each in (leader, standby):
        each.receive("first", "second", lane="one")
        each.receive("third", "fourth", lane="two")
    assert leader.work() == ["first 1 1"]
    leader.line.remove(next(entry for entry in leader.line if entry.key == "second"))  # it takes its time
    assert leader.work(2) == ["third 1 1", "fourth 1 1"]
    wait_for(lambda: standby.settled(1), 15, "the marks")
    assert not standby.journal.passed_over(time.monotonic())


def test_after_marks_vanished_all_attempts_of_an_event_have_one_epoch(
    node: Nodes, local_etcd: LocalEtcd, root: str
) -> None:
    leader, standby = node("a"), node("b")
    leader.lead()
    for each in (leader, standby):
        each.receive("add")
    leader.work()
    wait_for(lambda: leader.settled(0) and standby.settled(0), 15, "the mark")
    with store_of(local_etcd) as store:
        (mark,) = store.range(f"{root}j/0/").items
        store.revoke(mark.lease)
    assert leader.caught_up()
    assert standby.caught_up()
    for each in (leader, standby):
        each.receive("add")
    begun = leader.begin()
    assert begun is not None
    leader.coordination.session.stop()  # it dies on it
    standby.lead()
    again = standby.begin()
    assert again is not None
    assert (begun.occurrence, begun.attempt, again.occurrence, again.attempt) == (1, 1, 1, 2)
    assert begun.epoch == again.epoch > mark.mod_revision

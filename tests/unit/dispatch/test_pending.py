"""Pending events: states, bounds, and who moves what."""

from __future__ import annotations

from typing import Any

from discordha.dispatch.items import ClaimItem, State
from discordha.dispatch.pending import Admission, PendingEvents
from discordha.events import Event, Identity, Scope


def item(key: str, received_at: float = 0.0) -> ClaimItem:
    identity = Identity(Scope.CLAIM, key, "channel", None)
    return ClaimItem(Event("message", (), identity, 0, None, received_at), (), "claim/channel", 1, key=key)


def admitted(pending: PendingEvents, *keys: str, **options: Any) -> list[ClaimItem]:
    items = [item(key, **options) for key in keys]
    for new in items:
        assert pending.admit(new).refused is None
    return items


def test_an_event_is_known_once() -> None:
    pending = PendingEvents(10)
    (first,) = admitted(pending, "a")
    assert pending.admit(item("a")) == Admission("duplicate")
    pending.forget(first)
    assert first.state is State.GONE
    assert pending.admit(item("a")) == Admission(None, None, is_front=True, follows=False)


def test_an_event_is_told_whether_it_is_the_front_and_whether_it_follows() -> None:
    pending = PendingEvents(10)
    first, second, third = item("a"), item("b"), item("c")
    assert pending.admit(first) == Admission(None, is_front=True)
    assert pending.admit(second) == Admission(None)
    assert pending.enqueue(first)
    assert pending.enqueue(second)
    assert pending.admit(third) == Admission(None, is_front=True, follows=True)


def test_the_oldest_event_of_another_replica_makes_room() -> None:
    pending = PendingEvents(3)
    a, b, c = admitted(pending, "a", "b", "c")
    assert pending.move(a, State.RUNNING)
    assert pending.admit(item("d")).evicted is b
    assert b.state is State.GONE
    assert pending.move(c, State.WAITING, only_from=(State.PARKED,))
    d = pending.get("d")
    assert d is not None
    assert pending.move(d, State.WAITING)
    assert pending.admit(item("e")) == Admission("queue_full")
    assert len(pending) == 3


def test_only_one_of_two_moves_it() -> None:
    pending = PendingEvents(3)
    (a,) = admitted(pending, "a")
    assert pending.move(a, State.WAITING, only_from=(State.PARKED,))
    assert not pending.move(a, State.WAITING, only_from=(State.PARKED,))
    pending.forget(a)
    assert not pending.move(a, State.RUNNING)


def test_delays_end_in_order_and_only_for_those_that_still_wait() -> None:
    pending = PendingEvents(10)
    a, b, c = admitted(pending, "a", "b", "c")
    assert pending.delay(a, 1.0)
    assert pending.delay(b, 0.5)
    assert pending.delay(c, 2.0)
    pending.forget_standby(["a"])
    assert pending.due(1.0) == [b]
    assert b.state is State.PARKED
    assert pending.due(5.0) == [c]
    assert pending.due(9.0) == []


def test_done_events_are_forgotten_unless_they_run_here() -> None:
    pending = PendingEvents(10)
    a, b = admitted(pending, "a", "b")
    pending.move(b, State.RUNNING)
    pending.forget_standby(["a", "b", "unknown"])
    assert pending.get("a") is None
    assert b.state is State.RUNNING
    assert a.state is State.GONE


def test_counts_and_age() -> None:
    pending = PendingEvents(10)
    admitted(pending, "old", received_at=1.0)
    admitted(pending, "new", received_at=9.0)
    (busy,) = admitted(pending, "busy", received_at=1.0)
    pending.move(busy, State.RUNNING)
    assert [known.key for known in pending.received_before(5.0)] == ["old"]
    assert pending.counts() == {"parked": 2, "delayed": 0, "waiting": 0, "running": 1, "finished": 0}
    assert [known.key for known in pending.standing(State.PARKED)] == ["old", "new"]


def test_next_due_passes_over_what_is_done() -> None:
    pending = PendingEvents(10)
    a, b, c = item("a"), item("b"), item("c")
    for known in (a, b, c):
        pending.admit(known)
    assert pending.next_due() is None
    pending.delay(a, 1.0)
    pending.delay(b, 2.0)
    pending.delay(c, 1.5)
    assert pending.next_due() == 1.0
    pending.forget_standby(["a"])
    assert pending.next_due() == 1.5
    pending.forget_standby(["c", "b"])
    assert pending.next_due() is None

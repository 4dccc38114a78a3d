"""The ledger: states, bounds, and who moves what."""

from __future__ import annotations

from typing import Any

from discordha.dispatch.items import AgeGuard, Item, State
from discordha.dispatch.pending import Ledger
from discordha.events import Event, Identity, Scope


def item(key: str, state: State = State.PARKED, received_at: float = 0.0) -> Item:
    identity = Identity(Scope.CLAIM, key, "channel", None)
    event = Event("message", (), identity, 0, None, received_at)
    return Item(event, (), key, "claim/channel", 1, state)


def admitted(ledger: Ledger, *keys: str, **options: Any) -> list[Item]:
    items = [item(key, **options) for key in keys]
    for new in items:
        assert ledger.admit(new) == (None, None)
    return items


def test_an_event_is_known_once() -> None:
    ledger = Ledger(10)
    (first,) = admitted(ledger, "a")
    assert ledger.admit(item("a")) == ("duplicate", None)
    ledger.forget(first)
    assert first.state is State.GONE
    assert ledger.admit(item("a")) == (None, None)


def test_the_oldest_event_of_another_replica_makes_room() -> None:
    ledger = Ledger(3)
    a, b, c = admitted(ledger, "a", "b", "c")
    assert ledger.move(a, State.RUNNING)
    assert ledger.admit(item("d")) == (None, b)
    assert b.state is State.GONE
    assert ledger.move(c, State.WAITING, only_from=(State.PARKED,))
    d = ledger.get("d")
    assert d is not None
    assert ledger.move(d, State.WAITING)
    assert ledger.admit(item("e")) == ("queue_full", None)
    assert len(ledger) == 3


def test_only_one_of_two_moves_it() -> None:
    ledger = Ledger(3)
    (a,) = admitted(ledger, "a")
    assert ledger.move(a, State.WAITING, only_from=(State.PARKED,))
    assert not ledger.move(a, State.WAITING, only_from=(State.PARKED,))
    ledger.forget(a)
    assert not ledger.move(a, State.RUNNING)


def test_delays_end_in_order_and_only_for_those_that_still_wait() -> None:
    ledger = Ledger(10)
    a, b, c = admitted(ledger, "a", "b", "c")
    assert ledger.delay(a, 1, 1.0)
    assert ledger.delay(b, 2, 0.5)
    assert ledger.delay(c, 1, 2.0)
    ledger.forget_standby(["a"])
    assert ledger.due(1.0) == [b]
    assert b.state is State.PARKED
    assert ledger.due(5.0) == [c]
    assert ledger.due(9.0) == []


def test_done_events_are_forgotten_unless_they_run_here() -> None:
    ledger = Ledger(10)
    a, b = admitted(ledger, "a", "b")
    ledger.move(b, State.RUNNING)
    ledger.forget_standby(["a", "b", "unknown"])
    assert "a" not in ledger
    assert b.state is State.RUNNING
    assert a.state is State.GONE


def test_counts_and_age() -> None:
    ledger = Ledger(10)
    admitted(ledger, "old", received_at=1.0)
    admitted(ledger, "new", received_at=9.0)
    (busy,) = admitted(ledger, "busy", received_at=1.0)
    ledger.move(busy, State.RUNNING)
    assert [known.key for known in ledger.received_before(5.0)] == ["old"]
    assert ledger.counts() == {"parked": 2, "delayed": 0, "waiting": 0, "running": 1, "finished": 0}
    assert [known.key for known in ledger.parked()] == ["old", "new"]


class TestAgeGuard:
    def snowflake(self, seconds: float) -> int:
        return int(seconds * 1000) << AgeGuard.SHIFT

    def test_refuses_what_is_older_than_its_mark(self) -> None:
        now = 1000.0
        guard = AgeGuard(600.0, lambda: now)
        assert not guard.refuses(self.snowflake(5_000_000))
        assert not guard.refuses(self.snowflake(5_000_000 - 599))
        assert guard.refuses(self.snowflake(5_000_000 - 601))

    def test_time_goes_on_by_the_local_clock(self) -> None:
        now = 1000.0
        guard = AgeGuard(600.0, lambda: now)
        assert not guard.refuses(self.snowflake(5_000_000))
        now = 1400.0
        assert not guard.refuses(self.snowflake(5_000_000))
        now = 1601.0
        assert guard.refuses(self.snowflake(5_000_000))

    def test_a_newer_event_moves_now_forward_only(self) -> None:
        now = 0.0
        guard = AgeGuard(600.0, lambda: now)
        assert not guard.refuses(self.snowflake(1_000))
        assert not guard.refuses(self.snowflake(9_000))
        assert guard.refuses(self.snowflake(1_000))


def test_next_due_passes_over_what_is_done() -> None:
    ledger = Ledger(10)
    a, b, c = item("a"), item("b"), item("c")
    for known in (a, b, c):
        ledger.admit(known)
    assert ledger.next_due() is None
    ledger.delay(a, 1, 1.0)
    ledger.delay(b, 1, 2.0)
    ledger.delay(c, 2, 1.5)
    assert ledger.next_due() == 1.0
    ledger.forget_standby(["a"])
    assert ledger.next_due() == 1.5
    ledger.forget_standby(["c", "b"])
    assert ledger.next_due() is None

"""What is remembered as done: for how long, how many, and what is forgotten."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest

from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.records import (
    Attempts,
    Held,
    Hint,
    is_aside,
    marked_at,
    parse_claim,
    traceparent_of,
)
from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent

ROOT = "/discordha/v1/test/"


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


class Freed:
    """Notes which events are free again."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys

    def on_done(self, keys: Sequence[str]) -> None: ...
    def on_free(self, freed: Sequence[tuple[str, int]]) -> None:
        self._keys.extend(key for key, _ in freed)

    def on_orphan(self, key: str, attempts: Attempts) -> None: ...
    def on_looked(self, keys: Sequence[str]) -> None: ...
    def on_resync(self, attempted: Sequence[str]) -> None: ...


def hints(clock: Clock, size: int = 100) -> ClaimHints:
    return ClaimHints(ROOT, retention=10.0, size=size, clock=clock)


def test_done_is_remembered_for_the_retention_and_no_longer() -> None:
    clock = Clock()
    known = hints(clock)
    known.note_done("message/1")
    clock.now += 9.9
    known.note_done("message/2")
    assert known.hint("message/1") is Hint.DONE
    clock.now += 0.2
    assert known.hint("message/1") is Hint.UNKNOWN
    assert known.hint("message/2") is Hint.DONE


def test_what_is_noted_again_is_remembered_from_then_on() -> None:
    clock = Clock()
    known = hints(clock)
    known.note_done("message/1")
    clock.now += 5
    known.note_done("message/2")
    known.note_done("message/1")
    clock.now += 9
    known.note_done("message/3")
    assert [known.hint(f"message/{n}") for n in (1, 2, 3)] == [Hint.DONE] * 3


def test_memory_is_bounded_by_size_and_by_time() -> None:
    clock = Clock()
    known = hints(clock, size=5)
    for number in range(8):
        known.note_done(f"message/{number}")
    assert known.hint("message/2") is Hint.UNKNOWN
    assert known.hint("message/3") is Hint.DONE
    clock.now += 20
    assert known.hint("message/7") is Hint.UNKNOWN


def test_a_mark_that_etcd_has_deleted_is_forgotten() -> None:
    known = hints(Clock())
    known.note_done("message/1")
    gone = KeyValue(f"{ROOT}e/message/1", b"", 0, 7, 0, 0)
    known.on_events(7, [WatchEvent("delete", gone)])
    assert known.hint("message/1") is Hint.UNKNOWN


def test_what_is_remembered_is_nothing_to_pythons_collector() -> None:
    known = hints(Clock(), size=10_000)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(10_000):
        known.note_done(f"message/{number}")
    assert known.hint("message/0") is known.hint("message/9999") is Hint.DONE
    assert len(gc.get_objects()) - before < 100


@pytest.mark.parametrize(
    ("value", "read", "when"),
    [
        (b"r host-1 1", ("r", "host-1", 1), None),
        (b"r my host-1 2", ("r", "my host-1", 2), None),
        (b"r my big host-1 2 more words", ("r", "my big host-1", 2), None),
        (b"d host-1 1 1700000000000", ("d", "host-1", 1), 1.7e9),
        (b"d my host-1 3 1700000000000", ("d", "my host-1", 3), 1.7e9),
        (b"d my host-1 3", ("d", "my host-1", 3), None),
        (b"r host-1", None, None),
        (b"r my host", None, None),
        (b"x host-1 1", None, None),
        (b"r \xff host 1", None, None),
        (b"r " + b"word " * 10_000 + b"1", None, None),
    ],
)
def test_a_claim_of_a_replica_with_spaces_in_its_name_is_read(
    value: bytes, read: tuple[str, str, int] | None, when: float | None
) -> None:
    assert parse_claim(value) == read
    assert marked_at(value) == when


def test_an_unreadable_claim_holds_its_event_until_it_goes_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    freed: list[str] = []
    known = hints(Clock())
    known.set_listener(Freed(freed))

    def claim(value: bytes, revision: int) -> KeyValue:
        return KeyValue(f"{ROOT}e/message/1", value, 1, revision, 1, 0)

    for revision in range(1, 50):
        known.on_events(revision, [WatchEvent("put", claim(b"x nonsense", revision))])
        known.on_snapshot(Snapshot(revision, [claim(b"x nonsense", revision)]))
        known.note_unreadable("message/1", Held("?", 1, revision), b"x nonsense")
    assert known.hint("message/1") is Hint.RUNNING
    assert len(caplog.messages) == 1
    assert f"{ROOT}e/message/1" in caplog.text
    known.on_events(50, [WatchEvent("delete", claim(b"", 50))])
    assert freed == ["message/1"]
    assert known.hint("message/1") is Hint.UNKNOWN


def test_an_unreadable_value_over_a_mark_leaves_the_event_done() -> None:
    known = hints(Clock())
    known.note_done("message/1")
    known.on_events(1, [WatchEvent("put", KeyValue(f"{ROOT}e/message/1", b"x nonsense", 1, 1, 1, 0))])
    assert known.hint("message/1") is Hint.DONE


def test_a_claim_that_is_set_aside_keeps_its_trace() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    value = f"r r1 1 {trace} aside".encode()
    assert is_aside(value)
    assert traceparent_of(value) == trace
    assert parse_claim(value) == ("r", "r1", 1)
    assert not is_aside(f"r r1 1 {trace}".encode())
    assert not is_aside(b"d r1 1 aside")

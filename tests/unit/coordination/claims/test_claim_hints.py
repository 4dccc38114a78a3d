"""What is remembered as done: for how long, how many, and what is forgotten."""

from __future__ import annotations

import gc

from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.records import Hint
from discordha.coordination.etcd.store import KeyValue, WatchEvent

ROOT = "/discordha/v1/test/"


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


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

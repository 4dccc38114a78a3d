"""Looks: what one teaches, what an old one does not, and that each is answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from discordha.coordination.claims.hints import MISSING, ClaimHints
from discordha.coordination.claims.looks import Looks
from discordha.coordination.claims.records import Attempts, Hint
from discordha.coordination.etcd.messages import NEAR, neighbours
from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent
from discordha.coordination.memory.store import MemoryStore
from discordha.errors import StoreUnavailable
from discordha.testing import wait_for

ROOT = "/bot/"
KEY = "message/1"


class Ears:
    """Hints with a clock that the test moves on, and what their listener hears."""

    def __init__(self) -> None:
        self.now = 100.0
        self.hints = ClaimHints(ROOT, retention=60.0, clock=lambda: self.now)
        self.hints.set_listener(self)
        self.freed: list[tuple[str, int]] = []
        self.orphans: list[str] = []
        self.looked: list[str] = []
        self.resyncs: list[list[str]] = []

    def on_done(self, keys: Sequence[str]) -> None: ...
    def on_resync(self, attempted: Sequence[str]) -> None:
        self.resyncs.append(list(attempted))

    def on_free(self, freed: Sequence[tuple[str, int]]) -> None:
        self.freed += freed

    def on_orphan(self, key: str, attempts: Attempts) -> None:
        self.orphans.append(key)

    def on_looked(self, keys: Sequence[str]) -> None:
        self.looked += keys

    def finds(self, value: bytes | None, revision: int, at: int | None = None) -> Hint:
        """A member that is at a revision has this value, which was put at another."""
        items = [] if value is None else [kv("e", value, at or revision)]
        self.hints.note_looks([KEY], Snapshot(revision, items))
        return self.hints.hint(KEY)

    def told(self, kind: str, component: str, value: bytes, revision: int) -> Hint:
        event = WatchEvent("put" if kind == "put" else "delete", kv(component, value, revision))
        self.hints.on_events(revision, [event])
        return self.hints.hint(KEY)


def kv(component: str, value: bytes, revision: int) -> KeyValue:
    return KeyValue(f"{ROOT}{component}/{KEY}", value, revision, revision, 1, 7)


@pytest.fixture
def ears() -> Ears:
    return Ears()


def test_a_look_finds_claims_what_is_set_aside_and_marks(ears: Ears) -> None:
    assert ears.finds(None, 4) is Hint.UNKNOWN
    assert ears.finds(b"r a 1", 5) is Hint.RUNNING
    assert ears.hints.owner(KEY) == "a"
    assert not ears.hints.is_aside(KEY)
    assert ears.finds(b"r a 1 aside", 6) is Hint.RUNNING
    assert ears.hints.is_aside(KEY)
    assert ears.finds(b"d a 1 0", 7) is Hint.DONE
    assert ears.looked == [KEY] * 4


def test_a_look_that_is_older_than_what_is_known_changes_nothing(ears: Ears) -> None:
    ears.finds(b"r b 2", 9)
    assert ears.finds(b"r a 1", 5) is Hint.RUNNING
    assert ears.finds(None, 7) is Hint.RUNNING
    assert ears.hints.owner(KEY) == "b"
    ears.told("delete", "e", b"r b 2", 12)
    assert ears.finds(b"r b 2", 11, at=9) is Hint.UNKNOWN
    assert ears.freed == [(KEY, 2)]
    ears.told("delete", "e", b"d b 2 0", 20)  # an operator wants it again
    assert ears.finds(b"d b 2 0", 19, at=15) is Hint.UNKNOWN


def test_a_claim_may_end_untold_in_a_gap_of_the_watch(ears: Ears) -> None:
    ears.finds(b"r a 1", 5)
    ears.hints.on_snapshot(Snapshot(9, []))
    assert ears.resyncs == [[]]
    assert ears.hints.hint(KEY) is Hint.RUNNING
    ears.now += MISSING
    assert ears.finds(None, 10) is Hint.UNKNOWN
    assert ears.freed == [(KEY, 1)]


def test_what_ended_before_its_shard_was_hosted_is_an_orphan_at_the_first_look(ears: Ears) -> None:
    """All replicas are told of its record, and hosts alone of its end: none was left."""
    record = b'{"attempt": 2, "replica": "b", "payload": "{}"}'
    ears.told("put", "a", record, 7)
    assert ears.hints.hint(KEY) is Hint.RUNNING
    ears.hints.doubt()
    assert ears.resyncs == [[KEY]]
    assert ears.finds(None, 6) is Hint.RUNNING  # older than the claim
    assert ears.finds(None, 9) is Hint.UNKNOWN
    assert ears.freed == [(KEY, 2)]
    assert ears.orphans == [KEY]


def test_what_still_runs_when_its_shard_is_hosted_is_kept(ears: Ears) -> None:
    ears.finds(b"r a 1", 5)
    ears.hints.doubt()
    assert ears.finds(b"r a 1", 10, at=5) is Hint.RUNNING
    assert ears.finds(None, 11) is Hint.RUNNING
    assert ears.freed == []


def test_a_claim_that_outlives_a_gap_of_the_watch_is_kept(ears: Ears) -> None:
    ears.finds(b"r a 1", 5)
    ears.hints.on_snapshot(Snapshot(9, []))
    assert ears.finds(b"r a 1", 10, at=5) is Hint.RUNNING
    ears.now += MISSING
    assert ears.finds(None, 11) is Hint.RUNNING  # the watch tells first, with what attempt it has ended
    assert ears.freed == []


def test_a_look_that_is_older_than_the_gap_brings_no_claim_back(ears: Ears) -> None:
    ears.hints.on_snapshot(Snapshot(9, []))
    assert ears.finds(b"r a 1", 8, at=5) is Hint.UNKNOWN
    assert ears.finds(b"r b 2", 12) is Hint.RUNNING


def test_after_etcd_has_lost_its_data_nobody_holds_anything(ears: Ears) -> None:
    ears.finds(b"r a 1", 50)
    ears.told("delete", "e", b"d b 2 0", 60)
    ears.hints.on_snapshot(Snapshot(3, []))
    assert ears.hints.hint(KEY) is Hint.UNKNOWN
    assert ears.finds(b"r c 1", 4) is Hint.RUNNING


def test_what_nobody_holds_after_a_gap_of_the_watch_is_an_orphan(ears: Ears) -> None:
    record = b'{"attempt": 2, "replica": "b", "payload": "{}"}'
    ears.hints.on_snapshot(Snapshot(9, [kv("a", record, 7)]))
    assert ears.resyncs == [[KEY]]
    assert ears.finds(b"r b 2", 10, at=7) is Hint.RUNNING
    assert ears.orphans == []
    ears.hints.on_snapshot(Snapshot(12, [kv("a", record, 7)]))
    ears.now += MISSING
    assert ears.finds(None, 12) is Hint.UNKNOWN
    assert ears.orphans == [KEY]
    ears.orphans.clear()
    assert ears.finds(b"d b 2 0", 15) is Hint.DONE
    assert ears.orphans == []


def test_a_delete_that_is_told_late_does_not_end_the_claim_that_followed(ears: Ears) -> None:
    ears.finds(b"r b 2", 9)
    assert ears.told("delete", "e", b"r a 1", 8) is Hint.RUNNING
    assert ears.freed == []


def test_a_claim_that_nobody_told_of_frees_the_event_with_its_attempt(ears: Ears) -> None:
    ears.told("delete", "e", b"r a 2", 8)
    assert ears.freed == [(KEY, 2)]


def test_who_runs_what_was_taken_over_is_known_from_its_record(ears: Ears) -> None:
    record = b'{"attempt": 2, "replica": "b", "payload": "{}"}'
    assert ears.told("put", "a", record, 9) is Hint.RUNNING
    assert ears.hints.owner(KEY) == "b"
    assert ears.orphans == []
    ears.told("delete", "e", b"r b 2", 11)
    assert ears.orphans == [KEY]


def test_a_note_of_a_begun_run_keeps_what_a_look_has_found(ears: Ears) -> None:
    note = b'{"attempt": 2, "begun": 2, "replica": "b", "payload": "{}", "lease": 7}'
    ears.finds(b"r b 2 aside", 12)
    assert ears.told("put", "a", note, 10) is Hint.RUNNING
    assert ears.hints.is_aside(KEY)
    known = ears.hints.attempts(KEY)
    assert known is not None
    assert (known.runs, known.revision, known.lease) == (2, 10, 7)


def test_a_note_that_is_taken_back_after_its_claim_was_lost_holds_nothing(ears: Ears) -> None:
    ears.told("put", "a", b'{"attempt": 2, "begun": 2, "replica": "b", "payload": "{}"}', 9)
    ears.told("delete", "e", b"r b 2", 10)
    assert ears.told("put", "a", b'{"attempt": 2, "begun": 1, "replica": null}', 11) is Hint.UNKNOWN
    assert ears.orphans == [KEY, KEY]


def test_an_operators_replay_is_an_orphan_in_whichever_order_it_is_told(ears: Ears) -> None:
    ears.finds(b"d a 3 0", 5)
    ears.told("put", "a", b'{"attempt": 0, "payload": "{}"}', 9)
    assert ears.orphans == []
    assert ears.told("delete", "e", b"d a 3 0", 9) is Hint.UNKNOWN
    assert ears.orphans == [KEY]


def test_an_end_that_the_watch_does_not_tell_is_believed_after_a_while(ears: Ears) -> None:
    ears.finds(b"r a 1", 5)
    assert ears.finds(None, 8) is Hint.RUNNING
    ears.now += MISSING / 2
    assert ears.finds(None, 8) is Hint.RUNNING
    assert ears.freed == []
    ears.now += MISSING
    assert ears.finds(None, 8) is Hint.UNKNOWN
    assert ears.freed == [(KEY, 1)]


class Moody(MemoryStore):
    """Answers when it wants to."""

    away = False
    error: Exception | None = None
    looks = 0

    def look(self, keys: Sequence[str], *, fresh: bool = False, timeout: float | None = None) -> Snapshot:
        self.looks += 1
        if self.error is not None:
            raise self.error
        if self.away:
            raise StoreUnavailable("away")
        return super().look(keys, timeout=timeout)


@pytest.fixture
def store() -> Moody:
    return Moody()


@pytest.fixture
def looks(ears: Ears, store: Moody) -> Iterator[Looks]:
    looks = Looks(store, ears.hints, ROOT)
    looks.start()
    yield looks
    looks.stop()
    looks.stop()


def test_a_look_is_made_again_until_etcd_answers(ears: Ears, store: Moody, looks: Looks) -> None:
    store.put(f"{ROOT}e/{KEY}", b"d a 1 0")
    store.away = True
    looks.ask([KEY, "message/2"])
    threading.Event().wait(0.05)
    assert ears.looked == []
    store.away = False
    wait_for(lambda: len(ears.looked) == 2, 10, "the answers")
    assert ears.hints.hint(KEY) is Hint.DONE
    assert ears.hints.hint("message/2") is Hint.UNKNOWN


def test_what_cannot_be_looked_at_is_left_to_a_claim(ears: Ears, store: Moody, looks: Looks) -> None:
    store.error = UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")
    looks.ask([KEY])
    wait_for(lambda: ears.looked == [KEY], 10, "an answer")
    assert ears.hints.hint(KEY) is Hint.UNKNOWN


def test_neighbouring_snowflakes_are_one_range() -> None:
    first = 1_400_000_000_000_000_000
    keys = [f"/e/message/{first + n * NEAR // 2}" for n in range(3)]
    far = f"/e/message/{first + 10 * NEAR}"
    others = ["/e/guild_join/5", "/e/message/short", f"/e/message/{first}/=user"]
    groups = neighbours([far, *others, *keys])
    assert keys in groups
    assert [far] in groups
    assert sorted(len(group) for group in groups) == [1, 1, 1, 1, 3]


def test_what_is_asked_for_one_by_one_in_a_burst_shares_a_look(ears: Ears, store: Moody) -> None:
    looks = Looks(store, ears.hints, ROOT, pace=0.5)
    looks.start()
    try:
        looks.ask([KEY])
        wait_for(lambda: ears.looked == [KEY], 10, "the first answer, at once")
        for number in range(2, 50):
            looks.ask([f"message/{number}"])
        wait_for(lambda: len(ears.looked) == 49, 10, "all answers")
        assert store.looks == 2
    finally:
        looks.stop()

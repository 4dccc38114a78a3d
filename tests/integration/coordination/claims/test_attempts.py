"""Attempts on a real etcd: which of them count, and when an event is a dead letter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from claim_node import nodes, quicker

from discordha.coordination.claims.records import Attempts, Claim, Done
from discordha.coordination.etcd.store import Store
from discordha.testing import LocalEtcd, wait_for


@pytest.fixture(scope="module", autouse=True)
def _quicker() -> Iterator[None]:
    with quicker():
        yield


def test_a_dead_letter_after_max_attempts(local_etcd: LocalEtcd, root: str) -> None:
    with nodes(local_etcd, root, 2) as (store, (a, b)):
        for attempt in (1, 2, 3):
            won = a.claim("message/1", attempt)
            assert isinstance(won, Claim)
            assert a.claims.begin(won)
            a.session.expire()
        answer = b.claim("message/1", 4)
        assert isinstance(answer, Done)
        assert answer.buried
        letters = store.range(f"{root}dead/").items
        assert [kv.key for kv in letters] == [f"{root}dead/message/1"]
        letter = Attempts.parse(letters[0].value)
        assert letter is not None
        assert letter.attempt == 3
        assert letter.payload == '{"t": "X"}'
        assert isinstance(a.claim("message/1"), Done)
        assert not store.range(f"{root}a/").items


def test_a_claim_that_is_lost_before_its_handlers_begin_is_no_attempt(
    local_etcd: LocalEtcd, root: str
) -> None:
    """But the first one: no note tells whether it began."""
    with nodes(local_etcd, root, 2) as (store, both):
        begun = 0
        for attempt in range(1, 11):
            node = both[attempt % 2]
            won = node.claim("message/1", attempt)
            assert isinstance(won, Claim), (attempt, begun)
            assert won.attempt == attempt, "no number is used twice"
            if attempt in {4, 8}:
                assert node.claims.begin(won)
                begun += 1
            node.session.expire()
            if begun == 2:
                break
        answer = both[0].claim("message/1", 9)
        assert isinstance(answer, Done)
        assert answer.buried
        letter = Attempts.parse(store.range(f"{root}dead/").items[0].value)
        assert letter is not None
        assert (letter.attempt, letter.runs) == (8, 3)


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_run_is_noted_again_until_etcd_has_answered(local_etcd: LocalEtcd, root: str, lost: str) -> None:
    with nodes(local_etcd, root, 1) as (store, (a,)):
        a.claim("message/1")
        a.session.expire()
        won = a.claim("message/1", 2)
        assert isinstance(won, Claim)
        a.link.lose = lost
        assert a.claims.begin(won)
        assert runs(store, root) == 2, "the first one counts without a note"
        record = Attempts.parse(store.range(f"{root}a/").items[0].value)
        assert record is not None
        assert (record.replica, record.lease) == ("r0", won.grant.lease_id), "peers learn from it who runs it"


@pytest.mark.parametrize("lost", ["answer", None], ids=["the answer is lost", "it comes too late"])
def test_the_note_of_a_run_that_did_not_begin_is_taken_back(
    local_etcd: LocalEtcd, root: str, lost: str | None
) -> None:
    with nodes(local_etcd, root, 1) as (store, (a,)):
        a.claim("message/1")
        a.session.expire()
        won = a.claim("message/1", 2)
        assert isinstance(won, Claim)
        a.link.lose, a.link.then = lost, a.session.expire
        assert not a.claims.begin(won)
        wait_for(lambda: runs(store, root) == 1, 5.0, "the note to be taken back")
        record = Attempts.parse(store.range(f"{root}a/").items[0].value)
        assert record is not None
        assert record.replica is None, "nobody learns from it that a lost claim is held"
        a.claims.stop()
        assert not a.claims.begin(won), "the replica stops"


def test_a_claim_that_does_not_know_of_the_last_attempt_learns_of_it(
    local_etcd: LocalEtcd, root: str
) -> None:
    """Its watch lags behind, or was cut off: no number is used twice, and each run counts."""
    with nodes(local_etcd, root, 2) as (store, (a, b)):
        b.claim("message/1")
        b.session.expire()
        first = a.claim("message/1", 2)
        assert isinstance(first, Claim)
        assert a.claims.begin(first)
        a.session.expire()
        second = b.claim("message/1", 2)
        assert isinstance(second, Claim)
        assert second.attempt == 3
        assert b.claims.begin(second)
        assert runs(store, root) == 3
        b.session.expire()
        answer = a.claim("message/1", 3)
        assert isinstance(answer, Done)
        assert answer.buried


@pytest.mark.parametrize(
    "value", [b"{", b'{"attempt": 1, "payload": "{}"}'], ids=["unreadable", "older version"]
)
def test_a_record_that_does_not_say_what_began(local_etcd: LocalEtcd, root: str, value: bytes) -> None:
    with nodes(local_etcd, root, 1) as (store, (a,)):
        store.put(f"{root}a/message/1", value)
        won = a.claim("message/1", 2)
        assert isinstance(won, Claim)
        assert won.attempt == 2
        assert a.claims.begin(won)
        assert runs(store, root) == 2


def runs(store: Store, root: str) -> int:
    """Of message/1, as its record tells."""
    kv = store.get(f"{root}a/message/1")
    assert kv is not None
    known = Attempts.parse(kv.value)
    assert known is not None
    return known.runs

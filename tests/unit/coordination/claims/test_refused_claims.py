"""Whatever etcd answers to a claim or a mark, the event is asked for again, or buried with the reason."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from store_helpers import puts_of, running

from discordha.coordination.claims import claims as claims_module
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.records import MAX_FAILURES, Claim, ClaimRequest, Done, Hint
from discordha.coordination.etcd import group_commit as commit_module
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import (
    Lease,
    LeaseNotFound,
    RequestRefused,
    StoreRefused,
    TxnResult,
)
from discordha.coordination.memory.store import MemoryStore
from discordha.errors import StoreUnavailable
from discordha.testing import wait_for

KEY = "message/1"


class Refusing(MemoryStore):
    """Raises the error that ``refuse`` has for a put; leases may take their time."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse: Callable[[str, bytes], Exception | None] = lambda key, value: None
        self.tries = 0
        self.lose_answers = False
        self.slow = 0.0
        self.granting = False
        self.dead: set[int] = set()

    def txn(self, compare: Any, success: Any, failure: Any = (), *, timeout: Any = None) -> TxnResult:
        self.tries += 1
        for put in puts_of(success):
            error = self.refuse(put.key, put.value)
            if error is not None:
                raise error
            if put.lease in self.dead:
                raise LeaseNotFound("gone")
        result = super().txn(compare, success, failure, timeout=timeout)
        if self.lose_answers:
            raise StoreUnavailable("no answer", maybe_applied=True)
        return result

    def keep_alive(self, lease_id: int, *, timeout: float | None = None) -> float:
        return 0.0 if lease_id in self.dead else super().keep_alive(lease_id, timeout=timeout)

    def grant(self, ttl: float, *, timeout: float | None = None) -> Lease:
        self.granting = self.slow > 0
        time.sleep(self.slow)
        return super().grant(ttl, timeout=timeout)


class Alive:
    """A session that lasts."""

    def __init__(self, lease_id: int) -> None:
        self.lease_id, self.alive = lease_id, True

    @property
    def current(self) -> Alive:
        return self


class Replica:
    """The claims of one replica."""

    def __init__(self, store: Refusing) -> None:
        self.store = store
        self.leases = RetentionLeases(store, retention=60.0)
        self.commit = GroupCommit(store, root="/")
        self.hints = ClaimHints("/", retention=60.0)
        session: Any = Alive(store.grant(60).id)
        self.claims = Claims(
            session, self.commit, self.leases, self.hints, root="/", replica_id="r0", max_attempts=3
        )
        self.leases.start()
        self.commit.start()

    def claim(self, attempt: int = 1, payload: str = "{}") -> Any:
        """In a thread of its own, so that a claim that never ends fails the test."""
        answers: list[Any] = []
        ask = lambda: answers.extend(self.claims.claim([ClaimRequest(KEY, attempt, payload)]))  # noqa: E731
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(5)
        assert answers, "the claim has no answer"
        return answers[0]

    def value(self, prefix: str, key: str = KEY) -> bytes | None:
        found = self.store.get(f"/{prefix}/{key}")
        return None if found is None else found.value


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replica]:
    monkeypatch.setattr(claims_module, "RETRY_PAUSE", 0.001)
    monkeypatch.setattr(commit_module, "RETRY_PAUSE", 0.001)
    replica = Replica(Refusing())
    yield replica
    replica.claims.stop()
    replica.commit.stop()
    replica.leases.stop()


def too_large(limit: int) -> Callable[[str, bytes], Exception | None]:
    return lambda key, value: RequestRefused("too large") if len(value) > limit else None


def of(state: bytes, error: Exception) -> Callable[[str, bytes], Exception | None]:
    """Refuses claims (``r``) or marks (``d``)."""
    return lambda key, value: error if key.startswith("/e/") and value.startswith(state) else None


def test_a_payload_that_etcd_refuses_is_not_kept(replica: Replica) -> None:
    replica.store.refuse = too_large(500)
    won = replica.claim(2, "x" * 1000)
    assert isinstance(won, Claim)
    assert json.loads(replica.value("a") or b"")["payload"] is None


def test_a_run_is_noted_without_a_payload_that_etcd_refuses(replica: Replica) -> None:
    won = replica.claim(2, "x" * 1000)
    replica.store.refuse = too_large(500)
    assert replica.claims.begin(won)
    record = json.loads(replica.value("a") or b"")
    assert (record["begun"], record["payload"]) == (2, None)


@pytest.mark.parametrize("error", [StoreRefused("access denied", by_key=True), TypeError("a bug")])
def test_no_run_begins_before_it_is_noted(replica: Replica, error: Exception) -> None:
    """It waits for the end of the refusal, and asks now and then."""
    won = replica.claim(2)
    replica.store.refuse = lambda key, value: error
    begun: list[bool] = []
    thread = threading.Thread(target=lambda: begun.append(replica.claims.begin(won)), daemon=True)
    tries = replica.store.tries
    thread.start()
    wait_for(lambda: replica.store.tries > tries + 1, 5, "another try")
    assert begun == []
    replica.store.refuse = lambda key, value: None
    thread.join(5)
    assert begun == [True]
    assert json.loads(replica.value("a") or b"")["begun"] == 2


def test_a_run_is_noted_under_another_lease_where_one_was_lost(replica: Replica) -> None:
    won = replica.claim(2)
    replica.store.dead.add(replica.leases.current())
    assert replica.claims.begin(won)


def test_a_later_attempt_is_claimed_under_another_lease_where_one_was_lost(replica: Replica) -> None:
    replica.store.dead.add(replica.leases.current())
    assert isinstance(replica.claim(2), Claim)


def test_a_stop_ends_the_wait_for_a_note(replica: Replica) -> None:
    won = replica.claim(2)
    replica.store.refuse = lambda key, value: StoreRefused("access denied")
    begun: list[bool] = []
    thread = threading.Thread(target=lambda: begun.append(replica.claims.begin(won)), daemon=True)
    thread.start()
    replica.claims.stop()
    thread.join(5)
    assert begun == [False]


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_claim_that_etcd_refuses_is_buried_with_the_reason(replica: Replica, attempt: int) -> None:
    replica.store.put(f"/a/{KEY}", b"{}")
    replica.store.refuse = of(b"r", RequestRefused("for no reason"))
    assert replica.claim(attempt, "payload") == Done(buried=True)
    letter = json.loads(replica.value("dead") or b"")
    assert letter["error"] == "its claim is refused: for no reason"
    assert (letter["event"], letter["attempt"], letter["payload"]) == (KEY, attempt - 1, None)
    assert (replica.value("e") or b"").startswith(b"d r0 ")
    assert replica.value("a") is None


def test_an_event_that_cannot_even_be_buried_is_given_up(replica: Replica) -> None:
    replica.store.refuse = lambda key, value: RequestRefused("never")
    assert replica.claim(2, "payload") == Done(buried=True)
    assert replica.hints.hint(KEY) is Hint.DONE
    assert replica.store.tries < 10


@pytest.mark.parametrize("error", [TypeError("a bug"), ValueError("another"), AssertionError("a third")])
def test_a_bug_is_no_refusal(replica: Replica, error: Exception) -> None:
    """The claim is tried again as it is."""
    errors = [error, error]
    replica.store.refuse = lambda key, value: errors.pop() if errors else None
    won = replica.claim(2, "payload")
    assert isinstance(won, Claim)
    assert json.loads(replica.value("a") or b"")["payload"] == "payload"


def test_a_bug_that_stays_ends_in_a_dead_letter(replica: Replica) -> None:
    replica.store.refuse = of(b"r", TypeError("a bug"))
    assert replica.claim() == Done(buried=True)
    assert replica.store.tries == MAX_FAILURES + 2
    assert "a bug" in json.loads(replica.value("dead") or b"")["error"]


@pytest.mark.parametrize("by_key", [False, True])
def test_a_claim_waits_for_the_end_of_a_refusal(replica: Replica, by_key: bool) -> None:
    until = time.monotonic() + 0.3
    refused = StoreRefused("denied", by_key=by_key)
    replica.store.refuse = lambda key, value: refused if time.monotonic() < until else None
    assert isinstance(replica.claim(), Claim)


@pytest.mark.parametrize("error", [RequestRefused("never"), TypeError("a bug")])
def test_a_refused_mark_is_told_as_what_it_is(
    replica: Replica, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    won = replica.claim()
    replica.store.refuse = of(b"d", error)
    answers: list[bool] = []
    replica.claims.mark((won,), lambda _, marked: answers.append(marked))
    wait_for(lambda: answers, 5, "an answer")
    assert answers == [False]
    assert replica.hints.hint(KEY) is Hint.DONE  # not run again here
    assert f"the mark of {KEY} is refused" in caplog.text
    assert "another replica had taken it" not in caplog.text


def test_a_release_goes_out_once_etcd_takes_it(replica: Replica) -> None:
    """Else its event would wait for this replica everywhere, for as long as the session lives."""
    won = replica.claim()
    replica.store.refuse = lambda key, value: StoreUnavailable("etcd is away")
    replica.claims.release(won)
    wait_for(lambda: replica.commit.waiting >= 1, 5, "the release to wait")
    assert replica.value("e") is not None
    replica.store.refuse = lambda key, value: None
    wait_for(lambda: replica.value("e") is None, 5, "the release")


def test_a_claim_whose_answer_was_lost_is_found_by_the_next(replica: Replica) -> None:
    """It is not taken for another replica's, for which the event would wait for ever."""
    router = WatchRouter("/")
    router.subscribe(replica.hints, "e", "a")
    with running(replica.store.watch("/", router, silence=60.0, heartbeats=False)):
        replica.store.lose_answers = True
        answers: list[Claim | None] = []
        replica.claims.claim_later([ClaimRequest(KEY)], lambda _, claim: answers.append(claim))
        wait_for(lambda: answers, 5, "an answer")
        replica.store.lose_answers = False
        assert answers == [None]
        wait_for(lambda: replica.hints.owner(KEY) == "r0", 5, "the watch")
        assert replica.claims.hint(KEY) is Hint.UNKNOWN
        won = replica.claim()
        assert isinstance(won, Claim)
        assert won.attempt == 1
        other: Any = Alive(replica.store.grant(60).id)
        replica.claims._session = other  # the claim is that of an earlier session
        assert replica.claims.hint(KEY) is Hint.RUNNING
        replica.hints.note_done(KEY)  # as with its mark's answer
        assert replica.claims.hint(KEY) is Hint.DONE


def test_claims_do_not_wait_while_a_lost_lease_is_replaced(replica: Replica) -> None:
    won = replica.claim()
    replica.store.dead.add(replica.leases.current())
    replica.store.slow = 1.0
    answers: list[bool] = []
    replica.claims.mark((won,), lambda _, marked: answers.append(marked))
    wait_for(lambda: replica.store.granting, 5, "the search for another lease")
    started = time.monotonic()
    for number in range(20):
        [answer] = replica.claims.claim([ClaimRequest(f"other/{number}", 1, "{}")])
        assert isinstance(answer, Claim)
    assert time.monotonic() - started < 0.5
    assert not answers
    wait_for(lambda: answers, 5, "the mark")
    assert answers == [True]


def test_claims_ahead_pause_while_etcd_takes_none(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "LAST_RETRY_PAUSE", 0.3)
    replica.store.refuse = lambda key, value: StoreRefused("denied", by_key=True)
    answers: list[Claim | None] = []

    def ask(number: int) -> None:
        before = len(answers)
        request = ClaimRequest(f"ahead/{number}")
        replica.claims.claim_later([request], lambda _, claim: answers.append(claim))
        wait_for(lambda: len(answers) > before, 5, "an answer")

    for number in range(30):
        ask(number)
    assert answers == [None] * 30
    assert replica.store.tries == 1
    replica.store.refuse = lambda key, value: None
    wait_for(lambda: ask(99) or answers[-1], 5, "a claim")

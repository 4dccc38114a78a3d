"""The claim protocol on a real etcd: interleavings of claims, marks, releases, deaths and lost answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_helpers import delete_below, store_of

from discordha.coordination.claims import claims as claims_module
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.records import Attempts, Claim, ClaimRequest, Done, Held, Hint
from discordha.coordination.etcd import group_commit as commit_module
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import Snapshot, Store, TxnResult, WatchEvent
from discordha.errors import StoreUnavailable
from discordha.testing import LocalEtcd, wait_for

KEYS = ["message/1", "message/2", "message/3"]


@pytest.fixture(scope="module", autouse=True)
def _quicker() -> Iterator[None]:
    """A lost answer is asked for again at once: these tests are about what comes of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims_module, "RETRY_PAUSE", 0.001)
        patch.setattr(commit_module, "RETRY_PAUSE", 0.001)
        yield


class Death:
    """A grant that ends when the test says so, as a session's does when its lease has run out."""

    def __init__(self, lease_id: int) -> None:
        self.lease_id = lease_id
        self.alive = True


class Sessions:
    """One replica's session: a real lease, and no keepalive."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.current: Death | None = Death(store.grant(60).id)

    def expire(self) -> None:
        """The lease is gone in etcd, and here."""
        assert self.current is not None
        self.current.alive = False
        self._store.revoke(self.current.lease_id)
        self.current = Death(self._store.grant(60).id)

    def pause(self) -> Death:
        """The process stands still: its lease goes, and it does not know. Returns what it believes in."""
        assert self.current is not None
        before = self.current
        self._store.revoke(before.lease_id)
        return before


class Lossy:
    """A store that loses the answer of the next transaction, after or before it was applied."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lose: str | None = None
        self.then: Callable[[], None] = lambda: None  # happens before the next answer comes

    def txn(self, compare: Sequence[Any], success: Sequence[Any], failure: Sequence[Any] = ()) -> TxnResult:
        lose, self.lose = self.lose, None
        then, self.then = self.then, lambda: None
        if lose == "request":
            raise StoreUnavailable("the request was lost", maybe_applied=True)
        result = self._store.txn(compare, success, failure)
        then()
        if lose == "answer":
            raise StoreUnavailable("the answer was lost", maybe_applied=True)
        return result


class Node:
    """The claims of one replica."""

    def __init__(self, store: Store, leases: RetentionLeases, root: str, name: str, **options: Any) -> None:
        self.name = name
        self.session = Sessions(store)
        self.link = Lossy(store)
        self.commit = GroupCommit(self.link, linger=0.0)
        self.commit.start()
        self.hints = ClaimHints(root, retention=600)
        self.claims = Claims(
            self.session,
            self.commit,
            leases,
            self.hints,
            root=root,
            replica_id=name,
            max_attempts=3,
            **options,
        )

    def claim(self, key: str, attempt: int = 1) -> Claim | Held | Done | None:
        return self.claims.claim([ClaimRequest(key, attempt, '{"t": "X"}')])[0]

    def mark(self, claim: Claim) -> bool:
        answers: list[bool] = []
        self.claims.mark(claim, lambda _, marked: answers.append(marked))
        wait_for(lambda: answers, 5.0, "the mark's answer", interval=0.001)
        return answers[0]


@contextmanager
def nodes(etcd: LocalEtcd, root: str, count: int, **options: Any) -> Iterator[tuple[Store, list[Node]]]:
    with store_of(etcd) as store:
        leases = RetentionLeases(store, retention=60)
        made = [Node(store, leases, root, f"r{i}", **options) for i in range(count)]
        try:
            yield store, made
        finally:
            for node in made:
                node.commit.stop()


def stored(store: Store, root: str, key: str) -> str | None:
    kv = store.get(f"{root}e/{key}")
    return kv.value.decode() if kv is not None else None


def test_one_wins_and_the_other_learns_who(local_etcd: LocalEtcd, root: str) -> None:
    with nodes(local_etcd, root, 2) as (store, (a, b)):
        won = a.claim("message/1")
        assert isinstance(won, Claim)
        assert not won.lost
        held = b.claim("message/1")
        assert isinstance(held, Held)
        assert held.replica == "r0"
        assert b.hints.hint("message/1") is Hint.RUNNING
        assert a.mark(won)
        assert isinstance(b.claim("message/1"), Done)
        assert str(stored(store, root, "message/1")).startswith("d r0 1 ")


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_claim_whose_answer_is_lost_is_read_back(local_etcd: LocalEtcd, root: str, lost: str) -> None:
    with nodes(local_etcd, root, 2) as (_, (a, b)):
        a.link.lose = lost
        won = a.claim("message/1")
        assert isinstance(won, Claim)
        assert isinstance(b.claim("message/1"), Held)
        a.link.lose = lost
        assert a.mark(won)
        assert isinstance(b.claim("message/1"), Done)


def test_the_claim_of_a_dead_session_is_free_and_its_late_mark_is_refused(
    local_etcd: LocalEtcd, root: str
) -> None:
    with nodes(local_etcd, root, 2) as (_, (a, b)):
        won = a.claim("message/1")
        assert isinstance(won, Claim)
        a.session.expire()
        assert won.lost
        taken = b.claim("message/1", attempt=2)
        assert isinstance(taken, Claim)
        assert taken.attempt == 2
        assert taken.token > won.token
        assert not a.mark(won)
        assert b.mark(taken)


def test_a_late_mark_counts_when_nobody_has_taken_the_event(local_etcd: LocalEtcd, root: str) -> None:
    with nodes(local_etcd, root, 2) as (_, (a, b)):
        won = a.claim("message/1")
        assert isinstance(won, Claim)
        a.session.expire()
        assert a.mark(won)
        assert isinstance(b.claim("message/1", attempt=2), Done)


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


def test_a_released_claim_does_not_count(local_etcd: LocalEtcd, root: str) -> None:
    with nodes(local_etcd, root, 1) as (store, (a,)):
        heard = Ears()
        hints = ClaimHints(root, retention=600)
        hints.set_listener(heard)
        router = WatchRouter(root)
        router.subscribe(hints, "e", "a")
        watch = store.watch(root, router, silence=30.0, heartbeats=True)
        watch.start()
        try:
            assert watch.wait_synced(10)
            won = a.claim("message/1")
            assert isinstance(won, Claim)
            a.claims.release(won)
            wait_for(lambda: heard.freed, 5.0, "the release")
            assert heard.freed == [("message/1", 0)]
            assert heard.orphans == []
        finally:
            watch.stop()


def test_without_a_session_claims_are_open_when_asked_for(local_etcd: LocalEtcd, root: str) -> None:
    with nodes(local_etcd, root, 2, open_on_loss=True) as (store, (a, b)):
        a.session.current = None
        b.session.current = None
        first, second = a.claim("message/1"), b.claim("message/1")
        assert isinstance(first, Claim)
        assert isinstance(second, Claim)
        assert not first.lost
        assert first.token == 0
        assert a.mark(first)
        assert isinstance(a.claim("message/1"), Done)
        assert str(stored(store, root, "message/1")).startswith("d r0 1 ")


class Ears:
    """A claim listener that remembers."""

    def __init__(self) -> None:
        self.freed: list[tuple[str, int]] = []
        self.done: list[str] = []
        self.orphans: list[str] = []
        self.aside: list[str] = []
        self.resyncs = 0

    def on_done(self, keys: Sequence[str]) -> None:
        self.done.extend(keys)

    def on_free(self, freed: Sequence[tuple[str, int]]) -> None:
        self.freed.extend(freed)

    def on_orphan(self, key: str, attempts: Attempts) -> None:
        self.orphans.append(key)

    def on_looked(self, keys: Sequence[str]) -> None:
        self.aside.extend(keys)

    def on_resync(self, attempted: Sequence[str]) -> None:
        self.resyncs += 1


def test_hints_tell_an_orphan_only_when_nobody_holds_the_event() -> None:
    ears = Ears()
    hints = ClaimHints("/x/", retention=60)
    hints.set_listener(ears)
    hints.on_snapshot(Snapshot(1, []))
    record = b'{"attempt": 2, "payload": "{}", "shard": 0, "history": []}'

    def put(revision: int, *pairs: tuple[str, bytes]) -> None:
        hints.on_events(revision, [WatchEvent("put", _kv(key, value, revision)) for key, value in pairs])

    put(2, ("/x/e/message/1", b"r a 2"), ("/x/a/message/1", record))
    assert ears.orphans == []
    assert hints.hint("message/1") is Hint.RUNNING
    hints.on_events(3, [WatchEvent("delete", _kv("/x/e/message/1", b"", 3))])
    assert ears.orphans == ["message/1"]
    assert ears.freed == [("message/1", 2)]
    put(4, ("/x/e/message/2", b"d a 1"))
    assert hints.hint("message/2") is Hint.DONE
    assert ears.done == ["message/2"]
    hints.on_events(
        5,
        [
            WatchEvent("put", _kv("/x/a/message/2", record.replace(b"2", b"0", 1), 5)),
            WatchEvent("delete", _kv("/x/e/message/2", b"", 5)),
        ],
    )
    assert ears.orphans == ["message/1", "message/2"], "a dead letter that is replayed has no owner"
    known = hints.attempts("message/2")
    assert known is not None
    assert known.attempt == 0


def _kv(key: str, value: bytes, revision: int) -> Any:
    from discordha.coordination.etcd.store import KeyValue

    return KeyValue(key=key, value=value, create_revision=revision, mod_revision=revision, version=1, lease=0)


class Interleavings(RuleBasedStateMachine):
    """Three replicas and three events, in any order of steps, with deaths, pauses and lost answers."""

    etcd: LocalEtcd
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.root = f"/discordha/v1/property-{next(self.numbers)}-{id(self)}/"
        self.context = nodes(self.etcd, self.root, 3)
        self.store, self.nodes = self.context.__enter__()
        self.owned: list[tuple[Node, Claim]] = []
        self.finished: set[str] = set()
        self.attempts = dict.fromkeys(KEYS, 0)

    def teardown(self) -> None:
        delete_below(self.store, self.root)
        self.context.__exit__(None, None, None)

    @rule(
        node=st.integers(0, 2), key=st.sampled_from(KEYS), lose=st.sampled_from([None, "request", "answer"])
    )
    def claim(self, node: int, key: str, lose: str | None) -> None:
        replica = self.nodes[node]
        replica.link.lose = lose
        answer = replica.claim(key)
        if isinstance(answer, Claim):
            assert key not in self.finished, "a finished event was won again"
            others = [c for owner, c in self.owned if c.key == key and not c.lost and owner is not replica]
            assert not others, "two replicas own one event"
            mine = [c for owner, c in self.owned if c.key == key and not c.lost and owner is replica]
            assert all(c.token == answer.token for c in mine)
            if not mine:
                self.owned.append((replica, answer))
        elif isinstance(answer, Done):
            assert key in self.finished

    @precondition(lambda self: self.owned)
    @rule(pick=st.integers(0, 100), lose=st.sampled_from([None, "request", "answer"]))
    def mark(self, pick: int, lose: str | None) -> None:
        replica, claim = self.owned.pop(pick % len(self.owned))
        replica.link.lose = lose
        marked = replica.mark(claim)
        if not claim.lost:
            assert marked, "the owner's mark was refused"
        if marked:
            self.finished.add(claim.key)

    @precondition(lambda self: any(not claim.lost for _, claim in self.owned))
    @rule(pick=st.integers(0, 100))
    def release(self, pick: int) -> None:
        living = [pair for pair in self.owned if not pair[1].lost]
        replica, claim = living[pick % len(living)]
        self.owned.remove((replica, claim))
        replica.claims.release(claim)
        wait_for(lambda: stored(self.store, self.root, claim.key) is None, 5.0, "the release", interval=0.001)

    @rule(node=st.integers(0, 2))
    def die(self, node: int) -> None:
        self.nodes[node].session.expire()

    @invariant()
    def etcd_says_the_same(self) -> None:
        for key in KEYS:
            value = stored(self.store, self.root, key)
            living = [owner.name for owner, claim in self.owned if claim.key == key and not claim.lost]
            if key in self.finished:
                assert value is not None
                assert value.startswith("d ")
            elif living:
                assert value is not None
                assert value.startswith(f"r {living[0]} ")


def test_any_interleaving(local_etcd: LocalEtcd) -> None:
    case = type("Case", (Interleavings,), {"etcd": local_etcd})
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        case,
        settings=settings(max_examples=40, stateful_step_count=25, deadline=None, phases=[Phase.generate]),
    )

"""The claim protocol on a real etcd: interleavings of claims, marks, releases, deaths and lost answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from claim_node import Node, nodes, quicker, stored
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from store_helpers import delete_below

from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.records import Attempts, Claim, Done, Held, Hint
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import Snapshot, WatchEvent
from discordha.testing import LocalEtcd, wait_for

KEYS = ["message/1", "message/2", "message/3"]


@pytest.fixture(scope="module", autouse=True)
def _quicker() -> Iterator[None]:
    with quicker():
        yield


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

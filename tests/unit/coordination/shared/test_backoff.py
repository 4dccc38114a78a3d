"""Calls that etcd does not take are made again by one caller for all, after pauses that double."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from store_helpers import puts_of, running

from discordha.coordination.election.elections import Elections
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import StoreRefused, TxnResult
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.session import Session
from discordha.coordination.shared.backoff import Backoff
from discordha.coordination.shared.facade import Shared
from discordha.coordination.shared.posts import Posts
from discordha.coordination.voice.deliveries import VoiceBackend
from discordha.coordination.voice.queue import VoiceQueue
from discordha.coordination.voice.records import VoiceKeys
from discordha.coordination.voice.releases import Releases
from discordha.errors import StoreUnavailable
from discordha.testing import wait_for

ROOT = "/discordha/v1/bot/"
CALLERS = 24
#: The tries of one caller in two seconds, of pauses from 0.02 s to 0.25 s, and a little more.
TRIES = 16


class Clock:
    """Steps by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Refusing(MemoryStore):
    """Takes no write of what ``denied`` is a part of, and counts those that it refused. So do its clones."""

    def __init__(self) -> None:
        super().__init__()
        self.state: dict[str, Any] = {"denied": None, "refused": 0}

    def txn(self, compare: Any, success: Any, failure: Any = (), *, timeout: Any = None) -> TxnResult:
        keys = [put.key for put in puts_of(success)]
        denied = self.state["denied"]
        if denied is not None and any(denied in key for key in keys):
            self.state["refused"] += 1
            raise StoreRefused("denied", by_key=True)
        return super().txn(compare, success, failure, timeout=timeout)


class Parts:
    """What one replica shares with others."""

    def __init__(self, store: Refusing) -> None:
        self.store = store
        self.session = Session(store, ttl=30.0)
        self.commit = GroupCommit(store, root=ROOT)
        self.shared = Shared(store, self.session, self.commit, ROOT, "r0", retry_for=20.0, silence=30.0)
        self.posts = Posts(store, self.commit, ROOT, "r0", retention=60.0, retry_for=20.0, silence=30.0)
        self.leases = RetentionLeases(store, retention=60.0)
        self.voice = VoiceQueue(
            VoiceBackend(
                store,
                self.session,
                self.commit,
                self.leases,
                VoiceKeys(ROOT),
                "r0",
                retention=60.0,
                timeout=20.0,
                silence=30.0,
                max_attempts=3,
                grace=0.05,
                backoff=Backoff(),
                releases=Releases(self.commit),
            ),
            ttl=30.0,
        )
        self.elections = Elections(store, self.session, f"{ROOT}l/", "r0")


@contextmanager
def parts() -> Iterator[Parts]:
    store = Refusing()
    made = Parts(store)
    made.session.start(5)
    made.commit.start()
    made.leases.start()
    router = WatchRouter(ROOT)
    router.subscribe(made.shared.locks, "k")
    router.subscribe(made.elections, "l")
    try:
        with running(store.watch(ROOT, router, silence=30.0)):
            made.elections.start()
            yield made
    finally:
        for part in (made.elections, made.voice, made.posts, made.shared, made.leases, made.commit):
            part.stop()
        made.session.stop()
        store.close()


def take_lock(parts: Parts, number: int) -> None:
    parts.shared.locks.release(parts.shared.locks.acquire(f"lock {number}", 20.0))


def set_value(parts: Parts, number: int) -> None:
    parts.shared.caches.set("cache", f"key {number}", b"1", None)


def count(parts: Parts, number: int) -> None:
    parts.shared.counters.add("cache", f"counter {number}", 1, None)


def post(parts: Parts, number: int) -> None:
    parts.posts.send("event", "news", number)


def command(parts: Parts, number: int) -> None:
    parts.voice.send(module_id="music", guild_id=number, channel_id=1, file="a", user_id=1)


@pytest.mark.parametrize(
    ("denied", "call"),
    [
        ("/k/", take_lock),
        (".data/c/", set_value),
        (".data/c/", count),
        (".data/b/", post),
        (".data/v/", command),
    ],
    ids=["locks", "caches", "counters", "posts", "voice"],
)
def test_many_callers_ask_as_often_as_one(denied: str, call: Callable[[Parts, int], None]) -> None:
    with parts() as made, ThreadPoolExecutor(CALLERS) as pool:
        call(made, CALLERS)  # what has to be opened is open
        state = made.store.state
        state["denied"] = denied
        begun = time.monotonic()
        results = [pool.submit(call, made, number) for number in range(CALLERS)]
        wait_for(lambda: time.monotonic() > begun + 2.0 and state["refused"], 10, "two seconds")
        refused = state["refused"]
        state["denied"] = None
        for result in results:
            result.result(1.0)
        assert 3 < refused < CALLERS + TRIES  # each asks once before it knows


def test_elections_of_many_shards_ask_as_often_as_one() -> None:
    with parts() as made:
        state = made.store.state
        state["denied"] = "/l/"
        begun = time.monotonic()
        elected: set[int] = set()
        for shard in range(CALLERS):
            add = lambda term: elected.add(term.shard_id)  # noqa: E731
            made.elections.open(shard, add, lambda term: elected.discard(term.shard_id)).campaign()
        wait_for(lambda: time.monotonic() > begun + 2.0 and state["refused"], 10, "two seconds")
        refused = state["refused"]
        state["denied"] = None
        wait_for(lambda: len(elected) == CALLERS, 1.0, "all shards led")
        assert 3 < refused < CALLERS + TRIES


def refuse(backoff: Backoff, until: float = 1e9) -> None:
    with pytest.raises(StoreUnavailable, match="no"), backoff.attempt(until):
        raise StoreUnavailable("no")


def test_pauses_double_and_end_with_the_first_success() -> None:
    clock = Clock()
    backoff = Backoff(0.1, 0.5, clock=clock)
    for pause in (0.1, 0.2, 0.4, 0.5, 0.5):
        refuse(backoff)
        with pytest.raises(StoreUnavailable, match="no"), backoff.attempt(clock.now):
            pytest.fail("it is nobody's turn yet")
        clock.now += pause
    with backoff.attempt(clock.now):
        pass
    with backoff.attempt(0.0):
        pass
    refuse(backoff)
    clock.now += 0.1
    with backoff.attempt(clock.now):
        pass


def test_calls_that_fail_together_double_the_pause_once() -> None:
    clock = Clock()
    backoff = Backoff(0.1, 10.0, clock=clock)
    calls = [backoff.attempt(clock.now) for _ in range(5)]
    for call in calls:
        call.__enter__()
    error = StoreUnavailable("no")
    for call in calls:
        assert not call.__exit__(StoreUnavailable, error, None)
    clock.now += 0.1
    with backoff.attempt(clock.now):
        pass


def test_an_answer_of_another_kind_shows_that_etcd_answers() -> None:
    backoff = Backoff(10.0, 10.0)
    refuse(backoff)
    backoff._next = 0.0
    with pytest.raises(KeyError), backoff.attempt(1e9):
        raise KeyError
    with backoff.attempt(0.0):
        pass


def test_a_turn_whose_call_does_not_return_passes_on() -> None:
    clock = Clock()
    backoff = Backoff(0.1, 0.5, clock=clock)
    refuse(backoff)
    clock.now += 0.1
    with backoff.attempt(clock.now):
        with pytest.raises(StoreUnavailable, match="no"), backoff.attempt(clock.now):
            pytest.fail("the other one has the turn")
        clock.now += 0.1
        refuse(backoff)


def test_those_that_wait_raise_at_the_stop() -> None:
    backoff = Backoff(60.0, 60.0)
    refuse(backoff)
    raised = threading.Event()

    def wait() -> None:
        with pytest.raises(StoreUnavailable, match="stops"), backoff.attempt(1e12):
            pytest.fail("it has no turn")
        raised.set()

    thread = threading.Thread(target=wait)
    thread.start()
    backoff.stop()
    assert raised.wait(5)
    thread.join()

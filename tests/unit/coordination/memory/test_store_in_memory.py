"""The store in memory by itself: leases by a stepped clock, watches that resume, clones, and the one seam."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from store_helpers import Recorder, running

from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    Get,
    GetPrefix,
    LeaseNotFound,
    Put,
    RequestRefused,
)
from discordha.coordination.memory.store import MemoryStore
from discordha.errors import StoreUnavailable
from discordha.testing import wait_for


def test_a_lease_ends_by_the_clock_and_takes_its_keys_along() -> None:
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    short, long = store.grant(1.5), store.grant(10)
    assert (short.ttl, long.ttl) == (2.0, 10.0)
    store.put("a", b"", lease=short.id)
    last = store.put("b", b"", lease=long.id)
    now[0] = 1.9
    assert store.get("a") is not None
    assert store.keep_alive(short.id) == 2.0
    now[0] = 3.8
    assert store.get("a") is not None
    now[0] = 3.9
    assert store.get("a") is None
    assert store.range("").revision == last + 1
    assert store.keep_alive(short.id) == 0.0
    store.revoke(short.id)
    with pytest.raises(LeaseNotFound):
        store.put("a", b"", lease=short.id)
    assert store.expire() == pytest.approx(6.1)
    now[0] = 10.0
    assert store.range("").items == []
    assert store.expire() == float("inf")


def test_an_infinite_lease_never_ends() -> None:
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    lease = store.grant(float("inf"))
    store.put("a", b"", lease=lease.id)
    now[0] = 1e12
    assert store.keep_alive(lease.id) == float("inf")
    assert store.get("a") is not None


def test_a_watch_sees_the_end_of_a_lease_though_nobody_calls() -> None:
    store, seen = MemoryStore(), Recorder()
    with running(store.watch("", seen, silence=1.0)):
        store.put("a", b"", lease=store.grant(1).id)
        wait_for(lambda: [kind for kind, _, _ in seen.events()] == ["put", "delete"], 10, "the end")


def test_a_watch_resumes_and_begins_anew_after_a_compaction() -> None:
    store, seen = MemoryStore(), Recorder()
    watch = store.watch("a", seen, silence=1.0)
    with running(watch):
        for number in range(50):
            store.txn((), (Put("a", b"%d" % number), Put("b", b"")))
            if number == 20:
                watch._stream.cancel()  # type: ignore[union-attr]
        wait_for(lambda: seen.state == {"a": b"49"}, 10, "the last one")
        assert (watch.losses, len(seen.snapshots)) == (1, 1)
        assert len(seen.events()) == 50
        watch._stream.cancel()  # type: ignore[union-attr]
        last = store.put("a", b"unseen")
        store.put("b", b"")
        store.compact()
        wait_for(lambda: seen.state == {"a": b"unseen"}, 10, "the key after the compaction")
        assert watch.revision >= last
    assert seen.faults == []


def test_history_is_bounded() -> None:
    store = MemoryStore(history=10_000)
    for _ in range(100):
        store.put("a", b"x" * 1_000)
    stream = iter(store.open_watch("", 2))
    assert next(stream).created
    assert 90 < next(stream).compacted <= 101
    assert len(store.range("").items) == 1


def test_clones_share_keys_and_are_closed_one_by_one() -> None:
    store = MemoryStore()
    clone = store.clone()
    store.put("a", b"1")
    assert clone.get("a") is not None
    stream = clone.open_watch("", 1)
    clone.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        clone.get("a")
    with pytest.raises(StoreUnavailable, match="cancelled"):
        list(stream)
    assert store.get("a") is not None
    assert (store.calls, clone.calls) == (2, 2)


def test_every_call_passes_one_place() -> None:
    passed: list[bool] = []

    class Faulty(MemoryStore):
        def _call(self, serve: Callable[..., Any], timeout: float | None, *, write: bool) -> Any:
            passed.append(write)
            answer = super()._call(serve, timeout, write=write)
            if timeout == 0.5:
                raise StoreUnavailable("the answer was lost", maybe_applied=write)
            return answer

    store = Faulty().clone()
    with pytest.raises(StoreUnavailable) as lost:
        store.put("a", b"", timeout=0.5)
    assert lost.value.maybe_applied
    assert store.get("a") is not None
    lease = store.grant(5)
    store.keep_alive(lease.id)
    store.revoke(lease.id)
    store.range("")
    store.delete("a")
    store.open_watch("", 1).cancel()
    assert passed == [True, False, True, False, True, False, True, False]


def test_refused_requests_change_nothing() -> None:
    store = MemoryStore()
    for call in (
        lambda: store.put("", b""),
        lambda: store.get(""),
        lambda: store.txn((), (Put("a", b""), Put("a", b""))),
        lambda: store.txn((), tuple(Put(f"{number}", b"") for number in range(129))),
        lambda: store.txn((Compare.version("", 0),), (Delete("a"),)),
        lambda: store.txn((Compare.version("a", 1),), (Get("a"),), (GetPrefix("a"),)),
        lambda: store.txn((), ()),
    ):
        with pytest.raises(RequestRefused):
            call()
    assert store.range("") == (1, [])


def test_threads_that_race_have_one_winner_each() -> None:
    store = MemoryStore()
    won: list[str] = []

    def work() -> None:
        for number in range(200):
            key = f"k{number}"
            if store.txn((Compare.version(key, 0),), (Put(key, b""),)).succeeded:
                won.append(key)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(f"k{number}" for number in range(200))
    assert store.range("").revision == 201

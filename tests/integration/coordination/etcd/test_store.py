"""The store on a real etcd: answers, errors, failover."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from store_helpers import delete_below, settings_of, store_of

from discordha.coordination.etcd import client as client_module
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.etcd.messages import key_value
from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    DeleteDone,
    Get,
    GetPrefix,
    LeaseNotFound,
    Put,
    PutDone,
    RequestRefused,
    Txn,
    TxnResult,
)
from discordha.errors import StoreUnavailable
from discordha.testing import FaultProxy, LocalEtcd, wait_for


@pytest.fixture
def store(local_etcd: LocalEtcd) -> Iterator[EtcdStore]:
    with store_of(local_etcd) as opened:
        yield opened


# -- keys and transactions


def test_a_stream_for_which_no_thread_could_be_started_harms_no_later_one(
    store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the limit of processes of a container: gRPC starts none on that connection any more."""
    lease = store.grant(30)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for _ in range(2):
        with monkeypatch.context() as limits:
            limits.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                store.keep_alive(lease.id, timeout=5.0)
        assert store.keep_alive(lease.id, timeout=5.0) == 30.0


def test_a_key_from_its_creation_to_its_end(store: EtcdStore, root: str) -> None:
    key = f"{root}x"
    assert store.get(key) is None
    created = store.put(key, b"one")
    changed = store.put(key, b"\xff\0two")
    found = store.get(key)
    assert found is not None
    assert found == (key, b"\xff\0two", created, changed, 2, 0)
    assert store.delete(key)
    assert not store.delete(key)
    assert store.get(key) is None


def test_a_prefix_is_read_in_pages_at_one_revision(
    store: EtcdStore, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "PAGE_SIZE", 3)
    for number in range(10):
        store.put(f"{root}k{number}", b"v")
    last = store.put(f"{root}k5", b"w")
    store.put(f"{root[:-1]}0", b"not below it")
    found = store.range(root)
    assert [kv.key for kv in found.items] == [f"{root}k{number}" for number in range(10)]
    assert found.revision > last
    assert [kv.value for kv in store.range(root, keys_only=True).items] == [b""] * 10
    assert delete_below(store, root) == 10
    assert store.range(root).items == []
    assert store.delete(f"{root[:-1]}0")


def test_a_prefix_is_read_again_when_etcd_compacts_between_two_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PAGE_SIZE", 2)
    with LocalEtcd() as etcd, store_of(etcd) as store, store_of(etcd) as other:
        for number in range(6):
            store.put(f"/discordha/k{number}", b"old")
        pages: list[int] = []

        def compact_after_the_first_page(found: Any) -> Any:
            pages.append(1)
            if len(pages) == 1:
                for number in range(6):
                    other.put(f"/discordha/k{number}", b"new")
                etcd.compact()
            return key_value(found)

        monkeypatch.setattr(client_module, "key_value", compact_after_the_first_page)
        assert [kv.value for kv in store.range("/discordha/").items] == [b"new"] * 6


def test_a_transaction_does_one_branch_or_the_other(store: EtcdStore, root: str) -> None:
    a, b = f"{root}a", f"{root}b"
    nothing = [Delete(f"{root}absent")]
    revision = store.put(a, b"one")
    for right, wrong in [
        (Compare.version(a, 1), Compare.version(a, 0)),
        (Compare.create_revision(a, revision), Compare.create_revision(a, revision + 1)),
        (Compare.mod_revision(a, revision), Compare.mod_revision(a, 0)),
        (Compare.value(a, b"one"), Compare.value(a, b"two")),
        (Compare.version(b, 0), Compare.version(b, 1)),
    ]:
        assert store.txn([right], nothing).succeeded
        assert not store.txn([wrong], nothing).succeeded
        assert not store.txn([right, wrong], nothing).succeeded
    done = store.txn([Compare.version(b, 0)], [Put(b, b"two"), GetPrefix(root), Delete(f"{root}c")], [Get(a)])
    assert done.succeeded
    assert done.responses[0] == PutDone()
    assert isinstance(done.responses[1], list)
    assert [kv.key for kv in done.responses[1]] == [a, b]
    assert done.responses[2] == DeleteDone(0)
    refused = store.txn([Compare.version(b, 0)], [Put(b, b"three")], [Get(a), Get(f"{root}c")])
    assert not refused.succeeded
    assert isinstance(refused.responses[0], list)
    assert refused.responses[0][0].value == b"one"
    assert refused.responses[1] == []


def test_nested_transactions_answer_each_for_itself_at_one_revision(store: EtcdStore, root: str) -> None:
    store.put(f"{root}3", b"taken")
    claims = [
        Txn(
            (Compare.version(f"{root}{n}", 0),),
            (Put(f"{root}{n}", b"mine"),),
            (Get(f"{root}{n}"), Txn((), (), ())),
        )
        for n in range(100)
    ]
    whole = store.txn((), claims)
    assert whole.succeeded
    assert len(whole.responses) == 100
    for number, answer in enumerate(whole.responses):
        assert isinstance(answer, TxnResult)
        assert answer.revision == whole.revision
        assert answer.succeeded == (number != 3)
    third = whole.responses[3]
    assert isinstance(third, TxnResult)
    assert isinstance(third.responses[0], list)
    assert third.responses[0][0].value == b"taken"
    assert third.responses[1] == TxnResult(True, whole.revision, [])
    found = store.get(f"{root}7")
    assert found is not None
    assert found.mod_revision == whole.revision


def test_what_etcd_refuses_as_such_is_not_called_an_outage(store: EtcdStore, root: str) -> None:
    with pytest.raises(RequestRefused, match="duplicate key"):
        store.txn([], [Put(f"{root}a", b"1"), Put(f"{root}a", b"2")])
    with pytest.raises(RequestRefused, match="too many operations"):
        store.txn([], [Delete(f"{root}{number}") for number in range(129)])
    with pytest.raises(RequestRefused, match="too large"):
        store.put(f"{root}a", b"x" * 2_000_000)
    with pytest.raises(RequestRefused, match="larger than max"):  # the server's gRPC says so
        store.put(f"{root}a", b"x" * 3_000_000)
    with pytest.raises(RequestRefused, match="UTF-8"):
        store.txn([], [Put(f"{root}\udc80", b"x")])
    for reads in ([], [Get(f"{root}a")], [GetPrefix(root), Get(f"{root}b")]):
        with pytest.raises(RequestRefused, match="only reads"):
            store.txn([Compare.version(f"{root}a", 0)], reads, reads)
    assert store.get(f"{root}a") is None


# -- leases


def test_a_lease_lives_while_it_is_renewed_and_takes_its_keys_along(store: EtcdStore, root: str) -> None:
    lease = store.grant(29.3)
    assert lease.ttl == 30.0
    assert store.keep_alive(lease.id) == 30.0
    store.put(f"{root}a", b"1", lease=lease.id)
    found = store.get(f"{root}a")
    assert found is not None
    assert found.lease == lease.id
    store.revoke(lease.id)
    assert store.get(f"{root}a") is None
    assert store.keep_alive(lease.id) == 0.0
    store.revoke(lease.id)
    with pytest.raises(LeaseNotFound):
        store.put(f"{root}a", b"1", lease=lease.id)
    with pytest.raises(LeaseNotFound):
        store.txn([], [Txn((), (Put(f"{root}a", b"1", lease.id),))])
    assert store.get(f"{root}a") is None


# -- faults


def test_nobody_there() -> None:
    store = EtcdStore(StoreSettings(("127.0.0.1:1", "127.0.0.1:2"), timeout=5.0))
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1") as caught:
        store.put("a", b"1")
    assert not caught.value.maybe_applied
    assert time.monotonic() - begun < 2.0
    assert all(member.error for member in store.status(timeout=1.0))
    store.close()


def test_a_paused_etcd_fails_calls_by_their_timeout_and_is_used_again_at_once() -> None:
    with LocalEtcd() as etcd, store_of(etcd, timeout=60.0) as store:
        store.put("/discordha/a", b"1")
        etcd.member(0).pause()
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="did not answer") as read:
            store.get("/discordha/a", timeout=0.3)
        with pytest.raises(StoreUnavailable, match="did not answer") as write:
            store.put("/discordha/a", b"2", timeout=0.3)
        assert time.monotonic() - begun < 10.0
        assert not read.value.maybe_applied
        assert write.value.maybe_applied
        etcd.member(0).resume()
        store.get("/discordha/a", timeout=2.0)


def test_close_ends_calls_in_flight() -> None:
    with LocalEtcd() as etcd:
        store = EtcdStore(settings_of(etcd, timeout=60.0))
        store.put("/discordha/a", b"1")
        etcd.member(0).pause()
        errors: list[BaseException] = []

        def call() -> None:
            try:
                store.put("/discordha/a", b"2")
            except StoreUnavailable as error:
                errors.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        wait_for(lambda: store.calls == 2, 5, "the call to be made")
        threading.Event().wait(0.1)
        store.close()
        thread.join(5)
        assert not thread.is_alive()
        assert errors
        with pytest.raises(StoreUnavailable, match="closed"):
            store.get("/discordha/a")
        store.close()


def outage_of(
    store: EtcdStore, fault: Any, *, threads: int = 8, for_at_least: float = 2.0
) -> tuple[list[int], float]:
    """Puts from many threads while something breaks. Returns how many calls of each thread hung before they
    failed, and the longest gap between two answers. A cluster without a leader fails calls at once, any
    number of them."""
    stop = threading.Event()
    hung = [0] * threads
    answered: list[float] = []

    def work(number: int) -> None:
        count = 0
        while not stop.is_set():
            begun = time.monotonic()
            try:
                store.put(f"/discordha/t{number}", str(count).encode(), timeout=1.0)
                answered.append(time.monotonic())
                count += 1
            except StoreUnavailable:
                hung[number] += time.monotonic() - begun >= 0.5
            stop.wait(0.005)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        wait_for(lambda: len(answered) > 50, 20, "writes to go through")
        fault()
        broken_at = time.monotonic()
        wait_for(lambda: answered[-1] > broken_at + for_at_least, 30, "writes to go through again")
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    moments = sorted(answered)
    return hung, max(after - before for before, after in pairwise(moments))


def connected(store: EtcdStore) -> str:
    return store.endpoint


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_the_connected_member_of_three_fails(local_etcd_cluster: LocalEtcd, fault: str) -> None:
    etcd = local_etcd_cluster
    with store_of(etcd) as store:
        store.put("/discordha/a", b"1")
        index = etcd.endpoints.index(connected(store))
        hung, gap = outage_of(store, getattr(etcd.member(index), fault))
        assert connected(store) != etcd.endpoints[index]
        # One call in flight for each thread, and while a dead leader is replaced another.
        assert max(hung) <= 4, hung
        assert gap < 4.5
        etcd.member(index).resume()


def test_a_connection_that_swallows_everything_is_left_for_another(local_etcd_cluster: LocalEtcd) -> None:
    etcd = local_etcd_cluster
    with FaultProxy.to(etcd.endpoints[0]) as first, FaultProxy.to(etcd.endpoints[1]) as second:
        proxies = {proxy.endpoint: proxy for proxy in (first, second)}
        with store_of(etcd, endpoints=tuple(proxies)) as store:
            store.put("/discordha/a", b"1")
            hung, gap = outage_of(store, proxies[connected(store)].black_hole, threads=4)
        assert max(hung) <= 4, hung
        assert gap < 6.0


def test_status_of_members_dead_and_alive(local_etcd_cluster: LocalEtcd) -> None:
    etcd = local_etcd_cluster
    with store_of(etcd) as store:
        etcd.leader()
        wait_for(lambda: sum(member.is_leader for member in store.status()) == 1, 10, "one leader")
        found = store.status()
        assert [member.endpoint for member in found] == etcd.endpoints
        assert all(member.error is None and member.version and member.db_size > 0 for member in found)
        assert all(0 < member.latency < 2 for member in found)
        etcd.member(0).pause()
        etcd.member(1).kill()
        begun = time.monotonic()
        found = store.status(timeout=0.5)
        assert time.monotonic() - begun < 2.0
        assert [bool(member.error) for member in found] == [True, True, False]
        etcd.member(0).resume()


def test_a_full_store_says_what_to_do() -> None:
    with LocalEtcd(flags=("--quota-backend-bytes=1000000",)) as etcd, store_of(etcd) as store:

        def fill() -> None:
            # etcd compares its quota with what it has committed to its file, ten times a second.
            for number in range(3000):
                store.put(f"/discordha/{number % 50}", b"x" * 100_000)

        with pytest.raises(StoreUnavailable, match="compact and defragment") as caught:
            fill()
        assert not caught.value.maybe_applied
        assert store.get("/discordha/0") is not None

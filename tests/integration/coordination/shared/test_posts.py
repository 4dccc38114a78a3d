"""Posts between replicas while connections break and etcd compacts: each once, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from store_helpers import store_of

from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.store import Store
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.shared.posts import (
    ASK,
    BROADCAST,
    EVENT,
    LARGEST_POST,
    Answer,
    Post,
    Posts,
    posts_prefix,
)
from discordha.errors import StoreUnavailable
from discordha.testing import FaultProxy, LocalEtcd, wait_for


@contextmanager
def posts_of(
    store: Store, root: str, name: str, deliver: list[Post] | None = None, *, retention: float = 600.0
) -> Iterator[Posts]:
    commit = GroupCommit(store)
    commit.start()
    posts = Posts(store, commit, root, name, retention=retention, retry_for=2.0, silence=3.0)
    if deliver is not None:
        posts.listen(deliver.append)
    posts.start(10.0)
    try:
        yield posts
    finally:
        posts.stop()
        commit.stop()


@pytest.fixture(params=["etcd", "memory"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with store_of(request.getfixturevalue("local_etcd")) as found:
        yield found


def bodies(found: list[Post]) -> list[object]:
    return [post.body for post in found]


def test_each_once_and_in_order_over_losses_and_compaction(local_etcd: LocalEtcd, root: str) -> None:
    found: list[Post] = []
    with (
        FaultProxy.to(local_etcd.endpoints[0]) as proxy,
        store_of(local_etcd) as sending,
        store_of(local_etcd, endpoints=[proxy.endpoint]) as getting,
        posts_of(sending, root, "a") as sender,
    ):
        sender.send(BROADCAST, "note", "before anybody listened")
        event = sender.send(EVENT, "event", ["kept for those who come later"])
        with posts_of(getting, root, "b", found) as receiver:
            for number in range(10):
                sender.send(BROADCAST, "note", number)
            wait_for(lambda: len(found) == 12, 10, lambda: f"twelve posts, not {found}")
            proxy.down()
            for number in range(10, 20):
                sender.send(BROADCAST, "note", number)
            proxy.heal()
            wait_for(lambda: len(found) == 22, 20, lambda: f"what was sent meanwhile: {found}")
            proxy.down()
            for number in range(20, 30):
                sender.send(BROADCAST, "note", number)
            local_etcd.compact()
            proxy.heal()
            wait_for(lambda: len(found) == 32, 20, lambda: f"what compaction left: {found}")
            assert receiver.missed == 0
    assert all(post.is_old for post in found[:2])
    assert (found[1].id, found[1].sender) == (event, "a")
    assert bodies(found[2:]) == list(range(30))
    assert not any(post.is_old for post in found[2:])


def test_a_replica_that_was_cut_off_for_long_says_so(
    local_etcd: LocalEtcd, root: str, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[Post] = []
    with (
        FaultProxy.to(local_etcd.endpoints[0]) as proxy,
        store_of(local_etcd) as sending,
        store_of(local_etcd, endpoints=[proxy.endpoint]) as getting,
        posts_of(sending, root, "a", retention=2.0) as sender,
        posts_of(getting, root, "b", found, retention=2.0) as receiver,
    ):
        proxy.down()
        sender.send(BROADCAST, "note", "goes")
        wait_for(lambda: not sending.range(posts_prefix(root)).items, 20, "the post to end")
        local_etcd.compact()
        proxy.heal()
        wait_for(lambda: receiver.missed == 1, 20, "the replica to know")
        sender.send(BROADCAST, "note", "arrives")
        wait_for(lambda: bodies(found) == ["arrives"], 10, lambda: f"the next post: {found}")
    assert "it may have missed broadcasts" in caplog.text


def test_a_token_makes_one_post(store: Store, root: str) -> None:
    found: list[Post] = []
    with posts_of(store, root, "a", found) as posts:
        assert posts.send(BROADCAST, "note", 1, "token") == posts.send(BROADCAST, "note", 1, "token")
        posts.send(BROADCAST, "note", 2)
        wait_for(lambda: len(found) == 2, 10, lambda: f"two posts, not {found}")
        assert bodies(found) == [1, 2]


def test_a_lost_lease_is_replaced(store: Store, root: str) -> None:
    found: list[Post] = []
    with posts_of(store, root, "a", found) as posts:
        posts.send(BROADCAST, "note", 1)
        store.revoke(posts._lease)
        posts.send(BROADCAST, "note", 2)
        wait_for(lambda: len(found) == 2, 10, lambda: f"two posts, not {found}")


def test_what_is_too_large_and_what_cannot_be_read(
    store: Store, root: str, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[Post] = []
    with posts_of(store, root, "a", found) as posts:
        with pytest.raises(ValueError, match=r"keep large things in ha\.cache"):
            posts.send(BROADCAST, "note", "x" * LARGEST_POST)
        with pytest.raises(TypeError, match="JSON can't hold"):
            posts.send(BROADCAST, "note", {1, 2})
        store.put(f"{posts_prefix(root)}strange", b'{"v":9}')
        posts.send(BROADCAST, "note", 1)
        wait_for(lambda: len(found) == 1, 10, "the next post")
    assert "strange is not read" in caplog.text


def test_answers_and_who_did_not_answer(store: Store, root: str) -> None:
    with posts_of(store, root, "a", []) as a:
        b = Posts(store, a._commit, root, "b", retention=600.0, retry_for=2.0, silence=3.0)

        def take(question: Post) -> None:
            if question.kind == ASK and b.is_open(question):
                b.answer(question, Answer(question.body + 1, None))

        b.listen(lambda question: threading.Thread(target=take, args=(question,)).start())
        b.start(10.0)
        live = {"b"}
        begun = time.monotonic()
        assert a.ask("sum", 1, 10.0, lambda: live) == ({"b": Answer(2, None)}, [])
        live.add("c")
        assert a.ask("sum", 2, 0.3, lambda: live) == ({"b": Answer(3, None)}, ["c"])
        # One that dies is not waited for.
        asked = iter([{"b", "c"}])
        assert a.ask("sum", 3, 60.0, lambda: next(asked, {"b"})) == ({"b": Answer(4, None)}, ["c"])
        assert time.monotonic() < begun + 30
        late = Post("no such question", ASK, "sum", 1, "a", lease=12345)
        assert not b.is_open(late)
        b.answer(late, Answer(1, None))  # goes nowhere
        b.stop()
        left = store.range(f"{root.removesuffix('/')}.data/").items
        assert not [kv.key for kv in left if "marker" not in kv.key], "nothing stays of a question"


def test_a_store_that_does_not_answer_is_told_in_time(local_etcd: LocalEtcd, root: str) -> None:
    with (
        FaultProxy.to(local_etcd.endpoints[0]) as proxy,
        store_of(local_etcd, endpoints=[proxy.endpoint], timeout=1.0) as store,
        posts_of(store, root, "a") as posts,
    ):
        posts.send(BROADCAST, "note", 1)
        proxy.down()
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            posts.send(BROADCAST, "note", 2)
        assert time.monotonic() - begun >= 2.0  # it was tried again
        with pytest.raises(StoreUnavailable):
            posts.ask("sum", 1, 0.5, lambda: {"b"})
        proxy.heal()
        assert posts.send(BROADCAST, "note", 3)

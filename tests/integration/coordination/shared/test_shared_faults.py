"""Shared caches while etcd's leader is killed: no update is lost or counted twice, nothing stale is read."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from shared_node import Node
from store_helpers import settings_of

from discordha.coordination.etcd.store import Compare, Op, Store, TxnResult
from discordha.coordination.shared.counters import WRITERS, Counter, Counters, value_after
from discordha.errors import StoreUnavailable
from discordha.testing import LocalEtcd, wait_for


class Workers:
    """Threads that work until they are told to stop."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def add(self, work: Callable[[], None]) -> None:
        def repeat() -> None:
            try:
                while not self.over.is_set():
                    work()
            except BaseException as error:  # noqa: BLE001
                self.errors.append(error)

        self._threads.append(threading.Thread(target=repeat))
        self._threads[-1].start()

    def stop(self) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(60)
        assert not self.errors, self.errors


def test_no_update_is_lost_and_nothing_stale_is_read_though_the_leader_is_killed(
    local_etcd_cluster: LocalEtcd, root: str
) -> None:
    etcd = local_etcd_cluster
    with ExitStack() as ends:
        nodes = [
            ends.enter_context(Node(settings_of(etcd, timeout=2.0), root, name, ttl=3.0)) for name in "abc"
        ]
        workers = Workers()
        counted: list[list[int]] = [[] for _ in nodes]
        unknown = [0]
        written = [0]  # what the one writer has been told that it has written
        tried = [0]
        stale: list[tuple[str, int, int]] = []
        reads = [0, 0]
        outages: list[float] = []

        def count(node: Node, numbers: list[int]) -> None:
            begun = time.monotonic()
            try:
                numbers.append(node.cache("c").increment("n"))
            except StoreUnavailable as error:
                unknown[0] += error.maybe_applied
            outages.append(time.monotonic() - begun)

        def write() -> None:
            tried[0] += 1
            try:
                nodes[0].cache("c").set("register", tried[0])
                written[0] = tried[0]
            except StoreUnavailable:
                pass

        def read(node: Node, local: bool, seen: list[int]) -> None:
            floor = seen[-1] if local else max(written[0], seen[-1])
            try:
                value = node.cache("c", local=local).get("register", 0)
            except StoreUnavailable:
                return
            if value < floor or value > tried[0]:
                stale.append(("local" if local else "remote", floor, value))
            seen[-1] = value
            reads[local] += 1
            if local:
                threading.Event().wait(0.001)

        for node, numbers in zip(nodes, counted, strict=True):
            for _ in range(4):
                workers.add(lambda node=node, numbers=numbers: count(node, numbers))
        workers.add(write)
        for node in nodes[1:]:
            seen, seen_local = [0], [0]
            workers.add(lambda node=node, seen=seen: read(node, False, seen))
            workers.add(lambda node=node, seen=seen_local: read(node, True, seen))
        try:
            for _ in range(2):
                before = sum(map(len, counted))
                wait_for(lambda before=before: sum(map(len, counted)) > before + 300, 30, "some increments")
                leader = etcd.leader()
                etcd.crash(leader.index)
                before, was = sum(map(len, counted)), written[0]
                wait_for(lambda before=before: sum(map(len, counted)) > before + 300, 30, "more increments")
                wait_for(lambda was=was: written[0] > was + 50, 30, "more writes")
                leader.restart()
        finally:
            workers.stop()
        assert etcd.differences() == [], "what is wrong below would be etcd's own doing"
        numbers = [number for each in counted for number in each]
        value = nodes[0].cache_read("c", "n")
        print(
            f"{len(numbers)} increments, {unknown[0]} unknown, value {value}; {tried[0]} writes; "
            f"reads {reads}; longest call {max(outages):.2f} s"
        )
        assert len(set(numbers)) == len(numbers)
        assert len(numbers) <= value <= len(numbers) + unknown[0]
        assert not stale
        assert min(reads) > 100
        wait_for(
            lambda: nodes[1].cache("c", local=True).get("register") == nodes[1].cache("c").get("register"), 10
        )


class Forgetful:
    """A store that loses some transactions, and the answers to others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._random = random.Random(7)
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def txn(
        self, compare: Sequence[Compare], success: Sequence[Op], failure: Sequence[Op] = (), **options: Any
    ) -> TxnResult:
        fate = self._random.random()
        if fate < 0.3:
            self.lost += 1
            raise StoreUnavailable("lost on the way there", maybe_applied=True)
        result = self._store.txn(compare, success, failure, **options)
        if fate < 0.6:
            self.lost += 1
            raise StoreUnavailable("lost on the way back", maybe_applied=True)
        return result


def test_an_increment_whose_answer_is_lost_is_counted_once(local_etcd: LocalEtcd, root: str) -> None:
    with Node(settings_of(local_etcd), root, "a") as a, Node(settings_of(local_etcd), root, "b") as b:
        caches = a.shared.caches
        forgetful = Forgetful(caches._store)
        caches._store = caches._commit._store = forgetful  # type: ignore[assignment]
        numbers: list[int] = []
        over = threading.Event()

        def other() -> None:
            while not over.is_set():
                numbers.append(b.cache("c", ttl=60.0).increment("n"))
                over.wait(0.02)

        thread = threading.Thread(target=other)
        thread.start()
        try:
            for _ in range(25):
                numbers.append(a.cache("c", ttl=60.0).increment("n"))
        finally:
            over.set()
            thread.join()
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
        assert forgetful.lost >= 12
        assert b.cache_read("c", "n") == len(numbers)


MANY = [(f"w{number}", number, number) for number in range(WRITERS)]


def counter(version: int, since: int = 1, *writers: tuple[str, int, int], created: int = 5) -> Counter:
    return Counter(0, version, created, created + version, since=since, writers=writers)


@pytest.mark.parametrize(
    ("before", "found", "expected"),
    [
        (counter(1, 1, ("a", 1, 1)), counter(3, 1, ("me", 7, 2), ("a", 2, 3)), 2),
        (counter(1, 1, ("a", 1, 1)), counter(3, 1, ("me", 6, 1), ("a", 2, 3)), None),
        (counter(1, 1, ("a", 1, 1)), counter(30, 1, ("a", 30, 30)), None),
        (Counter(), counter(2, 1, ("a", 1, 1)), None),
        (Counter(), counter(2, 1, ("me", 7, 1), ("a", 1, 2)), 1),
        (counter(4, 0), counter(6, 5, ("a", 1, 1)), None),  # set, then counted up
        # Set by somebody since, or begun anew, or gone, or too many others: nobody knows.
        (counter(1, 1, ("a", 1, 1)), counter(3, 3, ("a", 9, 1)), "unknown"),
        (counter(1, 1, ("a", 1, 1)), counter(3, 0), "unknown"),
        (counter(1, 1, ("a", 1, 1)), counter(1, 1, ("a", 9, 1), created=50), "unknown"),
        (counter(1, 1, ("a", 1, 1)), Counter(), "unknown"),
        (counter(1, 1, ("a", 1, 1)), counter(20, 1, *MANY), "unknown"),
        (counter(1, 1, ("a", 1, 1)), counter(20, 1, *MANY[1:], ("me", 6, 6)), None),
    ],
)
def test_whether_a_lost_write_was_done(before: Counter, found: Counter, expected: Any) -> None:
    if expected == "unknown":
        with pytest.raises(StoreUnavailable) as error:
            value_after("me", 7, found, before)
        assert error.value.maybe_applied
    else:
        assert value_after("me", 7, found, before) == expected


def test_a_counter_that_can_not_be_written_ends_in_time(local_etcd: LocalEtcd, root: str) -> None:
    with Node(settings_of(local_etcd), root, "a") as a:

        class Refusing:
            def __getattr__(self, name: str) -> Any:
                return getattr(a.shared.caches._store, name)

            def txn(self, *_: Any, **__: Any) -> TxnResult:
                raise StoreUnavailable("no leader")

        a.shared.caches._commit._store = Refusing()  # type: ignore[assignment]
        counters = Counters(a.shared.caches, retry_for=0.3)
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable) as error:
            counters.add("c", "n", 1, None)
        assert not error.value.maybe_applied
        assert 0.2 < time.monotonic() - begun < 5.0

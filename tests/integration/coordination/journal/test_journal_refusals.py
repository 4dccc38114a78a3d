"""Whatever etcd answers to what the journal writes, entries go on: tried again, or let go with the reason."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from journal_node import Node
from store_helpers import puts_of

from discordha.coordination.claims.records import MAX_FAILURES
from discordha.coordination.etcd.group_commit import Operation
from discordha.coordination.etcd.store import Put, RequestRefused, StoreRefused, Txn
from discordha.testing import LocalEtcd, wait_for

Nodes = Callable[[str], Node]


@pytest.fixture
def node(local_etcd: LocalEtcd, root: str) -> Iterator[Nodes]:
    """Makes nodes of one bot."""
    made: list[Node] = []

    def make(name: str) -> Node:
        new = Node(local_etcd, root, name)
        made.append(new)
        new.start()
        return new

    yield make
    for each in made:
        each.coordination.stop()


class Refuser:
    """Refuses some of a node's writes; ``error`` tells which."""

    def __init__(self, node: Node, error: Callable[[str, bytes], Exception | None]) -> None:
        self.error = error
        self.refused = 0
        store: Any = node.coordination.store
        send = store.txn

        def txn(compare: Any, success: Any, failure: Any = (), **options: Any) -> Any:
            for put in puts_of(success):
                found = self.error(put.key, put.value)
                if found is not None:
                    self.refused += 1
                    raise found
            return send(compare, success, failure, **options)

        store.txn = txn


def takes_over(node: Nodes, *keys: str) -> tuple[Node, Node]:
    """A leader that died with an event begun, and its successor, which does not act yet."""
    first, second = node("a"), node("b")
    first.lead()
    for each in (first, second):
        each.receive(*keys)
    assert first.begin() is not None
    first.coordination.session.stop()
    return first, second


def test_an_equal_event_is_marked_after_one_whose_mark_is_refused(node: Nodes, root: str) -> None:
    leader = node("a")
    leader.lead()
    first: list[bytes] = []

    def error(key: str, value: bytes) -> Exception | None:
        if "/j/" not in key or value != (first or [value])[0]:
            return None
        first[:] = [value]
        return RequestRefused("for no reason")

    refuser = Refuser(leader, error)
    leader.receive("add", "add", "other")
    assert leader.work(3) == ["add 1 1", "add 2 1", "other 1 1"]
    wait_for(lambda: leader.settled(0), 10, lambda: f"no entries, not {leader.journal.keys()}")
    assert refuser.refused
    store = leader.coordination.store
    assert sorted(kv.version for kv in store.range(f"{root}j/0/").items) == [1, 1]


def test_an_attempt_is_noted_without_a_payload_that_etcd_refuses(node: Nodes, root: str) -> None:
    _, second = takes_over(node, "add")
    Refuser(second, lambda key, value: RequestRefused("too large") if b'"payload"' in value else None)
    second.lead()
    assert second.work() == ["add 1 2"]
    wait_for(lambda: second.settled(0), 10, "the mark")


@pytest.mark.parametrize("error", [StoreRefused("denied", by_key=True), TypeError("a bug")])
def test_an_attempt_that_is_refused_for_a_while_waits_and_is_made(node: Nodes, error: Exception) -> None:
    _, second = takes_over(node, "add")
    refuser = Refuser(second, lambda key, value: error if "/ja/" in key else None)
    second.lead()
    until, run = time.monotonic() + 1.2, 0
    while time.monotonic() < until:
        if second.line:
            assert second.begin() is None
            run += 1
    assert run == refuser.refused
    assert 2 <= run <= 4  # no hot loop
    refuser.error = lambda key, value: None
    wait_for(lambda: second.line, 5, "the event")
    assert second.work() == ["add 1 2"]
    wait_for(lambda: second.settled(0), 10, "the mark")


@pytest.mark.parametrize("error", [RequestRefused("for no reason"), TypeError("a bug")])
def test_an_attempt_that_is_refused_for_good_ends_in_a_dead_letter(
    node: Nodes, root: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discordha.coordination.journal.journal.ATTEMPT_PAUSE", 0.05)
    _, second = takes_over(node, "add", "next")
    refuser = Refuser(
        second, lambda key, value: error if "/ja/" in key and b'"event": "add"' in value else None
    )
    second.lead()
    ran: list[str] = []

    def goes_on() -> bool:
        ran.extend(second.work(len(second.line)))
        return second.settled(0)

    wait_for(goes_on, 10, lambda: f"no entries, not {second.journal.keys()}")
    assert ran == ["next 1 2"]  # what stands behind it in its lane runs
    assert second.buried == ["add"]
    store = second.coordination.store
    letter = json.loads(store.get(f"{root}dead/add").value)  # type: ignore[union-attr]
    assert letter["error"] == f"its attempt is refused: {error}"
    assert (letter["attempt"], letter["payload"]) == (1, '{"t":"add"}')
    assert len(store.range(f"{root}j/0/").items) == 2
    assert refuser.refused <= 2 + MAX_FAILURES  # no hot loop


def test_other_writes_do_not_wait_while_a_lost_retention_lease_is_replaced(node: Nodes, root: str) -> None:
    leader = node("a")
    leader.lead()
    parts = leader.coordination
    asked = threading.Event()
    grant = parts.store.grant

    def slow(ttl: float, **options: Any) -> Any:
        asked.set()
        time.sleep(1.0)
        return grant(ttl, **options)

    parts.store.revoke(parts.leases.current())
    parts.store.grant = slow  # type: ignore[method-assign]
    leader.receive("add")
    assert leader.work() == ["add 1 1"]
    assert asked.wait(5)
    started = time.monotonic()
    for number in range(10):
        key = f"{root}e/{number}"
        operation = Operation(Txn((), (Put(key, b"x", 0),)), (key,))
        parts.commit.execute((operation,))
        assert operation.value().succeeded
    assert time.monotonic() - started < 0.7
    assert leader.journal.under_way == 1
    wait_for(lambda: leader.settled(0), 10, "the mark")

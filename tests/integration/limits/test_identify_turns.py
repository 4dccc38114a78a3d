"""Turns at IDENTIFY on a real etcd: several replicas' parts in one process, no Discord."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from discordha.config import Config
from discordha.coordination.node import CoordinationNode
from discordha.errors import StoreUnavailable
from discordha.limits import identify as identify_module
from discordha.limits.identify import Identify
from discordha.limits.session_limits import SessionLimits
from discordha.testing import LocalEtcd, wait_for

INTERVAL = 0.3


class Node:
    """One replica's part in it."""

    def __init__(
        self,
        etcd: LocalEtcd,
        root: str,
        name: str,
        *,
        remaining: int = 1000,
        interval: float = INTERVAL,
        ttl: float = 10.0,
    ) -> None:
        config = Config(token="MTIz.a.b", session_ttl=ttl, **etcd.client_settings())
        self.name = name
        self.limits = SessionLimits(8, 1000, remaining, 3600.0, 2, interval)
        self.needed = False
        self.coordination = CoordinationNode(config, root, name, dict)
        self.identify = Identify(
            self.coordination.session,
            self.coordination.identify_queue,
            self.coordination.identify_budget,
            live=lambda: self.coordination.members.live,
            needed=lambda key: self.needed,
            fetch=lambda: self.limits,
        )

    def start(self) -> Node:
        self.coordination.start()
        self.identify.start(self.limits)
        return self

    def stop(self) -> None:
        self.identify.stop()
        self.coordination.stop()

    async def take(self, shard: int, log: list[tuple[float, int, str]]) -> None:
        turn = await self.identify.turn(shard)
        assert turn.sent()
        log.append((time.monotonic(), shard % 2, self.name))
        await asyncio.sleep(0.01)  # Discord's answer
        turn.over()


@pytest.fixture
def nodes(local_etcd: LocalEtcd, root: str) -> Iterator[list[Node]]:
    with ExitStack() as ends:
        started = []
        for name in ("a", "b", "c"):
            node = Node(local_etcd, root, name).start()
            ends.callback(node.stop)
            started.append(node)
        yield started


@pytest.mark.parametrize("method", ["put", "txn"])
def test_a_lost_answer_holds_up_nobody(
    nodes: list[Node], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place is in etcd, or is used up, and its owner does not know."""
    first, second, _ = nodes
    store, lost = first.coordination.identify_queue._store, []
    call = getattr(store, method)

    def once(*args: Any, **options: Any) -> Any:
        answer = call(*args, **options)
        if not lost and "/iq/0/q/" in repr(args):
            lost.append(args)
            raise StoreUnavailable("the answer is lost", maybe_applied=True)
        return answer

    monkeypatch.setattr(store, method, once)
    log: list[tuple[float, int, str]] = []

    async def both() -> None:
        await asyncio.wait_for(asyncio.gather(first.take(0, log), second.take(0, log)), 25)

    asyncio.run(both())
    assert lost
    assert sorted(name for _, _, name in log) == ["a", "b"]


def test_turns_of_each_bucket_keep_their_distance(nodes: list[Node]) -> None:
    log: list[tuple[float, int, str]] = []

    async def all_at_once() -> None:
        await asyncio.gather(*(node.take(shard, log) for shard in range(4) for node in nodes))

    asyncio.run(asyncio.wait_for(all_at_once(), 60))
    for bucket in (0, 1):
        mine = [(at, name) for at, its, name in log if its == bucket]
        gaps = [after[0] - before[0] for before, after in itertools.pairwise(mine)]
        assert min(gaps) >= INTERVAL, gaps
        assert len(mine) == 6
        # Replicas take turns: none has its second before each has had its first.
        assert {name for _, name in mine[:3]} == {"a", "b", "c"}
    day = nodes[0].coordination.identify_budget.day
    assert day is not None
    assert day.remaining == 1000 - 12
    assert len({node.identify.status()["slot"] for node in nodes}) == 3


def test_the_turn_of_a_dead_replica_is_free_again(local_etcd: LocalEtcd, root: str) -> None:
    dead = Node(local_etcd, root, "dead", ttl=2.0).start()
    begun = time.monotonic()

    async def take_and_die() -> None:
        turn = await dead.identify.turn(0)
        assert turn.sent()

    asyncio.run(asyncio.wait_for(take_and_die(), 20))
    dead.identify.stop(clean=False)  # its turn is not given back, nor its session revoked
    dead.coordination.session.stop(revoke=False)
    dead.coordination.stop()
    heir = Node(local_etcd, root, "heir").start()
    try:
        log: list[tuple[float, int, str]] = []
        asyncio.run(asyncio.wait_for(heir.take(0, log), 30))
        assert log[0][0] - begun >= INTERVAL
        wait_for(lambda: heir.identify.status()["crashes"] == 1, 10, "the crash to be counted")
        assert heir.identify.status()["used_by_crashes"] == 1
    finally:
        heir.stop()


def test_a_cancelled_request_leaves_the_queue(nodes: list[Node]) -> None:
    one, other, _ = nodes

    async def give_up() -> None:
        turn = await one.identify.turn(0)
        waiting = asyncio.ensure_future(other.identify.turn(0))
        await asyncio.sleep(0.2)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        turn.over()

    asyncio.run(asyncio.wait_for(give_up(), 20))
    queue = one.coordination.identify_queue
    wait_for(lambda: not any("/q/" in key for key in queue.keys), 10, "no place to be left")
    asyncio.run(asyncio.wait_for(other.take(0, []), 20))


def test_below_the_reserve_only_needed_shards_identify(local_etcd: LocalEtcd, root: str) -> None:
    node = Node(local_etcd, root, "a", remaining=60).start()
    try:

        async def wait_and_be_needed() -> None:
            waiting = asyncio.ensure_future(node.identify.turn(0))
            while (reason := node.identify.status()["reason"]) is None:
                await asyncio.sleep(0.01)
            assert "60 IDENTIFYs are left today" in reason
            assert not waiting.done()
            node.needed = True
            turn = await waiting
            turn.over()

        asyncio.run(asyncio.wait_for(wait_and_be_needed(), 20))
        wait_for(lambda: node.identify.status()["remaining"] == 59, 5, "the budget to be spent")
    finally:
        node.stop()


def test_without_etcd_a_shard_identifies_after_a_while(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identify_module, "UNSHARED_AFTER", 0.5)
    with LocalEtcd() as etcd:
        node = Node(etcd, root, "a", ttl=2.0).start()
        try:
            log: list[tuple[float, int, str]] = []
            asyncio.run(asyncio.wait_for(node.take(0, log), 20))
            etcd.stop_all()
            wait_for(lambda: node.coordination.session.current is None, 20, "the session to be lost")
            asyncio.run(asyncio.wait_for(node.take(0, log), 20))
            assert log[1][0] - log[0][0] >= INTERVAL
            etcd.start_all()
        finally:
            node.stop()

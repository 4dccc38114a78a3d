"""Handovers of one shard, two at once, with requests and faults between their steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.coordination.journal.entries import JournalKeys
from discordha.leader.shard import LeaderShard
from discordha.testing import wait_for


class Etcd:
    """Stands for a shard's journal and election. Leaving carries blocks until it ``may_go``."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.takes = True
        self.inside = 0
        self.most_inside = 0
        self.leadership: Any = SimpleNamespace(alive=True)
        self.leader = None
        self.participates = True
        self.wanted = True
        self.resigned: list[bool] = []

    def hand_over(self, leadership: Any, timeout: float) -> bool:
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        assert self.may_go.wait(10)
        self.inside -= 1
        return self.takes

    def resign(self, again: bool, *, timeout: float) -> bool:
        self.leadership = None
        self.wanted = again and self.participates
        self.resigned.append(again)
        return True

    def campaign(self) -> None:
        self.wanted = self.participates

    def withdraw(self) -> None:
        self.participates = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **options: None


class Bench:
    """A leader that is connected."""

    def __init__(self) -> None:
        self.etcd = Etcd()
        nothing: Any = None
        coordination: Any = SimpleNamespace(
            **dict.fromkeys(("store", "commit", "leases", "last_attempts", "session")),
            plan=SimpleNamespace(serving=None),
            members=SimpleNamespace(poke=lambda: None),
            root="/",
            journal_keys=JournalKeys("/"),
            elections=SimpleNamespace(open=lambda *arguments, **options: self.etcd),
            exchange=self.etcd,
        )
        config: Any = SimpleNamespace(
            max_attempts=3,
            queue_size=10,
            retention=600.0,
            participate_in_election=True,
            ha=True,
            catch_up=600.0,
        )
        parts: Any = (config, coordination, "me", nothing, nothing, nothing, lambda: None)
        self.shard = LeaderShard(parts, 0, 0, None, guard=(), may_act=lambda: True)
        journal: Any = self.etcd
        self.shard.journal = journal
        self.old = True
        policy: Any = SimpleNamespace(session_began=self.session_began, may_stand=lambda leader: self.old)
        self.shard.candidacy = policy
        self.shard.is_connected = self.shard.is_candidate = True
        self.threads: list[threading.Thread] = []

    def session_began(self) -> None:
        self.old = False

    def tend(self) -> None:
        """The leader's thread takes the request, and is stopped by etcd."""
        again = self.shard.resigns
        assert again is not None
        self.hand_over(again)
        wait_for(lambda: self.etcd.inside == 1, 10, "it to leave carries")

    def hand_over(self, again: bool) -> None:
        """On a thread of its own."""

        def run() -> None:
            self.shard.hand_over(again=again, timeout=5.0)

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def join(self) -> None:
        self.etcd.may_go.set()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.join()


def test_a_drain_while_the_leader_resigns_is_the_end(bench: Bench) -> None:
    bench.shard.ask_to_resign(again=True)
    bench.tend()
    bench.shard.leave()
    bench.hand_over(again=False)
    bench.join()
    bench.shard.stand()
    assert bench.etcd.most_inside == 1
    assert not bench.etcd.wanted
    assert not bench.shard.is_candidate


@pytest.mark.parametrize("before", [True, False], ids=["asked before", "asked meanwhile"])
@pytest.mark.parametrize(
    "change",
    [
        lambda shard: shard.new_session(),
        lambda shard: shard.set_connected(False),
        lambda shard: shard.retire(),
        lambda shard: shard.leave(),
    ],
    ids=["new session", "deaf", "retires", "drains"],
)
def test_who_resigns_does_not_stand_again_when_it_must_not(
    bench: Bench, change: Callable[[LeaderShard], None], before: bool
) -> None:
    if before:
        change(bench.shard)
        bench.shard.ask_to_resign(again=True)
        bench.tend()
    else:
        bench.shard.ask_to_resign(again=True)
        bench.tend()
        change(bench.shard)
    bench.join()
    bench.shard.stand()
    if bench.shard.resigns is not None:
        bench.shard.hand_over(again=bench.shard.resigns, timeout=5.0)
        bench.shard.stand()
    assert not bench.etcd.wanted
    assert not bench.shard.is_candidate
    assert bench.shard.resigns is None


def test_a_leader_that_resigns_stands_again(bench: Bench) -> None:
    bench.shard.ask_to_resign(again=True)
    bench.tend()
    bench.join()
    assert bench.etcd.wanted
    assert bench.shard.is_candidate


def test_a_handover_that_etcd_did_not_take_is_none(bench: Bench) -> None:
    bench.etcd.takes = False
    bench.shard.ask_to_resign(again=False)
    bench.tend()
    bench.join()
    assert bench.etcd.leadership is not None
    assert not bench.etcd.resigned
    assert bench.shard.resigns is False
    bench.shard.stand()
    assert bench.shard.resigns is False
    bench.etcd.takes = True
    assert bench.shard.hand_over(again=False, timeout=5.0)
    assert bench.etcd.resigned == [False]
    assert bench.shard.resigns is None


def test_a_drain_whose_leadership_is_lost_meanwhile_ends(bench: Bench) -> None:
    bench.shard.leave()
    bench.etcd.leadership = None
    assert bench.shard.hand_over(again=False, timeout=5.0)
    assert bench.etcd.resigned == [False]
    bench.shard.stand()
    assert not bench.etcd.wanted

"""Shares of the bot's requests on a real etcd: whatever happens, they never add up to more than there is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from store_helpers import store_of, watch_components

import discordha.coordination.quotas.request_shares as shares_module
from discordha.coordination.quotas.request_shares import RESERVE_SLOTS, Shares
from discordha.coordination.session import Session
from discordha.testing import FaultProxy, LocalEtcd, wait_for

TTL = 6.0
TOTAL = 48


@pytest.fixture(autouse=True)
def _quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares_module, "TICK", 0.1)
    monkeypatch.setattr(shares_module, "WINDOW", 0.2)


class Meter:
    """A replica that wants so many requests a second."""

    def __init__(self) -> None:
        self.wanted = 0
        self.in_flight = 0
        self.number_refused = 0
        self.pauses: list[float] = []

    def want(self) -> int:
        return self.wanted

    def refused(self) -> int:
        return self.number_refused

    def changed(self) -> None:
        pass

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


class Node:
    """The parts of a replica that shares need."""

    def __init__(self, ends: ExitStack, etcd: LocalEtcd, root: str, name: str, endpoint: str = "") -> None:
        self.store = ends.enter_context(store_of(etcd, endpoints=[endpoint] if endpoint else (), timeout=1.0))
        self.meter = Meter()
        self.session = Session(self.store, ttl=TTL)
        self.shares = Shares(self.store, self.session, root, name, total=TOTAL, meter=self.meter)
        self.watch = watch_components(self.store, root, {"q": self.shares}, silence=60.0)

    def start(self) -> None:
        self.session.start(10)
        self.watch.start()
        assert self.watch.wait_synced(10)
        self.shares.start()

    def stop(self, *, revoke: bool = True) -> None:
        self.shares.stop()
        self.watch.stop()
        self.session.stop(revoke=revoke)

    @property
    def slots(self) -> int:
        """What it has of the total."""
        return self.shares.shared_slots()


@contextmanager
def nodes(
    etcd: LocalEtcd, root: str, count: int, *, endpoints: dict[int, str] | None = None
) -> Iterator[list[Node]]:
    """Nodes that run, under an eye that sees every sum."""
    with ExitStack() as ends:
        found = [
            Node(ends, etcd, root, f"n{index}", (endpoints or {}).get(index, "")) for index in range(count)
        ]
        over: list[list[int]] = []
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.001):
                slots = [node.slots for node in found]
                if sum(slots) > TOTAL:
                    over.append(slots)

        eye = threading.Thread(target=look)
        try:
            for node in found:
                node.start()
            eye.start()
            yield found
        finally:
            stop.set()
            eye.join()
            for node in found:
                node.stop()
        assert not over, over[:5]


def test_all_is_shared_out_and_follows_demand(local_etcd: LocalEtcd, root: str) -> None:
    with nodes(local_etcd, root, 4) as found:
        wait_for(lambda: all(node.slots >= 8 for node in found), 20, "even shares")
        found[1].meter.wanted = 100
        wait_for(lambda: found[1].slots == 42, 20, "all but the floors to the busy one")
        found[2].meter.wanted = 100
        wait_for(lambda: found[1].slots == found[2].slots == 22, 20, "both the same")
        found[1].meter.wanted = 0
        wait_for(lambda: found[2].slots == 42, 20, "the rest to move on")
        found[2].meter.wanted = 0
        wait_for(lambda: all(node.slots >= 8 for node in found), 20, "even shares again")
        before = sum(node.shares.writes for node in found)
        assert not threading.Event().wait(0.7)
        assert (
            sum(node.shares.writes for node in found) - before <= 4
        )  # when nothing changes, nothing is written


def test_a_share_with_requests_under_way_is_not_given_yet(local_etcd: LocalEtcd, root: str) -> None:
    with nodes(local_etcd, root, 2) as found:
        wait_for(lambda: all(node.slots == 24 for node in found), 20, "even shares")
        found[0].meter.in_flight = 20
        found[1].meter.wanted = 48
        wait_for(lambda: found[0].slots == 2, 20, "the idle one to hold back")
        assert not threading.Event().wait(0.7)
        assert found[1].slots == 24
        found[0].meter.in_flight = 1
        wait_for(lambda: found[1].slots == 46, 20, "the busy one to have it")


def test_shares_of_the_dead_go_to_the_living(local_etcd: LocalEtcd, root: str) -> None:
    with nodes(local_etcd, root, 3) as found:
        wait_for(lambda: all(node.slots == 16 for node in found), 20, "even shares")
        found[0].meter.number_refused = 70
        wait_for(lambda: found[1].shares.others_refused() == 70, 10, "the others to hear of it")
        found[0].stop(revoke=False)
        wait_for(lambda: found[1].slots == found[2].slots == 24, 20, "the others to have its share")
        assert found[0].shares.slots() == RESERVE_SLOTS
        assert found[1].shares.others_refused() == 70  # Discord remembers, too
        found[1].shares.report_pause(1.5)
        wait_for(lambda: found[2].meter.pauses == [1.5], 10, "the pause to arrive")


def test_a_replica_that_is_cut_off_falls_to_the_reserve(local_etcd: LocalEtcd, root: str) -> None:
    port = int(local_etcd.endpoints[0].rsplit(":", 1)[1])
    with (
        FaultProxy("127.0.0.1", port) as proxy,
        nodes(local_etcd, root, 3, endpoints={0: proxy.endpoint}) as found,
    ):
        wait_for(lambda: all(node.slots == 16 for node in found), 20, "even shares")
        for node in found:
            node.meter.wanted = 48
        proxy.black_hole()
        wait_for(lambda: found[0].shares.slots() == RESERVE_SLOTS, TTL + 10, "its session to be over")
        wait_for(lambda: found[1].slots == found[2].slots == 24, 20, "the others to have its share")
        proxy.heal()
        wait_for(lambda: all(node.slots == 16 for node in found), 20, "its share to be back")

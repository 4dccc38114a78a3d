"""Members and the coordination watch on a real etcd: who lives, who is preferred, who hears what."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from store_helpers import store_of, watch_components

from discordha.coordination.etcd.store import Store
from discordha.coordination.membership.members import Members
from discordha.coordination.session import Session
from discordha.testing import FaultProxy, LocalEtcd, wait_for


class Replica:
    """The coordination of one replica: session, watch, members."""

    def __init__(self, store: Store, root: str, name: str, *, ttl: float = 6.0) -> None:
        self.name = name
        self.load = 0
        self.faults: list[Exception] = []  # what the next descriptions raise
        self.changes: list[tuple[str, ...]] = []
        self.session = Session(store, ttl=ttl)
        self.members = Members(store, self.session, root, name, self._describe, interval=ttl / 3)
        self.members.listen(lambda: self.changes.append(tuple(sorted(self.members.records()))))
        self.watch = watch_components(store, root, {"m": self.members}, silence=ttl)
        self._stopped = False

    def _describe(self) -> dict[str, Any]:
        if self.faults:
            raise self.faults.pop()
        return {"load": self.load, "shards": {"0": 5}}

    def start(self) -> Replica:
        self.session.start(10)
        self.watch.start()
        self.members.start()
        self.members.set_state("ready")
        return self

    def stop(self, *, revoke: bool = True) -> None:
        self.members.stop()
        self.watch.stop()
        self.session.stop(revoke=revoke)


class Fleet:
    """Replicas that are stopped at the end."""

    def __init__(self, store: Store, root: str, ends: ExitStack) -> None:
        self._store, self._root, self._ends = store, root, ends

    def __call__(self, *names: str, store: Store | None = None, ttl: float = 6.0) -> list[Replica]:
        replicas = [Replica(store or self._store, self._root, name, ttl=ttl) for name in names]
        for replica in replicas:
            self._ends.callback(replica.stop)
            replica.start()
        return replicas


@pytest.fixture
def store(local_etcd: LocalEtcd) -> Iterator[Store]:
    with store_of(local_etcd) as opened:
        yield opened


@pytest.fixture
def fleet(store: Store, root: str) -> Iterator[Fleet]:
    with ExitStack() as ends:
        yield Fleet(store, root, ends)


def see(replicas: Sequence[Replica], *names: str) -> None:
    """Waits until all see exactly these, and all of them ready."""
    wait_for(
        lambda: all(
            replica.members.live == names
            # Live in its own eyes it is before its record arrives, and listeners hear of that a moment later.
            and replica.changes[-1:] == [names]
            and all(record.get("state") == "ready" for record in replica.members.records().values())
            for replica in replicas
        ),
        20,
        lambda: f"{names}, not {[(replica.members.live, replica.members.records()) for replica in replicas]}",
    )


def test_all_see_all_and_agree_who_is_preferred(fleet: Fleet) -> None:
    replicas = fleet("a", "b", "c")
    see(replicas, "a", "b", "c")
    for channel in range(200):
        assert sorted(replica.members.rank(f"c{channel}") for replica in replicas) == [0, 1, 2]
    preferred = [
        sum(replica.members.rank(f"c{channel}") == 0 for channel in range(200)) for replica in replicas
    ]
    assert all(count > 30 for count in preferred)
    record = replicas[0].members.records()["b"]
    assert record["replica"] == "b"
    assert record["pid"] == os.getpid()
    assert (record["format"], record["reads"]) == (2, 1)
    assert record["shards"] == {"0": 5}
    assert {"host", "version", "started", "state", "load"} <= set(record)


def test_a_replica_alone_is_preferred_for_everything(fleet: Fleet) -> None:
    (alone,) = fleet("a")
    see([alone], "a")
    assert {alone.members.rank(f"c{channel}") for channel in range(50)} == {0}


def test_a_dead_replica_is_gone_after_its_ttl_and_only_its_channels_move(fleet: Fleet) -> None:
    a, b, c = replicas = [*fleet("a", "b"), *fleet("c", ttl=3.0)]
    see(replicas, "a", "b", "c")
    channels = [f"c{number}" for number in range(300)]
    before = {name: next(r.name for r in replicas if r.members.rank(name) == 0) for name in channels}
    c.stop(revoke=False)
    assert a.members.live == ("a", "b", "c")
    see([a, b], "a", "b")
    after = {name: next(r.name for r in (a, b) if r.members.rank(name) == 0) for name in channels}
    assert all(after[name] == before[name] for name in channels if before[name] != "c")
    assert a.changes[-1] == ("a", "b")


def test_a_replica_that_drains_is_preferred_by_nobody(fleet: Fleet) -> None:
    a, b, c = replicas = fleet("a", "b", "c")
    see(replicas, "a", "b", "c")
    changes = [len(replica.changes) for replica in replicas]
    b.members.set_state("draining")
    wait_for(
        lambda: all(r.members.records()["b"]["state"] == "draining" for r in replicas),
        15,
        "all to know that b drains",
    )
    for channel in range(100):
        assert b.members.rank(f"c{channel}") == 2
        assert sorted((a.members.rank(f"c{channel}"), c.members.rank(f"c{channel}"))) == [0, 1]
    assert a.members.live == ("a", "b", "c")
    wait_for(
        lambda: [len(replica.changes) for replica in replicas] == [known + 1 for known in changes],
        15,
        "each to hear once that ranks have changed",
    )


def test_what_is_announced_stands_in_etcd_before_anything_written_after(
    fleet: Fleet, store: Store, root: str
) -> None:
    a, b = fleet("a", "b")
    see([a, b], "a", "b")
    version = a.members.version
    b.members.set_state("draining")
    assert b.members.flush(15.0)
    kv = store.get(f"{root}m/b")
    assert kv is not None
    assert b'"draining"' in kv.value
    wait_for(lambda: a.members.version > version, 15, "a to rank anew")
    assert {a.members.rank(f"c{channel}") for channel in range(50)} == {0}


def test_an_announcement_that_etcd_does_not_take_is_not_waited_for_for_long(
    local_etcd: LocalEtcd, fleet: Fleet
) -> None:
    with (
        FaultProxy.to(local_etcd.endpoints[0]) as proxy,
        store_of(local_etcd, endpoints=[proxy.endpoint]) as cut_off,
    ):
        (a,) = fleet("a", store=cut_off, ttl=2.0)
        see([a], "a")
        proxy.black_hole()
        assert not a.members.flush(0.2)
        wait_for(lambda: a.session.current is None, 10, "the session's end")
        assert not a.members.flush(60.0), "without a session there is nothing to wait for"
        proxy.heal()
        a.stop()
        assert not a.members.flush(60.0), "nor once it has stopped"


def test_the_record_comes_back_with_the_next_session(fleet: Fleet, store: Store, root: str) -> None:
    a, b = fleet("a", "b")
    see([a, b], "a", "b")
    known = len(b.changes)
    store.revoke(a.session.require().lease_id)
    wait_for(lambda: ("b",) in b.changes[known:], 15, "a to be gone, be it for a moment")
    see([a, b], "a", "b")
    assert a.session.losses == 1
    kv = store.get(f"{root}m/a")
    assert kv is not None
    assert kv.lease == a.session.require().lease_id


def test_a_replica_without_a_session_is_not_live_in_its_own_eyes(local_etcd: LocalEtcd, fleet: Fleet) -> None:
    with (
        FaultProxy.to(local_etcd.endpoints[0]) as proxy,
        store_of(local_etcd, endpoints=[proxy.endpoint]) as cut_off,
    ):
        (a,) = fleet("a")
        (b,) = fleet("b", store=cut_off, ttl=2.0)
        see([a, b], "a", "b")
        proxy.down()
        wait_for(lambda: "b" not in b.members.live, 15, "b to know")
        wait_for(lambda: a.members.live == ("a",), 15, "a to know")
        proxy.heal()
        see([a, b], "a", "b")
        b.stop()


def test_heartbeats_keep_the_watch_talking_and_describe_what_is(fleet: Fleet) -> None:
    a, b = fleet("a", "b", ttl=3.0)
    see([a, b], "a", "b")
    b.load = 7
    wait_for(lambda: a.members.records()["b"]["load"] == 7, 15, "the next heartbeat")
    writes = a.members.writes
    wait_for(lambda: a.members.writes >= writes + 4, 15, "heartbeats")
    assert a.watch.losses == b.watch.losses == 0


def test_records_that_something_else_wrote(fleet: Fleet, store: Store, root: str) -> None:
    (a,) = fleet("a")
    for number, value in enumerate([b"\xff", b"[]", b"17", b"{", b'{"state": ["?"]}', b'{"state": null}']):
        store.put(f"{root}m/odd{number}", value)
    wait_for(lambda: len(a.members.live) == 7, 15, "all keys")
    assert a.members.unreadable >= 4
    assert 0 <= a.members.rank("c1") < 7
    assert a.members.records()["odd0"] == {}


def test_a_describe_that_fails_does_not_end_the_heartbeat(store: Store, root: str) -> None:
    replica = Replica(store, root, "a")
    replica.faults = [LookupError("a fault")]
    try:
        replica.start()
        see([replica], "a")
        assert not replica.faults
    finally:
        replica.stop()

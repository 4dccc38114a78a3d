"""The session on a real etcd: lost by whatever takes a lease away, and begun again by itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from store_helpers import delete_below, settings_of, store_of

from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.etcd.store import Put, Txn
from discordha.coordination.session import Grant, Session
from discordha.errors import ConfigError, SessionExpired, StoreUnavailable
from discordha.testing import FaultProxy, LocalEtcd, wait_for

TTL = 1.5


@pytest.fixture
def store(local_etcd: LocalEtcd) -> Iterator[EtcdStore]:
    with store_of(local_etcd) as opened:
        yield opened


class Steps:
    """A monotonic clock that can jump forward, as it seems to a process that was paused."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Heard:
    """What a session told its listeners."""

    def __init__(self, session: Session) -> None:
        self.calls: list[tuple[str, int, bool, str]] = []
        session.add_listener(self._begun, self._lost)

    def _begun(self, grant: Grant) -> None:
        self.calls.append(("begun", grant.number, grant.alive, threading.current_thread().name))

    def _lost(self, grant: Grant) -> None:
        self.calls.append(("lost", grant.number, grant.alive, threading.current_thread().name))

    def names(self) -> list[str]:
        return [f"{name} {number}" for name, number, _, _ in self.calls]


@contextmanager
def started(session: Session) -> Iterator[tuple[Session, Grant]]:
    session.start(10)
    try:
        yield session, session.require()
    finally:
        session.stop()


def test_it_begins_is_renewed_and_ends(store: EtcdStore, root: str) -> None:
    session = Session(store, ttl=4.0)
    heard = Heard(session)
    assert session.current is None
    with pytest.raises(SessionExpired):
        session.require()
    with started(session) as (_, grant):
        assert grant.number == 1
        assert grant.alive
        assert heard.calls == [("begun", 1, True, "discordha-session")]
        store.put(f"{root}mine", b"1", lease=grant.lease_id)
        first = grant.deadline
        wait_for(lambda: session.renewals >= 2, 15, "renewals")
        assert grant.deadline > first
        assert grant.deadline <= time.monotonic() + 4.0
        assert session.current is grant
        with pytest.raises(RuntimeError):
            session.start(1)
    assert not grant.alive
    assert session.current is None
    assert store.get(f"{root}mine") is None, "the lease was revoked"
    assert heard.names() == ["begun 1"], "a stop is no loss"
    session.stop()


def test_an_unrevoked_lease_keeps_its_keys_for_a_while(store: EtcdStore, root: str) -> None:
    session = Session(store, ttl=TTL)
    session.start(10)
    store.put(f"{root}mine", b"1", lease=session.require().lease_id)
    session.stop(revoke=False)
    assert store.get(f"{root}mine") is not None
    wait_for(lambda: store.get(f"{root}mine") is None, 10, "the lease to run out")


def test_etcd_pauses_for_longer_than_the_ttl(single: LocalEtcd, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "discordha.coordination.session")
    with store_of(single) as store:
        session = Session(store, ttl=TTL)
        heard = Heard(session)
        with started(session) as (_, grant):
            store.put("/discordha/mine", b"1", lease=grant.lease_id)
            single.member(0).pause()
            wait_for(lambda: not grant.alive, TTL + 0.5, "the deadline")
            assert time.monotonic() >= grant.deadline
            wait_for(lambda: "lost 1" in heard.names(), 10, "the session to say so")
            assert session.current is None
            threading.Event().wait(TTL)
            single.member(0).resume()
            again = wait_for(lambda: session.current, 15, "the next grant")
            assert again.number == 2
            assert again.lease_id != grant.lease_id
            assert not grant.alive
            wait_for(lambda: store.get("/discordha/mine") is None, 10, "the old lease to be gone")
            assert heard.names() == ["begun 1", "lost 1", "begun 2"]
            assert [alive for _, _, alive, _ in heard.calls] == [True, False, True]
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert [next(word for word in ("lost", "waiting", "began") if word in line) for line in lines] == [
        "lost",
        "waiting",
        "began",
    ]


@pytest.mark.parametrize("graceful", [True, False])
def test_a_restart_of_etcd_within_the_ttl_costs_nothing(single: LocalEtcd, graceful: bool) -> None:
    with store_of(single) as store:
        session = Session(store, ttl=6.0)
        heard = Heard(session)
        with started(session) as (_, grant):
            for _ in range(2):
                single.restart_all(graceful=graceful)
                renewed = session.renewals
                wait_for(lambda renewed=renewed: session.renewals > renewed, 15, "a renewal")
            assert session.current is grant
            assert heard.names() == ["begun 1"]


def test_a_lease_revoked_by_somebody_else(store: EtcdStore) -> None:
    session = Session(store, ttl=TTL)
    heard = Heard(session)
    with started(session) as (_, grant):
        store.revoke(grant.lease_id)
        again = wait_for(lambda: session.current if session.losses else None, 15, "the next grant")
        assert again.number == 2
        assert not grant.alive
        assert heard.names() == ["begun 1", "lost 1", "begun 2"]


def test_a_process_that_stood_still_owns_nothing_from_its_first_moment(store: EtcdStore, root: str) -> None:
    clock = Steps()
    session = Session(store, ttl=TTL, clock=clock)
    heard = Heard(session)
    with started(session) as (_, grant):
        store.put(f"{root}mine", b"1", lease=grant.lease_id)
        clock.ahead += TTL
        assert not grant.alive, "before the session's thread has run"
        assert session.current is None
        wait_for(lambda: session.current, 15, "the next grant")
        assert not grant.alive
        assert heard.names() == ["begun 1", "lost 1", "begun 2"]
        assert store.get(f"{root}mine") is None, "what it owned is free at once, not after another TTL"


def test_no_etcd_at_the_start() -> None:
    with store_of_nobody() as store:
        session = Session(store, ttl=TTL)
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no session within"):
            session.start(0.5)
        assert time.monotonic() - begun < 2.0
        assert session.current is None


@contextmanager
def store_of_nobody() -> Iterator[EtcdStore]:
    store = EtcdStore(StoreSettings(("127.0.0.1:1",)))
    yield store
    store.close()


def test_etcd_that_comes_up_while_the_session_waits(single: LocalEtcd) -> None:
    single.stop_all()
    with store_of(single) as store:
        session = Session(store, ttl=TTL)
        starter = threading.Timer(0.3, single.start_all)
        starter.start()
        with started(session) as (_, grant):
            assert grant.alive
        starter.join()


def test_a_wrong_password_is_said_at_once() -> None:
    with LocalEtcd(auth=True) as etcd:
        store = EtcdStore(replace(settings_of(etcd), password="wrong"))
        session = Session(store, ttl=TTL)
        with pytest.raises(ConfigError) as caught:
            session.start(10)
        assert caught.value.field == "etcd_password"
        store.close()


def test_stop_is_bounded_while_etcd_is_paused(single: LocalEtcd) -> None:
    with store_of(single, timeout=60.0) as store:
        session = Session(store, ttl=4.0)
        session.start(15)
        single.member(0).pause()
        begun = time.monotonic()
        session.stop()
        assert time.monotonic() - begun < 5.0
        assert session.current is None
        single.member(0).resume()


def test_the_connected_member_of_three_is_paused(
    local_etcd_cluster: LocalEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try, on another member, comes in time."""
    etcd = local_etcd_cluster
    leader = etcd.leader()
    followers = [endpoint for endpoint in etcd.endpoints if endpoint != leader.endpoint]
    # The paused leader's leases are extended by the next one; another test has that.
    with store_of(etcd, endpoints=followers) as store:
        clones: list[EtcdStore] = []
        monkeypatch.setattr(store, "clone", lambda: clones.append(EtcdStore.clone(store)) or clones[-1])
        session = Session(store, ttl=8.0)
        heard = Heard(session)
        with started(session) as (_, grant):
            member = etcd.member(etcd.endpoints.index(clones[0].endpoint))
            member.pause()
            renewed = session.renewals
            wait_for(lambda: session.renewals >= renewed + 2, 15, "renewals on another member")
            assert session.current is grant
            assert heard.names() == ["begun 1"]
            member.resume()


def test_a_connection_that_swallows_everything(local_etcd: LocalEtcd) -> None:
    """With one endpoint only: lost by the deadline, and back when the network is."""
    with (
        FaultProxy.to(local_etcd.endpoints[0]) as proxy,
        store_of(local_etcd, endpoints=[proxy.endpoint]) as store,
    ):
        session = Session(store, ttl=TTL)
        with started(session) as (_, grant):
            proxy.black_hole()
            wait_for(lambda: session.losses == 1, 10, "the loss")
            assert time.monotonic() >= grant.deadline
            proxy.heal()
            again = wait_for(lambda: session.current, 15, "the next grant")
            assert again.number == 2


def test_a_listener_that_fails_does_not_end_the_session(store: EtcdStore) -> None:
    session = Session(store, ttl=TTL)

    def fault(grant: Grant) -> None:
        raise LookupError("a fault of the listener")

    session.add_listener(fault, fault)
    heard = Heard(session)
    with started(session) as (_, grant):
        store.revoke(grant.lease_id)
        wait_for(lambda: heard.names() == ["begun 1", "lost 1", "begun 2"], 15, "the next grant")


def test_large_transactions_do_not_delay_renewals(store: EtcdStore, root: str) -> None:
    session = Session(store, ttl=6.0)
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            store.txn((), [Txn((), (Put(f"{root}{n}", b"x" * 10_000),)) for n in range(100)])

    threads = [threading.Thread(target=load) for _ in range(2)]
    with started(session) as (_, grant):
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: session.renewals >= 2, 15, "renewals")
            assert session.current is grant
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    delete_below(store, root)

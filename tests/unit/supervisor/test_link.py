"""The link of a replica to ``discordha run``: what goes over it, and that it never holds the replica up."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.supervisor import link
from discordha.supervisor.link import Link
from discordha.testing import wait_for

SETTINGS = StoreSettings(("etcd:2379",), "ca.pem", "cert.pem", "key.pem", "bot", "secret")


class FakeSession:
    def __init__(self) -> None:
        self.overdue = 0.0
        self.begin: Callable[[Any], None] = lambda grant: None

    def add_listener(self, on_begin: Callable[[Any], None], on_lost: Callable[[Any], None]) -> None:
        self.begin = on_begin


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "discordha-link"]


class Parent:
    """The other end."""

    def __init__(self) -> None:
        self.socket, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.socket.settimeout(5.0)
        self._file = self.socket.makefile("rb")

    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.readline())
        return found

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Parent]:
    # The thread of a link lives as long as its process: here it must end with the test.
    monkeypatch.setattr(Link, "_orphaned", lambda self: None)
    monkeypatch.setattr(link, "BEAT", 0.05)
    made = Parent()
    yield made
    made.close()
    wait_for(lambda: not threads(), 5, "the link's thread to end")
    made.theirs.close()


def test_a_process_without_a_parent_tells_nobody() -> None:
    alone = link.current()
    alone.hello("r1", ha=True, drain_timeout=1.0)
    alone.state("r1", "ready")
    alone.refused("no")
    alone.watch_session(FakeSession(), SETTINGS)
    assert not threads()


def test_the_parent_hears_of_replica_state_lease_and_signs_of_life(parent: Parent) -> None:
    child, session = Link(parent.theirs), FakeSession()
    session.overdue = 7.0
    child.watch_session(session, SETTINGS)
    session.begin(SimpleNamespace(lease_id=99))
    told = parent.message()
    assert told["lease"] == 99
    assert told["etcd"]["password"] == "secret"
    assert os.path.isabs(told["etcd"]["ca_cert"])
    child.hello("r1", ha=True, drain_timeout=12.0)
    assert parent.message() == {"replica": "r1", "ha": True, "drain": 12.0}
    child.state("r1", "ready")
    found = [parent.message() for _ in range(3)]
    assert {"replica": "r1", "state": "ready"} in found
    assert {"gateway": 0.0, "session": 7.0} in found
    parent.close()


def test_a_loop_that_stands_still_shows(parent: Parent) -> None:
    class Loop:
        def call_soon_threadsafe(self, callback: Callable[[], object], /) -> None:
            pass

    child = Link(parent.theirs)
    child.watch_loop(Loop())
    child.hello("r1", ha=True, drain_timeout=1.0)
    parent.message()
    ages = [parent.message()["gateway"] for _ in range(4)]
    assert ages[0] < ages[-1]
    parent.close()


def test_a_parent_that_does_not_read_holds_nobody_up_and_misses_no_lease(parent: Parent) -> None:
    child, session = Link(parent.theirs), FakeSession()
    child.watch_session(session, SETTINGS)
    begun = time.monotonic()
    for number in range(20_000):
        child.state("r1", f"state {number}")
    session.begin(SimpleNamespace(lease_id=5))
    assert time.monotonic() - begun < 10.0
    child.hello("r1", ha=True, drain_timeout=1.0)  # its thread sends the rest
    told = [parent.message()]
    while "lease" not in told[-1]:  # times out when there is none
        told.append(parent.message())
    assert len(told) < 20_000
    parent.close()


def test_a_link_is_for_one_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    before = link.current()
    monkeypatch.setenv(link.VARIABLE, f"{read},{write},{os.getpid() + 1}")
    link.adopt()
    assert link.VARIABLE not in os.environ
    assert link.current() is before
    os.close(read)
    os.close(write)


def test_an_adopted_link_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    for descriptor in (theirs.fileno(), write):
        os.set_inheritable(descriptor, True)
    monkeypatch.setattr(link, "_links", list(link._links))
    monkeypatch.setenv(link.VARIABLE, f"{theirs.fileno()},{write},{os.getpid()}")
    link.adopt()
    assert link.VARIABLE not in os.environ
    link.current().state("r1", "ready")
    assert json.loads(ours.recv(100)) == {"replica": "r1", "state": "ready"}
    assert not os.get_inheritable(theirs.fileno())
    assert not os.get_inheritable(write)
    channel = link.current()._channel
    assert channel is not None
    channel.close()
    ours.close()
    for descriptor in (read, write):
        os.close(descriptor)
    theirs.detach()

"""Revoking the leases of dead processes by etcd's JSON gateway: its answers, its silence, its absence."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from json_gateway import JsonGateway

from discordha.supervisor.etcd_gateway import EtcdGateway, NoGateway, Unreachable
from discordha.supervisor.process import EtcdAccess
from discordha.supervisor.revoker import Revoker
from discordha.testing import wait_for

GONE = (404, {"error": "etcdserver: requested lease not found", "code": 5})


def access(*endpoints: str, user: str | None = None) -> EtcdAccess:
    return EtcdAccess(endpoints, None, None, None, user, "secret" if user else None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def by_grpc() -> list[int]:
    return []


@pytest.fixture
def revoker(by_grpc: list[int]) -> Iterator[Revoker]:
    made = Revoker(by_grpc=lambda _, lease: by_grpc.append(lease))
    made.start()
    yield made
    made.stop(0.0)


def test_the_leases_of_a_dead_process_are_revoked_the_newest_first(revoker: Revoker) -> None:
    with JsonGateway(lambda *_: (200, {"header": {}})) as etcd:
        revoker.revoke(access(etcd.endpoint), [7, 8], "r1")
        wait_for(lambda: revoker.is_idle, 5, "both")
    assert etcd.asked == [("lease/revoke", {"ID": "8"}), ("lease/revoke", {"ID": "7"})]


def test_a_lease_that_is_gone_is_done(revoker: Revoker, by_grpc: list[int]) -> None:
    with JsonGateway(lambda *_: GONE) as etcd:
        revoker.revoke(access(etcd.endpoint), [7], "r1")
        wait_for(lambda: revoker.is_idle, 5, "it")
    assert not by_grpc


def test_an_etcd_that_is_away_is_asked_until_it_is_back(revoker: Revoker) -> None:
    answers: list[tuple[int, Any]] = [(503, {"error": "etcdserver: no leader", "code": 14})] * 3

    def answer(*_: Any) -> tuple[int, Any]:
        return answers.pop() if answers else (200, {})

    with JsonGateway(answer) as etcd:
        revoker.revoke(access(etcd.endpoint), [7], "r1")
        wait_for(lambda: revoker.is_idle, 10, "the lease")
        assert len(etcd.asked) == 4


def test_a_port_that_nobody_listens_on_is_tried_again() -> None:
    port = free_port()
    with pytest.raises(Unreachable):
        EtcdGateway(access(f"127.0.0.1:{port}")).revoke(7, 1.0)


@pytest.mark.parametrize(
    "answer",
    [
        (404, b"404 page not found\n"),
        (200, b"<html>"),
        (200, []),
        (403, {"error": "permission denied", "code": 7}),
        (503, {"error": "authentication handshake failed: bad certificate", "code": 14}),
    ],
)
def test_without_a_gateway_grpc_does_it(
    revoker: Revoker, by_grpc: list[int], answer: tuple[int, Any]
) -> None:
    with JsonGateway(lambda *_: answer) as etcd:
        with pytest.raises(NoGateway):
            EtcdGateway(access(etcd.endpoint)).revoke(7, 1.0)
        revoker.revoke(access(etcd.endpoint), [7], "r1")
        wait_for(lambda: revoker.is_idle, 5, "it")
    assert by_grpc == [7]


def test_a_server_that_hangs_up_is_no_gateway() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(NoGateway):
            EtcdGateway(access(f"127.0.0.1:{server.getsockname()[1]}")).revoke(7, 2.0)
        thread.join()


def test_a_silent_endpoint_costs_a_tenth_of_a_second() -> None:
    with JsonGateway(lambda *_: None) as silent, JsonGateway(lambda *_: (200, {})) as etcd:
        gateway = EtcdGateway(access(silent.endpoint, etcd.endpoint))
        begun = time.monotonic()
        gateway.revoke(7, 5.0)
        assert time.monotonic() - begun < 2.0
        gateway.revoke(8, 5.0)
        assert etcd.methods() == ["lease/revoke"] * 2
        assert silent.methods() == ["lease/revoke"]  # the one that answers is asked first from then on


def test_a_token_is_asked_for_once_and_again_when_it_is_forgotten() -> None:
    valid = ["one"]

    def answer(method: str, body: dict[str, Any], token: str | None) -> tuple[int, Any]:
        if method == "auth/authenticate":
            assert body == {"name": "bot", "password": "secret"}
            return 200, {"token": valid[-1]}
        return (200, {}) if token == valid[-1] else (401, {"error": "invalid auth token", "code": 16})

    with JsonGateway(answer) as etcd:
        gateway = EtcdGateway(access(etcd.endpoint, user="bot"))
        gateway.check(7, 1.0)
        gateway.revoke(7, 1.0)
        valid.append("two")
        gateway.revoke(8, 1.0)
        assert etcd.methods() == [
            "auth/authenticate",
            "lease/timetolive",
            "lease/revoke",
            "lease/revoke",
            "auth/authenticate",
            "lease/revoke",
        ]


def test_a_user_that_etcd_does_not_need_is_no_fault() -> None:
    def answer(method: str, body: dict[str, Any], token: str | None) -> tuple[int, Any]:
        if method == "auth/authenticate":
            return 400, {"error": "etcdserver: authentication is not enabled", "code": 9}
        return 200, {}

    with JsonGateway(answer) as etcd:
        EtcdGateway(access(etcd.endpoint, user="bot")).revoke(7, 1.0)
        assert etcd.methods() == ["auth/authenticate", "lease/revoke"]


def test_the_way_to_etcd_is_tried_before_it_is_needed(
    revoker: Revoker, caplog: pytest.LogCaptureFixture
) -> None:
    with JsonGateway(lambda *_: (404, b"nothing")) as etcd:
        revoker.expect(access(etcd.endpoint), 7)
        wait_for(lambda: "by gRPC" in caplog.text, 5, "a warning")
        assert etcd.methods() == ["lease/timetolive"]


def test_leases_that_are_left_at_the_end_are_named(caplog: pytest.LogCaptureFixture) -> None:
    revoker = Revoker()
    revoker.start()
    revoker.revoke(access(f"127.0.0.1:{free_port()}"), [0xABC], "r1")
    wait_for(lambda: "not revoked yet" in caplog.text, 5, "the first try")
    revoker.stop(0.1)
    assert "lease abc of r1 was not revoked" in caplog.text
    assert "secret" not in caplog.text

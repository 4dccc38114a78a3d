"""FaultProxy between a plain client and a plain server that answers each line with the same line."""

from __future__ import annotations

import contextlib
import gc
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from discordha.testing import FaultProxy, LocalEtcd, wait_for

QUIET = 0.15


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, EchoServer)
        try:
            for line in self.rfile:
                server.seen.append(line)
                self.wfile.write(line)
            server.ends.append("closed")
        except ConnectionResetError:
            server.ends.append("reset")


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.seen: list[bytes] = []
        self.ends: list[str] = []


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", server.server_address[1]) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection((proxy.host, proxy.port), timeout=5.0) as client:
        assert ask(client, b"hello\n") == b"hello\n"
        yield client


def ask(client: socket.socket, line: bytes) -> bytes:
    client.sendall(line)
    return receive(client, len(line))


def receive(client: socket.socket, length: int) -> bytes:
    answer = b""
    while len(answer) < length:
        chunk = client.recv(length - len(answer))
        if not chunk:
            break
        answer += chunk
    return answer


def assert_silent(client: socket.socket) -> None:
    client.settimeout(QUIET)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(5.0)


def test_forwards_much_and_both_ways(proxy: FaultProxy, client: socket.socket) -> None:
    line = b"x" * 300_000 + b"\n"
    sender = threading.Thread(target=client.sendall, args=(line * 10,))
    sender.start()
    assert receive(client, len(line) * 10) == line * 10
    sender.join()
    assert proxy.accepted == 1
    assert proxy.connections == 1
    assert proxy.transferred == (6 + len(line) * 10, 6 + len(line) * 10)


def test_an_orderly_end_is_passed_on(proxy: FaultProxy, client: socket.socket, server: EchoServer) -> None:
    client.sendall(b"last\n")
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 100) == b"last\n"
    wait_for(lambda: server.ends == ["closed"], 5.0, "the server to see the end")
    wait_for(lambda: proxy.connections == 0, 5.0, "the proxy to forget the connection")


def test_cut_resets_both_ends_and_lets_new_ones_in(
    proxy: FaultProxy, client: socket.socket, server: EchoServer
) -> None:
    assert proxy.cut() == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    wait_for(lambda: server.ends == ["reset"], 5.0, "the server to be reset")
    with socket.create_connection((proxy.host, proxy.port), timeout=5.0) as again:
        assert ask(again, b"again\n") == b"again\n"


def test_a_black_hole_stalls_and_goes_on_where_it_stood(
    proxy: FaultProxy, client: socket.socket, server: EchoServer
) -> None:
    proxy.black_hole()
    client.sendall(b"into the dark\n")
    assert_silent(client)
    assert server.seen == [b"hello\n"]
    with socket.create_connection((proxy.host, proxy.port), timeout=5.0) as late:
        late.sendall(b"me too\n")
        assert_silent(late)
        proxy.heal()
        assert receive(late, 7) == b"me too\n"
    assert receive(client, 14) == b"into the dark\n"


@pytest.mark.parametrize("direction", ["to_target", "to_client"])
def test_half_open(proxy: FaultProxy, client: socket.socket, server: EchoServer, direction: str) -> None:
    proxy.black_hole("to_target" if direction == "to_target" else "to_client")
    client.sendall(b"half\n")
    assert_silent(client)
    if direction == "to_target":
        assert server.seen == [b"hello\n"]
    else:
        wait_for(lambda: server.seen == [b"hello\n", b"half\n"], 5.0, "the server to hear it")
    proxy.heal()
    assert receive(client, 5) == b"half\n"


def test_a_black_hole_hides_the_end(proxy: FaultProxy, client: socket.socket, server: EchoServer) -> None:
    proxy.black_hole()
    client.close()
    server_told = threading.Event()
    assert not server_told.wait(QUIET)
    assert server.ends == []
    proxy.heal()
    wait_for(lambda: server.ends, 5.0, "the server to learn of the end")


def test_a_black_hole_can_be_cut(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.black_hole()
    client.sendall(b"lost\n")
    with socket.create_connection((proxy.host, proxy.port), timeout=5.0) as late:
        wait_for(lambda: proxy.connections == 2, 5.0, "the proxy to accept")
        assert proxy.cut() == 2
        for each in (client, late):
            with pytest.raises(ConnectionResetError):
                each.recv(1)


def test_delay_adds_up_both_ways_and_keeps_order(proxy: FaultProxy, client: socket.socket) -> None:
    proxy.delay(0.1)
    begin = time.monotonic()
    client.sendall(b"1\n2\n3\n")
    assert receive(client, 6) == b"1\n2\n3\n"
    assert 0.2 <= time.monotonic() - begin < 2.0
    proxy.delay(30.0, "to_client")
    client.sendall(b"slow\n")
    assert_silent(client)
    proxy.heal()
    assert receive(client, 5) == b"slow\n"


def test_refuse_spares_open_connections_and_down_does_not(proxy: FaultProxy, client: socket.socket) -> None:
    port = proxy.port
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((proxy.host, port), timeout=5.0)
    assert ask(client, b"open\n") == b"open\n"
    proxy.down()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    proxy.heal()
    assert proxy.port == port
    with socket.create_connection((proxy.host, port), timeout=5.0) as again:
        assert ask(again, b"up\n") == b"up\n"


def test_a_dead_target_resets_the_client() -> None:
    with (
        FaultProxy("127.0.0.1", 1) as nowhere,
        pytest.raises(ConnectionResetError),  # during the connect, or after
        socket.create_connection((nowhere.host, nowhere.port), timeout=5.0) as client,
    ):
        client.recv(1)


@pytest.mark.parametrize("fault", ["cut", "down", "close"])
def test_a_connection_that_comes_in_with_the_fault_ends_with_it(
    server: EchoServer, fault: str, request: pytest.FixtureRequest
) -> None:
    """Also one whose task has not begun to run. A client that is left without a word would wait for ever."""
    gc.freeze()  # what there was before need not be looked through 40 times
    request.addfinalizer(gc.unfreeze)
    for _ in range(40):
        with FaultProxy("127.0.0.1", server.server_address[1]) as proxy, ExitStack() as ends:
            clients = [
                ends.enter_context(socket.create_connection((proxy.host, proxy.port), timeout=5.0))
                for _ in range(5)
            ]
            getattr(proxy, fault)()
            until = time.monotonic() + (5.0 if fault != "cut" else 0.05)
            for client in clients:
                client.settimeout(max(until - time.monotonic(), 0.001))
                try:
                    assert client.recv(1) == b""
                except ConnectionResetError:
                    pass
                except TimeoutError:
                    assert fault == "cut", "the connection is open behind the fault"
                    client.settimeout(5.0)
                    with contextlib.suppress(ConnectionError):  # its end is late
                        # It came in after the cut: it is served.
                        assert ask(client, b"hello\n") in (b"hello\n", b"")
        gc.collect()  # a transport that was not closed warns now, and a warning is an error


def test_wrong_use_is_told(proxy: FaultProxy) -> None:
    with pytest.raises(RuntimeError, match="started already"):
        proxy.start()
    with pytest.raises(ValueError, match="direction must be"):
        proxy.delay(1.0, "sideways")  # type: ignore[arg-type]
    proxy.close()
    proxy.close()
    with pytest.raises(RuntimeError, match="does not run"):
        proxy.cut()


def test_between_a_client_and_etcd(local_etcd: LocalEtcd) -> None:
    with FaultProxy.to(local_etcd.endpoints[0]) as proxy:
        url = local_etcd.url().replace(local_etcd.endpoints[0], proxy.endpoint)
        before = local_etcd.revision()
        # On a shared store, leases of others end at any time.
        assert before <= local_etcd.api.revision(url) <= local_etcd.revision()


class TwoParts(socketserver.StreamRequestHandler):
    """Answers each line in two writes, as TLS and gRPC do."""

    def handle(self) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            for line in self.rfile:
                self.wfile.write(line[:1])
                time.sleep(0.002)  # so that the proxy writes twice, too
                self.wfile.write(line[1:])


def test_small_writes_are_not_held_back_until_the_one_before_is_acknowledged() -> None:
    """Else each answer in two parts takes the 40 ms of a delayed acknowledgement."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), TwoParts) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with (
                FaultProxy("127.0.0.1", server.server_address[1]) as proxy,
                socket.create_connection((proxy.host, proxy.port), timeout=5.0) as client,
            ):
                took = []
                for _ in range(40):
                    begun = time.monotonic()
                    assert ask(client, b"hello\n") == b"hello\n"
                    took.append(time.monotonic() - begun)
        finally:
            server.shutdown()
            thread.join()
    assert min(took[20:]) < 0.03, sorted(took)

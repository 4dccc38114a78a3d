"""A plain HTTP proxy: passes each connection on to the host of its first request."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

__all__ = ["ForwardProxy"]


class ForwardProxy:
    """Listens on a port of its own. ``targets`` has the addresses of the first requests."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._server]
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy-accept", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):  # it has ended
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._sockets.append(client)
            threading.Thread(target=self._serve, args=(client,), name="proxy-serve", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            head = client.recv(65536)
            target = head.split(b" ", 2)[1].decode()
            address = urlsplit(target)
            assert address.hostname is not None
            upstream = socket.create_connection((address.hostname, address.port or 80))
            self._sockets.append(upstream)
            self.targets.append(target)
            upstream.sendall(head)
        except (OSError, IndexError):
            client.close()  # else its end waits for an answer
            return
        back = threading.Thread(target=self._pipe, args=(upstream, client), name="proxy-pipe", daemon=True)
        back.start()
        self._pipe(client, upstream)

    @staticmethod
    def _pipe(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # one side has ended without a word: the other one is told
            for each in (source, sink):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

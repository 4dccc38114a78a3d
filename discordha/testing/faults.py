"""A TCP proxy on loopback that fails on command: between replica and etcd, gateway or REST.

Guarantees: bytes arrive whole and in order or not at all. After ``heal`` a stalled connection goes on where
it stood, as after lost packets. Not guaranteed: that a black hole refuses connections. The kernel accepts
them, and nothing follows.

Threads and locks: owns the thread ``discordha-test-proxy`` with an asyncio loop, which has all sockets. Every
method may be called from any other thread, blocks until the loop has done it, and has taken effect then.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from discordha.testing.ports import ReservedPort

__all__ = ["Direction", "FaultProxy"]

Direction = Literal["both", "to_target", "to_client"]
T = TypeVar("T")

_CHUNK_BYTES = 65_536
_QUEUED_CHUNKS = 64
_BACKLOG = 128
_CALL_TIMEOUT = 10.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds
_BIND_TRIES = 20


class _Way:
    """The state of one direction of all connections. For the loop's thread."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.delay = 0.0
        self.bytes = 0


class FaultProxy:
    """Forwards TCP connections to ``target_host:target_port`` and breaks them on command. A context manager.

    Any thread may call the methods. They block until they have taken effect.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._port: ReservedPort | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        # For the loop's thread alone:
        self._listener: socket.socket | None = None
        self._ways: dict[str, _Way] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepted = 0

    @classmethod
    def to(cls, endpoint: str) -> Self:
        """A proxy for ``host:port``, as in ``LocalEtcd.endpoints``."""
        host, _, port = endpoint.rpartition(":")
        return cls(host, int(port))

    # Lifecycle

    def start(self) -> None:
        """Starts the thread, and listens on a free loopback port. Blocks until it listens. Once only.

        :raises RuntimeError: it was started already.
        """
        if self._thread is not None:
            raise RuntimeError("this FaultProxy was started already")
        loop = asyncio.new_event_loop()
        self._loop = loop
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="discordha-test-proxy", daemon=True
        )
        self._thread.start()
        try:
            self._call(self._open())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Resets all connections, stops listening and joins the thread. Idempotent."""
        if self._thread is not None and self._loop is not None and self._thread.is_alive():
            self._call(self._shut())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        if self._port is not None:
            self._port.release()
            self._port = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def host(self) -> str:
        """The loopback address on which it listens."""
        return "127.0.0.1"

    @property
    def port(self) -> int:
        """The port on which it listens; ``refuse`` and ``heal`` keep it."""
        if self._port is None:
            raise RuntimeError("this FaultProxy does not run")
        return self._port.number

    @property
    def endpoint(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    # Faults

    def cut(self) -> int:
        """Resets (RST) all open connections at both ends, and returns their number. Accepts new ones."""
        return self._call(self._cut())

    def refuse(self) -> None:
        """Refuses new connections. Open ones go on."""
        self._call(self._stop_listening())

    def down(self) -> None:
        """Refuses new connections and resets open ones, as if the process at the other end had died."""
        self.refuse()
        self.cut()

    def black_hole(self, direction: Direction = "both") -> None:
        """Lets nothing through, in one direction or both. Connections stay open and their ends unaware."""
        self._call(self._set(direction, lambda way: way.open.clear()))

    def delay(self, seconds: float, direction: Direction = "both") -> None:
        """Delivers later bytes with a delay of that many seconds, in order and at any rate."""

        def apply(way: _Way) -> None:
            way.delay = seconds

        self._call(self._set(direction, apply))

    def heal(self) -> None:
        """Ends all faults: listens again, and lets everything through at once."""
        self._call(self._heal())

    # Traffic

    @property
    def connections(self) -> int:
        """The number of open connections. Blocks for the loop's answer, as the next ones do."""
        return self._call(self._read(lambda: len(self._tasks)))

    @property
    def accepted(self) -> int:
        """The number of connections accepted so far."""
        return self._call(self._read(lambda: self._accepted))

    @property
    def transferred(self) -> tuple[int, int]:
        """The bytes delivered so far to the target and to the clients."""
        return self._call(self._read(lambda: (self._ways["to_target"].bytes, self._ways["to_client"].bytes)))

    # On the loop's thread

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None or self._thread is None or not self._thread.is_alive():
            work.close()
            raise RuntimeError("this FaultProxy does not run")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_TIMEOUT)

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    async def _open(self) -> None:
        self._ways = {"to_target": _Way(), "to_client": _Way()}
        for tries_left in reversed(range(_BIND_TRIES)):
            self._port = ReservedPort()
            try:
                await self._listen()
                return
            except OSError:
                self._port.release()
                if not tries_left:
                    raise

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((self.host, self.port), backlog=_BACKLOG)
            self._listener.setblocking(False)
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def _cut(self) -> int:
        tasks = tuple(self._tasks)
        await asyncio.sleep(0)  # a task that is cancelled before its first step does not close its connection
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(tasks)

    async def _set(self, direction: Direction, change: Callable[[_Way], None]) -> None:
        if direction not in ("both", *self._ways):
            raise ValueError(f"direction must be both, to_target or to_client, not {direction!r}")
        for name, way in self._ways.items():
            if direction in ("both", name):
                change(way)

    async def _heal(self) -> None:
        for way in self._ways.values():
            way.delay = 0.0
            way.open.set()
        await self._listen()

    async def _read(self, read: Callable[[], T]) -> T:
        return read()

    async def _shut(self) -> None:
        await self._stop_listening()
        await self._cut()
        await asyncio.sleep(0)  # closed transports end in the loop's next round

    def _accept(self, listener: socket.socket) -> None:
        """Accepts one connection. In one step: asyncio's own server loses one that comes in as it closes."""
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # the client has left already
        connection.setblocking(False)
        # asyncio does so by itself for sockets alone that were made with the protocol's number.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._accepted += 1
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        """Serves one connection until both ends are gone."""
        writers: list[asyncio.StreamWriter] = []
        try:
            client_reader, client_writer = await asyncio.open_connection(sock=connection, limit=_CHUNK_BYTES)
            writers.append(client_writer)
            for way in self._ways.values():
                await way.open.wait()
            target_reader, target_writer = await asyncio.open_connection(*self._target, limit=_CHUNK_BYTES)
            writers.append(target_writer)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(client_reader, target_writer, self._ways["to_target"]))
                pumps.create_task(_pump(target_reader, client_writer, self._ways["to_client"]))
            for writer in writers:
                writer.close()  # both ends have closed in order; bytes on their way still arrive
        except* OSError:
            pass  # one end is gone; the other is reset below
        finally:
            for writer in writers:
                _reset(writer.transport)
            if not writers:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                connection.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _Way) -> None:
    """Copies one direction of a connection until its end, with the direction's faults."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes | OSError]] = asyncio.Queue(_QUEUED_CHUNKS)

    async def read() -> None:
        chunk: bytes | OSError = b"."
        while chunk and not isinstance(chunk, OSError):
            try:
                chunk = await reader.read(_CHUNK_BYTES)
            except OSError as error:  # a reset travels like data, so that a black hole hides it
                chunk = error
            await under_way.put((loop.time() + way.delay, chunk))

    reading = loop.create_task(read())
    try:
        while True:
            due, chunk = await under_way.get()
            while (remaining := due - loop.time()) > 0 and way.delay > 0:
                await asyncio.sleep(min(remaining, 0.05))
            await way.open.wait()
            if isinstance(chunk, OSError):
                raise chunk
            if not chunk:
                break
            writer.write(chunk)
            await writer.drain()
            way.bytes += len(chunk)
        if writer.can_write_eof():
            writer.write_eof()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _reset(transport: asyncio.WriteTransport) -> None:
    """Closes a connection at once with a reset, unless it is closed."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()

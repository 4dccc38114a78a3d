"""A proxy for Discord's REST API that breaks connections in the midst of chosen requests."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterable
from typing import Any, Self

import aiohttp
from aiohttp import web

__all__ = ["BREAKS", "BreakingProxy"]

#: The request does not arrive; no answer comes back; a part of one does, if it has a body; a reset does.
BREAKS = ("before", "after", "half", "reset")


class BreakingProxy:
    """Forwards to ``target``; the first requests for a part of a path are broken. A context manager with a
    thread of its own.

    :param faults: by method and a part of the path: how the first requests are broken, in order.
    """

    def __init__(self, target: str, faults: dict[tuple[str, str], Iterable[str]]) -> None:
        self._target = target
        self._faults = {where: list(how) for where, how in faults.items()}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="breaking-proxy", daemon=True)
        self._stop: asyncio.Event | None = None
        self.port = 0

    @property
    def left(self) -> dict[tuple[str, str], list[str]]:
        """The faults that did not happen yet."""
        return {where: how for where, how in self._faults.items() if how}

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._forward)
        async with aiohttp.ClientSession() as self._session:
            runner = web.AppRunner(app, shutdown_timeout=1.0)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._stop.wait()
            await runner.cleanup()

    def _next(self, request: web.Request) -> str | None:
        for (method, part), how in self._faults.items():
            if request.method == method and part in request.path and how:
                return how.pop(0)
        return None

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        fault = self._next(request)
        body = await request.read()
        assert request.transport is not None
        if fault == "before":
            request.transport.abort()
            return web.Response()
        headers: dict[str, Any] = {
            name: value for name, value in request.headers.items() if name not in {"Host", "Content-Length"}
        }
        url = f"{self._target}{request.raw_path}"
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            data = await answer.read()
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name.lower()
                not in {"content-length", "transfer-encoding", "content-encoding", "connection"}
            }
            if fault == "half":
                stream = web.StreamResponse(status=answer.status, headers=kept)
                stream.content_length = len(data) + 10
                await stream.prepare(request)
                await stream.write(data)
                request.transport.close()
                return stream
            if fault == "reset":
                sock = request.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                request.transport.abort()
            if fault == "after":
                request.transport.close()
            return web.Response(status=answer.status, headers=kept, body=data)

"""Compressed gateway frames, as Discord sends them: one stream for each socket, flushed after each frame.

Source: Discord's gateway documentation, "Transport Compression".
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from aiohttp import web

__all__ = ["Frames"]


def _zlib_stream() -> Callable[[bytes], bytes]:
    stream = zlib.compressobj(level=1)
    return lambda data: stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)


def _zstd_stream() -> Callable[[bytes], bytes]:
    import zstandard

    stream: Any = zstandard.ZstdCompressor(level=1).compressobj()
    block: int = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    return lambda data: bytes(stream.compress(data) + stream.flush(block))


_STREAMS = {"zlib-stream": _zlib_stream, "zstd-stream": _zstd_stream}


class Frames:
    """Writes text frames to a socket, in the compression that its address asked for; others as they are."""

    def __init__(self, ws: web.WebSocketResponse, compress: str | None) -> None:
        self.ws = ws
        self.compression = compress if compress in _STREAMS else None
        self._compress = _STREAMS[compress]() if compress in _STREAMS else None

    async def send(self, frame: str | bytes) -> None:
        """Sends a frame; bytes as they are."""
        if isinstance(frame, bytes):
            await self.ws.send_bytes(frame)
        elif self._compress is None:
            await self.ws.send_str(frame)
        else:
            await self.ws.send_bytes(self._compress(frame.encode()))

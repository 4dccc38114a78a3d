"""The UDP half of the voice server: IP discovery, decryption of what arrives, and the record of it.

Source: Discord's documentation of voice connections; packets are RTP (RFC 3550) with one Opus frame each.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

__all__ = ["MODES", "AudioRecord", "VoiceUdp"]

#: What Discord offers since 2024; discord.py takes the second.
MODES = ("aead_aes256_gcm_rtpsize", "aead_xchacha20_poly1305_rtpsize")
_DISCOVERY = struct.Struct(">HHI64sH")
_RTP = struct.Struct(">BBHII")
_OPUS_PAYLOAD = 0x78
#: Bytes of packets that the system keeps while this process stands still: seconds of several streams.
_RECEIVE_BUFFER = 1 << 20


class AudioRecord:
    """The audio of one voice session as it arrived.

    :param limit: packets kept; what comes later is counted only.
    """

    def __init__(self, limit: int) -> None:
        self.packets: list[tuple[float, int, int, bytes]] = []
        self.count = 0
        self.undecodable = 0
        self.rejected: list[float] = []
        """When packets came that no session wanted: it had ended, or had not said that it speaks."""
        self._limit = limit

    def add(self, sequence: int, timestamp: int, opus: bytes) -> None:
        """One packet has arrived."""
        self.count += 1
        if len(self.packets) < self._limit:
            self.packets.append((time.monotonic(), sequence, timestamp, opus))

    def reject(self) -> None:
        """One packet has arrived that may not be heard."""
        if len(self.rejected) < self._limit:
            self.rejected.append(time.monotonic())

    def since(self, index: int) -> list[list[Any]]:
        """The packets from one on, for JSON: arrival, sequence, timestamp, Opus in base 64."""
        return [
            [at, sequence, timestamp, base64.b64encode(opus).decode()]
            for at, sequence, timestamp, opus in self.packets[index:]
        ]


class _Listener(Protocol):
    """A voice session, as its packets see it."""

    mode: str | None
    key: bytes
    record: AudioRecord

    @property
    def hears(self) -> bool: ...


class VoiceUdp(asyncio.DatagramProtocol):
    """One socket for all sessions; packets tell them apart by their SSRC.

    :param find: the session of an SSRC, also of one that has ended.
    """

    def __init__(self, find: Callable[[int], _Listener | None]) -> None:
        self._find = find
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None
        self.strangers = 0

    async def open(self) -> int:
        """Opens the socket; returns its port."""
        made = self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        made.setblocking(False)
        made.bind(("127.0.0.1", 0))
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=made)
        port: int = made.getsockname()[1]
        return port

    def close(self) -> None:
        """Closes the socket."""
        if self._transport is not None:
            self._transport.close()

    def catch_up(self) -> None:
        """Takes all that has arrived, for one who must know what came first. Does not block."""
        with contextlib.suppress(OSError):  # there is no more; or it is closed
            while self._socket is not None:
                self.datagram_received(*self._socket.recvfrom(1 << 16))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.DatagramTransport, transport)  # asyncio's own is none by its type

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One packet."""
        if len(data) == _DISCOVERY.size and data[:4] == b"\x00\x01\x00\x46":
            self._discover(data, addr)
        elif len(data) > _RTP.size and data[0] >> 6 == 2 and data[1] & 0x7F == _OPUS_PAYLOAD:
            self._hear(data)
        else:
            self.strangers += 1

    def _discover(self, data: bytes, addr: tuple[str, int]) -> None:
        ssrc = _DISCOVERY.unpack(data)[2]
        if self._find(ssrc) is not None and self._transport is not None:
            self._transport.sendto(_DISCOVERY.pack(2, 70, ssrc, addr[0].encode(), addr[1]), addr)

    def _hear(self, data: bytes) -> None:
        _, _, sequence, timestamp, ssrc = _RTP.unpack_from(data)
        session = self._find(ssrc)
        if session is None:
            self.strangers += 1
        elif not session.hears or session.mode is None:
            session.record.reject()
        else:
            try:
                opus = _decrypt(session.mode, session.key, data)
            except ValueError:
                session.record.undecodable += 1
            else:
                session.record.add(sequence, timestamp, opus)


def _decrypt(mode: str, key: bytes, packet: bytes) -> bytes:
    """The Opus frame of a packet without CSRCs or extensions.

    :raises ValueError: the packet is not what its sender's key makes.
    """
    header, sealed, counter = packet[: _RTP.size], packet[_RTP.size : -4], packet[-4:]
    if mode == "aead_aes256_gcm_rtpsize":
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(key).decrypt(counter + bytes(8), sealed, header)
        except InvalidTag as error:
            raise ValueError("not authentic") from error
    from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt
    from nacl.exceptions import CryptoError

    try:
        opened: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, header, counter + bytes(20), key)
    except CryptoError as error:
        raise ValueError("not authentic") from error
    return opened

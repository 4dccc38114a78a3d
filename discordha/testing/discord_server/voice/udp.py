"""The UDP port of the voice server: IP discovery, decryption, and the record of the sound.

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

#: The modes that Discord has offered since 2024; discord.py takes the second.
MODES = ("aead_aes256_gcm_rtpsize", "aead_xchacha20_poly1305_rtpsize")
_DISCOVERY = struct.Struct(">HHI64sH")
_RTP = struct.Struct(">BBHII")
_OPUS_PAYLOAD = 0x78
#: Bytes of packets that the system keeps while this process stands still, some seconds of several streams.
_RECEIVE_BUFFER = 1 << 20


class AudioRecord:
    """The sound of one voice session in the order of arrival.

    :param limit: packets kept; later ones are only counted.
    """

    def __init__(self, limit: int) -> None:
        self.packets: list[tuple[float, int, int, bytes]] = []
        self.count = 0
        self.undecodable = 0
        self.rejected: list[float] = []
        """Arrival times of packets outside of a session, or before its SPEAKING."""
        self._limit = limit

    def add(self, sequence: int, timestamp: int, opus: bytes) -> None:
        """Adds a packet."""
        self.count += 1
        if len(self.packets) < self._limit:
            self.packets.append((time.monotonic(), sequence, timestamp, opus))

    def reject(self) -> None:
        """Notes a packet that may not be heard."""
        if len(self.rejected) < self._limit:
            self.rejected.append(time.monotonic())

    def since(self, index: int) -> list[list[Any]]:
        """The packets from an index on, for JSON: arrival, sequence, timestamp, Opus in base 64."""
        return [
            [at, sequence, timestamp, base64.b64encode(opus).decode()]
            for at, sequence, timestamp, opus in self.packets[index:]
        ]


class _Listener(Protocol):
    """A voice session as the UDP port sees it."""

    mode: str | None
    key: bytes
    record: AudioRecord

    @property
    def is_audible(self) -> bool: ...


class VoiceUdp(asyncio.DatagramProtocol):
    """One socket for all sessions, which the SSRC of packets tells apart.

    :param find: gives the session of an SSRC, ended or not.
    """

    def __init__(self, find: Callable[[int], _Listener | None]) -> None:
        self._find = find
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None

    async def open(self) -> int:
        """Opens the socket and returns its port."""
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
        """Handles all packets that have arrived, so that later events come after them. Does not block."""
        with contextlib.suppress(OSError):  # no more packets, or a closed socket
            while self._socket is not None:
                self.datagram_received(*self._socket.recvfrom(1 << 16))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport; a hook of asyncio's."""
        self._transport = cast(
            asyncio.DatagramTransport, transport
        )  # asyncio's own class is not typed as one

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Handles one packet; a hook of asyncio's."""
        if len(data) == _DISCOVERY.size and data[:4] == b"\x00\x01\x00\x46":
            self._discover(data, addr)
        elif len(data) > _RTP.size and data[0] >> 6 == 2 and data[1] & 0x7F == _OPUS_PAYLOAD:
            self._hear(data)

    def _discover(self, data: bytes, addr: tuple[str, int]) -> None:
        ssrc = _DISCOVERY.unpack(data)[2]
        if self._find(ssrc) is not None and self._transport is not None:
            self._transport.sendto(_DISCOVERY.pack(2, 70, ssrc, addr[0].encode(), addr[1]), addr)

    def _hear(self, data: bytes) -> None:
        _, _, sequence, timestamp, ssrc = _RTP.unpack_from(data)
        session = self._find(ssrc)
        if session is None:
            return
        if not session.is_audible or session.mode is None:
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

    :raises ValueError: the packet was not made with the session's key.
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

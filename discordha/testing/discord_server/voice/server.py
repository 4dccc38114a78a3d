"""Voice states and the voice gateway (version 8) over TLS.

As Discord does: HELLO, IDENTIFY, READY, SELECT PROTOCOL, SESSION DESCRIPTION, SPEAKING, heartbeats that
acknowledge a sequence number, RESUME with the missed frames, IP discovery, encrypted RTP. A user has one
voice state in a guild: if a second gateway session of the bot joins, it takes over, and the first one's voice
socket is closed with 4014. An opcode 4 without a channel takes the bot out, from any of its sessions.

Unlike Discord: end-to-end encryption (DAVE) is version 0, which is off; only the bot is heard; the one voice
server never moves.

Source: Discord's documentation of voice connections and of their close codes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from collections import deque
from dataclasses import replace
from typing import Any

from aiohttp import WSMessage, WSMsgType, web
from simcord.enums import ChannelType

from discordha.testing.discord_server.options import Options
from discordha.testing.discord_server.sessions import GatewaySession, GatewaySessions, dumps
from discordha.testing.discord_server.voice.udp import MODES, AudioRecord, VoiceUdp
from discordha.testing.discord_server.world import World

__all__ = ["VoiceServer", "VoiceSession"]

_IDENTIFY, _SELECT, _READY, _HEARTBEAT, _DESCRIPTION, _SPEAKING, _ACK, _RESUME, _HELLO, _RESUMED = range(10)
_CONNECTS = 11
_CLIENT_CONNECT = 12
_DAVE = range(21, 32)


class VoiceSession:
    """The bot in a voice channel from join to leave, over any number of sockets."""

    def __init__(
        self, number: int, guild_id: int, channel_id: int, session: GatewaySession, limit: int
    ) -> None:
        self.number = number
        self.guild_id = guild_id
        self.channel_id = channel_id
        self.session = session
        self.token = secrets.token_hex(16)
        self.key = secrets.token_bytes(32)
        self.mode: str | None = None
        self.record = AudioRecord(limit)
        self.socket: _Socket | None = None
        self.began = time.monotonic()
        self.ended: float | None = None
        self.why_ended = ""
        self.detached_at: float | None = self.began
        self.identified = False
        self.has_spoken = False
        self.speaking: list[tuple[float, int]] = []
        self.resumed = 0
        self.heartbeats = 0
        self.acknowledged = -1
        self.sequence = 0
        self.buffer: deque[tuple[int, str]] = deque(maxlen=100)

    @property
    def ssrc(self) -> int:
        """The SSRC of its packets."""
        return self.number

    @property
    def is_audible(self) -> bool:
        """Whether its sound is let through."""
        return self.ended is None and self.has_spoken

    def describe(self) -> dict[str, Any]:
        """The session as the handle returns it."""
        packets = self.record.packets
        return {
            "number": self.number,
            "guild_id": self.guild_id,
            "channel_id": self.channel_id,
            "replica": self.session.replica,
            "session_id": self.session.id,
            "mode": self.mode,
            "began": self.began,
            "ended": self.ended,
            "why_ended": self.why_ended,
            "attached": self.socket is not None,
            "packets": self.record.count,
            "first": packets[0][0] if packets else None,
            "last": packets[-1][0] if packets else None,
            "rejected": self.record.rejected,
            "undecodable": self.record.undecodable,
            "speaking": self.speaking,
            "resumed": self.resumed,
            "heartbeats": self.heartbeats,
            "acknowledged": self.acknowledged,
        }


class VoiceServer:
    """Voice states, the voice gateway's sockets and its UDP port."""

    def __init__(self, options: Options, world: World, sessions: GatewaySessions) -> None:
        self.options = options
        self.world = world
        self.sessions = sessions
        self.endpoint = ""
        self.udp_port = 0
        self.udp = VoiceUdp(self._of_ssrc)
        self.all: deque[VoiceSession] = deque(maxlen=1000)
        self.current: dict[int, VoiceSession] = {}
        self._numbers = itertools.count(1)
        self._by_ssrc: dict[int, VoiceSession] = {}

    def _of_ssrc(self, ssrc: int) -> VoiceSession | None:
        return self._by_ssrc.get(ssrc)

    async def open_udp(self) -> None:
        """Opens the UDP port."""
        self.udp_port = await self.udp.open()

    # -- voice states ----------------------------------------------------------------------------------------

    def update(self, session: GatewaySession, data: dict[str, Any]) -> None:
        """Carries out opcode 4 of one of the bot's gateway sessions."""
        self.udp.catch_up()  # sound that arrived before counts as heard before
        guild_id = int(data["guild_id"])
        channel_id = int(data["channel_id"]) if data.get("channel_id") else None
        present = self.current.get(guild_id)
        if channel_id is None:
            if present is not None:
                self.end(present, "left")
            else:
                self.world.move_voice(guild_id, self.options.bot_id, None)
            return
        backend = self.world.backend
        channel = backend.channels.get(channel_id)
        voice = (ChannelType.VOICE, ChannelType.STAGE_VOICE)
        if channel is None or channel.guild_id != guild_id or channel.type not in voice:
            return
        moved = present is not None and present.session is session and present.channel_id != channel_id
        if present is not None and (present.session is not session or moved):
            self._drop(present, "moved" if moved else "taken over by another session")
            present = None
        if present is None:
            present = VoiceSession(
                next(self._numbers), guild_id, channel_id, session, self.options.max_voice_packets
            )
            if len(self.all) == self.all.maxlen:
                self._by_ssrc.pop(self.all[0].ssrc, None)
            self.all.append(present)
            self.current[guild_id] = self._by_ssrc[present.ssrc] = present
        state = backend.prepare_voice_state(
            guild_id,
            self.options.bot_id,
            channel_id,
            self_mute=bool(data.get("self_mute")),
            self_deaf=bool(data.get("self_deaf")),
        )
        assert state is not None  # there is a channel
        backend.commit_voice_state(replace(state, session_id=session.id))
        if present.socket is None:
            server = {"token": present.token, "guild_id": str(guild_id), "endpoint": self.endpoint}
            session.event("VOICE_SERVER_UPDATE", dumps(server))

    def packets(self, number: int, since: int) -> list[list[Any]]:
        """The sound of a session, from one packet on; see ``AudioRecord.since``."""
        session = self._by_ssrc.get(number)
        return session.record.since(since) if session is not None else []

    def kick(self, guild_id: int) -> None:
        """Takes the bot out of its voice channel, as a moderator."""
        present = self.current.get(guild_id)
        if present is not None:
            self.end(present, "kicked")

    def end(self, voice: VoiceSession, why: str) -> None:
        """Takes the bot out of its channel, and tells all sessions."""
        self._drop(voice, why)
        self.world.move_voice(voice.guild_id, self.options.bot_id, None)

    def _drop(self, voice: VoiceSession, why: str) -> None:
        if self.current.get(voice.guild_id) is voice:
            del self.current[voice.guild_id]
        voice.ended = time.monotonic()
        voice.why_ended = why
        if voice.socket is not None:
            voice.socket.end(4014, "Disconnected")

    def expire(self) -> None:
        """Takes the bot out if its voice socket or its gateway session is gone for good."""
        now = time.monotonic()
        for voice in list(self.current.values()):
            left_alone = voice.detached_at is not None and (
                now - voice.detached_at > self.options.voice_resume_window
            )
            if left_alone or voice.session.id not in self.sessions.all:
                self.end(voice, "lost")

    def close_sockets(self, guild_id: int, code: int) -> int:
        """Closes a guild's voice socket and returns the number of sockets. The session can be resumed."""
        voice = self.current.get(guild_id)
        if voice is None or voice.socket is None:
            return 0
        voice.socket.end(code, "")
        return 1

    # -- the voice gateway -----------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serves one socket, from HELLO to its end."""
        ws = web.WebSocketResponse(heartbeat=None, max_msg_size=0, timeout=1.0)
        await ws.prepare(request)
        if request.query.get("v") != "8":
            await ws.close(code=4020, message=b"Only version 8 is spoken here")
            return ws
        socket = _Socket(self, ws)
        try:
            await socket.run()
        finally:
            socket.leave()
        return ws


class _Socket:
    def __init__(self, server: VoiceServer, ws: web.WebSocketResponse) -> None:
        self.server = server
        self.ws = ws
        self.voice: VoiceSession | None = None
        self._asked: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def end(self, code: int, reason: str) -> None:
        """Lets the socket's reader close it. If another task closed it, aiohttp would drop the connection,
        and the client might not get the code.
        """
        if not self._asked.done():
            self._asked.set_result((code, reason))

    async def _receive(self, timeout: float) -> WSMessage | tuple[int, str]:
        """The next frame, or the code and reason to close with."""
        receiving: asyncio.Future[Any] = asyncio.ensure_future(self.ws.receive())
        waited: set[asyncio.Future[Any]] = {receiving, self._asked}
        try:
            await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if self._asked.done():
                return self._asked.result()
            if not receiving.done():
                return 4009, "Session timeout"
            message: WSMessage = receiving.result()
            return message
        finally:
            if not receiving.done():
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)

    async def run(self) -> None:
        interval = self.server.options.voice_heartbeat_interval
        await self._send(_HELLO, {"v": 8, "heartbeat_interval": int(interval * 1000)})
        while True:
            message = await self._receive(interval * 2)
            if not isinstance(message, WSMessage):
                await self.ws.close(code=message[0], message=message[1].encode())
                return
            if message.type is WSMsgType.BINARY:
                continue  # DAVE, which is off
            if message.type is not WSMsgType.TEXT:
                return
            try:
                frame = json.loads(message.data)
                code, reason = await self._answer(int(frame["op"]), frame.get("d"))
            except (ValueError, KeyError, TypeError):
                code, reason = 4002, "Failed to decode payload"
            if code:
                await self.ws.close(code=code, message=reason.encode())
                return

    async def _answer(self, opcode: int, data: Any) -> tuple[int, str]:
        """Answers one frame. A close code ends the socket."""
        voice = self.voice
        if opcode == _HEARTBEAT:
            if not isinstance(data, dict) or "seq_ack" not in data:
                return 4020, "version 8 wants seq_ack"
            if voice is not None:
                voice.heartbeats += 1
                voice.acknowledged = int(data["seq_ack"])
            await self._send(_ACK, {"t": data["t"]})
        elif opcode == _IDENTIFY:
            return await self._identify(data)
        elif opcode == _RESUME:
            return await self._resume(data)
        elif voice is None:
            return 4003, "Not authenticated"
        elif opcode == _SELECT:
            return await self._select(voice, data)
        elif opcode == _SPEAKING:
            if int(data["ssrc"]) != voice.ssrc:
                return 4020, "another ssrc"
            voice.has_spoken = True
            if len(voice.speaking) < 10_000:
                voice.speaking.append((time.monotonic(), int(data["speaking"])))
        elif opcode != _CLIENT_CONNECT and opcode not in _DAVE:
            return 4001, "Unknown opcode"
        return 0, ""

    async def _identify(self, data: dict[str, Any]) -> tuple[int, str]:
        if self.voice is not None:
            return 4005, "Already authenticated"
        voice = self.server.current.get(int(data["server_id"]))
        if voice is None or data["session_id"] != voice.session.id:
            return 4006, "Session no longer valid"
        if data["token"] != voice.token or int(data["user_id"]) != self.server.options.bot_id:
            return 4004, "Authentication failed"
        int(data["max_dave_protocol_version"])
        self._attach(voice)
        voice.identified = True
        voice.sequence = 0
        voice.buffer.clear()
        await self._send(
            _READY,
            {
                "ssrc": voice.ssrc,
                "ip": "127.0.0.1",
                "port": self.server.udp_port,
                "modes": list(MODES),
                "heartbeat_interval": 1,  # wrong at the real Discord, too; HELLO's counts
            },
        )
        return 0, ""

    async def _select(self, voice: VoiceSession, data: dict[str, Any]) -> tuple[int, str]:
        if data["protocol"] != "udp":
            return 4012, "Unknown protocol"
        mode = data["data"]["mode"]
        if mode not in MODES:
            return 4016, "Unknown encryption mode"
        voice.mode = mode
        await self._send_numbered(
            voice,
            _DESCRIPTION,
            {
                "mode": mode,
                "secret_key": list(voice.key),
                "dave_protocol_version": 0,
                "audio_codec": "opus",
                "media_session_id": secrets.token_hex(16),
            },
        )
        states = self.server.world.backend.get_guild(voice.guild_id).voice_states.values()
        users = [str(state.user_id) for state in states if state.channel_id == voice.channel_id]
        await self._send_numbered(voice, _CONNECTS, {"user_ids": users})
        return 0, ""

    async def _resume(self, data: dict[str, Any]) -> tuple[int, str]:
        voice = self.server.current.get(int(data["server_id"]))
        if voice is None or not voice.identified or data["session_id"] != voice.session.id:
            return 4006, "Session no longer valid"
        if data["token"] != voice.token:
            return 4004, "Authentication failed"
        self._attach(voice)
        voice.resumed += 1
        await self._send(_RESUMED, None)
        for number, frame in voice.buffer:
            if number > int(data.get("seq_ack", -1)):
                await self.ws.send_str(frame)
        return 0, ""

    def _attach(self, voice: VoiceSession) -> None:
        old, voice.socket, self.voice = voice.socket, self, voice
        voice.detached_at = None
        if old is not None and old is not self:
            old.end(4006, "Session no longer valid")

    async def _send(self, opcode: int, data: Any) -> None:
        await self.ws.send_str(dumps({"op": opcode, "d": data}))

    async def _send_numbered(self, voice: VoiceSession, opcode: int, data: Any) -> None:
        voice.sequence += 1
        frame = dumps({"op": opcode, "d": data, "seq": voice.sequence})
        voice.buffer.append((voice.sequence, frame))
        await self.ws.send_str(frame)

    def leave(self) -> None:
        """Detaches the session of a socket that is gone."""
        voice = self.voice
        if voice is not None and voice.socket is self:
            voice.socket = None
            voice.detached_at = time.monotonic()

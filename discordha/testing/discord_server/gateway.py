"""The protocol of one gateway socket: HELLO, IDENTIFY, RESUME, heartbeats, member chunks.

Source: Discord's gateway documentation, version 10.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import discord
from aiohttp import WSMsgType, web
from simcord import intents as simcord_intents

from discordha.testing.discord_server.frames import Frames
from discordha.testing.discord_server.options import Options
from discordha.testing.discord_server.sessions import GatewaySession, GatewaySessions, dumps
from discordha.testing.discord_server.voice.server import VoiceServer
from discordha.testing.discord_server.world import World

__all__ = ["GatewayServer", "host_of"]

_PRIVILEGED_INTENTS = ("members", "presences", "message_content")
_MEMBERS_PER_CHUNK = 1000


def host_of(request: web.Request) -> str:
    """The ``host:port`` by which a client came. aiohttp's own ``host`` loses the port where a proxy hands the
    whole address on.
    """
    return request.headers.get("Host") or request.host


class GatewayServer:
    """Accepts gateway sockets at ``/gateway/<replica>``."""

    def __init__(self, options: Options, world: World, sessions: GatewaySessions, voice: VoiceServer) -> None:
        self.options = options
        self.world = world
        self.sessions = sessions
        self.voice = voice
        self.refused: set[str] = set()
        self.last_identify: dict[int, float] = {}
        self.identifies: list[dict[str, Any]] = []
        self.violations = 0
        self.remaining = options.session_limit
        self.resume_host: str | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serves one socket, from HELLO to its end."""
        replica = request.match_info.get("replica", "")
        if self.sessions.fault_of(replica).refuse:
            raise web.HTTPServiceUnavailable
        ws = web.WebSocketResponse(heartbeat=None, max_msg_size=0, timeout=1.0)
        await ws.prepare(request)
        frames = Frames(ws, request.query.get("compress"))
        connection = _Connection(self, frames, replica, host_of(request))
        try:
            await connection.run()
        finally:
            connection.leave()
        return ws

    def session_start_limit(self) -> dict[str, Any]:
        """The limit as ``/gateway/bot`` shows it."""
        return {
            "total": self.options.session_limit,
            "remaining": self.remaining,
            "reset_after": 86_400_000,
            "max_concurrency": self.options.max_concurrency,
            # Not in the real answer: there it is always 5 s.
            "identify_interval": int(self.options.identify_interval * 1000),
        }


class _Connection:
    def __init__(self, server: GatewayServer, frames: Frames, replica: str, host: str) -> None:
        self.server = server
        self.frames = frames
        self.ws = frames.ws
        self.replica = replica
        self.host = server.resume_host or host
        self.session: GatewaySession | None = None
        self.clean = False

    async def run(self) -> None:
        options = self.server.options
        interval = options.heartbeat_interval
        if self._is_silent():
            await asyncio.sleep(60)
            return
        await self.frames.send(
            dumps({"op": 10, "s": None, "t": None, "d": {"heartbeat_interval": int(interval * 1000)}})
        )
        while True:
            try:
                message = await self.ws.receive(timeout=interval * 2)
            except TimeoutError:
                await self.ws.close(code=4009, message=b"Session timed out")
                return
            if message.type is not WSMsgType.TEXT:
                self.clean = message.type is WSMsgType.CLOSE and message.data in (1000, 1001)
                return
            try:
                frame = json.loads(message.data)
                opcode, data = frame["op"], frame.get("d")
            except (ValueError, KeyError, TypeError):
                await self.ws.close(code=4002, message=b"Decode error")
                return
            if self._is_silent():
                continue
            if not await self._answer(opcode, data):
                return

    def _is_silent(self) -> bool:
        return self.server.sessions.fault_of(self.replica).silent

    async def _answer(self, opcode: int, data: Any) -> bool:
        """Answers one frame. False ends the socket."""
        if opcode == 1:
            answer = '{"op":11,"s":null,"t":null,"d":null}'
            if self.session is not None and self.session.ws is self.ws:
                self.session.send(answer)  # behind the events sent before
            else:
                await self.frames.send(answer)
        elif opcode == 2:
            return await self._identify(data)
        elif opcode == 6:
            return await self._resume(data)
        elif self.session is None:
            await self.ws.close(code=4003, message=b"Not authenticated")
            return False
        elif opcode == 8:
            self._request_members(data)
        elif opcode == 4:
            self.server.voice.update(self.session, data)
        elif opcode == 3:
            self.session.presence = _presence(data)
        else:
            await self.ws.close(code=4001, message=b"Unknown opcode")
            return False
        return True

    async def _close(self, code: int, reason: str) -> bool:
        await self.ws.close(code=code, message=reason.encode())
        return False

    async def _invalid_session(self, resumable: bool) -> bool:
        await self.frames.send(dumps({"op": 9, "s": None, "t": None, "d": resumable}))
        return True

    async def _identify(self, data: dict[str, Any]) -> bool:
        server, options = self.server, self.server.options
        if self.session is not None:
            return await self._close(4005, "Already authenticated")
        if data.get("token") != options.token:
            return await self._close(4004, "Authentication failed")
        shard_id, shard_count = data.get("shard") or (0, 1)
        if not 0 <= shard_id < shard_count:
            return await self._close(4010, "Invalid shard")
        if shard_count < options.shards and "shard" not in data and options.shards > 1:
            return await self._close(4011, "Sharding required")
        value = int(data.get("intents", -1))
        if value < 0 or value >> 27:
            return await self._close(4013, "Invalid intents")
        intents = discord.Intents._from_value(value)
        if not options.privileged_intents and any(getattr(intents, name) for name in _PRIVILEGED_INTENTS):
            return await self._close(4014, "Disallowed intents")
        now = time.monotonic()
        bucket = shard_id % options.max_concurrency
        since = now - server.last_identify.get(bucket, -1e9)
        server.identifies.append(
            {
                "at": now,
                "replica": self.replica,
                "shard_id": shard_id,
                "accepted": since >= options.identify_interval,
                "presence": _presence(data.get("presence")),
            }
        )
        if since < options.identify_interval:
            server.violations += 1
            return await self._invalid_session(False)
        if server.remaining <= 0:
            return await self._close(4004, "Authentication failed")
        server.remaining -= 1
        server.last_identify[bucket] = now
        session = self.session = server.sessions.open(self.replica, (shard_id, shard_count), intents)
        session.attach(self.frames)
        session.presence = server.identifies[-1]["presence"]
        world = server.world
        guilds = [g for g in world.backend.guilds if (g >> 22) % shard_count == shard_id]
        ready = {
            "v": 10,
            "user": {
                **world.user_payload(options.bot_id),
                "verified": True,
                "mfa_enabled": True,
                "email": None,
            },
            "guilds": [{"id": str(guild), "unavailable": True} for guild in guilds],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": f"ws://{self.host}/gateway/{self.replica}",
            "shard": [shard_id, shard_count],
            "application": {"id": str(options.bot_id), "flags": 0},
            "private_channels": [],
            "presences": [],
            "user_settings": {},
        }
        session.event("READY", dumps(ready))
        for guild in guilds:
            payload = world.guild_payload(guild)
            simcord_intents.prune_guild_create(payload, intents, options.bot_id)
            members = payload["members"]
            if len(members) > int(data.get("large_threshold", 50)):  # the rest on request
                payload["large"] = True
                payload["members"] = [each for each in members if each["user"]["id"] == str(options.bot_id)]
            session.event("GUILD_CREATE", dumps(payload))
        return True

    async def _resume(self, data: dict[str, Any]) -> bool:
        server = self.server
        if data.get("token") != server.options.token:
            return await self._close(4004, "Authentication failed")
        if server.sessions.fault_of(self.replica).cut_resume:
            return await self._close(4000, "Cut by a fault")
        session = server.sessions.all.get(str(data.get("session_id")))
        if session is None:
            return await self._invalid_session(False)
        old = session.ws
        session.attach(self.frames)
        if old is not None and not old.closed:
            self._close_soon(old)
        if not session.replay(int(data.get("seq") or 0)):
            server.sessions.end(session)
            return await self._invalid_session(False)
        self.session = session
        session.resumed += 1
        session.event("RESUMED", '{"_trace":["local"]}')
        return True

    @staticmethod
    def _close_soon(ws: web.WebSocketResponse) -> None:
        async def close() -> None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(ws.close(code=4000), 1.0)

        task = asyncio.get_running_loop().create_task(close())
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    def _request_members(self, data: dict[str, Any]) -> None:
        world, session = self.server.world, self.session
        assert session is not None
        guild_id = int(data["guild_id"][0] if isinstance(data["guild_id"], list) else data["guild_id"])
        guild = world.backend.get_guild(guild_id)
        wanted = data.get("user_ids")
        if wanted is not None:
            ids = [int(user) for user in (wanted if isinstance(wanted, list) else [wanted])]
            found = [user for user in ids if user in guild.members]
            missing = [str(user) for user in ids if user not in guild.members]
        else:
            query = str(data.get("query") or "").lower()
            found = [
                user for user in guild.members if world.backend.users[user].name.lower().startswith(query)
            ]
            found = found[: data.get("limit") or None]
            missing = []
        chunks = [
            found[start : start + _MEMBERS_PER_CHUNK] for start in range(0, len(found), _MEMBERS_PER_CHUNK)
        ] or [[]]
        for index, chunk in enumerate(chunks):
            payload: dict[str, Any] = {
                "guild_id": str(guild_id),
                "members": [world.member_payload(guild_id, user) for user in chunk],
                "chunk_index": index,
                "chunk_count": len(chunks),
                "not_found": missing,
            }
            if data.get("presences"):
                payload["presences"] = []
            if data.get("nonce"):
                payload["nonce"] = data["nonce"]
            session.event("GUILD_MEMBERS_CHUNK", dumps(payload))

    def leave(self) -> None:
        """Ends or detaches the session of a socket that is gone."""
        session = self.session
        if session is None or session.ws is not self.ws:
            return
        if self.clean:
            self.server.sessions.end(session)
            self.server.voice.expire()
        else:
            session.detach()


_closing: set[asyncio.Task[None]] = set()


def _presence(data: Any) -> dict[str, Any] | None:
    """A presence as the handle returns it; discord.py's IDENTIFY has the activity's old name."""
    if not isinstance(data, dict):
        return None
    activities = data.get("activities") or [data.get("game")]
    return {"status": data.get("status"), "activity": activities[0]}

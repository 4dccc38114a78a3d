"""Gateway sessions: the events of each, its buffer for RESUME, and the faults on the way.

A payload becomes JSON once. Each session puts its own sequence number in front, so that one event for many
sessions is cheap.
"""

from __future__ import annotations

import asyncio
import copy
import json
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import discord
from aiohttp import web
from simcord import intents as simcord_intents

from discordha.testing.discord_server.frames import Frames
from discordha.testing.discord_server.options import Options
from discordha.testing.discord_server.world import World

__all__ = ["Fault", "GatewaySession", "GatewaySessions", "dumps"]


def _encoder() -> Callable[[Any], str]:
    try:
        import orjson
    except ImportError:
        return lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return lambda value: str(orjson.dumps(value), "utf-8")


_encode = _encoder()


def dumps(value: Any) -> str:
    """JSON in Discord's form, without spaces."""
    return _encode(value)


@dataclass(frozen=True)
class Fault:
    """A fault on the way to a session.

    :param delay: seconds by which each frame is late.
    :param drop: the share of events that never arrive, 0 to 1.
    :param duplicate: each frame arrives twice, with the same sequence number.
    :param silent: nothing arrives at all, not even the answers to heartbeats.
    :param deaf: heartbeats are answered, but no event arrives.
    :param refuse: new connections are refused.
    :param cut_resume: each RESUME is answered by the end of the connection.
    """

    delay: float = 0.0
    drop: float = 0.0
    duplicate: bool = False
    silent: bool = False
    deaf: bool = False
    refuse: bool = False
    cut_resume: bool = False


class GatewaySession:
    """One session. It outlives its sockets."""

    def __init__(
        self, options: Options, replica: str, shard: tuple[int, int], intents: discord.Intents, seed: str
    ) -> None:
        self.id = secrets.token_hex(16)
        self.replica = replica
        self.shard_id, self.shard_count = shard
        self.intents = intents
        self.seed = seed
        self.sequence = 0
        self.started = time.monotonic()
        self.detached_at: float | None = None
        self.resumed = 0
        self.delivered = 0
        self.presence: dict[str, Any] | None = None
        self.buffer: deque[tuple[int, str]] = deque(maxlen=options.resume_buffer)
        self.ws: web.WebSocketResponse | None = None
        self.compression: str | None = None
        self.fault = Fault()
        self._outgoing: deque[tuple[float, str | bytes]] = deque()
        self._something = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    @property
    def attached(self) -> bool:
        """Whether the session has a socket."""
        return self.ws is not None and not self.ws.closed

    def attach(self, frames: Frames) -> None:
        """Gives the session a socket, the first or a later one."""
        self.detach()
        self.ws = frames.ws
        self.compression = frames.compression
        self.detached_at = None
        self._outgoing.clear()
        self._writer = asyncio.get_running_loop().create_task(self._write(frames))

    def detach(self) -> None:
        """Takes the socket away."""
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None
        if self.ws is not None:
            self.ws = None
            self.detached_at = time.monotonic()

    def event(self, name: str, data: str) -> None:
        """Sends an event, whose data is JSON, and keeps it for RESUME."""
        fault = self.fault
        self.sequence += 1
        frame = f'{{"op":0,"s":{self.sequence},"t":"{name}","d":{data}}}'
        self.buffer.append((self.sequence, frame))
        if self.ws is None or fault.deaf or (fault.drop and random.random() < fault.drop):
            return
        for _ in range(2 if fault.duplicate else 1):
            self.delivered += 1
            self.send(frame)

    def replay(self, sequence: int) -> bool:
        """Sends the events after a sequence number again. False if the buffer no longer has them."""
        if sequence > self.sequence or (self.buffer and self.buffer[0][0] > sequence + 1):
            return False
        for number, frame in self.buffer:
            if number > sequence:
                self.send(frame)
        return True

    def send(self, frame: str | bytes) -> None:
        """Queues a frame; bytes go out as they are."""
        self._outgoing.append((time.monotonic(), frame))
        self._something.set()

    async def _write(self, frames: Frames) -> None:
        try:
            while True:
                if not self._outgoing:
                    self._something.clear()
                    await self._something.wait()
                at, frame = self._outgoing.popleft()
                fault = self.fault
                if fault.silent:
                    continue
                if fault.delay:
                    await asyncio.sleep(max(at + fault.delay - time.monotonic(), 0.0))
                await frames.send(frame)
        except (ConnectionError, RuntimeError):
            return

    def describe(self) -> dict[str, Any]:
        """The session as the handle returns it."""
        return {
            "id": self.id,
            "replica": self.replica,
            "shard_id": self.shard_id,
            "shard_count": self.shard_count,
            "attached": self.attached,
            "sequence": self.sequence,
            "delivered": self.delivered,
            "resumed": self.resumed,
            "intents": self.intents.value,
            "presence": self.presence,
            "compression": self.compression,
        }


class GatewaySessions:
    """All sessions of the bot."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.world: World
        self.all: dict[str, GatewaySession] = {}
        self.faults: dict[str, Fault] = {}
        self.events = 0

    def open(self, replica: str, shard: tuple[int, int], intents: discord.Intents) -> GatewaySession:
        """Makes a session."""
        session = GatewaySession(self.options, replica, shard, intents, secrets.token_hex(4))
        session.fault = self.fault_of(replica)
        self.all[session.id] = session
        return session

    def end(self, session: GatewaySession) -> None:
        """Ends a session, which can't be resumed then."""
        session.detach()
        session.buffer.clear()  # large, and the session may wait long for the garbage collector
        self.all.pop(session.id, None)

    def expire(self) -> None:
        """Ends sessions that have had no socket for too long."""
        oldest = time.monotonic() - self.options.session_lifetime
        for session in list(self.all.values()):
            if session.detached_at is not None and session.detached_at < oldest:
                self.end(session)

    def fault_of(self, replica: str) -> Fault:
        """The fault of a replica."""
        return self.faults.get(replica) or self.faults.get("*") or Fault()

    def set_fault(self, replica: str, changes: Mapping[str, Any]) -> None:
        """Sets a fault of a replica's present and future sessions; ``*`` stands for all replicas."""
        self.faults[replica] = replace(self.fault_of(replica), **changes)
        self._apply_faults()

    def clear_faults(self, replica: str | None) -> None:
        """Removes the fault of a replica, or all."""
        if replica is None:
            self.faults.clear()
        else:
            self.faults.pop(replica, None)
        self._apply_faults()

    def _apply_faults(self) -> None:
        for session in self.all.values():
            session.fault = self.fault_of(session.replica)

    def chosen(self, replica: str | None) -> list[GatewaySession]:
        """The sessions of a replica, or all."""
        return [s for s in self.all.values() if replica in (None, "*", s.replica)]

    # -- events ----------------------------------------------------------------------------------------------

    def emit(self, name: str, payload: Mapping[str, Any]) -> None:
        """Sends an event to the sessions of its shard and intent."""
        self.events += 1
        gate = simcord_intents.required_intent(name, payload)
        guild_id = payload.get("id") if name.startswith("GUILD_CREATE") else payload.get("guild_id")
        bot_id = self.options.bot_id
        full: str | None = None
        censored: str | None = None
        for session in self.all.values():
            if gate is not None and not getattr(session.intents, gate):
                continue
            shard = (int(guild_id) >> 22) % session.shard_count if guild_id else 0
            if shard != session.shard_id:
                continue
            if name in ("MESSAGE_CREATE", "MESSAGE_UPDATE") and not session.intents.message_content:
                if censored is None:
                    changed = copy.deepcopy(dict(payload))
                    simcord_intents.censor_message(changed, bot_id, backend=self.world.backend)
                    censored = dumps(changed)
                session.event(name, censored)
                continue
            if full is None:
                full = dumps(payload)
            session.event(name, self.sign(full, session))

    def sign(self, data: str, session: GatewaySession) -> str:
        """Signs attachment addresses anew for each session, as Discord does."""
        if self.options.sign_attachments and "cdn.discordapp.com" in data:
            return data.replace('.txt"', f'.txt?ex={session.seed}&hm={secrets.token_hex(8)}"')
        return data

"""The calls of the test process: one HTTP POST each to ``/control/<name>``, with JSON both ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from aiohttp import web

from discordha.testing.discord_server.gateway import GatewayServer
from discordha.testing.discord_server.interactions import UserInteractions
from discordha.testing.discord_server.loads import Loads
from discordha.testing.discord_server.looks import Looks
from discordha.testing.discord_server.rest.server import RestServer
from discordha.testing.discord_server.sessions import GatewaySession, GatewaySessions, dumps
from discordha.testing.discord_server.voice.server import VoiceServer
from discordha.testing.discord_server.world import World

__all__ = ["Control"]


class Control:
    """Answers the calls, by name."""

    def __init__(
        self,
        world: World,
        sessions: GatewaySessions,
        gateway: GatewayServer,
        rest: RestServer,
        interactions: UserInteractions,
        *,
        voice: VoiceServer,
    ) -> None:
        self.world = world
        self.sessions = sessions
        self.gateway = gateway
        self.rest = rest
        self.interactions = interactions
        self.loads = Loads(world, interactions)
        looks = Looks(world)
        self.calls: dict[str, Callable[..., Any]] = {
            "describe": self.describe,
            "sessions": lambda: [session.describe() for session in sessions.all.values()],
            "requests": lambda since: [r for r in rest.records if r["number"] >= since],
            "messages": lambda since: [m for m in rest.messages if m["number"] >= since],
            "unknown": lambda: rest.unknown,
            "identifies": lambda: gateway.identifies,
            "send": world.send,
            "edit": world.edit,
            "delete": world.delete,
            "bulk_delete": world.bulk_delete,
            "react": world.react,
            "unreact": world.unreact,
            "typing": world.typing,
            "join": world.join,
            "names": looks.names,
            "history": looks.history,
            "open_direct": looks.open_direct,
            "leave": world.leave,
            "move_voice": world.move_voice,
            "presence": world.presence,
            "direct_message": world.direct_message,
            "create_thread": world.create_thread,
            "archive_thread": world.archive_thread,
            "create_event": world.create_event,
            "kick": world.kick,
            "ban": world.ban,
            "unban": world.unban,
            "delete_channel": world.delete_channel,
            "create_role": world.create_role,
            "give_role": world.give_role,
            "take_role": world.take_role,
            "set_system_channel": world.set_system_channel,
            "deny": world.deny,
            "deny_guild": world.deny_guild,
            "emit": self.emit,
            "frame": self.frame,
            "slash": interactions.slash,
            "context_menu": interactions.context_menu,
            "click": interactions.click,
            "submit": interactions.submit,
            "interaction": interactions.describe,
            "age_interaction": interactions.age,
            "commands": self.commands,
            "load": self.loads.start,
            "load_state": self.loads.describe,
            "load_stop": self.loads.stop,
            "fault": sessions.set_fault,
            "clear_faults": self.clear_faults,
            "fault_rest": self.fault_rest,
            "close": self.close,
            "reconnect": lambda replica: self._each(replica, '{"op":7,"s":null,"t":null,"d":null}'),
            "invalidate": self.invalidate,
            "set_limit": self.set_limit,
            "set_resume_host": self.set_resume_host,
            "trim": self.trim,
            "voice_sessions": lambda: [session.describe() for session in voice.all],
            "voice_packets": voice.packets,
            "voice_kick": voice.kick,
            "voice_close": voice.close_sockets,
        }

    async def handle(self, request: web.Request) -> web.Response:
        """Answers one call."""
        name = request.match_info["name"]
        arguments = await request.json()
        try:
            result = self.calls[name](**arguments)
        except Exception as error:  # noqa: BLE001 - the caller gets its mistake
            return web.Response(status=400, text=f"{type(error).__name__}: {error}")
        return web.Response(text=dumps(result))

    def describe(self) -> dict[str, Any]:
        """The world, and the counters."""
        world = self.world
        return {
            "guilds": world.guilds,
            "channels": world.channels,
            "voice_channels": world.voice_channels,
            "users": world.users,
            "owners": [world.backend.get_guild(guild).owner_id for guild in world.guilds],
            "events": self.sessions.events,
            "requests": self.rest.count,
            "messages": self.rest.message_count,
            "violations": self.gateway.violations,
            "remaining": self.gateway.remaining,
            "limited_global": self.rest.limits.exceeded["global"],
            "limited_route": self.rest.limits.exceeded["user"],
        }

    def emit(self, name: str, payload: dict[str, Any]) -> None:
        """Sends any event."""
        self.world.backend.emit(name, payload)

    def frame(self, replica: str | None, text: str | None, binary: str | None) -> int:
        """Sends a frame as it is: text, or bytes in hexadecimal."""
        return self._each(replica, bytes.fromhex(binary) if binary is not None else text or "")

    def fault_rest(self, fault: dict[str, Any]) -> None:
        """Adds a fault of REST calls."""
        self.rest.faults.append(fault)

    def commands(self, guild_id: int | None) -> list[dict[str, Any]]:
        """The application commands that the bot has registered."""
        return list(self.world.backend.commands.get(guild_id, {}).values())

    def clear_faults(self, replica: str | None) -> None:
        """Removes the faults of a replica, or all."""
        self.sessions.clear_faults(replica)
        if replica is None:
            self.rest.faults.clear()

    def _each(self, replica: str | None, frame: str | bytes) -> int:
        chosen = [session for session in self.sessions.chosen(replica) if session.attached]
        for session in chosen:
            session.send(frame)
        return len(chosen)

    def invalidate(self, replica: str | None, resumable: bool) -> int:
        """Sends INVALID_SESSION to sessions, which end unless they are resumable."""
        chosen = self.sessions.chosen(replica)
        count = self._each(replica, f'{{"op":9,"s":null,"t":null,"d":{str(resumable).lower()}}}')
        if not resumable:
            for session in chosen:
                self.sessions.all.pop(session.id, None)
        return count

    def close(self, replica: str | None, code: int, end: bool) -> int:
        """Closes sockets. Their sessions can be resumed, unless they end."""
        chosen = [session for session in self.sessions.chosen(replica) if session.attached]
        for session in chosen:
            ws = session.ws
            assert ws is not None
            task = asyncio.get_running_loop().create_task(_close(session, code))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
            if end:
                self.sessions.all.pop(session.id, None)
        return len(chosen)

    def set_limit(self, remaining: int) -> None:
        """Sets the rest of the day's IDENTIFYs."""
        self.gateway.remaining = remaining

    def set_resume_host(self, host: str | None) -> None:
        """Sets the ``host:port`` at which new sessions shall resume; ``None`` for the one they came by."""
        self.gateway.resume_host = host

    def trim(self) -> None:
        """Clears the records."""
        self.rest.records.clear()
        self.rest.messages.clear()
        self.interactions.trim()


async def _close(session: GatewaySession, code: int) -> None:
    ws = session.ws
    if ws is not None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(ws.close(code=code), 2.0)


_tasks: set[asyncio.Task[None]] = set()

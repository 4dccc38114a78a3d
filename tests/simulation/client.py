"""One shard's client of a simulated gateway: its connection, and heartbeats that tell what has arrived."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import discord

from discordha.events import CaughtUp
from discordha.gateway.state import GatewayState
from discordha.gateway.tap import CAUGHT_UP, HANDLED
from simulation.discord_side import WAY, WAY_MEAN, Connection, Session
from simulation.futures import CancelledError
from simulation.primitives import monotonic, sleep
from simulation.rest import SimulatedHTTP, guilds_of
from simulation.scheduler import current
from simulation.threads import Thread

if TYPE_CHECKING:
    from simulation.gateway import SimulatedGateway

__all__ = ["SimulatedClient", "Waits", "drive"]

HEARTBEAT = 20.0
RESEND_PAUSE = 0.2
NEXT_EVENT_TIMEOUT = 30.0


class SimulatedClient:
    """One shard's client. Everything runs on the gateway's thread, except ``state`` and where it says so."""

    def __init__(self, gateway: SimulatedGateway, key: int, number: int, count: int | None) -> None:
        self.key = key
        self.number = number
        self.shard_count = count
        self._gateway = gateway
        self._discord = gateway.discord
        self._current = GatewayState(number)
        self._changed_at = self._last_frame = monotonic()
        self._session: Session | None = None
        self._sequence = 0
        self._connection: Connection | None = None
        self._resuming = False
        self._acknowledged = 0
        self._in_order = 0
        self._seen = 0
        self._pending: deque[int] = deque()  # known revisions of heartbeats under way
        self._beats_sent = self._beats_answered = 0
        self._again = False
        self._permit: Any = None
        self._last_messages: dict[int, int] = {}  # by channel
        self.http = SimulatedHTTP(self, self._discord)
        self.intents = discord.Intents(guild_messages=True)
        self.shard_id = number if count else None
        self.private_channels = ()
        self._awaited: Any = None  # what the connection waits for
        self.down_until = 0.0
        self.closed = False
        self.presence = SimpleNamespace(set=lambda word: None)

    # -- the connection --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Connects, on a thread of its own; any thread."""
        Thread(target=self._connect, name="discord-connect", daemon=True).start()

    def _connect(self) -> None:
        scheduler = current()
        while not self.closed and scheduler.now < self.down_until:
            sleep(self.down_until - scheduler.now)
        while not self.closed:
            sleep(WAY + scheduler.random.expovariate(1 / WAY_MEAN) * 10)
            connection = Connection(scheduler, self._arrived)
            connection.lag = self._gateway.lag
            session = self._session
            if session is not None:
                self._gateway.soon(self._set_up, connection, True)
                if self._discord.resume(session, self._sequence, connection):
                    return
                self._session = None
                continue
            try:
                permit = drive(self._gateway.listener.before_identify(self.key), self._wait_for)
            except CancelledError:  # the replica stops
                return
            if self.closed:
                permit.over()
                return
            if not permit.sent():
                continue
            self._permit = permit
            self._current.identifies += 1
            self._gateway.listener.on_identify(self.key)
            self._gateway.soon(self._set_up, connection, False)
            self._session = self._discord.identify(connection, self.number, self.shard_count)
            self._sequence = 0
            return

    def _set_up(self, connection: Connection, resuming: bool) -> None:
        self._connection, self._resuming = connection, resuming
        self._pending.clear()
        self._beats_answered = self._beats_sent
        if resuming:
            self._acknowledged = self._in_order
        else:
            self._acknowledged = self._in_order = 0
        self._send_beat()
        current().after(HEARTBEAT, lambda: self._regular(connection))

    def drop(self, resume: bool = True) -> None:
        """The connection is lost; gateway's thread."""
        if self._connection is None:
            return
        self._connection.open = False
        self._connection = None
        if self._permit is not None:
            self._permit.over()
        self._acknowledged = self._in_order
        if not resume:
            self._session = None
        self._set_connected(False)
        if not self.closed:
            self.begin()

    def _wait_for(self, future: Any) -> Any:
        self._awaited = future
        return future.result()

    def end(self) -> None:
        """Closes the client; any thread."""
        self.closed = True
        if self._awaited is not None:
            self._awaited.cancel()
        if self._permit is not None:
            self._permit.over()
        if self._connection is not None:
            self._connection.open = False
        if self._session is not None:
            self._session.valid = False

    def leave(self, answer: Any) -> None:
        """Ends the session; gateway's thread."""
        self.end()
        self._set_connected(False)
        answer.set_result(None)

    def _arrived(self, connection: Connection, kind: str, what: Any) -> None:
        self._gateway.inbox_put(self.take, connection, kind, what)

    def take(self, connection: Connection, kind: str, what: Any) -> None:
        """Something arrived."""
        if connection is not self._connection or self.closed:
            return
        self._last_frame = monotonic()
        self._current.frames += 1
        if kind == "ack":
            self._beats_answered += 1
            if self._pending:
                self._acknowledged = max(self._acknowledged, self._pending.popleft())
            if self._again and not self._pending:
                self._again = False
                self._send_beat()
            return
        number, text = what
        if number <= self._sequence:
            return
        self._sequence = number
        self._in_order = self._acknowledged
        frame = json.loads(text)
        kind, data = frame["t"], frame["d"]
        listener = self._gateway.listener
        if kind == "READY":
            history = self._discord.history
            self._last_messages = {channel: int(sent[-1]["id"]) for channel, sent in history.items()}
            listener.on_new_session(self.key)
            self._set_connected(True)
            self._current.ready = True
            if self._permit is not None:
                self._permit.over()
            listener.on_change()
        elif kind == "RESUMED":
            self._current.resumes += 1
            self._set_connected(True)
        else:
            self._current.heard += 1
            self._current.events += self._current.connected
            if kind == "MESSAGE_CREATE":
                listener.on_message(self.key, int(data["guild_id"]), int(data["id"]))
            self.dispatch(kind, data, text)

    def dispatch(self, kind: str, data: Any, raw: str, caught_up: CaughtUp | None = None) -> None:
        """Hands an event on as the tap does."""
        listener = self._gateway.listener
        self._gateway.on_received(kind, data)
        guild_id = int(data.get("guild_id") or 0)

        def hand_on(name: str, args: Any) -> None:
            if caught_up is not None:
                listener.on_caught_up(name, (args,), raw, self.key, caught_up, guild=guild_id)
            else:
                listener.on_dispatch(name, (args,), raw, self.key, self._acknowledged, guild=guild_id)

        if kind == "MESSAGE_CREATE":
            channel = SimpleNamespace(id=int(data["channel_id"]))
            guild = SimpleNamespace(id=int(data["guild_id"]))
            self._last_messages[channel.id] = max(self._last_messages.get(channel.id, 0), int(data["id"]))
            args: Any = SimpleNamespace(
                id=int(data["id"]), channel=channel, guild=guild, content=data["content"]
            )
            hand_on("message", args)
        elif kind == "MESSAGE_REACTION_ADD":
            args = SimpleNamespace(
                message_id=int(data["message_id"]),
                channel_id=int(data["channel_id"]),
                user_id=int(data["user_id"]),
                emoji=data["emoji"]["name"],
                token=data["token"],
            )
            hand_on("raw_reaction_add", args)

    def replay(self, raw: str) -> None:
        """Gives a stored event to the listener again."""
        frame = json.loads(raw)
        moment = frame.get(CAUGHT_UP)
        if moment is None:
            self.dispatch(frame["t"], frame["d"], raw)
        else:
            at = monotonic() - self.age_of(moment)
            self.catch_up(frame["t"], frame["d"], CaughtUp(moment, at, frame.get(HANDLED, ())))

    def catch_up(self, kind: str, data: dict[str, Any], caught_up: CaughtUp) -> None:
        """Gives an event of the history to the listener; gateway's thread."""
        frame = {"op": 0, "s": None, "t": kind, "d": data, CAUGHT_UP: caught_up.moment}
        if caught_up.handled:
            frame[HANDLED] = list(caught_up.handled)
        self.dispatch(kind, data, json.dumps(frame), caught_up)

    # -- what a catch-up asks --------------------------------------------------------------------------------

    def channels(self) -> dict[int, int]:
        """The channels of the shard, with their guilds."""
        count = self.shard_count or 1
        found = self._discord.channels.items()
        return {channel: guild for channel, guild in found if (guild >> 22) % count == self.number}

    @property
    def guilds(self) -> list[Any]:
        """The shard's guilds, as the cache has them."""
        return guilds_of(self, self._last_messages)

    def get_guild(self, guild_id: int) -> Any:
        """A guild, once READY has told of it."""
        known = self._current.ready and guild_id in self.channels().values()
        return SimpleNamespace(id=guild_id) if known else None

    def note_date(self, date: str, began: float) -> None:
        """Takes the date of an answer of the REST API."""
        self._gateway.dates.note(date, began)

    def _set_connected(self, connected: bool) -> None:
        if connected != self._current.connected:
            self._current.connected = connected
            self._changed_at = monotonic()
            self._current.disconnects += not connected
            self._gateway.listener.on_change()
        if connected:
            self.beat()

    # -- heartbeats ------------------------------------------------------------------------------------------

    def _known_revision(self) -> int:
        if self._resuming and not self._current.connected:
            return 0
        return max(self._gateway.listener.known_revision(), self._seen)

    def _send_beat(self) -> None:
        connection = self._connection
        if connection is None:
            return
        self._pending.append(self._known_revision())
        self._beats_sent += 1
        scheduler = current()
        scheduler.after(
            WAY + scheduler.random.expovariate(1 / WAY_MEAN),
            lambda: connection.send("ack", None) if connection.open else None,
        )

    def _regular(self, connection: Connection) -> None:
        if connection.open and self._connection is connection:
            self._gateway.inbox_put(self._send_beat)
            current().after(HEARTBEAT, lambda: self._regular(connection))

    def beat(self, seen: int = 0) -> None:
        """Sends a heartbeat, or the next one once the present one is answered."""
        self._seen = max(self._seen, seen)
        if self._pending:
            self._again = True
        else:
            self._send_beat()

    @property
    def acknowledged_revision(self) -> int:
        """See the tap; any thread."""
        return self._acknowledged

    def caught_up(self, answer: Any) -> None:
        """Answers once everything has arrived that Discord had sent, and one event more."""
        connection, wanted = self._connection, self._beats_sent + 1
        if connection is None or not self._current.connected:
            answer.set_result(False)
            return
        self._send_beat()
        gateway, scheduler = self._gateway, current()
        until = scheduler.now + NEXT_EVENT_TIMEOUT
        heard: list[int] = []

        def look() -> None:
            if self._connection is not connection or scheduler.now > until:
                answer.set_result(False)
                return
            if self._beats_answered >= wanted:
                heard or heard.append(self._current.heard)
                if self._current.heard > heard[0]:
                    answer.set_result(True)
                    return
            scheduler.after(0.05, lambda: gateway.inbox_put(look))

        look()

    def state(self) -> GatewayState:
        """The connection at this moment; any thread."""
        now, known = monotonic(), self._current
        return GatewayState(
            self.number,
            connected=known.connected,
            ready=known.connected and known.ready,
            latency=0.01 if known.connected else math.inf,
            since=now - self._changed_at,
            silent=now - self._last_frame,
            frames=known.frames,
            disconnects=known.disconnects,
            resumes=known.resumes,
            identifies=known.identifies,
            events=known.events,
            heard=known.heard,
        )

    def age_of(self, moment: float) -> float:
        """See the tap; any thread."""
        now = self._gateway.dates.earliest(monotonic())
        return max(now - moment, 0.0) if now is not None else 0.0


def drive(coroutine: Any, wait: Callable[[Any], Any] = lambda future: future.result()) -> Any:
    """Runs a coroutine that waits for futures only. Blocks."""
    value: Any = None
    while True:
        try:
            waits_for = coroutine.send(value)
        except StopIteration as ended:
            return ended.value
        value = wait(waits_for)


class Waits:
    """``asyncio.wrap_future`` for ``drive``."""

    def __init__(self, future: Any) -> None:
        self.future = future

    def __await__(self) -> Any:
        return (yield self.future)

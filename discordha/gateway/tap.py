"""What discord.py's client dispatches, tapped: each event is handed on with the frame that it came in.

Promises
- Each event that discord.py dispatches is handed on at once, with the text of its frame; one that can't be
  taken, and a payload that discord.py can't read, are logged and counted, and do not break the connection.
- A frame that came before is not handed on again, and one before which another is missing is left to RESUME.
- ``state`` counts what came, and says since when the connection has been as it is.

Does not promise that discord.py's cache is complete before the client is ready. Does not connect: that is
``ShardClient``'s.

Concurrency: everything runs on the gateway's loop, but for ``state``, which reads single values. At stop, at
a lost lease and at a lost watch nothing is to be done here.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import discord
from discord.gateway import DiscordWebSocket

from discordha.gateway.heartbeats import CountedSocket, is_answer
from discordha.gateway.requests import request_trace
from discordha.gateway.state import GatewayState
from discordha.limits.rest import RestLimits

__all__ = ["OnDispatch", "TappedClient"]

_log = logging.getLogger(__name__)

#: Takes an event: name, arguments, text of its frame, shard, and ``proven`` as it came.
OnDispatch = Callable[[str, tuple[Any, ...], "str | None", int, int], None]

#: Dispatched by a task of discord.py's, not while their frame is parsed.
_LATE = frozenset({"ready", "guild_available", "guild_join"})
#: Sent to one session only, because of what it did itself.
_OWN = frozenset({"READY", "RESUMED", "GUILD_CREATE", "GUILD_MEMBERS_CHUNK", "VOICE_SERVER_UPDATE"})
#: Without these there is no session.
_VITAL = frozenset({"READY", "RESUMED"})


class TappedClient(discord.Client):
    """A client for one shard, as far as it takes what comes.

    :param limits: what all clients of this replica keep together.
    :param key: what the shard is called by all who are told of it; by default its number.
    :param on_dispatch: takes every event; must not block.
    :param on_change: called when the connection came or went.
    :param on_new_session: called when a new session begins, before its first event.
    """

    def __init__(
        self,
        *,
        intents: discord.Intents,
        shard_id: int,
        shard_count: int | None,
        limits: RestLimits | None,
        on_dispatch: OnDispatch,
        on_change: Callable[[int], None],
        on_new_session: Callable[[int], None],
        key: int | None = None,
    ) -> None:
        super().__init__(
            intents=intents,
            shard_id=shard_id if shard_count is not None else None,
            shard_count=shard_count,
            enable_debug_events=True,
            http_trace=request_trace(limits),
        )
        self.number = shard_id
        self.key = shard_id if key is None else key
        self.dispatch_errors = 0
        self.parse_errors = 0
        parsers = self._connection.parsers
        parsers.update(
            {kind: self._guarded(kind, parse) for kind, parse in parsers.items() if kind not in _VITAL}
        )
        self._on_dispatch = on_dispatch
        self._on_change = on_change
        self._on_new_session = on_new_session
        self._raw: str | None = None
        self._replaying: str | None = None
        self._before: int | None = None
        self._gap_after: int | None = None
        self.repeated = 0
        self.gaps = 0
        self._connected = False
        self._changed_at = time.monotonic()
        self._last_frame = time.monotonic()
        self._frames = 0
        self._events = 0
        self._heard = 0
        self._guilds_seen = 0
        self._told_ready = False
        self._disconnects = 0
        self._resumes = 0
        self._identifies = 0
        self._proven = 0

    def _guarded(self, kind: str, parse: Callable[[Any], None]) -> Callable[[Any], None]:
        """A parser of discord.py's that one payload with missing or strange fields does not break the
        connection of: those after it must be received.

        A frame that is not to be taken now is not even read: discord.py would note what it says, and keep
        silent when it comes in its turn (``member_join`` of a member that it knows).
        """

        def guarded(data: Any) -> None:
            if self._is_passed_over():
                return
            try:
                parse(data)
            except Exception:  # noqa: BLE001 - whatever discord.py makes of it
                self.parse_errors += 1
                _log.exception("shard %d: discord.py can't read this %s: it is left out", self.number, kind)

        return guarded

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Takes what discord.py dispatches. Gateway thread, while the frame is parsed."""
        if event == "socket_raw_receive":
            self._raw = args[0]
            self._last_frame = time.monotonic()
            self._frames += 1
            if is_answer(args[0]) and isinstance(self.ws, CountedSocket):
                self.ws.note_answer()
            return
        if event == "socket_event_type":
            # discord.py notes the frame's own number after this, and before it parses the frame.
            self._before = self.ws.sequence if self.ws is not None else None
            self._note_type(args[0])
            return
        if self._listeners:
            super().dispatch(event, *args, **kwargs)
        if event == "ready":
            self._told_ready = True
            self._on_change(self.key)
        try:
            raw = None if event in _LATE else self._raw
            self._on_dispatch(event, args, raw, self.key, self.proven)
        except Exception:  # noqa: BLE001 - one event that can't be taken must not end the connection
            self.dispatch_errors += 1
            _log.exception("on_%s could not be taken", event)

    @property
    def proven(self) -> int:
        """The latest revision of etcd that is older than all events which come from now on (``heartbeats``).
        Falls when a connection ends: to that of its last frame in order. Gateway thread.
        """
        if isinstance(self.ws, CountedSocket):
            self._proven = max(self._proven, self.ws.proven)
        return self._proven

    def _is_passed_over(self) -> bool:
        """Whether the frame at hand was received before, or comes again by RESUME after one that is missing
        (which the connection sees, too).
        """
        ws, before = self.ws, self._before
        if self._replaying is not None or ws is None or ws.sequence is None or before is None:
            return False
        if ws.sequence <= before:
            self.repeated += 1
            return True
        return self._is_gap(before, ws)

    def _is_gap(self, before: int | None, ws: DiscordWebSocket) -> bool:
        """Whether frames are missing between a number and that of the frame at hand. Where RESUME has
        brought the same gap again, nothing is missing.
        """
        if before is None or ws.sequence is None or before == self._gap_after:
            return False
        return ws.sequence > before + 1

    def _note_type(self, kind: str) -> None:
        if kind not in _OWN:
            self._heard += 1
            # Until RESUMED comes what peers received long ago, and says nothing about now.
            self._events += self._connected
        if kind == "GUILD_CREATE":
            self._guilds_seen += 1
            if not self._told_ready:
                self.loop.call_soon(self._on_change, self.key)
        elif kind == "READY":
            self._guilds_seen = 0
            self._session_began()
            self._set_connected(True)
        elif kind == "RESUMED":
            self._resumes += 1
            self._set_connected(True)

    def _session_began(self) -> None:
        """A new session has begun: what comes now is its first event."""
        self._on_new_session(self.key)

    def _set_connected(self, connected: bool) -> None:
        if connected != self._connected:
            self._connected = connected
            self._changed_at = time.monotonic()
            if not connected:
                self._disconnects += 1
                self.dispatch("disconnect")
            self._on_change(self.key)

    def replay(self, raw: str) -> None:
        """Gives a stored frame to discord.py's parser once more; it is dispatched as it was the first
        time.
        """
        try:
            frame = json.loads(raw)
            kind, data = frame["t"], frame["d"]
            parser = self._connection.parsers.get(kind)
        except (ValueError, TypeError, KeyError):
            parser = None
        if parser is None:
            _log.warning("a stored event can't be replayed: %.80r is no frame of the gateway", raw)
            return
        before, self._raw = self._raw, raw
        self._replaying = raw
        try:
            parser(data)
        finally:
            self._raw = before
            self._replaying = None

    def state(self) -> GatewayState:
        """How the connection is. Any thread."""
        now = time.monotonic()
        ws = self.ws
        return GatewayState(
            shard_id=self.number,
            connected=self._connected,
            ready=self._connected
            and (self._told_ready or self._guilds_seen >= len(self._connection._guilds)),
            latency=float(ws.latency) if ws is not None else float("inf"),
            since=now - self._changed_at,
            silent=now - self._last_frame,
            frames=self._frames,
            disconnects=self._disconnects,
            resumes=self._resumes,
            identifies=self._identifies,
            gaps=self.gaps,
            events=self._events,
            heard=self._heard,
        )

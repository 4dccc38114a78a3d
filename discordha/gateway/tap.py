"""discord.py's client with a tap: hands each event on together with the frame that it came in.

Guarantees
- Each event that discord.py dispatches is handed on at once, with the text of its frame. An event that cannot
  be taken and a payload that discord.py cannot read are logged, and do not break the connection.
- A frame that arrived before is not handed on again. A frame behind a missing one is left to RESUME.
- ``state`` tells what arrived and how long the connection has been as it is.

Not guaranteed: that discord.py's cache is complete before the client is ready. ``ShardClient`` connects.

Threads and locks: everything runs on the gateway's loop without locks, except ``state``, which reads single
values from any thread. Stops, lost leases and lost watches need no action here.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import discord
from discord.gateway import DiscordWebSocket

from discordha.config import Config
from discordha.events import CaughtUp
from discordha.gateway.clock import DiscordClock
from discordha.gateway.heartbeats import MAX_ACKNOWLEDGEMENT_CHARACTERS, CountedSocket, is_acknowledgement
from discordha.gateway.injection import forget
from discordha.gateway.listener import GatewayListener
from discordha.gateway.presence import Presence
from discordha.gateway.requests import request_trace
from discordha.gateway.state import GatewayState
from discordha.limits.rest import RestLimits

__all__ = ["TappedClient"]

_log = logging.getLogger(__name__)

#: discord.py dispatches these later, from a task: the current frame is not theirs.
_LATE = frozenset({"ready", "guild_available", "guild_join"})
#: Discord sends these to one session only, in answer to what that session did.
_OWN = frozenset({"READY", "RESUMED", "GUILD_CREATE", "GUILD_MEMBERS_CHUNK", "VOICE_SERVER_UPDATE"})
#: The field of a stored frame that marks a caught-up event: the moment at which the event happened.
CAUGHT_UP = "caught_up"
#: The field of such a frame that names the parts of the event which leaders handled before.
HANDLED = "handled"
#: Frames that follow one another faster than this may be a burst, seconds.
AT_ONCE = 0.001
#: Events without which there is no session.
_VITAL = frozenset({"READY", "RESUMED"})
_ABOUT_GUILDS = frozenset({"GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE"})


def _spans(config: Config) -> aiohttp.TraceConfig | None:
    """The hooks that make spans of requests, which need OpenTelemetry."""
    if not config.telemetry:
        return None
    from discordha.gateway.spans import rest_spans

    return rest_spans()


class TappedClient(discord.Client):
    """The receiving half of a shard's client.

    :param limits: Discord's limits of REST requests, which all clients of this replica keep together.
    :param key: the shard's key.
    :param number: the shard's number, of ``shard_count``; no count: the bot is not sharded.
    """

    def __init__(
        self,
        config: Config,
        listener: GatewayListener,
        limits: RestLimits | None,
        *,
        key: int,
        number: int,
        shard_count: int | None,
        dates: DiscordClock | None = None,
    ) -> None:
        assert config.intents is not None
        options = dict(config.client_options)
        trace = request_trace(limits, _spans(config), options.pop("http_trace", None), dates=dates)
        super().__init__(
            intents=config.intents,
            shard_id=number if shard_count is not None else None,
            shard_count=shard_count,
            enable_debug_events=True,
            http_trace=trace,
            **options,
        )
        self.number = number
        self.key = key
        self._listener = listener
        parsers = self._connection.parsers
        parsers.update(
            {kind: self._guarded(kind, parse) for kind, parse in parsers.items() if kind not in _VITAL}
        )
        self._raw: str | None = None
        self._guild = 0  # of the current frame
        self._replaying = False
        self._caught_up: CaughtUp | None = None
        self._dates = dates
        self._before: int | None = None
        self._gap_after: int | None = None
        self._current = GatewayState(number)
        self._changed_at = time.monotonic()
        self._last_frame = time.monotonic()
        self._bursts = False  # frames come at once, in this turn of the loop
        self._guilds_seen = 0
        self._has_read_ready = False  # before that, discord.py knows of no guild
        self._told_ready = False
        self._acknowledged_revision = 0
        self.presence = Presence(self, lambda: self.ws if self._current.connected else None)

    def _guarded(self, kind: str, parse: Callable[[Any], None]) -> Callable[[Any], None]:
        """A parser of discord.py's that survives a payload with missing or strange fields.

        It does not even read a frame that must wait: discord.py would note the contents, and dispatch nothing
        when the frame comes again in its turn (``member_join`` of a member that it knows).
        """

        guild_field = "id" if kind in _ABOUT_GUILDS else "guild_id"

        def guarded(data: Any) -> None:
            if self._is_passed_over():
                return
            try:
                self._guild = int(data.get(guild_field) or 0) if type(data) is dict else 0
                parse(data)
            except Exception:  # noqa: BLE001 - whatever discord.py makes of it
                _log.exception("shard %d: discord.py can't read this %s: it is left out", self.number, kind)

        return guarded

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Takes an event that discord.py dispatches. Gateway thread, while the frame is parsed."""
        if event == "socket_raw_receive":
            self._raw = args[0]
            self._note_frame()
            short = len(args[0]) < MAX_ACKNOWLEDGEMENT_CHARACTERS
            if short and is_acknowledgement(args[0]) and isinstance(self.ws, CountedSocket):
                self.ws.note_acknowledgement()
            return
        if event == "socket_event_type":
            # discord.py notes the frame's own number after this, and before it parses the frame.
            self._before = self.ws.sequence if self.ws is not None else None
            self._note_type(args[0])
            return
        if self._listeners:
            super().dispatch(event, *args, **kwargs)
        if event == "connect":  # discord.py has read READY, and lists the guilds to come
            self._has_read_ready = True
            self._listener.on_change()
        if event == "ready":
            self._told_ready = True
            self._listener.on_change()
        try:
            raw, guild = (None, 0) if event in _LATE else (self._raw, self._guild)
            if self._caught_up is not None:
                self._listener.on_caught_up(event, args, raw or "", self.key, self._caught_up, guild=guild)
            else:
                if event == "message" and args[0].guild is not None and not self._replaying:
                    self._listener.on_message(self.key, args[0].guild.id, args[0].id)
                revision = self.acknowledged_revision
                self._listener.on_dispatch(event, args, raw, self.key, revision, guild=guild)
        except Exception:  # noqa: BLE001 - one event that cannot be taken must not end the connection
            _log.exception(
                "shard %d: on_%s could not be taken; the events behind it go on", self.number, event
            )

    def _note_frame(self) -> None:
        now = time.monotonic()
        if not self._bursts and now - self._last_frame < AT_ONCE:
            self._bursts = True
            self._listener.on_burst()
            self.loop.call_soon(self._end_burst)
        self._last_frame = now
        self._current.frames += 1

    def _end_burst(self) -> None:
        """All frames that had arrived have been parsed: discord.py takes them in one turn of the loop."""
        self._bursts = False
        pause = self._listener.on_burst_over()
        if pause is not None:
            self.loop.call_later(pause, self._listener.on_burst_settled)

    @property
    def acknowledged_revision(self) -> int:
        """The latest known revision of etcd that is older than every event to come (``heartbeats``). At the
        end of a connection it falls to that of the last frame in order. Any thread; exact on the gateway's.
        """
        current = self.ws.acknowledged_revision if isinstance(self.ws, CountedSocket) else 0
        return max(self._acknowledged_revision, current)

    def _is_passed_over(self) -> bool:
        """Whether the current frame arrived before, or will come again by RESUME behind a missing one. The
        connection notices the gap, too.
        """
        ws, before = self.ws, self._before
        if self._replaying or ws is None or (sequence := ws.sequence) is None:
            return False
        if before is not None and sequence == before + 1:
            return False
        return sequence <= (before or 0) or self._is_gap(before, ws)

    def _is_gap(self, before: int | None, ws: DiscordWebSocket) -> bool:
        """Whether frames are missing between a number and that of the current frame; with no number, READY,
        which is a session's first. A gap that RESUME has brought again is none.
        """
        if ws.sequence is None or (before is not None and before == self._gap_after):
            return False
        return ws.sequence > (before or 0) + 1

    def _note_type(self, kind: str) -> None:
        if kind not in _OWN:
            self._current.heard += 1
            # Events before RESUMED reached the other replicas long ago, and say nothing about this moment.
            self._current.events += self._current.connected
        elif kind == "GUILD_CREATE":
            self._guilds_seen += 1
            if not self._told_ready:
                self.loop.call_soon(self._listener.on_change)
        elif kind == "READY":
            self._guilds_seen = 0
            self._has_read_ready = False
            self._session_began()
            self._set_connected(True)
        elif kind == "RESUMED":
            self._current.resumes += 1
            self._set_connected(True)

    def _session_began(self) -> None:
        """Called when a session begins, before its first event."""
        self._listener.on_new_session(self.key)

    def _set_connected(self, connected: bool) -> None:
        if connected != self._current.connected:
            self._current.connected = connected
            self._changed_at = time.monotonic()
            if connected:
                self.presence.connected()
            else:
                self._current.disconnects += 1
                self.dispatch("disconnect")
            self._listener.on_change()

    def replay(self, raw: str) -> None:
        """Gives a stored frame to discord.py's parser again, which dispatches it as it did the first time."""
        try:
            frame = json.loads(raw)
            kind, data = frame["t"], frame["d"]
            moment = frame.get(CAUGHT_UP)
            if moment is not None:
                now = time.monotonic()
                self.catch_up(kind, data, CaughtUp(moment, now - self.age_of(moment), frame.get(HANDLED, ())))
                return
        except (ValueError, TypeError, KeyError, AttributeError):
            frame = {}
        self._parse_again(raw, frame)

    def age_of(self, moment: float) -> float:
        """Seconds since a moment of Discord's clock, about; 0.0 if that is not known."""
        now = self._dates.earliest(time.monotonic()) if self._dates is not None else None
        return max(now - moment, 0.0) if now is not None else 0.0

    def _parse_again(self, raw: str, frame: dict[str, Any]) -> None:
        parser = self._connection.parsers.get(str(frame.get("t")))
        if parser is None:
            _log.warning("a stored event cannot be replayed: %.80r is no frame of the gateway", raw)
            return
        before, self._raw, guild = self._raw, raw, self._guild
        self._replaying = True
        try:
            parser(frame.get("d"))
        finally:
            self._raw, self._guild = before, guild
            self._replaying = False

    def catch_up(self, kind: str, data: dict[str, Any], caught_up: CaughtUp) -> None:
        """Gives an event that no replica received to discord.py's parser, which dispatches it to
        ``on_caught_up``. Gateway thread.
        """
        forget(self, kind, data)
        channel: Any = self._connection.get_channel(int(data.get("channel_id") or 0))
        last = getattr(channel, "last_message_id", None)
        frame: dict[str, Any] = {"op": 0, "s": None, "t": kind, "d": data, CAUGHT_UP: caught_up.moment}
        if caught_up.handled:
            frame[HANDLED] = list(caught_up.handled)
        self._caught_up = caught_up
        try:
            self._parse_again(json.dumps(frame), frame)
        finally:
            self._caught_up = None
            if last is not None and last > (channel.last_message_id or 0):
                channel.last_message_id = last

    def state(self) -> GatewayState:
        """The connection at this moment. Any thread."""
        now, current, ws = time.monotonic(), self._current, self.ws
        has_all_guilds = self._has_read_ready and self._guilds_seen >= len(self._connection._guilds)
        knows_guilds = self._told_ready or has_all_guilds
        return dataclasses.replace(
            current,
            ready=current.connected and knows_guilds,
            latency=float(ws.latency) if ws is not None else math.inf,
            since=now - self._changed_at,
            silent=now - self._last_frame,
        )

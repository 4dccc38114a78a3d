"""One shard's client: discord.py's own, with a connect loop that suits a fleet.

Guarantees
- The client reconnects until the gateway ends it: by RESUME where the session may still exist, at the
  main address when the session's own does not answer, with pauses of at most ``LAST_PAUSE``.
- A connection that brings nothing for ``deaf_after`` seconds, not even an acknowledgement, is replaced.
- A frame that can't be read ends its connection, not the client. After ``RESUME_LIMIT`` RESUMEs in a row that
  brought nothing, a new session begins.
- A frame whose number shows a gap is not taken: RESUME brings the missing frames and this one, in order.

``TappedClient`` guarantees what happens to the events.

Threads and locks: everything runs on the gateway's loop without locks. At stop ``close`` ends everything.
Lost leases and lost watches do not concern a connection.

Source: the gateway's documented life cycle (connecting, resuming, close codes). discord.py's
``DiscordWebSocket`` speaks the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import Any

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

from discordha.config import Config
from discordha.errors import ConfigError, reason_of
from discordha.gateway.clock import DiscordClock
from discordha.gateway.goodbye import ClientClosed, close_socket
from discordha.gateway.heartbeats import CountedSocket, Heartbeats, UnreadableFrame, counted_socket
from discordha.gateway.listener import GatewayListener, IdentifyPermit
from discordha.gateway.requests import repeat_broken
from discordha.gateway.state import FATAL_CODES, NETWORK_ERRORS, NEW_SESSION_CODES
from discordha.gateway.tap import TappedClient
from discordha.limits.rest import RestLimits

__all__ = ["ShardClient"]

_log = logging.getLogger(__name__)
#: Pauses between attempts to connect, seconds: doubled from the first to the last, and jittered.
FIRST_PAUSE = 0.1
LAST_PAUSE = 8.0
#: Discord may take ``deaf_after`` to greet a new connection, and as much more with each failure, up to this,
#: seconds.
MAX_GREETING_TIMEOUT = 30.0
#: Failures at the session's own address before the client tries the main one.
RESUME_TRIES = 2
#: A connection that ends this soon in a frame that can't be read was no good one, seconds.
DAMAGED_WITHIN = 0.5
#: RESUMEs in a row that Discord greets and that bring no event, before a new session begins.
RESUME_LIMIT = 5
#: How long Discord may take to confirm a connection's end, seconds; then the client closes it anyway.
GOODBYE_TIMEOUT = 2.0


class ShardClient(TappedClient):
    """A client for one shard. The arguments are those of ``TappedClient``."""

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
        super().__init__(
            config, listener, limits, key=key, number=number, shard_count=shard_count, dates=dates
        )
        # discord.py hides a socket until Discord has greeted: a silent one would stay open.
        self._open_socket = self.http.ws_connect
        self.http.ws_connect = self._note_socket  # type: ignore[method-assign]
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        url = config.gateway_url
        self._main_gateway = yarl.URL(url) if url is not None else DiscordWebSocket.DEFAULT_GATEWAY
        self._deaf_after = config.deaf_after
        self._call_timeout = config.call_timeout
        self._permit: IdentifyPermit | None = None
        self._heartbeats = Heartbeats(self._live, lambda: self._current.heard, config.deaf_after)
        self._sockets = counted_socket(self._known_revision)
        self._resuming = False
        self._seen_revision = 0
        self._revision_in_order = 0  # acknowledged before the last frame in order
        self._serving: asyncio.Task[None] | None = None
        self._leaving = self._ending = self._close_asked = False
        self._closing: asyncio.Task[None] | None = None
        self._session: str | None = None
        self._sequence: int | None = None
        self._session_gateway: yarl.URL | None = None
        self._polling: asyncio.Task[None] | None = None
        self._dropped = False
        self._resumable = True

    def begin(self) -> None:
        """Begins to connect, and to reconnect until the client is left or closed. The listener's ``on_fatal``
        takes the error that ends this. Does not block.
        """
        # Not before the login, whose tries are the gateway's.
        http: Any = self.http
        http.request = repeat_broken(http.request, self._call_timeout)
        self._serving = asyncio.get_running_loop().create_task(self._serve_or_report())

    def expect_end(self) -> None:
        """Notes that the gateway ends this client: its end is no loss. Does not block; any thread."""
        self._ending = True

    async def leave(self) -> None:
        """Ends the gateway session for good; REST calls work until the client is closed. Without an answer
        within ``GOODBYE_TIMEOUT``, Discord keeps the session until it times out.
        """
        self._leaving = self._ending = True
        await self._stop_serving()
        if self._closing is not None:
            await asyncio.gather(self._closing, return_exceptions=True)
        self._current.connected = False

    async def end(self) -> None:
        """Closes the connection and the client. Idempotent."""
        self._ending = True
        with contextlib.suppress(Exception):
            await super().close()
        await self._stop_serving()

    async def close(self) -> None:
        """For the bot's code: asks for a drain of the whole replica. Closes nothing: handlers still need
        the client; the gateway calls ``end``.
        """
        if not self._ending and not self._close_asked:
            self._close_asked = True
            _log.warning(
                "the client of shard %d was asked to close: run() drains this replica now; a bot without "
                "run() goes on until it calls stop()",
                self.number,
            )
            self._listener.on_close_asked()

    async def _stop_serving(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    async def _serve_or_report(self) -> None:
        task = asyncio.current_task()
        while True:
            try:
                return await self._serve_until_end()
            except asyncio.CancelledError:
                if self._ending or task is None:
                    raise
                task.uncancel()
                _log.warning(
                    "shard %d: the bot's code cancelled the connection's task; it reconnects", self.number
                )
                self._set_connected(False)
                self._keep_session(True)

    async def _serve_until_end(self) -> None:
        try:
            await self._serve()
            if not self._ending:
                raise ClientClosed(
                    f"the client of shard {self.number} was closed from outside of its gateway; call stop() "
                    "to end the bot"
                )
        except (ConfigError, ClientClosed) as error:
            self._listener.on_fatal(error)
        except Exception as error:  # noqa: BLE001 - without this task the shard would stay silent
            _log.exception("the client of shard %d failed: the replica ends with this error", self.number)
            self._listener.on_fatal(error)

    async def _serve(self) -> None:
        probe = asyncio.create_task(self._probe())
        failures = vain_resumes = 0
        try:
            while not self.is_closed() and not self._ending:
                frames, resumes, sequence = self._current.frames, self._current.resumes, self._sequence
                begun, pause, unreadable = time.monotonic(), 0.0, False
                self._dropped = False
                try:
                    await self._connect(failures)
                except ReconnectWebSocket as ended:
                    resume = ended.resume and not self._is_session_over()
                    self._keep_session(resume)
                    if not resume:
                        # Discord asks for a random pause of 1 to 5 s before a new session;
                        # ``before_identify`` spaces sessions.
                        pause = FIRST_PAUSE
                except asyncio.CancelledError:
                    if not self._dropped:
                        raise
                    self._keep_session(self._resumable)
                except NETWORK_ERRORS as error:
                    if self.is_closed():
                        return
                    self._raise_if_fatal(error)
                    self._keep_session(True)
                    level = logging.WARNING if failures < 3 else logging.INFO
                    reason = reason_of(error)
                    _log.log(level, "shard %d is not connected: %s; trying again", self.number, reason)
                    unreadable = isinstance(error, UnreadableFrame)
                self._set_connected(False)
                if self._resuming and self._current.frames > frames:
                    nothing_came = self._current.resumes == resumes and self._sequence == sequence
                    vain_resumes = vain_resumes + 1 if nothing_came else 0
                    if vain_resumes >= RESUME_LIMIT:
                        _log.warning(
                            "shard %d: %d RESUMEs in a row brought nothing; it begins a new session, and "
                            "events that only the old one had are lost",
                            self.number,
                            vain_resumes,
                        )
                        vain_resumes = 0
                        self._keep_session(False)
                # A connection on which something arrived was a good one, unless it soon broke off in a frame.
                damaged = unreadable and time.monotonic() - begun < DAMAGED_WITHIN
                good = self._current.frames > frames + 2 and not damaged
                failures = 0 if good else failures + 1
                if failures > 1:
                    pause = min(FIRST_PAUSE * 2 ** (failures - 1), LAST_PAUSE) * random.uniform(0.5, 1.0)
                if pause and not self.is_closed():
                    await asyncio.sleep(pause)
        finally:
            probe.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await probe

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Uses up the permit right before the IDENTIFY leaves. ``_connect`` waited for it before it
        connected, since Discord does not wait.
        """
        if self._permit is not None and not self._permit.sent():
            raise ReconnectWebSocket(self.number, resume=False)
        self._current.identifies += 1
        self._listener.on_identify(self.key)
        self.presence.identified()

    def _session_began(self) -> None:
        if self._permit is not None:
            self._permit.over()
        super()._session_began()

    async def _note_socket(self, url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
        self._socket = await self._open_socket(url, compress=compress)
        return self._socket

    async def _connect(self, failures: int) -> None:
        permit: IdentifyPermit | None = None
        if self._session is None:
            permit = await self._listener.before_identify(self.key)
        self._permit = permit
        try:
            await self._converse(failures)
        finally:
            if permit is not None:
                permit.over()

    async def _converse(self, failures: int) -> None:
        self._resuming = self._session is not None
        gateway = self._main_gateway
        if self._session_gateway is not None and failures < RESUME_TRIES:
            gateway = self._session_gateway
        self._socket = None
        try:
            async with asyncio.timeout(min(self._deaf_after * (failures + 1), MAX_GREETING_TIMEOUT)):
                ws = await self._sockets.from_client(
                    self,
                    gateway=gateway,
                    shard_id=self.shard_id,
                    session=self._session,
                    sequence=self._sequence,
                    resume=self._resuming,
                )
        except BaseException:
            self._close_soon(self._socket)
            raise
        self.ws = ws
        ws._max_heartbeat_timeout = None  # type: ignore[assignment]  # ``_probe`` sees silence, for less
        self._last_frame = time.monotonic()
        self._polling = asyncio.create_task(self._poll(ws))
        try:
            await self._polling
        finally:
            self._polling.cancel()
            # RESUME may bring events that are older than a heartbeat acknowledged in their place.
            self._acknowledged_revision = ws.acknowledged_revision = self._revision_in_order
            if ws._keep_alive is not None:
                ws._keep_alive.stop()
                ws._keep_alive = None
            self._close_soon(ws.socket)

    async def _poll(self, ws: CountedSocket) -> None:
        while True:
            before = ws.sequence
            await ws.poll_event()
            if self._is_gap(before, ws):
                self._current.gaps += 1
                if before is None:
                    _log.warning("shard %d: READY is lost; a new session begins", self.number)
                    raise ReconnectWebSocket(self.number, resume=False)
                text = "shard %d: frame %s follows frame %s; RESUME fetches the frames between"
                _log.warning(text, self.number, ws.sequence, before)
                self._gap_after = ws.sequence = before
                raise ReconnectWebSocket(self.number)
            if ws.sequence != before:
                self._revision_in_order = self.acknowledged_revision

    def _close_soon(self, socket: aiohttp.ClientWebSocketResponse | None) -> None:
        """Closes a socket that may not answer. The close code keeps the session alive, unless this replica
        leaves it for good.
        """
        if socket is None or socket.closed:
            return
        closing = close_socket(socket, GOODBYE_TIMEOUT, end_session=self._leaving)
        self._closing = asyncio.get_running_loop().create_task(closing)

    def _keep_session(self, resume: bool) -> None:
        ws = self.ws
        if not resume or ws is None:
            self._session = self._sequence = self._session_gateway = None
        elif ws.session_id is not None:
            self._session, self._sequence, self._session_gateway = ws.session_id, ws.sequence, ws.gateway

    def _is_session_over(self) -> bool:
        """Whether Discord closed the socket with a code that demands a new session."""
        return self.ws is not None and self.ws.socket.close_code in NEW_SESSION_CODES

    def _raise_if_fatal(self, error: BaseException) -> None:
        if isinstance(error, discord.ConnectionClosed) and error.code in FATAL_CODES:
            raise ConfigError(FATAL_CODES[error.code]) from None

    def drop(self, resume: bool = True) -> None:
        """Replaces the connection: by RESUME, or with a new session. Gateway thread."""
        if self._polling is not None and not self._polling.done():
            self._dropped = True
            self._resumable = resume
            self._polling.cancel()

    # -- heartbeats ------------------------------------------------------------------------------------------

    def _known_revision(self) -> int:
        """The revision for a heartbeat that leaves now. 0 before RESUMED: RESUME brings older events. Every
        event of a new session is younger than its connection.
        """
        if self._resuming and not self._current.connected:
            return 0
        return max(self._listener.known_revision(), self._seen_revision)

    def _set_connected(self, connected: bool) -> None:
        super()._set_connected(connected)
        if connected:
            self.beat()

    def beat(self, seen: int = 0) -> None:
        """Sends a heartbeat, so that ``acknowledged_revision`` follows; while one is on its way, sends the
        next after its acknowledgement. Gateway thread.

        :param seen: a revision that this replica has seen, though ``known_revision`` may not say so yet.
        """
        self._seen_revision = max(self._seen_revision, seen)
        self._heartbeats.beat()

    async def caught_up(self) -> bool:
        """Whether every event has arrived that Discord had sent before the call. Waits for up to some 30 s.
        Gateway thread.
        """
        return await self._heartbeats.caught_up()

    def _live(self) -> CountedSocket | None:
        ws = self.ws
        return ws if self._current.connected and isinstance(ws, CountedSocket) else None

    async def _probe(self) -> None:
        """Sends a heartbeat after silence for half of ``deaf_after``, or of a shorter ``heartbeat_timeout``;
        replaces the connection after all of it. discord.py's timeout of each frame would cost more.
        """
        longest = min(self._deaf_after, self._connection.heartbeat_timeout)
        while True:
            await asyncio.sleep(longest / 8)
            ws = self.ws
            if ws is None or self._polling is None or self._polling.done() or ws._keep_alive is None:
                continue
            silent = time.monotonic() - self._last_frame
            if silent >= longest:
                _log.warning("shard %d: nothing arrived for %.1f s; it reconnects", self.number, silent)
                self.drop()
            elif silent >= longest / 2:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(ws.send_as_json(ws._keep_alive.beat()), longest / 8)

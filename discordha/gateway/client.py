"""One shard's client: discord.py's own, with a connect loop that suits a fleet.

Guarantees
- The client reconnects for as long as the process lives: by RESUME where the session may still exist, at the
  main address when the session's own does not answer, with pauses of at most ``LAST_PAUSE``.
- A connection that brings nothing for ``deaf_after`` seconds, not even an acknowledgement, is replaced.
- A frame whose number shows a gap is not taken: RESUME brings the missing frames and this one, in order.

``TappedClient`` guarantees what happens to the events.

Threads and locks: everything runs on the gateway's loop without locks. At stop ``leave`` ends ``serve``. Lost
leases and lost watches do not concern a connection.

Source: the gateway's documented life cycle (connecting, resuming, close codes). discord.py's
``DiscordWebSocket`` speaks the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket, ReconnectWebSocket

from discordha.errors import ConfigError
from discordha.gateway.heartbeats import CountedSocket, Heartbeats, counted_socket
from discordha.gateway.state import FATAL_CODES, NETWORK_ERRORS, NEW_SESSION_CODES
from discordha.gateway.tap import OnDispatch, TappedClient
from discordha.limits.rest import RestLimits

__all__ = ["BeforeIdentify", "IdentifyPermit", "OnDispatch", "ShardClient"]

_log = logging.getLogger(__name__)


class IdentifyPermit(Protocol):
    """The permission to send one IDENTIFY. Neither call blocks; gateway thread."""

    def sent(self) -> bool:
        """Notes that the IDENTIFY leaves now. False when the permit has expired: it must not leave."""

    def over(self) -> None:
        """Notes that Discord answered, or will not: the pause before the next IDENTIFY begins. Idempotent."""


BeforeIdentify = Callable[[int], Awaitable[IdentifyPermit]]

#: Pauses between attempts to connect, seconds: doubled from the first to the last, and jittered.
FIRST_PAUSE = 0.1
LAST_PAUSE = 8.0
#: Discord may take ``deaf_after`` to greet a new connection, and as much more with each failure, up to this,
#: seconds.
MAX_GREETING_TIMEOUT = 30.0
#: Failures at the session's own address before the client tries the main one.
RESUME_TRIES = 2
#: How long Discord may take to confirm the end of a connection, seconds; then the client closes it anyway.
GOODBYE_TIMEOUT = 2.0


class ShardClient(TappedClient):
    """A client for one shard. The arguments that are not listed here are those of ``TappedClient``.

    :param deaf_after: seconds of silence after which a connection is replaced.
    :param before_identify: awaited with the shard's key before a connection that will send an IDENTIFY.
    :param revision: returns the latest revision of etcd that this replica knows.
    """

    def __init__(
        self,
        *,
        intents: discord.Intents,
        shard_id: int,
        shard_count: int | None,
        gateway_url: str | None,
        limits: RestLimits | None,
        deaf_after: float,
        on_dispatch: OnDispatch,
        before_identify: BeforeIdentify | None,
        on_change: Callable[[], None],
        on_new_session: Callable[[int], None],
        key: int | None = None,
        revision: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__(
            intents=intents,
            shard_id=shard_id,
            shard_count=shard_count,
            limits=limits,
            on_dispatch=on_dispatch,
            on_change=on_change,
            on_new_session=on_new_session,
            key=key,
        )
        # discord.py hides a socket until Discord has greeted: one that fell silent would stay open.
        self._open_socket = self.http.ws_connect
        self.http.ws_connect = self._note_socket  # type: ignore[method-assign]
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._main_gateway = yarl.URL(gateway_url) if gateway_url else DiscordWebSocket.DEFAULT_GATEWAY
        self._deaf_after = deaf_after
        self._before_identify = before_identify
        self._permit: IdentifyPermit | None = None
        self._revision = revision
        self._heartbeats = Heartbeats(self._live, lambda: self._heard, deaf_after)
        self._sockets = counted_socket(self._known_revision)
        self._resuming = False
        self._seen_revision = 0
        self._revision_in_order = 0  # acknowledged before the last frame in order
        self._leaving = False
        self._closing: asyncio.Task[None] | None = None
        self._session: str | None = None
        self._sequence: int | None = None
        self._session_gateway: yarl.URL | None = None
        self._polling: asyncio.Task[None] | None = None
        self._dropped = False
        self._resumable = True

    # -- the connection --------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Connects and reconnects until the client is closed.

        :raises ConfigError: Discord refuses this bot for good.
        """
        probe = asyncio.create_task(self._probe())
        failures = 0
        initial = True
        try:
            while not self.is_closed() and not self._leaving:
                frames = self._frames
                pause = 0.0
                self._dropped = False
                try:
                    await self._connect(initial, failures)
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
                    reason = error or type(error).__name__
                    _log.log(level, "shard %d is not connected: %s; trying again", self.number, reason)
                self._set_connected(False)
                initial = False
                # A connection on which something arrived was a good one.
                failures = 0 if self._frames > frames + 2 else failures + 1
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
        self._identifies += 1

    def _session_began(self) -> None:
        if self._permit is not None:
            self._permit.over()
        super()._session_began()

    async def _note_socket(self, url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
        self._socket = await self._open_socket(url, compress=compress)
        return self._socket

    async def _connect(self, initial: bool, failures: int) -> None:
        permit: IdentifyPermit | None = None
        if self._session is None and self._before_identify is not None:
            permit = await self._before_identify(self.key)
        self._permit = permit
        try:
            await self._converse(initial, failures)
        finally:
            if permit is not None:
                permit.over()

    async def _converse(self, initial: bool, failures: int) -> None:
        self._resuming = self._session is not None
        gateway = self._main_gateway
        if self._session_gateway is not None and failures < RESUME_TRIES:
            gateway = self._session_gateway
        self._socket = None
        try:
            async with asyncio.timeout(min(self._deaf_after * (failures + 1), MAX_GREETING_TIMEOUT)):
                ws = await self._sockets.from_client(
                    self,
                    initial=initial,
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
                self._gaps += 1
                _log.warning(
                    "shard %d: frame %s follows frame %s; RESUME fetches the frames between",
                    self.number,
                    ws.sequence,
                    before,
                )
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
        end = self._leaving

        async def close() -> None:
            if end:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(_end_session(socket), GOODBYE_TIMEOUT)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(socket.close(code=4000), GOODBYE_TIMEOUT)

        self._closing = asyncio.get_running_loop().create_task(close())

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

    def drop(self, *, resume: bool = True) -> None:
        """Replaces the connection: by RESUME, or with a new session. Gateway thread."""
        if self._polling is not None and not self._polling.done():
            self._dropped = True
            self._resumable = resume
            self._polling.cancel()

    async def leave(self, serving: asyncio.Task[None]) -> None:
        """Ends the gateway session for good; REST calls work until the client is closed. When Discord does
        not answer within ``GOODBYE_TIMEOUT``, it keeps the session until that times out.

        :param serving: the task that runs ``serve``.
        """
        self._leaving = True
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        if self._closing is not None:
            await asyncio.gather(self._closing, return_exceptions=True)
        self._connected = False

    # -- heartbeats ------------------------------------------------------------------------------------------

    def _known_revision(self) -> int:
        """The revision for a heartbeat that leaves now. 0 before RESUMED: RESUME brings older events. Every
        event of a new session is younger than its connection.
        """
        if self._resuming and not self._connected:
            return 0
        return max(self._revision(), self._seen_revision)

    def _set_connected(self, connected: bool) -> None:
        super()._set_connected(connected)
        if connected:
            self.beat()

    def beat(self, seen: int = 0) -> None:
        """Sends a heartbeat, so that ``acknowledged_revision`` follows; while one is on its way, sends the
        next after its acknowledgement. Gateway thread.

        :param seen: a revision that this replica has seen, though ``revision`` may not say so yet.
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
        return ws if self._connected and isinstance(ws, CountedSocket) else None

    async def _probe(self) -> None:
        """Sends a heartbeat after silence for half of ``deaf_after``, and replaces the connection after all
        of it.
        """
        while True:
            await asyncio.sleep(self._deaf_after / 8)
            ws = self.ws
            if ws is None or self._polling is None or self._polling.done() or ws._keep_alive is None:
                continue
            silent = time.monotonic() - self._last_frame
            if silent >= self._deaf_after:
                _log.warning(
                    "shard %d: nothing arrived for %.1f s, not even an acknowledgement; it reconnects",
                    self.number,
                    silent,
                )
                self.drop()
            elif silent >= self._deaf_after / 2:
                with contextlib.suppress(*NETWORK_ERRORS, RuntimeError):
                    await asyncio.wait_for(ws.send_as_json(ws._keep_alive.beat()), self._deaf_after / 8)


async def _end_session(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Tells Discord that the session is over, and reads until it answers. Closing a connection with unread
    data resets it: Discord might miss the code and keep the session.
    """
    await socket.send_frame((1000).to_bytes(2), aiohttp.WSMsgType.CLOSE)
    open_types = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
    while (await socket.receive()).type in open_types:
        pass

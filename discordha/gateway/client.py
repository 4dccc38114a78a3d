"""One shard's client: discord.py's own, with a connect loop that suits a fleet.

Promises
- The connection is taken up again for as long as the process lives: by RESUME where the session may still
  live, at the main address when the session's own does not answer, with pauses that never exceed
  ``LAST_PAUSE``.
- A connection on which nothing has arrived for ``deaf_after`` seconds, not even the answer to a heartbeat,
  is given up and taken up again.
- A frame whose number says that one before it is missing is not taken: RESUME brings both, in order.

Does not promise anything of what comes through: ``TappedClient`` does.

Concurrency: everything runs on the gateway's loop. At stop ``leave`` ends what ``serve`` does. A lost lease
or watch does not concern a connection.

Source: the loop follows the gateway's documented life cycle (connecting, resuming, close codes), with
discord.py's ``DiscordWebSocket`` doing the protocol.
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
from discordha.gateway.heartbeats import CountedSocket, counted
from discordha.gateway.proof import Proof
from discordha.gateway.state import FATAL_CODES, NETWORK_ERRORS, NEW_SESSION_CODES
from discordha.gateway.tap import OnDispatch, TappedClient
from discordha.limits.rest import RestLimits

__all__ = ["BeforeIdentify", "IdentifyTurn", "OnDispatch", "ShardClient"]

_log = logging.getLogger(__name__)


class IdentifyTurn(Protocol):
    """The right to send one IDENTIFY. Neither call blocks; gateway thread."""

    def sent(self) -> bool:
        """The IDENTIFY goes out now; false when the turn has run out, and it must not."""

    def over(self) -> None:
        """It was answered, or will not be: the next one's pause begins. Idempotent."""


BeforeIdentify = Callable[[int, bool], Awaitable[IdentifyTurn]]

#: Pauses between two tries to connect, seconds: doubled from the first to the last, and jittered.
FIRST_PAUSE = 0.1
LAST_PAUSE = 8.0
#: Discord may take ``deaf_after`` to greet a new connection, and each time once more, up to so long, seconds.
PATIENCE = 30.0
#: Failures at the session's own address before the main one is tried.
RESUME_TRIES = 2
#: How long Discord may take to answer that a connection ends, seconds; then it is closed all the same.
GOODBYE = 2.0


class ShardClient(TappedClient):
    """A client for one shard.

    :param deaf_after: seconds of silence after which a connection is given up.
    :param revision: how far this replica's view of etcd has come.
    :param before_identify: awaited before a connection is made that will send an IDENTIFY.

    The other arguments are those of ``TappedClient``.
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
        on_change: Callable[[int], None],
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
        # discord.py keeps a socket to itself until Discord has greeted: one that fell silent would stay open.
        self._open_socket = self.http.ws_connect
        self.http.ws_connect = self._note_socket  # type: ignore[method-assign]
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._main_gateway = yarl.URL(gateway_url) if gateway_url else DiscordWebSocket.DEFAULT_GATEWAY
        self._deaf_after = deaf_after
        self._before_identify = before_identify
        self._turn: IdentifyTurn | None = None
        self._revision = revision
        self._proof = Proof(self._live, lambda: self._heard, deaf_after)
        self._sockets = counted(self._note_revision)
        self._resuming = False
        self._seen = 0
        self._proven_in_order = 0
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
        """Connects, and connects again, until the client is closed.

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
                        # ``before_identify`` spaces them.
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
                    _log.log(
                        level,
                        "shard %d is not connected: %s; trying again",
                        self.number,
                        error or type(error).__name__,
                    )
                self._set_connected(False)
                initial = False
                # A connection on which something came through was a good one.
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
        """The IDENTIFY goes out. Its turn was waited for before the connection was made, since Discord does
        not wait.
        """
        if self._turn is not None and not self._turn.sent():
            raise ReconnectWebSocket(self.number, resume=False)
        self._identifies += 1

    def _session_began(self) -> None:
        if self._turn is not None:
            self._turn.over()
        super()._session_began()

    async def _note_socket(self, url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
        self._socket = await self._open_socket(url, compress=compress)
        return self._socket

    async def _connect(self, initial: bool, failures: int) -> None:
        resume = self._session is not None
        turn: IdentifyTurn | None = None
        if not resume and self._before_identify is not None:
            turn = await self._before_identify(self.key, initial)
        self._turn = turn
        try:
            await self._converse(resume, initial, failures)
        finally:
            if turn is not None:
                turn.over()

    async def _converse(self, resume: bool, initial: bool, failures: int) -> None:
        gateway = self._main_gateway
        if resume and self._session_gateway is not None and failures < RESUME_TRIES:
            gateway = self._session_gateway
        self._socket = None
        self._resuming = resume
        try:
            patience = min(self._deaf_after * (failures + 1), PATIENCE)
            async with asyncio.timeout(patience):
                ws = await self._sockets.from_client(
                    self,
                    initial=initial,
                    gateway=gateway,
                    shard_id=self.shard_id,
                    session=self._session,
                    sequence=self._sequence,
                    resume=resume,
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
            # RESUME may bring what is older than a heartbeat whose answer came in its place.
            self._proven = ws.proven = self._proven_in_order
            if ws._keep_alive is not None:
                ws._keep_alive.stop()
                ws._keep_alive = None
            self._close_soon(ws.socket)

    async def _poll(self, ws: CountedSocket) -> None:
        while True:
            before = ws.sequence
            await ws.poll_event()
            if self._is_gap(before, ws):
                self.gaps += 1
                _log.warning(
                    "shard %d: frame %s came after %s: taking up the session again for those between",
                    self.number,
                    ws.sequence,
                    before,
                )
                self._gap_after = ws.sequence = before
                raise ReconnectWebSocket(self.number)
            if ws.sequence != before:
                self._proven_in_order = self.proven

    def _close_soon(self, socket: aiohttp.ClientWebSocketResponse | None) -> None:
        """Closes a socket that may not answer, with a code that keeps the session alive, unless this replica
        leaves it for good.
        """
        if socket is None or socket.closed:
            return
        end = self._leaving

        async def close() -> None:
            if end:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(_end_session(socket), GOODBYE)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(socket.close(code=4000), GOODBYE)

        self._closing = asyncio.get_running_loop().create_task(close())

    def _keep_session(self, resume: bool) -> None:
        ws = self.ws
        if not resume or ws is None:
            self._session = self._sequence = self._session_gateway = None
        elif ws.session_id is not None:
            self._session, self._sequence, self._session_gateway = ws.session_id, ws.sequence, ws.gateway

    def _is_session_over(self) -> bool:
        """Whether the socket was closed with a code after which a new session has to begin."""
        return self.ws is not None and self.ws.socket.close_code in NEW_SESSION_CODES

    def _raise_if_fatal(self, error: BaseException) -> None:
        if isinstance(error, discord.ConnectionClosed) and error.code in FATAL_CODES:
            raise ConfigError(FATAL_CODES[error.code]) from None

    def drop(self, *, resume: bool = True) -> None:
        """Gives the connection up, so that it is taken up again: by RESUME, or with a new session. Gateway
        thread.
        """
        if self._polling is not None and not self._polling.done():
            self._dropped = True
            self._resumable = resume
            self._polling.cancel()

    def _note_revision(self) -> int:
        """What is noted as a heartbeat leaves: nothing, before RESUMED. All of a new session is younger than
        its connection.
        """
        return 0 if self._resuming and not self._connected else max(self._revision(), self._seen)

    def _set_connected(self, connected: bool) -> None:
        super()._set_connected(connected)
        if connected:
            self.beat()

    def beat(self, seen: int = 0) -> None:
        """Sends a heartbeat, so that ``proven`` follows; if one is on its way, when that is answered. Gateway
        thread.

        :param seen: a revision that has been seen, whatever else says.
        """
        self._seen = max(self._seen, seen)
        self._proof.beat()

    async def caught_up(self) -> bool:
        """Whether all events have been received that Discord had sent by now; waits until that is known, for
        some 30 s at the most. Gateway thread.
        """
        return await self._proof.caught_up()

    def _live(self) -> CountedSocket | None:
        ws = self.ws
        return ws if self._connected and isinstance(ws, CountedSocket) else None

    async def leave(self, serving: asyncio.Task[None]) -> None:
        """Ends the gateway session for good; REST calls still work, until the client is closed. Where Discord
        does not answer within ``GOODBYE``, it keeps the session until that times out.

        :param serving: the task that runs ``serve``.
        """
        self._leaving = True
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        if self._closing is not None:
            await asyncio.gather(self._closing, return_exceptions=True)
        self._connected = False

    async def _probe(self) -> None:
        """Asks for a sign of life when nothing came for half of ``deaf_after``; gives the connection up
        after all of it.
        """
        while True:
            await asyncio.sleep(self._deaf_after / 8)
            ws = self.ws
            if ws is None or self._polling is None or self._polling.done() or ws._keep_alive is None:
                continue
            silent = time.monotonic() - self._last_frame
            if silent >= self._deaf_after:
                _log.warning(
                    "shard %d: nothing came for %.1f s, not even a heartbeat's answer", self.number, silent
                )
                self.drop()
            elif silent >= self._deaf_after / 2:
                with contextlib.suppress(*NETWORK_ERRORS, RuntimeError):
                    await asyncio.wait_for(ws.send_as_json(ws._keep_alive.beat()), self._deaf_after / 8)


async def _end_session(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Tells Discord that the session is over, and reads until it answers. A connection that is closed while
    something is unread is reset: Discord might not see the code, and keep the session.
    """
    await socket.send_frame((1000).to_bytes(2), aiohttp.WSMsgType.CLOSE)
    open_types = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
    while (await socket.receive()).type in open_types:
        pass

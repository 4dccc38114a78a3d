"""Gateway: the thread with the asyncio loop, on which discord.py's clients live.

Promises
- Nothing on this thread blocks: no etcd call, no handler, no full queue. A loop that stands still for more
  than a second is reported.
- What a client can't go on with (a wrong token, a refused intent) goes to ``on_fatal`` as a
  ``ConfigError`` that says what to do; everything else is tried again.
- ``stop`` ends all sessions cleanly and leaves no thread, task or connection behind.

Concurrency
- The thread ``discordha-gateway`` is owned here: started by ``start``, joined by ``stop``. All coroutines
  run on it.
- ``_clients`` is replaced as a whole on that thread, and read by any.
- ``on_dispatch``, ``on_state`` and ``on_fatal`` are called on that thread.
- At stop, blocking calls that wait for Discord end with an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import aiohttp
import discord
from discord.http import Route

from discordha.blocking import LoopBridge
from discordha.config import Config
from discordha.errors import ConfigError, DiscordHAError
from discordha.gateway.client import BeforeIdentify, OnDispatch, ShardClient
from discordha.gateway.state import GatewayState
from discordha.limits.rest import RestLimits
from discordha.limits.session_limits import SessionLimits, fetch_session_limits

__all__ = ["Gateway"]

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Tries to log in while Discord's API does not answer, and the pause between them, seconds.
LOGIN_TRIES = 6
LOGIN_PAUSE = 1.0
#: A loop that stands still for longer than this is reported, seconds.
STANDSTILL = 1.0


class Gateway:
    """See the module.

    :param before_identify: awaited before each IDENTIFY: (shard key, is it the client's first).
    :param limits: Discord's limits of REST requests; none: something else keeps them.
    :param revision: how far this replica's view of etcd has come; must not block.
    :param on_new_session: called when a shard begins a new session, before its first event.
    :param on_client: called with each new client, before it logs in.
    """

    def __init__(
        self,
        config: Config,
        *,
        on_dispatch: OnDispatch,
        on_fatal: Callable[[BaseException], None],
        before_identify: BeforeIdentify | None,
        on_state: Callable[[int, GatewayState], None],
        on_new_session: Callable[[int], None] = lambda shard_id: None,
        limits: RestLimits | None = None,
        on_client: Callable[[discord.Client], None] = lambda client: None,
        revision: Callable[[], int] = lambda: 0,
    ) -> None:
        self._limits = limits
        self._config = config
        self._on_dispatch = on_dispatch
        self._on_fatal = on_fatal
        self._before_identify = before_identify
        self._on_state = on_state
        self._on_new_session = on_new_session
        self._on_client = on_client
        self._revision = revision
        self._loop = asyncio.new_event_loop()
        self._bridge = LoopBridge(self._loop, call_timeout=config.call_timeout)
        self._clients: dict[int, ShardClient] = {}
        self._left: dict[int, ShardClient] = {}  # without a session, for the handlers that still run
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="discordha-gateway", daemon=True)
        self.standstills = 0

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread. Does not block; shards are opened one by one."""
        if self._config.api_url is not None:
            base = self._config.api_url.rstrip("/")
            Route.BASE = base if re.search(r"/api/v\d+$", base) else f"{base}/api/v10"
        self._thread.start()

    def session_limits(self) -> SessionLimits:
        """What Discord says of shards and of the budget for sessions. Blocks for a request.

        :raises ConfigError: Discord refuses the token.
        :raises DiscordHAError: Discord can't be reached, or the gateway stops.
        """
        limits: SessionLimits = self._await(
            self._try(lambda: fetch_session_limits(self._config.token, Route.BASE))
        )
        return limits

    def stop(self, timeout: float) -> None:
        """Ends all sessions and the thread. Blocks for at most about ``timeout`` seconds. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        if not self._thread.is_alive():
            if not self._loop.is_closed():
                self._loop.close()
            return
        self._bridge.close()
        ending = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        with contextlib.suppress(Exception):
            ending.result(max(timeout, 0.5))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(max(timeout, 0.5))

    def open_shard(self, key: int, number: int = 0, shard_count: int | None = None) -> None:
        """Logs in for one more shard and begins to connect it. Blocks until Discord has accepted the
        token.

        :param key: what the shard is called by from now on.
        :param number: its number, of ``shard_count``.
        :raises ConfigError: Discord refuses the token.
        :raises DiscordHAError: Discord can't be reached, or the gateway stops.
        """
        self._await(self._open(key, number, shard_count))

    def leave_shard(self, key: int) -> None:
        """Ends a shard's gateway session, so that no more events come; REST calls through its client still
        work. Blocks until it has ended. Idempotent.
        """
        self._await(self._leave(key))

    def close_shard(self, key: int) -> None:
        """Closes a shard's connection and its client. Blocks until it is closed. Idempotent.

        A session that was not left before is not ended: as with discord.py itself, Discord keeps it for some
        minutes, and with it the bot's place in a voice channel, for whoever goes on there.
        """
        self._await(self._close(key))

    def inject(self, raw: str, shard_id: int) -> None:
        """Gives a stored frame to discord.py's parser once more. Does not block; any thread."""
        client = self._clients.get(shard_id) or next(iter(self._clients.values()), None)
        if client is not None and not self._stopping:
            self._loop.call_soon_threadsafe(client.replay, raw)

    # -- what others ask -------------------------------------------------------------------------------------

    def call(self, awaitable: Awaitable[Result], timeout: float | None = None) -> Result:
        """See ``LoopBridge.call``."""
        return self._bridge.call(awaitable, timeout)

    @property
    def bridge(self) -> LoopBridge:
        """What blocking views call through."""
        return self._bridge

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop; only its own thread may touch it."""
        return self._loop

    @property
    def clients(self) -> Mapping[int, ShardClient]:
        """The clients, by shard key. Replaced as a whole when it changes."""
        return self._clients

    @property
    def client(self) -> discord.Client:
        """The client of the lowest shard.

        :raises DiscordHAError: there is none.
        """
        clients = self._clients
        if not clients:
            raise DiscordHAError(
                "there is no connection to Discord: the bot has not started, or hosts no shard"
            )
        return clients[min(clients)]

    @property
    def user_id(self) -> int | None:
        """The bot's user id, once it has logged in."""
        for client in self._clients.values():
            if client.user is not None:
                return client.user.id
        return None

    def state(self, shard_id: int) -> GatewayState:
        """How a shard's connection is. Any thread.

        :raises KeyError: this replica does not host the shard.
        """
        return self._clients[shard_id].state()

    def reconnect(self, shard_id: int, *, resume: bool) -> None:
        """Gives a shard's connection up, and takes it up again: by RESUME, or with a new session. Does not
        block; any thread.
        """
        client = self._clients.get(shard_id)
        if client is not None and not self._stopping:
            self._loop.call_soon_threadsafe(lambda: client.drop(resume=resume))

    def caught_up(self, shard_id: int) -> Future[bool]:
        """Whether all of a shard's events have been received that Discord had sent by now; it is told when
        that is known, which takes another event. Does not block; any thread.
        """
        client = self._clients.get(shard_id)
        if client is not None and not self._stopping:
            asking = client.caught_up()
            try:
                return asyncio.run_coroutine_threadsafe(asking, self._loop)
            except RuntimeError:  # the loop has ended meanwhile
                asking.close()
        answer: Future[bool] = Future()
        answer.set_result(False)
        return answer

    def proven(self, shard_id: int) -> int:
        """The latest revision of etcd that is older than all of a shard's events which come from now on.
        Gateway thread.
        """
        client = self._clients.get(shard_id)
        return client.proven if client is not None else 0

    def beat(self, shard_id: int, seen: int = 0) -> None:
        """Lets ``proven`` follow what this replica has seen of etcd by now. Does not block; any thread.

        :param seen: a revision that it has seen, though what follows etcd may not say so yet.
        """
        client = self._clients.get(shard_id)
        if client is not None and not self._stopping:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(client.beat, seen)

    # -- on the loop -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        watch = self._loop.create_task(self._watch_standstill())
        try:
            self._loop.run_forever()
        finally:
            watch.cancel()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(
                    asyncio.gather(*asyncio.all_tasks(self._loop), return_exceptions=True)
                )
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _await(self, coroutine: Any) -> Any:
        if self._stopping:
            coroutine.close()
            raise DiscordHAError("the bot stops")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _open(self, key: int, number: int, shard_count: int | None) -> None:
        config = self._config
        assert config.intents is not None
        client = ShardClient(
            intents=config.intents,
            key=key,
            shard_id=number,
            shard_count=shard_count,
            gateway_url=config.gateway_url,
            limits=self._limits,
            deaf_after=config.deaf_after,
            on_dispatch=self._on_dispatch,
            before_identify=self._before_identify,
            on_change=self._changed,
            on_new_session=self._on_new_session,
            revision=self._revision,
        )
        self._on_client(client)
        try:
            await self._try(lambda: client.login(config.token))
        except BaseException:
            await client.close()
            raise
        self._clients = {**self._clients, key: client}
        self._serving[key] = self._loop.create_task(self._serve(client))

    async def _try(self, call: Callable[[], Awaitable[Result]]) -> Result:
        for tried in itertools.count(1):
            try:
                return await call()
            except discord.LoginFailure:
                raise ConfigError(
                    "Discord refuses the token (401): is it complete, and not reset since? Take a new one "
                    "from the developer portal, page 'Bot'"
                ) from None
            except (discord.HTTPException, OSError, aiohttp.ClientError, TimeoutError) as error:
                if tried == LOGIN_TRIES:
                    raise DiscordHAError(f"Discord's API can't be reached: {error}") from None
                _log.warning("logging in to Discord failed: %s; trying again", error)
                await asyncio.sleep(LOGIN_PAUSE * tried)
        raise AssertionError("unreachable")

    async def _serve(self, client: ShardClient) -> None:
        try:
            await client.serve()
        except asyncio.CancelledError:
            raise
        except ConfigError as error:
            self._on_fatal(error)
        except Exception as error:  # noqa: BLE001 - without this task the shard would stay silent
            _log.exception("the connection of shard %d broke", client.number)
            self._on_fatal(error)

    async def _leave(self, key: int) -> None:
        client = self._clients.get(key)
        if client is not None:
            self._left[key] = client
            self._clients = {known: other for known, other in self._clients.items() if known != key}
            await client.leave(self._serving.pop(key))

    async def _close(self, key: int) -> None:
        client = self._clients.get(key)
        task = None
        if client is not None:
            self._clients = {known: other for known, other in self._clients.items() if known != key}
            task = self._serving.pop(key)
        else:
            client = self._left.pop(key, None)
        if client is not None:
            with contextlib.suppress(Exception):
                await client.close()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _end(self) -> None:
        await asyncio.gather(*(self._close(key) for key in [*self._clients, *self._left]))
        # aiohttp's connectors close their sockets in the next turns of the loop.
        await asyncio.sleep(0.05)

    def _changed(self, shard_id: int) -> None:
        client = self._clients.get(shard_id)
        if client is not None:
            self._on_state(shard_id, client.state())

    async def _watch_standstill(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.25)
            late = time.monotonic() - before - 0.25
            if late > STANDSTILL:
                self.standstills += 1
                _log.warning(
                    "the gateway's loop stood still for %.1f s: the process was stopped, or starved of CPU",
                    late,
                )

"""Runs the thread with the asyncio loop on which discord.py's clients live.

Guarantees
- Nothing on this thread blocks: no etcd call, no handler, no full queue. The log says when the loop stands
  still for more than a second.
- An error that ends a client for good (a wrong token, a refused intent) goes to the listener's ``on_fatal``
  as a ``ConfigError`` with the remedy. The client retries after every other error.
- ``stop`` leaves no thread, task or connection behind.

Threads and locks
- ``Gateway`` owns the thread ``discordha-gateway``: ``start`` starts it, ``stop`` joins it. All coroutines
  and all callbacks run on it.
- ``_clients`` is replaced as a whole on that thread; any thread reads it. ``_lock`` guards ``_awaited``, the
  waits of other threads for the loop.
- At stop, blocking calls that wait for Discord end with an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
import math
import re
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future, wait
from typing import Any, TypeVar

import aiohttp
import discord
from discord.http import Route

from discordha.blocking import LoopBridge
from discordha.config import Config
from discordha.context import mark_loop_thread
from discordha.errors import ConfigError, DiscordHAError, reason_of
from discordha.gateway.client import ShardClient
from discordha.gateway.clock import DiscordClock
from discordha.gateway.listener import GatewayListener
from discordha.gateway.state import GatewayState
from discordha.limits.rest import RestLimits
from discordha.limits.session_limits import SessionLimits, fetch_session_limits

__all__ = ["Gateway"]

_log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Attempts to log in while Discord's API does not answer, and the pause after the first, seconds.
LOGIN_TRIES = 6
LOGIN_PAUSE = 1.0
#: A thread that waits for the loop looks this often whether that still runs, seconds.
LOOP_CHECK = 1.0
#: The share of a stop's time in which connections are closed; the rest is for the loop's own end.
CLOSING_SHARE = 0.7
#: How long connections may take to close once the loop has ended by itself, seconds.
END_TIMEOUT = 2.0
#: The log reports a loop that stands still for longer, seconds.
STANDSTILL = 1.0


class Gateway:
    """The connections of one replica.

    :param limits: Discord's limits of REST requests; ``None``: something else keeps them.
    :ivar loop: the loop; only its own thread may touch it.
    :ivar dates: Discord's clock.
    :ivar bridge: the way of blocking views into the loop.
    """

    def __init__(self, config: Config, listener: GatewayListener, limits: RestLimits | None = None) -> None:
        self._config = config
        self._listener = listener
        self._limits = limits
        self.loop = asyncio.new_event_loop()
        self.bridge = LoopBridge(self.loop, call_timeout=config.call_timeout)
        self._clients: dict[int, ShardClient] = {}
        self._left: dict[int, ShardClient] = {}  # without a session, for handlers that still run
        self._presence: Mapping[str, Any] | None = None  # on the loop
        self.dates = DiscordClock()
        self._stopping = False
        self._refusing = False
        self._lock = threading.Lock()
        self._awaited: dict[Future[Any], bool] = {}
        self._thread = threading.Thread(target=self._run, name="discordha-gateway", daemon=True)

    def start(self) -> None:
        """Starts the thread. Does not block; ``open_shard`` connects."""
        if self._config.api_url is not None:
            base = self._config.api_url.rstrip("/")
            Route.BASE = base if re.search(r"/api/v\d+$", base) else f"{base}/api/v10"
        self._thread.start()

    def session_limits(self) -> SessionLimits:
        """Asks Discord for its limits of shards and sessions. Blocks for a request.

        :raises ConfigError: Discord refuses the token.
        :raises DiscordHAError: Discord does not answer, or the gateway stops.
        """
        options = self._config.client_options
        proxy = (options.get("proxy"), options.get("proxy_auth"))
        asking = self._try(lambda: fetch_session_limits(self._config.token, Route.BASE, *proxy))
        return self._await(asking, opens=True)

    def refuse_shards(self) -> None:
        """Opens no shard any more, and ends the waits of those that do. Does not block; any thread."""
        self._refusing = True
        self._cancel(lambda opens: opens)

    def interrupt(self) -> None:
        """Ends all waits for shards to be opened or closed: they raise ``DiscordHAError``. Does not block;
        any thread.
        """
        self._refusing = True
        self._cancel(lambda opens: True)

    def stop(self, timeout: float) -> None:
        """Closes all connections and ends the thread. Blocks for ``timeout`` seconds at most. Idempotent."""
        if self._stopping:
            return
        self._stopping = True
        deadline = time.monotonic() + timeout
        self.interrupt()
        if not self._thread.is_alive():
            if not self.loop.is_closed():
                self.loop.close()
            return
        self.bridge.close()
        for client in (*self._clients.values(), *self._left.values()):
            client.expect_end()
        end = self._end()
        try:
            with contextlib.suppress(Exception):
                asyncio.run_coroutine_threadsafe(end, self.loop).result(max(timeout * CLOSING_SHARE, 0.0))
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self.loop.call_soon_threadsafe(self.loop.stop)
        finally:
            if self.loop.is_closed() and inspect.getcoroutinestate(end) == inspect.CORO_CREATED:
                end.close()
        self._thread.join(max(deadline - time.monotonic(), 0.1))

    def open_shard(self, key: int, number: int = 0, shard_count: int | None = None) -> None:
        """Logs in for one more shard and begins to connect it. Blocks until Discord accepts the token.

        :param key: the shard's key in every later call.
        :param number: the shard's number, of ``shard_count``; no count: the bot is not sharded.
        :raises ConfigError: Discord refuses the token.
        :raises DiscordHAError: Discord does not answer, or the gateway stops.
        """
        self._await(self._open(key, number, shard_count), opens=True)

    def leave_shard(self, key: int) -> None:
        """Ends a shard's gateway session: no more events arrive, but REST calls through its client work.
        Blocks until the session has ended. Idempotent.
        """
        self._await(self._leave(key))

    def close_shard(self, key: int) -> None:
        """Closes a shard's connection and its client. Blocks until both are closed. Idempotent.

        Without ``leave_shard`` before it, Discord keeps the session for some minutes, as with discord.py
        itself, and with it the bot's place in a voice channel, where another replica goes on.
        """
        self._await(self._close(key))

    def inject(self, raw: str, shard_id: int) -> bool:
        """Gives a stored frame to discord.py's parser again. False without a session: handlers would find no
        guild. Does not block; any thread.
        """
        client = self._clients.get(shard_id) or next(iter(self._clients.values()), None)
        if client is None or not client.state().ready:
            return False
        self.soon(client.replay, raw)
        return True

    # -- for other parts of the replica ----------------------------------------------------------------------

    def call(self, awaitable: Awaitable[Result], timeout: float | None = None) -> Result:
        """See ``LoopBridge.call``."""
        return self.bridge.call(awaitable, timeout)

    @property
    def clients(self) -> Mapping[int, ShardClient]:
        """The clients of open shards, by shard key. Replaced as a whole at every change."""
        return self._clients

    @property
    def client(self) -> discord.Client:
        """The client of the lowest shard.

        :raises DiscordHAError: there is none.
        """
        clients = self._clients
        if not clients:
            raise DiscordHAError("there is no connection to Discord: the bot starts, or hosts no shard")
        return clients[min(clients)]

    def state(self, shard_id: int) -> GatewayState:
        """A shard's connection at this moment. Any thread.

        :raises KeyError: this replica does not host the shard.
        """
        return self._clients[shard_id].state()

    def reconnect(self, shard_id: int, *, resume: bool) -> None:
        """Replaces a shard's connection: by RESUME, or with a new session. Does not block; any thread."""
        client = self._clients.get(shard_id)
        if client is not None:
            self.soon(client.drop, resume)

    def caught_up(self, shard_id: int) -> Future[bool]:
        """Whether every event of a shard has arrived that Discord had sent before the call. The answer takes
        another event. Does not block; any thread.
        """
        client = self._clients.get(shard_id)
        if client is not None and not self._stopping:
            asking = client.caught_up()
            try:
                return asyncio.run_coroutine_threadsafe(asking, self.loop)
            except RuntimeError:  # the loop has ended
                asking.close()
        answer: Future[bool] = Future()
        answer.set_result(False)
        return answer

    def acknowledged_revision(self, shard_id: int) -> int:
        """The latest known revision of etcd that is older than every event of a shard to come. Any thread."""
        client = self._clients.get(shard_id)
        return client.acknowledged_revision if client is not None else 0

    def beat(self, shard_id: int, seen: int = 0) -> None:
        """Lets ``acknowledged_revision`` follow what this replica knows of etcd. Does not block; any thread.

        :param seen: a revision that this replica has seen, though ``known_revision`` may not say so yet.
        """
        client = self._clients.get(shard_id)
        if client is not None:
            self.soon(client.beat, seen)

    def set_presence(self, word: Mapping[str, Any] | None) -> None:
        """Changes the presence of all sessions, now and later; ``None``: the options'. Any thread."""
        self.soon(self._set_presence, word)

    def _set_presence(self, word: Mapping[str, Any] | None) -> None:
        self._presence = word
        for client in self._clients.values():
            client.presence.set(word)

    def soon(self, call: Callable[..., None], *args: Any) -> None:
        """Calls on the gateway's thread, in the order of the calls. Does not block; any thread."""
        if not self._stopping:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self.loop.call_soon_threadsafe(call, *args)

    # -- on the loop -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        mark_loop_thread()
        asyncio.set_event_loop(self.loop)
        watch = self.loop.create_task(self._watch_standstill())
        error: BaseException | None = None
        try:
            self.loop.run_forever()
        except BaseException as raised:  # noqa: BLE001 - SystemExit in a coroutine of the bot's, say
            error = raised
        finally:
            if not self._stopping:
                reason = f"{type(error).__name__} was raised on it" if error is not None else "it was stopped"
                _log.error("the gateway's loop has ended: %s; the replica stops", reason, exc_info=error)
                self._listener.on_fatal(DiscordHAError(f"the gateway's loop has ended: {reason}"))
                with contextlib.suppress(BaseException):
                    self.loop.run_until_complete(asyncio.wait_for(self._end(), END_TIMEOUT))
            watch.cancel()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            with contextlib.suppress(Exception):
                self.loop.run_until_complete(
                    asyncio.gather(*asyncio.all_tasks(self.loop), return_exceptions=True)
                )
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    def _await(self, coroutine: Coroutine[Any, Any, Result], *, opens: bool = False) -> Result:
        """Runs a coroutine on the loop. Blocks until it ends, ``interrupt`` is called or the loop has ended.

        :param opens: ``refuse_shards`` ends it, too.
        """
        with self._lock:
            refused = self._stopping or (opens and self._refusing) or not self._thread.is_alive()
            if not refused:
                future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
                self._awaited[future] = opens
        if refused:
            coroutine.close()
            raise DiscordHAError("the bot stops")
        try:
            while self._thread.is_alive():
                wait([future], LOOP_CHECK)
                if future.done():
                    return future.result()
            raise DiscordHAError("the gateway's thread has ended")
        except CancelledError:
            raise DiscordHAError("the bot stops") from None
        finally:
            with self._lock:
                del self._awaited[future]

    def _cancel(self, wanted: Callable[[bool], bool]) -> None:
        with self._lock:
            for future, opens in self._awaited.items():
                if wanted(opens):
                    future.cancel()

    async def _open(self, key: int, number: int, shard_count: int | None) -> None:
        client = ShardClient(
            self._config,
            self._listener,
            self._limits,
            key=key,
            number=number,
            shard_count=shard_count,
            dates=self.dates,
        )
        self._listener.on_client(client)
        client.presence.set(self._presence)
        try:
            await self._try(lambda: self._log_in(client))
            if self._stopping:
                raise DiscordHAError("the bot stops")
        except BaseException:
            await client.end()
            raise
        client.presence.set(self._presence)  # it may have changed meanwhile
        self._clients = {**self._clients, key: client}
        client.begin()

    async def _log_in(self, client: ShardClient) -> None:
        async with asyncio.timeout(self._config.call_timeout):
            await client.login(self._config.token)

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
                    raise DiscordHAError(f"Discord's API can't be reached: {reason_of(error)}") from None
                pause = max(LOGIN_PAUSE * tried, _retry_after(error))
                _log.warning("cannot log in to Discord: %s; trying again in %.1f s", reason_of(error), pause)
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _leave(self, key: int) -> None:
        client = self._take(key)
        if client is not None:
            self._left[key] = client
            await client.leave()

    async def _close(self, key: int) -> None:
        client = self._take(key) or self._left.pop(key, None)
        if client is not None:
            await client.end()

    def _take(self, key: int) -> ShardClient | None:
        client = self._clients.get(key)
        self._clients = {known: other for known, other in self._clients.items() if known != key}
        return client

    async def _end(self) -> None:
        await asyncio.gather(*(self._close(key) for key in [*self._clients, *self._left]))
        # aiohttp's connectors close their sockets within the loop's next turns.
        await asyncio.sleep(0.05)

    async def _watch_standstill(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.25)
            late = time.monotonic() - before - 0.25
            if late > STANDSTILL:
                text = "the gateway's loop stood still for %.1f s: blocked by code, stopped, or short of CPU"
                _log.warning(text, late)


def _retry_after(error: Exception) -> float:
    """The seconds that Discord's refusal asks to wait; 0 when it names none."""
    response = error.response if isinstance(error, discord.HTTPException) else error
    headers = getattr(response, "headers", None) or {}
    try:
        seconds = float(headers.get("Retry-After", 0.0))
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0

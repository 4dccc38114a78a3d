"""DiscordHA: the bot as its author sees it. Wiring and lifecycle, nothing else.

Concurrency: the methods may be called from any thread but the gateway's. ``_lock`` guards the state of the
lifecycle, and is not held while a replica starts or stops. Signals are handled in ``run`` only, on the
main thread; their handler takes no lock: it puts into a ``SimpleQueue``, which is made for that, and sets
a flag.
"""

from __future__ import annotations

import logging
import os
import queue
import secrets
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from discordha.api.client import ClientView
from discordha.api.declarations import Declarations
from discordha.api.shared_state import SharedState
from discordha.blocking import wrap
from discordha.config import Config
from discordha.errors import ConfigError, DiscordHAError
from discordha.operations.logs import log_to_stderr
from discordha.replica.replica import Replica
from discordha.supervisor import link
from discordha.voice.facade import VoiceCalls

if TYPE_CHECKING:
    import discord

    from discordha.views import Wrap

__all__ = ["DiscordHA"]

_log = logging.getLogger("discordha")

#: How long ``run`` waits at a time for its end, seconds.
SIGNAL_SLICE = 0.2

Result = TypeVar("Result")


class DiscordHA(Declarations, SharedState, VoiceCalls, ClientView):
    """A highly available Discord bot: one of several equal replicas, which handle each event once.

    May be subclassed as ``discord.Client`` is: methods named ``on_<event>`` are handlers.

    :param config: the configuration; or its fields as ``options``.
    :raises ConfigError: an option is unknown or impossible; names it.
    """

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        self._config = config if config is not None and not options else Config.build(config, **options)
        super().__init__()
        self._tree.bind(self._running)
        self._lock = threading.Lock()
        self._replica: Replica | None = None
        self._ends: queue.SimpleQueue[str] = queue.SimpleQueue()  # why ``run`` should end
        self._hurry = False
        self._signalled = False
        self._failure: BaseException | None = None
        self._replica_id = (
            self._config.replica_id or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        )

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """A bot configured by the environment: every field from ``DISCORDHA_<FIELD>``, the token also from
        ``BOT_TOKEN``, lists separated by commas.

        :raises ConfigError: names the variable.
        """
        return cls(Config.from_env(**overrides))

    @property
    def config(self) -> Config:
        """What the bot was configured with."""
        return self._config

    @property
    def replica_id(self) -> str:
        """This replica's name among its peers."""
        return self._replica_id

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts this replica. Blocks until etcd and Discord have accepted it.

        :raises ConfigError: Discord or etcd refuses the configuration; the message says what to do.
        :raises StoreUnavailable: etcd does not answer.
        :raises DiscordHAError: it runs already.
        """
        with self._lock:
            if self._replica is not None:
                raise DiscordHAError("the bot has been started already; stop it first")
            self._failure = None
            replica = self._replica = Replica(
                self._config,
                self._config.root if self._config.ha else "",
                self._replica_id,
                self._registry,
                self._stats,
                tasks=self._tasks,
                tree=self._tree,
                on_client=self._attach,
                voice_workers=self._voice_workers,
                on_error=self._on_error,
                on_fatal=self._fail,
                on_stop_asked=lambda: self._ends.put("an operator asked for it"),
            )
        try:
            replica.start()
        except BaseException:
            self._replica = None
            raise

    def wait_until_ready(self, timeout: float | None = None) -> bool:
        """Blocks until this replica has been ready once: connected, with all guilds known. False when that
        takes longer than ``timeout`` seconds.

        :raises DiscordHAError: the bot has not been started, or what stopped it.
        """
        ready = self._running().readiness.wait(timeout)
        if self._failure is not None:
            raise self._failure
        return ready

    def stop(self, timeout: float | None = None) -> None:
        """Drains this replica and ends it: nothing new is begun, running handlers finish, leadership
        moves, what is left goes to the others. Blocks. Idempotent; any thread but a handler's.

        :param timeout: seconds, by default ``drain_timeout``.
        """
        replica = self._replica
        self._ends.put("stop() was called")
        if replica is None:
            return
        try:
            # Handlers that still run may use the bot until the end.
            replica.stop(self._config.drain_timeout if timeout is None else timeout, lambda: self._hurry)
        finally:
            with self._lock:
                if self._replica is replica:
                    self._replica = None

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT, then drains; a second signal stops at once. Blocks; main thread
        only.

        Without a logging set-up of your own, discordha's messages go to standard error: from
        ``DISCORDHA_LOG_LEVEL`` (``INFO``) on, as JSON with ``DISCORDHA_LOG_FORMAT=json``.

        :raises BaseException: what broke a part that this replica can't go on without, after stopping.
        """
        log_to_stderr(self._replica_id, os.environ)
        self._forget_ends()
        failure: BaseException | None = None
        with _Signals(self._on_signal):
            try:
                self.start()
                why = self._wait_for_end()
                _log.info("stopping, for %g s at the most: %s", self._config.drain_timeout, why)
            except DiscordHAError as error:
                failure = error
            finally:
                self.stop()
        failure = failure or self._failure
        if failure is not None:
            if isinstance(failure, ConfigError):
                link.current().refused(str(failure))
            # Its message says what to do; how we got there is of no use to anybody.
            raise failure.with_traceback(None) from None

    def _wait_for_end(self) -> str:
        # In slices: a signal that another thread takes, or that comes right before the wait, does not end it.
        while True:
            try:
                return self._ends.get(timeout=SIGNAL_SLICE)
            except queue.Empty:
                continue

    def __enter__(self) -> Self:
        """Starts the bot."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        replica = self._replica
        if kind is not None and replica is not None:
            replica.note_failure()
        self.stop()

    def _forget_ends(self) -> None:
        self._hurry = False
        self._signalled = False
        while not self._ends.empty():
            self._ends.get_nowait()

    def _on_signal(self, number: int) -> None:
        """Signal handler: no locks, no logging."""
        self._hurry = self._signalled and not link.current().is_orphan
        self._signalled = True
        self._ends.put(signal.Signals(number).name)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._ends.put(f"{type(error).__name__}: {error}")
        replica = self._replica
        if replica is not None:
            replica.readiness.give_up()

    def _running(self) -> Replica:
        replica = self._replica
        if replica is None:
            raise DiscordHAError("the bot does not run: call start() first")
        return replica

    # -- the bridge to discord.py ----------------------------------------------------------------------------

    def call(self, awaitable: Awaitable[Result], timeout: float | None = None) -> Result:
        """Runs a coroutine of discord.py on the gateway's loop, and returns its result. Blocks; any thread
        but the loop's. Inside a handler it is fenced as the views are.

        :param timeout: seconds, by default ``call_timeout``.
        :raises LockLost: the handler's event may not be this replica's any more; nothing was sent.
        :raises TimeoutError: it took longer.
        """
        result: Result = self._running().gateway.call(awaitable, timeout)
        return result

    if TYPE_CHECKING:
        wrap: Wrap  # for type checkers: the class of the view of each class
    else:

        def wrap(self, value: Any) -> Any:
            """A blocking view of one of discord.py's objects, as handlers get them:
            ``ha.wrap(ha.client.get_channel(id))``. Does not block; any thread.
            """
            return wrap(value, self._running().bridge)

    def wait_for(
        self,
        event: str,
        where: Callable[..., Any] | None = None,
        timeout: float | None = None,
        *,
        check: Callable[..., Any] | None = None,
    ) -> Any:
        """Waits for an event that this replica receives from now on, without claiming it: its arguments as
        views, one or a tuple, as discord.py's ``wait_for`` returns them. Blocks; any thread but the loop's.

        :param where: a fast, pure predicate on the event's arguments, which are discord.py's own objects;
            called on the gateway thread.
        :param timeout: seconds; ``None`` waits until the bot stops.
        :param check: discord.py's name for ``where``.
        :raises TimeoutError: none came in time.
        :raises LockLost: the calling handler's event is not this replica's any more, or the bot stops, and
            another replica runs it again.
        :raises DiscordHAError: the bot stops.
        """
        replica = self._running()
        args = replica.waiters.wait(event, where if where is not None else check, timeout)
        views = tuple(wrap(arg, replica.bridge) for arg in args)
        return views[0] if len(views) == 1 else (views or None)

    @property
    def client(self) -> discord.Client:
        """discord.py's own client, for what the views do not cover: its coroutines need ``call``."""
        return self._running().gateway.client

    def client_for(self, guild_id: int) -> discord.Client:
        """discord.py's client of the shard that a guild is on. Does not block; any thread.

        :raises DiscordHAError: this replica does not host that shard; REST calls work through any client.
        """
        return self._running().shards.client_for(guild_id)

    # -- the fleet -------------------------------------------------------------------------------------------

    def is_leader(self, shard_id: int = 0) -> bool:
        """Whether this replica leads the shard. No round trip; any thread."""
        return self._running().leading.is_leader(shard_id)

    def require_leadership(self, shard_id: int = 0) -> int:
        """The fencing token of leading the shard. No round trip; any thread.

        :raises NotLeader: this replica does not lead it.
        """
        return self._running().leading.require(shard_id)

    def leader(self, shard_id: int = 0) -> str | None:
        """The replica that leads the shard, as far as this one knows. No round trip; any thread."""
        return self._running().leading.leader(shard_id)

    def replicas(self) -> Mapping[str, Mapping[str, Any]]:
        """The living replicas and what each says of itself, as far as this one knows. No round trip; any
        thread.
        """
        return self._running().replicas()

    def status(self) -> dict[str, Any]:
        """What this replica does now: for health checks and metrics. No round trip; any thread."""
        return self._running().status()


class _Signals:
    """SIGTERM and SIGINT go to a function while the context lasts."""

    def __init__(self, call: Callable[[int], None]) -> None:
        self._call = call
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def on_signal(number: int, frame: FrameType | None) -> None:
            self._call(number)

        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, on_signal)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

"""DiscordHA: the bot as its author sees it.

Threads and locks: any thread but the gateway's may call the methods. ``_lock`` guards the change of
``_replica`` and is not held while a replica starts or stops. Only ``run`` handles signals, on the main
thread; its signal handler takes no lock: it sets a flag and puts into a ``SimpleQueue``, which is made for
that.
"""

from __future__ import annotations

import logging
import os
import queue
import secrets
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from discordha.api.cache import SharedState
from discordha.api.client import ClientLookups
from discordha.api.declarations import Declarations
from discordha.api.timers import Timers
from discordha.blocking import wrap
from discordha.commands import Tree
from discordha.config import Config
from discordha.context import refuse_in_handler, refuse_on_loop
from discordha.coordination.membership.admission import ReplicaIdTaken
from discordha.errors import ConfigError, DiscordHAError
from discordha.leader.loop import Loop
from discordha.leader.loop_bots import take_free_loops
from discordha.operations.logs import log_to_stderr
from discordha.process.collector import imports_frozen
from discordha.process.host import host_name
from discordha.process.signals import signals
from discordha.replica.lifecycle import ReplicaLifecycle, StartInterrupted
from discordha.replica.parts import ReplicaParts
from discordha.replica.starter import Starter
from discordha.supervisor import link
from discordha.telemetry import make_telemetry
from discordha.voice.calls import VoiceCalls

if TYPE_CHECKING:
    import discord

    from discordha.views import Wrap

__all__ = ["DiscordHA"]

_log = logging.getLogger("discordha")

#: How long ``run`` waits for its end in one step, seconds.
SIGNAL_CHECK_INTERVAL = 0.2
#: How often ``run`` tries to stop a replica that is being made.
STOP_TRIES = 10

Result = TypeVar("Result")


class DiscordHA(Declarations, SharedState, Timers, VoiceCalls, ClientLookups):
    """A highly available Discord bot: one of several equal replicas, which handle each event once.

    A subclass's methods named ``on_<event>`` are handlers, as with ``discord.Client``.

    :param config: the configuration; ``options`` are its fields, and options of ``discord.Client``.
    :param tree_cls: a subclass of ``discordha.app_commands.CommandTree`` for ``tree``.
    :raises ConfigError: an option is unknown or impossible; names it.
    """

    _replica: ReplicaLifecycle | None = None

    def __init__(
        self, config: Config | None = None, *, tree_cls: type[Tree] | None = None, **options: Any
    ) -> None:
        if tree_cls is not None:
            self._tree_class = tree_cls
        self._config = config if config is not None and not options else Config.build(config, **options)
        self._replica_id = self._config.replica_id or _own_name()
        self._telemetry = make_telemetry(self._config.telemetry, self._replica_id)
        super().__init__()
        self._tree.bind(self._running, self._refuse_late)
        self._lock = threading.Lock()
        self._ends: queue.SimpleQueue[str] = queue.SimpleQueue()  # the reasons why ``run`` ends
        self._hurry = self._signalled = False
        self._failure: BaseException | None = None

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """A bot with the environment's configuration: every field from ``DISCORDHA_<FIELD>``, the token also
        from ``BOT_TOKEN``, lists separated by commas.

        :raises ConfigError: a variable is impossible; names it.
        """
        return cls(Config.from_env(**overrides))

    @property
    def config(self) -> Config:
        """The bot's configuration. No I/O; any thread."""
        return self._config

    @property
    def replica_id(self) -> str:
        """This replica's name among its peers. No I/O; any thread. A start changes it if another live replica
        has the configured one.
        """
        return self._replica_id

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts this replica. Blocks until etcd and Discord accept it; any thread but the gateway's.

        :raises ConfigError: Discord or etcd refuses the configuration; the message names the remedy.
        :raises StoreUnavailable: etcd does not answer.
        :raises DiscordHAError: the bot runs already.
        """
        refuse_on_loop("start")
        with self._lock:
            if self._replica is not None:
                raise DiscordHAError("the bot has been started already; stop it first")
            self._failure = None
            take_free_loops(self)
            self._replica_id = self._config.replica_id or self._replica_id
            replica = self._replica = self._make_replica()
        try:
            while True:
                try:
                    replica.start()
                    return
                except ReplicaIdTaken:
                    replica = self._rename(replica)
        except BaseException:
            self._replica = None
            raise

    def _make_replica(self) -> ReplicaLifecycle:
        parts = ReplicaParts(
            self._config,
            self._replica_id,
            self._registry,
            self._stats,
            telemetry=self._telemetry,
            loops=self._loops,
            timers=self._timers,
            broadcasts=self._broadcasts,
            asks=self._asks,
            tree=self._tree,
            voice_workers=self._voice_workers,
            on_client=self._attach,
            on_error=self._on_error,
            on_fatal=self._fail,
            on_drain_asked=self._ends.put,
        )
        return ReplicaLifecycle(parts)

    def _rename(self, replica: ReplicaLifecycle) -> ReplicaLifecycle:
        """Another try of a start, under an id that no other live replica has."""
        taken, self._replica_id = self._replica_id, f"{self._config.replica_id}-{secrets.token_hex(3)}"
        _log.warning(
            "another live replica has the replica_id %s: this one is %s. Give each one of its own, or none",
            taken,
            self._replica_id,
        )
        with self._lock:
            if self._replica is not replica:
                raise StartInterrupted("the bot was stopped while it started")
            self._replica = self._make_replica()
            return self._replica

    def wait_until_ready(self, timeout: float | None = None) -> bool:
        """Blocks until this replica has been ready once: connected, with all guilds known. False after
        ``timeout`` seconds; ``None`` waits for ever. Any thread but the gateway's.

        :raises DiscordHAError: the bot does not run; or the error that stopped it.
        """
        refuse_on_loop("wait_until_ready")
        ready = self._running().readiness.wait(timeout)
        if self._failure is not None:
            raise self._failure
        return ready

    def stop(self, timeout: float | None = None) -> None:
        """Drains this replica and ends it: nothing new starts, running handlers finish, leadership moves, and
        other replicas take the rest. Blocks. Idempotent; any thread but a handler's, a loop's or the
        gateway's.

        :param timeout: seconds, by default ``drain_timeout``.
        :raises DiscordHAError: the caller is a handler or a loop, which ``stop`` would wait for.
        """
        refuse_in_handler("stop")
        replica = self._replica
        self._ends.put("stop() was called")
        if replica is None or replica.pid != os.getpid():
            return  # a forked child has none of the replica's threads
        try:
            # ``_replica`` stays until the end: running handlers may use the bot.
            replica.stop(self._config.drain_timeout if timeout is None else timeout, lambda: self._hurry)
        finally:
            with self._lock:
                if self._replica is replica:
                    self._replica = None

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT, then drains; a second signal stops at once. Blocks; main thread only.

        Unless you set up logging, discordha's messages go to standard error: from ``DISCORDHA_LOG_LEVEL``
        (``INFO``) on, as JSON with ``DISCORDHA_LOG_FORMAT=json``.

        A child that the process forks meanwhile has the signal handlers from before the call. Python's cyclic
        collector passes over what was imported before the call (``gc.freeze()``), unless you have set it up.

        :raises DiscordHAError: the caller is a handler or a loop, or not the main thread.
        :raises BaseException: the error of a part that the replica cannot go on without, after the stop.
        """
        refuse_in_handler("run")
        if threading.current_thread() is not threading.main_thread():
            raise DiscordHAError(
                "run() needs the main thread, the only one that gets signals: call it there, or call start() "
                "and stop() here"
            )
        log_to_stderr(self._replica_id, os.environ)
        self._hurry = self._signalled = False
        while not self._ends.empty():
            self._ends.get_nowait()
        with signals(self._on_signal), imports_frozen():
            # On a thread of its own, so that a signal ends the start wherever it waits.
            starter = Starter(self.start, self._ends.put)
            try:
                starter.begin()
                why = self._wait_for_end()
                if starter.failure is None:
                    _log.info("stopping, for %g s at most: %s", self._config.drain_timeout, why)
            finally:
                self._stop_with(starter)
        failure = starter.failure or self._failure
        if isinstance(failure, ConfigError):
            link.current().refused(str(failure))
        if isinstance(failure, DiscordHAError):
            # The message names the remedy; the traceback would not help.
            raise failure.with_traceback(None) from None
        if failure is not None:
            raise failure

    def _stop_with(self, starter: Starter) -> None:
        for _ in range(STOP_TRIES):
            self.stop()
            if starter.join(SIGNAL_CHECK_INTERVAL):
                return  # else the replica had not been made when it was to stop
        _log.warning("the start does not end; the process ends without it")

    def _wait_for_end(self) -> str:
        # In steps: a signal does not end a wait when another thread takes it, or right before the wait.
        while True:
            with suppress(queue.Empty):
                return self._ends.get(timeout=SIGNAL_CHECK_INTERVAL)

    def __enter__(self) -> Self:
        """Starts the bot; see ``start``."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the bot; see ``stop``."""
        replica = self._replica
        if kind is not None and replica is not None:
            replica.note_failure()
        self.stop()

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
            replica.note_failure()
            replica.parts.readiness.give_up()

    def _is_started(self) -> bool:
        return self._replica is not None

    def _running(self) -> ReplicaParts:
        replica = self._replica
        if replica is None:
            raise DiscordHAError("the bot does not run: call start() first")
        return replica.parts

    def _adopt_loop(self, loop: Loop) -> None:
        super()._adopt_loop(loop)
        replica = self._replica
        if replica is not None:
            replica.parts.loops.launch(loop)

    # -- the bridge to discord.py ----------------------------------------------------------------------------

    def call(self, awaitable: Awaitable[Result], timeout: float | None = None) -> Result:
        """Runs a coroutine of discord.py on the gateway's loop and returns its result. Blocks; any thread but
        the loop's. Inside a handler the call is fenced like those of the views.

        :param timeout: seconds for the whole call; by default it goes on while Discord carries a request out
            every ``call_timeout`` seconds.
        :raises LockLost: this replica may have lost the handler's event; nothing was sent.
        :raises TimeoutError: the call took longer.
        """
        return self._running().gateway.call(awaitable, timeout)

    if TYPE_CHECKING:
        wrap: Wrap  # for type checkers: the class of the view of each class
    else:

        def wrap(self, value: Any) -> Any:
            """A blocking view of an object of discord.py's, as handlers get them:
            ``ha.wrap(ha.client.get_channel(id))``. Does not block; any thread.
            """
            return wrap(value, self._running().gateway.bridge)

    def wait_for(
        self,
        event: str,
        where: Callable[..., Any] | None = None,
        timeout: float | None = None,
        *,
        check: Callable[..., Any] | None = None,
    ) -> Any:
        """Waits for an event that this replica receives after the call, without claiming it. Returns its
        arguments as views, one or a tuple, as discord.py's ``wait_for`` does. Blocks; any thread but the
        loop's.

        :param where: a fast, pure predicate on the event's arguments, which are discord.py's own objects;
            called on the gateway thread.
        :param timeout: seconds; ``None`` waits until the bot stops.
        :param check: discord.py's name for ``where``.
        :raises TimeoutError: no event matched in time.
        :raises LockLost: the calling handler has lost its event, or the bot stops and another replica runs
            the event again.
        :raises DiscordHAError: the bot stops.
        """
        refuse_on_loop("wait_for")
        replica = self._running()
        args = replica.waiters.wait(event, where if where is not None else check, timeout)
        views = tuple(wrap(arg, replica.gateway.bridge) for arg in args)
        return views[0] if len(views) == 1 else (views or None)

    @property
    def client(self) -> discord.Client:
        """discord.py's own client, for calls that the views do not cover; its coroutines need ``call``. Does
        not block; any thread.

        :raises DiscordHAError: the bot does not run.
        """
        return self._running().gateway.client

    def client_for(self, guild_id: int) -> discord.Client:
        """discord.py's client of a guild's shard. Does not block; any thread.

        :raises DiscordHAError: this replica does not host the shard; REST calls work through any client.
        """
        return self._running().shards.client_for(guild_id)

    # -- the fleet -------------------------------------------------------------------------------------------

    def is_leader(self, shard_id: int = 0) -> bool:
        """Whether this replica leads the shard. No round trip; any thread."""
        return self._running().leading.is_leader(shard_id)

    def require_leadership(self, shard_id: int = 0) -> int:
        """The fencing token of this replica's leadership of the shard. No round trip; any thread.

        :raises NotLeader: this replica does not lead the shard.
        """
        return self._running().leading.require(shard_id)

    def leader(self, shard_id: int = 0) -> str | None:
        """The shard's leader, as far as this replica knows. No round trip; any thread."""
        return self._running().leading.leader(shard_id)

    def replicas(self) -> Mapping[str, Mapping[str, Any]]:
        """The live replicas and their member records, as far as this one knows. No round trip; any thread."""
        return self._running().replicas()

    def status(self) -> dict[str, Any]:
        """This replica's state, for health checks and metrics. No round trip; any thread."""
        return self._running().status()


def _own_name() -> str:
    """A name for this process that no other one has."""
    return f"{host_name()}-{os.getpid()}-{secrets.token_hex(3)}"

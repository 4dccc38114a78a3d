"""One replica from its start to its end: the parts put together, in the order in which they need each
other.

Start: coordination (session, watch, members), the dispatcher, then the gateway, so that nothing arrives
before it can be handled. Stop: peers are told, leadership is handed over, what runs ends, its marks are
written, the gateway is closed, the session is revoked.

Concurrency
- ``start`` and ``stop`` are called by one thread at a time, that of the facade. ``stop`` may be called
  while ``start`` has failed half way.
- What the gateway calls (``on_dispatch``, ``on_state``) runs on its thread and never blocks; what the
  coordination watch calls runs on its thread and never blocks.
- At a lost session or watch the replica is not ready, and goes on as soon as they are back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from discordha.api.wait_for import Waiters
from discordha.blocking import wrap
from discordha.commands import CommandSync, Tree
from discordha.config import Config
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.membership.operator_commands import Orders
from discordha.coordination.membership.preference import ShardPreference
from discordha.coordination.memory.claims import AloneMembers, UnguardedClaims
from discordha.coordination.memory.shared import AloneShared
from discordha.coordination.node import Coordination
from discordha.coordination.shared.facade import Shared
from discordha.coordination.voice.queue import VoiceQueue
from discordha.dispatch import Dispatcher, Item, Preference
from discordha.dispatch.handlers import HandlerRegistry
from discordha.dispatch.runner import ErrorHook, Runner
from discordha.gateway import Gateway, GatewayState
from discordha.gateway.client import IdentifyTurn
from discordha.gateway.late_bridge import LateBridge
from discordha.leader.loops import LeaderLoops, Task
from discordha.leader.service import LeaderEvents
from discordha.leader.single import AloneLeader
from discordha.leader.status import Leading
from discordha.limits.identify import Identify
from discordha.limits.identify_turn import AloneIdentify
from discordha.limits.rest import RestLimits, shared_total
from discordha.limits.session_limits import SessionLimits
from discordha.operations.health import HealthServer
from discordha.replica import status as report
from discordha.replica.monitor import Monitor
from discordha.replica.readiness import Readiness
from discordha.sharding.host import Hosting
from discordha.sharding.index import ShardIndex
from discordha.stats import Stats
from discordha.supervisor import link

if TYPE_CHECKING:
    import discord

    from discordha import views
    from discordha.voice.worker import VoiceWorker

__all__ = ["Replica"]

_log = logging.getLogger("discordha")

#: The share of ``drain_timeout`` in which other replicas may take over this one's shards, and this one works
#: off, as their leader, what they have not received.
GIVE_AWAY = 0.6
#: What stays of ``drain_timeout`` for marks, the gateway and the session, seconds.
FAREWELL = 2.0
#: How long the peers' being told that this replica drains may take, seconds; then it drains all the same.
TELL = 0.5


class Replica:
    """See the module. One use: a bot that starts again makes another one.

    :param on_client: makes each of discord.py's clients know what the bot declares; gateway thread.
    :param on_fatal: hears of what this replica can't go on with; any thread; must be short.
    :param on_stop_asked: hears that an operator wants this replica to drain; any thread; must be short.
    """

    def __init__(
        self,
        config: Config,
        root: str,
        replica_id: str,
        registry: HandlerRegistry,
        stats: Stats,
        *,
        tasks: list[Task],
        tree: Tree,
        on_client: Callable[[discord.Client], None],
        voice_workers: Sequence[VoiceWorker] = (),
        on_error: ErrorHook | None,
        on_fatal: Callable[[BaseException], None],
        on_stop_asked: Callable[[], None],
    ) -> None:
        self.config = config
        self.root = root
        self.replica_id = replica_id
        self.stats = stats
        self._on_fatal = on_fatal
        self._on_stop_asked = on_stop_asked
        self._clock = time.monotonic
        self._started_at = self._clock()
        link.current().hello(replica_id, ha=config.ha, drain_timeout=config.drain_timeout)
        self.readiness = Readiness(replica_id, self._announce)
        self._stop = threading.Event()
        self._stop_lock = threading.Lock()  # guards ``stopped``
        self.stopped = False
        self._ended = threading.Event()
        self.monitor = Monitor(self)
        bridge = self.bridge = LateBridge()
        self.leaders: LeaderEvents | None = None
        self.runner = Runner(bridge, stats, handler_timeout=config.handler_timeout)
        if on_error is not None:
            self.runner.on_error = on_error
        self.coordination: Coordination | None = None
        self._alone = AloneMembers(replica_id)
        limit = config.rest_limit
        self.limits = RestLimits(limit) if limit else None
        self.gateway = Gateway(
            config,
            on_dispatch=self._received,
            on_client=on_client,
            on_fatal=self._fail,
            before_identify=self._before_identify,
            on_state=self._on_gateway_state,
            on_new_session=self._on_new_session,
            limits=self.limits,
            revision=self._revision,
        )
        bridge.gateway = self.gateway
        self.identify: Identify | AloneIdentify = AloneIdentify()
        self.hosting: Hosting | None = None
        self._failed = False
        sharded = config.shard_count is not None
        if config.ha:
            coordination = self.coordination = Coordination(
                config, root, replica_id, lambda: report.describe(self)
            )
            self.shared: Shared = coordination.shared
            if self.limits is not None:
                self.limits.share(coordination.share_requests(self.limits, shared_total(self.limits.limit)))
            preference: Preference = (
                ShardPreference(coordination.plan, coordination.members, replica_id)
                if sharded
                else coordination.members
            )
            self.dispatcher = Dispatcher(
                config,
                registry,
                self.runner,
                stats,
                claims=coordination.claims,
                members=preference,
                inject=self._inject,
                hosts=self._hosts,
                last_attempts=coordination.last_attempts,
            )
            coordination.hints.set_listener(self.dispatcher)
            tree.silent_owner = coordination.silent_owner
            coordination.members.changed = self.dispatcher.on_ranks
            coordination.plan.listeners.append(self.dispatcher.on_ranks)
            self.leaders = LeaderEvents(
                config,
                coordination,
                replica_id,
                stats,
                self._put,
                ears=self.gateway,
                has_received=preference.has_received,
            )
            self.dispatcher.set_leader_path(self.leaders)
            coordination.watch.subscribe("x", Orders(root, replica_id, self._obey))
        else:
            self.shared = AloneShared()
            self.dispatcher = Dispatcher(
                config,
                registry,
                self.runner,
                stats,
                claims=UnguardedClaims(retention=config.retention),
                members=self._alone,
                inject=self._inject,
                last_attempts=LastAttempts(config.max_attempts),
            )
            self.dispatcher.set_leader_path(AloneLeader(self._put))
        self.waiters = Waiters(self.dispatcher.lanes.lend, hands_over=config.ha)
        self.commands = CommandSync(
            tree,
            self.gateway,
            self.coordination.command_records if self.coordination is not None else None,
            replica_id=replica_id,
            peers=self.replicas,
            announce=self.coordination.members.poke if self.coordination is not None else lambda: None,
            patience=2 * config.session_ttl,
            stats=stats,
        )
        plan = self.coordination.plan if self.coordination is not None else None
        self.shards = ShardIndex(self.gateway, plan)
        elections = self.coordination.elections if self.coordination is not None else None
        self.leading = Leading(self.leaders, elections, self.shards.key, replica_id)
        if self.coordination is not None:
            self.identify = Identify(
                self.coordination.session,
                self.coordination.identify_queue,
                self.coordination.identify_budget,
                live=lambda: self.replicas().keys(),
                needed=self._is_needed,
                fetch=self.gateway.session_limits,
            )
        if self.coordination is not None and self.leaders is not None and sharded:
            self.hosting = Hosting(
                self.coordination,
                self.gateway,
                self.leaders,
                self.dispatcher,
                replica_id,
                replication=config.replication,
                deaf_after=config.deaf_after,
                is_deaf=self.monitor.is_deaf,
                on_fatal=self._fail,
            )
        self._health = HealthServer(self, config.http_address) if config.http_address is not None else None
        runs = self.coordination.runs if self.coordination is not None else None
        self._loops = LeaderLoops(tasks, runs, self.leading.term, stats)
        self.voice = (
            self.coordination.voice
            if self.coordination is not None
            else VoiceQueue.alone(replica_id, retention=config.retention, max_attempts=config.max_attempts)
        )
        self._voice_workers = list(voice_workers)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts all parts. Blocks until etcd and Discord have accepted this replica, not until it is
        ready.

        :raises ConfigError: Discord or etcd refuses the configuration.
        :raises StoreUnavailable: etcd does not answer.
        """
        with ExitStack() as undo:
            undo.callback(self.stop, 0.0)
            if self._health is not None:
                self._health.start()
            if self.coordination is not None:
                self.coordination.start()
            self.dispatcher.start()
            if self.leaders is not None:
                self.leaders.start()
            self.gateway.start()
            link.current().watch_loop(self.gateway.loop)
            self._open_shards(self.gateway.session_limits())
            self.commands.start()
            self.monitor.start()
            self._loops.start()
            for worker in self._voice_workers:
                worker.start(self, self.voice, self.readiness.wait)
            undo.pop_all()

    def _open_shards(self, limits: SessionLimits) -> None:
        """The only connection, or the shards. Blocks until Discord has accepted the first, or on etcd."""
        self.identify.start(limits)
        wanted = self.config.shard_count
        count = limits.shards if wanted == "auto" else wanted
        if self.hosting is not None:
            assert isinstance(count, int)
            self.hosting.start(count)
        elif isinstance(count, int):
            self.shards.count = count
            for number in range(count):
                self.gateway.open_shard(number, number, count)
        else:
            if self.leaders is not None:
                self.leaders.open(0)
            self.gateway.open_shard(0)

    def stop(self, timeout: float, hurry: Callable[[], bool] | None = None) -> list[str]:
        """Drains and ends everything. Blocks for about ``timeout`` seconds at the most. Idempotent.

        :param hurry: when it says so, nothing is waited for any more.
        :return: the handlers that were still running; other replicas run their events again.
        """
        with self._stop_lock:
            first, self.stopped = not self.stopped, True
        if not first:
            self._ended.wait(timeout + FAREWELL)
            return []
        try:
            return self._drain_and_stop(timeout, hurry)
        finally:
            self._ended.set()

    def _drain_and_stop(self, timeout: float, hurry: Callable[[], bool] | None) -> list[str]:
        deadline = self._clock() + timeout
        self.readiness.drain()
        if self.coordination is not None:
            # First of all: whoever sees that leadership is free, or gets an event, knows that we leave.
            self.coordination.members.flush(min(TELL, timeout))
        leave_at = self._clock() + max(timeout - FAREWELL, 0.0) * GIVE_AWAY
        if self.hosting is not None:
            self.hosting.give_away(leave_at - self._clock(), hurry)
            self.hosting.stop()
        undone = 0
        if self.leaders is not None:
            self.leaders.finish(leave_at - self._clock(), hurry)
            undone = self.leaders.hand_over(timeout=min(1.0, max(timeout, 0.1)))
        self._loops.stop(0.0)
        self.commands.stop()
        for worker in self._voice_workers:
            worker.stop(max(timeout / 2, 1.0))
        rest = max(deadline - self._clock(), 0.0)
        left = self.dispatcher.drain(max(rest - FAREWELL, min(timeout / 2, rest)), hurry, undone=undone)
        self.waiters.close()
        if left:
            _log.warning(
                "%d handlers did not finish in time; other replicas retry: %s", len(left), ", ".join(left)
            )
        self._wait_for_marks(max(deadline - self._clock(), 0.5) if not left else 0.5)
        if not self._loops.stop(max(deadline - FAREWELL - self._clock(), 0.0)):
            _log.warning("a loop did not end in time")
        self._stop.set()
        self.readiness.end()
        self.monitor.stop()
        self.dispatcher.stop(timeout=0.1 if left else 1.0)
        self.voice.stop()
        self.gateway.stop(max(deadline - self._clock(), 1.0))
        if isinstance(self.identify, Identify):
            self.identify.stop(clean=self.readiness.was_ready and not self._failed)
        if self.leaders is not None:
            self.leaders.stop()
        self.shared.stop()
        if self.coordination is not None:
            self.coordination.stop()
        self.commands.join()
        if self._health is not None:
            self._health.stop()
        return left

    def _wait_for_marks(self, timeout: float) -> None:
        deadline = self._clock() + timeout
        self.dispatcher.marked(timeout)
        while self.leaders is not None and self.leaders.under_way and self._clock() < deadline:
            self._stop.wait(0.005)

    def _received(self, name: str, args: tuple[Any, ...], raw: str | None, shard_id: int) -> None:
        """Gateway thread."""
        self.waiters.offer(name, args)
        self.dispatcher.receive(name, args, raw, shard_id)

    # -- what the facade and voice need ----------------------------------------------------------------------

    def call(self, awaitable: Awaitable[Any], timeout: float | None = None) -> Any:
        """Runs a coroutine on the gateway's loop and waits for it."""
        return self.gateway.call(awaitable, timeout)

    @property
    def client_view(self) -> views.Client:
        """discord.py's client, as a blocking view."""
        view: views.Client = wrap(self.gateway.client, self.bridge)
        return view

    def channel(self, channel_id: int) -> Any:
        """discord.py's channel, of whichever shard; ``None`` when the bot does not see it."""
        for client in self.gateway.clients.values():
            channel = client.get_channel(channel_id)
            if channel is not None:
                return channel
        return None

    def _put(self, items: Sequence[Item]) -> None:
        self.dispatcher.lanes.put_all((item.lane, item) for item in items)

    # -- what the gateway and the operator say ---------------------------------------------------------------

    def _inject(self, payload: str, shard_id: int) -> None:
        self.gateway.inject(payload, shard_id)

    def _fail(self, error: BaseException) -> None:
        """Any thread."""
        self._failed = True
        self._on_fatal(error)

    def note_failure(self) -> None:
        """What ends this replica is an error of the bot's: its start counts as a crash. Any thread."""
        self._failed = True

    def _revision(self) -> int:
        """How far this replica's view of etcd has come. Gateway thread."""
        return self.coordination.watch.revision if self.coordination is not None else 0

    async def _before_identify(self, key: int, initial: bool) -> IdentifyTurn:
        """Gateway's loop."""
        return await self.identify.turn(key, initial)

    def _is_needed(self, key: int) -> bool:
        """Whether no replica is ready for a shard. No I/O; any thread."""
        if self.coordination is None:
            return True
        if self.hosting is not None:
            return not self.coordination.plan.ready(key)
        others = self.coordination.members.records().items()
        return not any(name != self.replica_id and r.get("state") == "ready" for name, r in others)

    def _hosts(self, key: int) -> bool:
        """Whether this replica receives a shard's events. No I/O; any thread."""
        return self.hosting is None or self.hosting.hosts(key)

    def _on_gateway_state(self, shard_id: int, state: GatewayState) -> None:
        """Gateway thread."""
        self.monitor.poke()
        if self.hosting is not None:
            self.hosting.poke()

    def _on_new_session(self, shard_id: int) -> None:
        """Gateway thread."""
        if self.leaders is not None:
            self.leaders.new_session(shard_id)

    def _obey(self, command: str) -> None:
        """Watch thread."""
        if command == "drain":
            _log.info("asked to drain")
            self._on_stop_asked()
        else:
            _log.warning("the command %r is unknown to this version", command)

    # -- what it says of itself ------------------------------------------------------------------------------

    def reasons(self) -> list[str]:
        """Why this replica is not ready; empty when it is. No I/O; any thread."""
        return report.reasons(self)

    def status(self) -> dict[str, Any]:
        """For health checks and metrics; see ``operations.source``. No I/O; any thread."""
        return report.status(self)

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started_at

    def _announce(self, state: str) -> None:
        link.current().state(self.replica_id, state)
        if self.coordination is not None:
            self.coordination.members.set_state(state)

    def replicas(self) -> Mapping[str, Mapping[str, Any]]:
        """The living replicas and their records. No I/O."""
        if self.coordination is None:
            return {self.replica_id: report.describe(self)}
        return self.coordination.members.records()

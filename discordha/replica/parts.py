"""The parts of one replica, each made with everything that it needs, in the order of the floors of the house.

``ReplicaParts`` starts nothing: ``ReplicaLifecycle`` starts and stops the parts.

Threads and locks: no state of its own. The gateway thread calls ``_on_event``, ``_on_change`` and
``_on_new_session``, the watch thread ``_on_command``; none of them blocks. Any thread calls the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from discordha.api.wait_for import Waiters
from discordha.blocking import wrap
from discordha.commands import CommandSync, Tree
from discordha.config import Config
from discordha.coordination.membership.operator_commands import Orders
from discordha.coordination.membership.preference import ShardPreference
from discordha.coordination.node import Coordination
from discordha.dispatch import Dispatcher, Lanes, Preference
from discordha.dispatch.handlers import HandlerRegistry
from discordha.dispatch.runner import ErrorHook, Runner
from discordha.gateway import Gateway
from discordha.gateway.client import IdentifyPermit
from discordha.leader.loops import LeaderLoops, Task
from discordha.leader.service import LeaderService
from discordha.leader.single import AloneLeader
from discordha.leader.status import LeadershipStatus
from discordha.limits.identify import Identify
from discordha.limits.identify_turn import LocalIdentify
from discordha.limits.rest import RestLimits, shared_total
from discordha.operations.health import HealthServer
from discordha.replica import status
from discordha.replica.monitor import Monitor
from discordha.replica.readiness import Readiness
from discordha.sharding.host import ShardHost
from discordha.sharding.index import ShardIndex
from discordha.stats import Stats

if TYPE_CHECKING:
    import discord

    from discordha import views
    from discordha.voice.worker import VoiceWorker

__all__ = ["ReplicaParts"]

_log = logging.getLogger("discordha")


class ReplicaParts:
    """All parts of one replica. ``None``: the replica runs without etcd, or is not sharded.

    :param on_client: prepares each of discord.py's clients for the bot's declarations; gateway thread.
    :param on_fatal: takes the error that this replica cannot go on with; any thread; must be quick.
    :param on_drain_asked: called when an operator wants this replica to drain; any thread; must be quick.
    """

    def __init__(
        self,
        config: Config,
        replica_id: str,
        registry: HandlerRegistry,
        stats: Stats,
        *,
        tasks: list[Task],
        tree: Tree,
        voice_workers: Sequence[VoiceWorker],
        on_client: Callable[[discord.Client], None],
        on_error: ErrorHook | None,
        on_fatal: Callable[[BaseException], None],
        on_drain_asked: Callable[[], None],
    ) -> None:
        self.config = config
        self.replica_id = replica_id
        self.stats = stats
        self._on_drain_asked = on_drain_asked
        self._started_at = time.monotonic()
        self._sharded = config.shard_count is not None

        self.node = Coordination(
            config, config.root if config.ha else "", replica_id, lambda: status.describe(self)
        )
        node = self.coordination = self.node if config.ha else None  # the parts that need peers
        plan = node.plan if node is not None else None
        self.shared = self.node.shared
        self.voice = self.node.voice
        self.readiness = Readiness(replica_id, node.members.set_state if node is not None else _ignore)

        self.limits = self._rest_limits()
        self.gateway = Gateway(
            config,
            on_dispatch=self._on_event,
            on_client=on_client,
            on_fatal=on_fatal,
            before_identify=self._before_identify,
            on_change=self._on_change,
            on_new_session=self._on_new_session,
            limits=self.limits,
            revision=lambda: node.watch.revision if node is not None else 0,
        )
        self.shards = ShardIndex(self.gateway, plan)
        self.identify = self._identify()

        self.runner = Runner(
            self.gateway.bridge, stats, handler_timeout=config.handler_timeout, on_error=on_error
        )
        self.lanes = Lanes(workers=config.workers, max_workers=config.workers * 4, patience=config.grace)
        members = self._preference()
        self.leaders = self._leaders(members.has_received)
        self.dispatcher = Dispatcher(
            config,
            registry,
            self.runner,
            stats,
            claims=self.node.claims,
            members=members,
            leader=self.leaders if self.leaders is not None else AloneLeader(self.lanes.put_all),
            lanes=self.lanes,
            inject=self.gateway.inject,
            hosts=lambda key: not self._sharded or key in self.gateway.clients,
            last_attempts=self.node.last_attempts,
        )
        if node is not None:
            node.watch.subscribe("x", Orders(node.root, replica_id, self._on_command))
        self.leading = LeadershipStatus(
            self.leaders, node.elections if node is not None else None, self.shards.key, replica_id
        )
        self.waiters = Waiters(self.lanes.lend, hands_over=config.ha)
        self.commands = CommandSync(
            tree,
            self.gateway,
            node.command_records if node is not None else None,
            replica_id=replica_id,
            peers=self.replicas,
            announce=node.members.poke if node is not None else lambda: None,
            patience=2 * config.session_ttl,
            stats=stats,
        )
        self.loops = LeaderLoops(tasks, node.runs if node is not None else None, self.leading.term, stats)
        self.voice_workers = list(voice_workers)

        self.monitor = Monitor(self)
        self.hosting = self._shard_host(on_fatal)
        self.health = HealthServer(self, config.http_address) if config.http_address is not None else None

    # -- parts that depend on the configuration --------------------------------------------------------------

    def _rest_limits(self) -> RestLimits | None:
        if not self.config.rest_limit:
            return None
        limits = RestLimits(self.config.rest_limit)
        if self.coordination is not None:
            limits.share(self.coordination.share_requests(limits, shared_total(limits.limit)))
        return limits

    def _identify(self) -> Identify | LocalIdentify:
        node = self.coordination
        if node is None:
            return LocalIdentify()
        return Identify(
            node.session,
            node.identify_queue,
            node.identify_budget,
            live=lambda: self.replicas().keys(),
            needed=self._is_needed,
            fetch=self.gateway.session_limits,
        )

    def _preference(self) -> Preference:
        node = self.node
        if node.has_peers and self._sharded:
            return ShardPreference(node.plan, node.members, self.replica_id)
        return node.members

    def _leaders(self, has_received: Callable[[int, float], bool]) -> LeaderService | None:
        if self.coordination is None:
            return None
        return LeaderService(
            self.config,
            self.coordination,
            self.replica_id,
            self.stats,
            put=self.lanes.put_all,
            probe=self.gateway,
            has_received=has_received,
        )

    def _shard_host(self, on_fatal: Callable[[BaseException], None]) -> ShardHost | None:
        if self.coordination is None or self.leaders is None or not self._sharded:
            return None
        return ShardHost(
            self.coordination,
            self.gateway,
            self.leaders,
            self.dispatcher,
            self.replica_id,
            replication=self.config.replication,
            deaf_after=self.config.deaf_after,
            is_deaf=self.is_deaf,
            on_fatal=on_fatal,
        )

    # -- between the parts -----------------------------------------------------------------------------------

    def _on_event(
        self, name: str, args: tuple[Any, ...], raw: str | None, shard_id: int, acknowledged_revision: int
    ) -> None:
        self.waiters.offer(name, args)
        self.dispatcher.receive(name, args, raw, shard_id, acknowledged_revision)

    def _on_change(self) -> None:
        self.monitor.poke()
        if self.hosting is not None:
            self.hosting.poke()

    def _on_new_session(self, shard_id: int) -> None:
        if self.leaders is not None:
            self.leaders.new_session(shard_id)

    def _on_command(self, command: str) -> None:
        if command == "drain":
            _log.info("asked to drain")
            self._on_drain_asked()
        else:
            _log.warning("this version does not know the operator's command %r", command)

    async def _before_identify(self, key: int) -> IdentifyPermit:
        return await self.identify.turn(key)

    def _is_needed(self, key: int) -> bool:
        """Whether no replica is ready for a shard. No I/O."""
        node = self.coordination
        if node is None:
            return True
        if self._sharded:
            return not node.plan.ready(key)
        others = node.members.records().items()
        return not any(name != self.replica_id and r.get("state") == "ready" for name, r in others)

    # -- for the facade and for voice ------------------------------------------------------------------------

    def call(self, awaitable: Awaitable[Any], timeout: float | None = None) -> Any:
        """Runs a coroutine on the gateway's loop and waits for it."""
        return self.gateway.call(awaitable, timeout)

    @property
    def client_view(self) -> views.Client:
        """discord.py's client, as a blocking view."""
        view: views.Client = wrap(self.gateway.client, self.gateway.bridge)
        return view

    def channel(self, channel_id: int) -> Any:
        """discord.py's channel, of any shard; ``None`` when the bot does not see it."""
        for client in self.gateway.clients.values():
            channel = client.get_channel(channel_id)
            if channel is not None:
                return channel
        return None

    def replicas(self) -> Mapping[str, Mapping[str, Any]]:
        """The live replicas and their member records. No I/O."""
        if self.coordination is None:
            return {self.replica_id: status.describe(self)}
        return self.coordination.members.records()

    # -- status; no I/O --------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The replica's state for health checks and metrics."""
        return status.status(self)

    def is_deaf(self, key: int) -> bool:
        """Whether peers receive a shard's events while this replica does not."""
        return self.monitor.is_deaf(key)

    @property
    def uptime(self) -> float:
        """Seconds since the replica was made."""
        return time.monotonic() - self._started_at


def _ignore(state: str) -> None:
    """The announcement of a replica without peers."""

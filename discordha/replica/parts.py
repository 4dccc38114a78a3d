"""The parts of one replica, each made with everything that it needs. ``ReplicaLifecycle`` starts them.

Threads and locks: no state of its own. The gateway thread calls the methods of ``GatewayListener``, and the
watch thread ``_on_command``; neither may block. Any thread calls the rest.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from discordha._version import __version__
from discordha.api.client import AllClients
from discordha.api.wait_for import Waiters
from discordha.blocking import wrap
from discordha.commands import CommandSync, Tree
from discordha.config import Config
from discordha.context import current_event
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.membership.commands import OperatorCommands
from discordha.coordination.membership.preference import ShardPreference
from discordha.coordination.node import CoordinationNode, store_settings
from discordha.dispatch import Dispatcher, Lanes, Preference
from discordha.dispatch.handlers import HandlerRegistry
from discordha.dispatch.runner import ErrorHook, Runner
from discordha.events import CaughtUp
from discordha.gateway import Gateway
from discordha.gateway.listener import IdentifyPermit
from discordha.leader.loop import Loop
from discordha.leader.loops import LeaderLoops
from discordha.leader.service import LeaderService
from discordha.leader.status import LeadershipStatus, SingleLeader
from discordha.limits.identify import Identify
from discordha.limits.identify_turn import LocalIdentify
from discordha.limits.rest import RestLimits, shared_total
from discordha.operations.fleet import Fleet
from discordha.outage.service import GAP, CatchUp
from discordha.peers.inbox import Inbox
from discordha.replica import status
from discordha.replica.incidents import Incidents
from discordha.replica.monitor import Monitor
from discordha.replica.readiness import Readiness
from discordha.sharding.host import ShardHost
from discordha.sharding.index import ShardIndex
from discordha.stats import Stats
from discordha.supervisor import link
from discordha.timers.wheel import EVENT as TIMER
from discordha.timers.wheel import OWN_EVENT, TimerWheel

if TYPE_CHECKING:
    import discord

    from discordha import views
    from discordha.operations.health import HealthServer
    from discordha.telemetry import Telemetry
    from discordha.voice.worker import VoiceWorker

__all__ = ["ReplicaParts"]

_log = logging.getLogger("discordha")


class ReplicaParts:
    """All parts of one replica; ``None``: the replica runs without etcd, or is not sharded. A
    ``GatewayListener`` and a ``ReplicaView``.

    :param on_client: prepares each of discord.py's clients for the bot's declarations; gateway thread.
    :param on_fatal: takes the error that this replica cannot go on with; any thread; must be quick.
    :param on_drain_asked: called with the reason when this replica shall drain; any thread; must be quick.
    """

    def __init__(
        self,
        config: Config,
        replica_id: str,
        registry: HandlerRegistry,
        stats: Stats,
        *,
        telemetry: Telemetry | None = None,
        loops: Sequence[Loop],
        timers: Mapping[str, Callable[[Any], Any]],
        broadcasts: Mapping[str, Sequence[Callable[[Any], Any]]],
        asks: Mapping[str, Callable[[Any], Any]],
        tree: Tree,
        voice_workers: Sequence[VoiceWorker],
        on_client: Callable[[discord.Client], None],
        on_error: ErrorHook | None,
        on_fatal: Callable[[BaseException], None],
        on_drain_asked: Callable[[str], None],
    ) -> None:
        self.config = config
        self.replica_id = replica_id
        self.stats = stats
        self.telemetry = telemetry
        self.on_client = on_client
        self.on_fatal = on_fatal
        self._on_drain_asked = on_drain_asked
        self._started_at = time.monotonic()
        self._started = int(time.time())  # for people who look at the page
        self._sharded = config.shard_count is not None
        link.current().hello(replica_id, ha=config.ha, drain_timeout=config.drain_timeout)

        # What all replicas share.
        describe = functools.partial(status.describe, self)
        self.node = CoordinationNode(config, config.root if config.ha else "", replica_id, describe)
        node = self.coordination = self.node if config.ha else None
        self.shared = self.node.shared
        self.voice = self.node.voice
        self.timers = self.node.timers
        self.posts = self.node.posts
        tree.silent_owner = self.node.silent_owner
        self.readiness = Readiness(replica_id, self._announce)
        self.incidents = Incidents(replica_id)

        # The connection to Discord.
        self.limits = RestLimits(config.rest_limit) if config.rest_limit else None
        if node and self.limits:
            self.limits.share(node.share_requests(self.limits, shared_total(config.rest_limit)))
        self.gateway = Gateway(config, self, self.limits)
        self.node.presence.listen(self.gateway.set_presence)
        self.shards = ShardIndex(self.gateway, node.plan if node else None)
        self.voice.serves = self.shards.serves
        self.all_clients = AllClients(self._clients, lambda: self.gateway.client)
        self.identify = self._identify(node) if node else LocalIdentify()

        # The way of an event.
        self.runner = Runner(
            self.gateway.bridge, stats, handler_timeout=config.handler_timeout, on_error=on_error
        )
        self.lanes = Lanes(workers=config.workers, max_workers=config.workers * 4, patience=config.grace)
        self.on_burst, self.on_burst_over = self.lanes.gather, self.lanes.hand_over  # the gateway's listener
        self.on_burst_settled = self.lanes.spread
        members = self._preference(self.node)
        self.leaders = None
        if node:
            put, received = self.lanes.put, members.has_received
            self.leaders = LeaderService(
                config, node, replica_id, stats, put=put, probe=self.gateway, has_received=received
            )
        leading = self.leaders or SingleLeader(self.lanes.put)
        self.on_message = leading.passes  # the gateway's listener
        self.dispatcher = Dispatcher(
            config,
            registry,
            self.runner,
            stats,
            claims=self.node.claims,
            members=members,
            to_leader=leading.received,
            lanes=self.lanes,
            inject=self._inject,
            hosts=lambda key: not self._sharded or key in self.gateway.clients,
            last_attempts=self.node.last_attempts,
            telemetry=telemetry,
        )
        if node:
            node.router.subscribe(OperatorCommands(node.root, replica_id, self._on_command), "x")
        self.leading = LeadershipStatus(
            self.leaders, node.elections if node else None, self.shards.key, replica_id
        )

        # Beside the events.
        self.waiters = Waiters(self.lanes.lend, hands_over=config.ha, spec=registry.spec)
        self.commands = CommandSync(
            tree,
            self.gateway,
            node.command_records if node else None,
            replica_id=replica_id,
            peers=self.replicas,
            announce=node.members.poke if node else lambda: None,
            patience=2 * config.session_ttl,
            stats=stats,
        )
        self.catch_up = (
            CatchUp(
                config,
                node,
                self.gateway,
                self.leaders,
                self.dispatcher,
                registry,
                stats,
                replica_id,
                is_deaf=self.is_deaf,
            )
            if node and self.leaders
            else None
        )
        self.loops = LeaderLoops(loops, self.node.runs, self.leading.term, stats, has_peers=config.ha)
        self.wheel = TimerWheel(
            self.timers, timers, self.dispatcher, self.node.claims.hint, self._first_shard
        )
        self.node.router.subscribe(self.wheel, "tp")
        self.inbox = Inbox(
            self.posts,
            self.dispatcher,
            self.lanes,
            stats,
            broadcasts=broadcasts,
            asks=asks,
            has_events=bool(registry.own),
            on_event=self.waiters.offer,
            shard=self._first_shard,
            limit=config.queue_size,
        )
        self.voice_workers = list(voice_workers)

        # Over all of them.
        self.monitor = Monitor(self)
        self.hosting = (
            ShardHost(
                config,
                node,
                self.gateway,
                self.leaders,
                self.dispatcher,
                replica_id=replica_id,
                is_deaf=self.is_deaf,
                on_fatal=on_fatal,
            )
            if node and self.leaders and self._sharded
            else None
        )
        self.health = self._http(config.http_address) if config.http_address is not None else None

    def _first_shard(self) -> int:
        return self.shards.key(0) if self._sharded else 0

    def _clients(self) -> Iterable[discord.Client]:
        return (self.shards.clients() or self.gateway.clients).values()

    def _identify(self, node: CoordinationNode) -> Identify | LocalIdentify:
        return Identify(
            node.session,
            node.identify_queue,
            node.identify_budget,
            live=lambda: node.members.records().keys(),
            needed=lambda key: self._is_needed(node, key),
            fetch=self.gateway.session_limits,
        )

    def _http(self, address: str) -> HealthServer:
        # Only replicas with an HTTP address pay for the import of a server.
        from discordha.operations.health import HealthServer
        from discordha.operations.page.routes import PageRoutes

        node, config = self.node, self.config

        def open_fleet() -> Fleet:
            # Connections of its own: a slow page delays no claim, and a refusal of its reads does not make
            # the replica unready.
            return Fleet(EtcdStore(store_settings(config)) if config.ha else node.store, node.root)

        page = PageRoutes(
            open_fleet,
            token=config.http_token,
            members=None if config.ha else self._own_record,
            served_by=self.replica_id,
        )
        return HealthServer(self, address, page)

    def _own_record(self) -> Mapping[str, Mapping[str, Any]]:
        """The member record that a replica without peers would write."""
        state = {"state": self.readiness.state, "version": __version__, "started": self._started}
        return {self.replica_id: {**status.describe(self), **state}}

    def _inject(self, raw: str, shard_id: int) -> bool:
        """Gives a stored event to this replica again; false when it can't now. Does not block."""
        if not raw.startswith(OWN_EVENT):
            return self.gateway.inject(raw, shard_id)
        if raw.startswith(OWN_EVENT + f'"{GAP}"'):
            if self.catch_up is not None:
                self.catch_up.tell_again(shard_id)
        elif raw.startswith(f'{OWN_EVENT}"{TIMER}"'):
            self.wheel.read_again()
        else:
            self.inbox.inject(raw)
        return True

    def _is_needed(self, node: CoordinationNode, key: int) -> bool:
        """Whether no other replica is ready for a shard. No I/O."""
        if self._sharded:
            return not node.plan.ready(key)
        records = node.members.records().items()
        return not any(name != self.replica_id and record.get("state") == "ready" for name, record in records)

    def _preference(self, node: CoordinationNode) -> Preference:
        if node.has_peers and self._sharded:
            return ShardPreference(node.plan, node.members, self.replica_id)
        return node.members

    def _on_command(self, command: str) -> None:
        if command == "drain":
            _log.info("asked to drain")
            self._on_drain_asked("an operator asked for it")
        else:
            _log.warning("this version does not know the operator's command %r, and ignores it", command)

    def _announce(self, state: str) -> None:
        link.current().state(self.replica_id, state)
        if self.coordination is not None:
            self.coordination.members.set_state(state)

    # -- the gateway's listener ------------------------------------------------------------------------------

    async def before_identify(self, shard_id: int) -> IdentifyPermit:
        """Waits for the shard's turn."""
        return await self.identify.turn(shard_id)

    def on_identify(self, shard_id: int) -> None:
        """Tells the leader service."""
        if self.leaders is not None:
            self.leaders.identifies(shard_id)

    def on_new_session(self, shard_id: int) -> None:
        """Tells the leader service."""
        if self.catch_up is not None:  # first: the leader service has the member record written
            self.catch_up.on_new_session(shard_id)
        if self.leaders is not None:
            self.leaders.new_session(shard_id)

    def on_dispatch(
        self, event: str, args: tuple[Any, ...], raw: str | None, shard_id: int, revision: int, *, guild: int
    ) -> None:
        """Gives the event to waiting threads and to the dispatcher."""
        self.waiters.offer(event, args)
        partition = self.node.partitions.of(guild)
        self.dispatcher.receive(event, args, raw, shard_id, revision, home=partition)

    def on_caught_up(
        self, event: str, args: tuple[Any, ...], raw: str, shard_id: int, caught_up: CaughtUp, *, guild: int
    ) -> None:
        """Gives the event to the dispatcher, not to waiting threads: these wait for what happens now."""
        partition = self.node.partitions.of(guild)
        self.dispatcher.catch_up(event, args, raw, shard_id, caught_up, home=partition)

    def on_change(self) -> None:
        """Has the connection checked."""
        self.monitor.poke()
        if self.catch_up is not None:
            self.catch_up.on_change()
        if self.hosting is not None:
            self.hosting.poke()

    def on_close_asked(self) -> None:
        """Has the replica drained."""
        self._on_drain_asked("the bot called close() of its client")

    def known_revision(self) -> int:
        """The revision of the coordination watch; 0 without etcd."""
        return self.coordination.watch.revision if self.coordination is not None else 0

    # -- for the facade and for voice ------------------------------------------------------------------------

    def call(self, awaitable: Awaitable[Any], timeout: float | None = None) -> Any:
        """Runs a coroutine on the gateway's loop and waits for it."""
        return self.gateway.call(awaitable, timeout)

    @property
    def client_view(self) -> views.Client:
        """discord.py's client, as a blocking view."""
        view: views.Client = wrap(self.gateway.client, self.gateway.bridge)
        return view

    def show(self, value: Any) -> Any:
        """A blocking view of a value of discord.py's."""
        return wrap(value, self.gateway.bridge)

    def say_presence(self, word: Mapping[str, Any]) -> None:
        """Makes a presence that of all replicas, if the calling code's word counts. Blocks on etcd."""
        event = current_event()
        for_itself = event.for_itself if event is not None else not self.leading.is_leader(0)
        self.node.presence.say(word, for_itself=for_itself)

    def channel(self, channel_id: int) -> Any:
        """discord.py's channel, of any shard; ``None`` when the bot does not see it."""
        return self.all_clients.get_channel(channel_id)

    def replicas(self) -> Mapping[str, Mapping[str, Any]]:
        """The live replicas and their member records. No I/O."""
        if self.coordination is None:
            return {self.replica_id: status.describe(self)}
        return self.coordination.members.records()

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

"""CoordinationNode: everything that one replica has in etcd, put together in the order of start and stop.

``start`` brings up the session, leases for marks, group commit, the member record, the coordination watch
(until its first snapshot is in) and the elections. The gateway may connect afterwards: from its first event
on, the watch reports what other replicas do. ``stop`` revokes the session last; leadership is handed over
before.

Without peers (``ha=False``) the store is in memory, the session needs no renewal, and there are no heartbeats
and no elections.

Threads and locks: no thread of its own. Called by the replica's thread.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TypeVar

from discordha.config import Config
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.election.elections import Elections
from discordha.coordination.election.task_runs import TaskRuns
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.router import WatchRouter
from discordha.coordination.etcd.store import Store
from discordha.coordination.journal.questions import QuestionExchange
from discordha.coordination.journal.router import JournalRouter
from discordha.coordination.membership.members import JSON, Members, incompatibility
from discordha.coordination.membership.shard_plan import ShardPlan
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.quotas.command_records import CommandRecords
from discordha.coordination.quotas.identify_budget import IdentifyBudget
from discordha.coordination.quotas.identify_queue import IdentifyQueue
from discordha.coordination.quotas.request_shares import Meter, Shares
from discordha.coordination.session import Session
from discordha.coordination.shared.facade import Shared
from discordha.coordination.shared.timers import TimerStore
from discordha.coordination.voice.deliveries import VoiceBackend
from discordha.coordination.voice.queue import VoiceQueue
from discordha.coordination.voice.records import VoiceKeys
from discordha.errors import ConfigError, StoreUnavailable
from discordha.supervisor import link

__all__ = ["CoordinationNode", "store_settings"]

Result = TypeVar("Result")

#: A mark waits this long for the next claim to take it along, seconds, while claims come often enough (see
#: ``GroupCommit``). A crash meanwhile makes a finished event run again.
MARK_RIDE = 0.008


def store_settings(config: Config) -> StoreSettings:
    """How to reach etcd, according to the configuration."""
    return StoreSettings(
        endpoints=tuple(config.etcd_endpoints),
        ca_cert=config.etcd_ca_cert,
        cert=config.etcd_cert,
        key=config.etcd_key,
        user=config.etcd_user,
        password=config.etcd_password,
        timeout=config.etcd_timeout,
    )


class CoordinationNode:
    """The coordination parts of one replica.

    :param root: key prefix of the bot, ending in ``/``; may be empty where there are no peers.
    :param describe: adds to the member record.
    """

    def __init__(
        self, config: Config, root: str, replica_id: str, describe: Callable[[], Mapping[str, JSON]]
    ) -> None:
        self.root = root = root or "/"
        self.has_peers = config.ha
        self._replica_id = replica_id
        self._config = config
        self._stop_calls = threading.Event()
        ttl = config.session_ttl if self.has_peers else math.inf
        settings = store_settings(config)
        self.store: Store = EtcdStore(settings, stop=self._stop_calls) if self.has_peers else MemoryStore()
        self.session = Session(self.store, ttl=ttl)
        if self.has_peers:
            link.current().watch_session(self.session, settings)
        self.commit = GroupCommit(self.store, root=root, ride=MARK_RIDE, last_words=config.etcd_timeout)
        self.leases = RetentionLeases(self.store, retention=config.retention)
        self.members = Members(self.store, self.session, root, replica_id, describe, interval=ttl / 3)
        self.hints = ClaimHints(root, retention=config.retention)
        self.last_attempts = LastAttempts(config.max_attempts)
        self.claims = Claims(
            self.session if self.has_peers else None,
            self.commit,
            self.leases,
            self.hints,
            root=root,
            replica_id=replica_id,
            max_attempts=config.max_attempts,
            open_on_loss=config.on_store_loss == "handle",
            backlog=config.queue_size,
        )
        self.elections = Elections(self.store, self.session, root, replica_id)
        self.journals = JournalRouter(root)
        self.exchange = QuestionExchange(self.store, root, replica_id)
        self.command_records = CommandRecords(self.store, self.session, root, replica_id)
        self.plan = ShardPlan(self.store, root, replica_id)
        self.identify_queue = IdentifyQueue(self.store, root, replica_id)
        self.identify_budget = IdentifyBudget(self.store, root, replica_id)
        self.runs = TaskRuns(self.store, root, replica_id)
        self.shares: Shares | None = None
        self.shared = Shared(
            self.store,
            self.session,
            self.commit,
            root,
            replica_id,
            retry_for=config.etcd_timeout,
            silence=ttl,
            local_copies=self.has_peers,
        )
        self.timers = TimerStore(self.store, self.commit, self.leases, root, replica_id)
        self.voice = VoiceQueue(
            VoiceBackend(
                self.store,
                self.session,
                self.commit,
                self.leases,
                VoiceKeys(root),
                replica_id,
                retention=config.retention,
                timeout=config.etcd_timeout,
                silence=ttl,
                max_attempts=config.max_attempts,
                grace=config.grace,
            )
        )
        self.router = WatchRouter(root)
        self.router.subscribe(self.hints, "e", "a")
        self.router.subscribe(self.members, "m")
        self.router.subscribe(self.elections, "l")
        self.router.subscribe(self.journals, "j", "jc", "ja")
        self.router.subscribe(self.exchange, "jq", "jr")  # after the journals: marks before answers
        self.router.subscribe(self.plan, "s")
        self.router.subscribe(self.identify_queue, "iq")
        self.router.subscribe(self.identify_budget, "ib")
        self.router.subscribe(self.runs, "lp", "lc", "lt")
        self.router.subscribe(self.shared.locks, "k")
        self.watch = self.store.watch(root, self.router, silence=ttl, heartbeats=True)

    def share_requests(self, meter: Meter, total: int) -> Shares:
        """Shares this many requests per second with the other replicas. Called before ``start``."""
        self.shares = Shares(self.store, self.session, self.root, self._replica_id, total=total, meter=meter)
        self.router.subscribe(self.shares, "q")
        return self.shares

    def silent_owner(self, key: str) -> bool:
        """Whether another replica holds an event and is late with its member record. No I/O; any thread."""
        holder = self.hints.owner(key)
        return holder is not None and holder != self._replica_id and self.members.is_late(holder)

    def start(self) -> None:
        """Starts everything. Blocks until the session has begun and the watch has had its first snapshot.

        :raises StoreUnavailable: etcd did not answer in time; everything is stopped again.
        :raises ConfigError: etcd rejects this replica, or an incompatible replica runs; everything is stopped
            again.
        """
        timeout = 2 * self._config.etcd_timeout
        with ExitStack() as undo:
            undo.callback(self.stop)
            self.session.start(timeout)
            self._refuse_incompatible(timeout)
            self._until_answered(self.runs.start_life, timeout)
            self.leases.start()
            self.commit.start()
            if self.has_peers:
                self.members.start()
            self.watch.start()
            if not self.watch.wait_synced(timeout):
                raise StoreUnavailable(f"etcd has not reported what other replicas do within {timeout:g} s")
            if self.has_peers:
                self.elections.start()
            if self.shares is not None:
                self.shares.start()
            self.store.outlast_refusals(quiet=self._config.session_ttl / 2)  # members write more often
            undo.pop_all()

    def _refuse_incompatible(self, timeout: float) -> None:
        """Raises ``ConfigError`` if a member runs that this replica can't work beside."""
        for kv in self._until_answered(lambda: self.store.range(f"{self.root}m/").items, timeout):
            try:
                record = json.loads(kv.value)
            except (ValueError, RecursionError):
                continue  # not a member's; the watch will report it
            if isinstance(record, dict):
                reason = incompatibility(kv.key.rsplit("/", 1)[1], record)
                if reason is not None:
                    raise ConfigError(reason)

    def _until_answered(self, call: Callable[[], Result], timeout: float) -> Result:
        """Calls again until etcd has answered, for so many seconds; then raises ``StoreUnavailable``."""
        until = time.monotonic() + timeout
        while True:
            try:
                return call()
            except StoreUnavailable:
                if time.monotonic() >= until or self._stop_calls.wait(0.1):
                    raise

    def stop(self) -> None:
        """Writes what is pending, revokes the session, closes all connections. Blocks for a few round trips,
        or one timeout if etcd does not answer. Idempotent."""
        self._stop_calls.set()
        self.voice.stop()
        self.claims.stop()
        self.shared.stop()
        self.elections.stop()
        if self.shares is not None:
            self.shares.stop()
        self.commit.stop()
        self.members.stop()
        self.leases.stop()
        self.watch.stop()
        self.session.stop()
        self.store.close()

"""What one replica holds in etcd, put together in the order in which it must start and stop.

Start: a lease for marks, the session, group commit, the coordination watch (until its first snapshot is in),
the member record, the elections. The gateway may connect after that: from its first event on, the watch tells
what others do.

Stop is in two steps, since leadership must move before the marks are all written, and the session must
outlive both: ``resign`` and ``stop``.

Concurrency: no thread of its own; the parts' threads are described in their modules. Called by the facade's
thread.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from discordha.config import Config
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.election.elections import Elections
from discordha.coordination.election.task_runs import Runs
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.router import CoordinationWatch
from discordha.coordination.etcd.store import Store, StoreSettings, Watch
from discordha.coordination.journal.exchange import Reconciliation
from discordha.coordination.journal.router import Journals
from discordha.coordination.membership.members import JSON, Members, readable
from discordha.coordination.membership.shard_plan import ShardPlan
from discordha.coordination.quotas.command_records import CommandRecords
from discordha.coordination.quotas.identify_budget import IdentifyBudget
from discordha.coordination.quotas.identify_queue import IdentifyQueue
from discordha.coordination.quotas.request_shares import Meter, Shares
from discordha.coordination.session import Session
from discordha.coordination.shared.facade import EtcdShared
from discordha.coordination.voice.backend import Means
from discordha.coordination.voice.queue import VoiceQueue
from discordha.coordination.voice.records import Keys
from discordha.coordination.voice.view import VoiceView
from discordha.errors import ConfigError, StoreUnavailable
from discordha.supervisor import link

__all__ = ["Coordination", "store_settings"]

_log = logging.getLogger(__name__)

#: A mark waits up to so long for the next claim, seconds, while claims come often enough for it to ride along
#: (``GroupCommit``): by so much longer may a crash make a finished event run again.
MARK_RIDE = 0.008
#: How much later than its rhythm a member's record may come in, seconds.
LATE = 0.3


def store_settings(config: Config) -> StoreSettings:
    """How to reach etcd, as the configuration says."""
    return StoreSettings(
        endpoints=tuple(config.etcd_endpoints),
        ca_cert=config.etcd_ca_cert,
        cert=config.etcd_cert,
        key=config.etcd_key,
        user=config.etcd_user,
        password=config.etcd_password,
        timeout=config.etcd_timeout,
    )


class Coordination:
    """The coordination parts of one replica.

    :param root: key prefix of the bot, ending in ``/``.
    :param describe: adds to the member record.
    """

    def __init__(
        self,
        config: Config,
        root: str,
        replica_id: str,
        describe: Callable[[], Mapping[str, JSON]],
    ) -> None:
        self.root = root
        self._replica_id = replica_id
        self._config = config
        self._stop_calls = threading.Event()
        ttl = config.session_ttl
        self.store = Store(store_settings(config), stop=self._stop_calls)
        self.session = Session(self.store, ttl=ttl)
        link.current().watch_session(self.session, self.store.settings)
        self.commit = GroupCommit(self.store, ride=MARK_RIDE)
        self.leases = RetentionLeases(self.store, retention=config.retention)
        self.watch = CoordinationWatch(self.store, root, silence=ttl)
        self.members = Members(self.store, self.session, root, replica_id, describe, interval=ttl / 3)
        self.hints = ClaimHints(root, retention=config.retention)
        self.last_attempts = LastAttempts(config.max_attempts)
        self.claims = Claims(
            self.session,
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
        self.watch.subscribe("e", self.hints)
        self.watch.subscribe("a", self.hints)
        self.watch.subscribe("m", self.members)
        self.watch.subscribe("l", self.elections)
        self.journals = Journals(root)
        for component in ("j", "jc", "ja"):
            self.watch.subscribe(component, self.journals)
        self.reconciliation = Reconciliation(self.store, root, replica_id)
        for component in ("jq", "jr"):  # after the journals: marks before answers
            self.watch.subscribe(component, self.reconciliation)
        self.command_records = CommandRecords(self.store, self.session, root, replica_id)
        self.plan = ShardPlan(self.store, root, replica_id)
        self.watch.subscribe("s", self.plan)
        self.identify_queue = IdentifyQueue(self.store, root, replica_id)
        self.watch.subscribe("iq", self.identify_queue)
        self.identify_budget = IdentifyBudget(self.store, root, replica_id)
        self.watch.subscribe("ib", self.identify_budget)
        self.runs = Runs(self.store, root, replica_id)
        self.watch.subscribe("lp", self.runs)
        self.shares: Shares | None = None
        self.shared = EtcdShared(
            self.store,
            self.session,
            self.commit,
            root,
            replica_id,
            patience=config.etcd_timeout,
            silence=ttl,
        )
        self.watch.subscribe("k", self.shared.locks)
        self.voice = VoiceQueue(
            Means(
                self.store,
                self.session,
                self.commit,
                self.leases,
                self._voice_watch,
                Keys(root),
                replica_id,
                config.retention,
                config.etcd_timeout,
                config.max_attempts,
                config.grace,
            )
        )

    def share_requests(self, meter: Meter, total: int) -> Shares:
        """Shares a number of requests a second with the other replicas. Before ``start``."""
        self.shares = Shares(self.store, self.session, self.root, self._replica_id, total=total, meter=meter)
        self.watch.subscribe("q", self.shares)
        return self.shares

    def silent_owner(self, key: str) -> bool:
        """Whether another replica holds an event and has not written its member record for longer than its
        rhythm, while this one sees its own come in. No I/O; any thread.
        """
        holder = self.hints.holder(key)
        if holder is None or holder == self._replica_id:
            return False
        longest = self._config.session_ttl / 3 + LATE
        return self.members.silence(holder) > longest >= self.members.silence(self._replica_id)

    def _voice_watch(self, view: VoiceView) -> Watch:
        prefix = Keys(self.root).watched
        return self.store.watch(prefix, view, silence=self._config.session_ttl, name="discordha-voice-watch")

    def start(self) -> None:
        """Starts everything. Blocks until the session has begun and the watch has had its first snapshot.

        :raises StoreUnavailable: etcd did not answer in time; everything is stopped again.
        :raises ConfigError: etcd refuses this replica, or a replica runs that it can't work beside;
        everything is stopped again.
        """
        timeout = 2 * self._config.etcd_timeout
        with ExitStack() as undo:
            undo.callback(self.stop)
            self.session.start(timeout)
            self._refuse_strangers(timeout)
            self.leases.start()
            self.commit.start()
            self.members.start()
            self.watch.start()
            if not self.watch.wait_synced(timeout):
                raise StoreUnavailable(f"etcd has not told what other replicas do within {timeout:g} s")
            self.elections.start()
            if self.shares is not None:
                self.shares.start()
            undo.pop_all()

    def _refuse_strangers(self, timeout: float) -> None:
        """Before this replica is a member: whether it can work beside those that are.

        :raises ConfigError: it can't; says which replica.
        :raises StoreUnavailable: etcd did not answer in time.
        """
        until = time.monotonic() + timeout
        while True:
            try:
                members = self.store.range(f"{self.root}m/").items
                break
            except StoreUnavailable:
                if time.monotonic() >= until or self._stop_calls.wait(0.1):
                    raise
        for kv in members:
            try:
                record = json.loads(kv.value)
            except (ValueError, RecursionError):
                continue  # something else wrote it; the watch will say so
            if isinstance(record, dict):
                reason = readable(kv.key.rsplit("/", 1)[1], record)
                if reason is not None:
                    raise ConfigError(reason)

    def stop(self) -> None:
        """Writes what is pending, revokes the session, closes all connections. Blocks for a few round trips,
        or one time-out when etcd does not answer. Idempotent.
        """
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

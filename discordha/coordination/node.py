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
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, nullcontext, suppress

from discordha.config import Config, bot_id_from_token
from discordha.coordination.claims.claims import Claims
from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.claims.looks import Looks
from discordha.coordination.election.elections import Elections
from discordha.coordination.election.task_runs import TaskRuns
from discordha.coordination.etcd.client import EtcdStore
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.etcd.group_commit import GroupCommit
from discordha.coordination.etcd.retention import RetentionLeases
from discordha.coordination.etcd.router import APART, WatchRouter
from discordha.coordination.etcd.store import Store
from discordha.coordination.gaps.mark_leases import MarkLeases
from discordha.coordination.gaps.points import Points
from discordha.coordination.gaps.stream import GapStreams
from discordha.coordination.journal.entries import JournalKeys
from discordha.coordination.journal.questions import QuestionExchange
from discordha.coordination.journal.router import JournalRouter
from discordha.coordination.membership.admission import claim_bot_name, claim_replica_id
from discordha.coordination.membership.formats import incompatibility
from discordha.coordination.membership.members import JSON, Members
from discordha.coordination.membership.shard_plan import ShardPlan
from discordha.coordination.memory.store import MemoryStore
from discordha.coordination.partitions import UNPARTITIONED, Partitions
from discordha.coordination.quotas.command_records import CommandRecords
from discordha.coordination.quotas.identify_budget import IdentifyBudget
from discordha.coordination.quotas.identify_queue import IdentifyQueue
from discordha.coordination.quotas.request_shares import Meter, Shares
from discordha.coordination.session import Session
from discordha.coordination.shared.backoff import Backoff
from discordha.coordination.shared.facade import Shared
from discordha.coordination.shared.posts import Posts
from discordha.coordination.shared.presence import PresenceWord
from discordha.coordination.shared.timers import TimerStore
from discordha.coordination.voice.deliveries import VoiceBackend
from discordha.coordination.voice.queue import VoiceQueue
from discordha.coordination.voice.records import VoiceKeys
from discordha.coordination.voice.releases import Releases
from discordha.errors import ConfigError, StoreUnavailable
from discordha.supervisor import link

__all__ = ["CoordinationNode", "store_settings"]

#: A mark waits this long for the next claim to take it along, seconds, while claims come often enough (see
#: ``GroupCommit``). A crash meanwhile makes a finished event run again.
MARK_RIDE = 0.008
#: A live replica's record, which comes every third of its TTL, may be late by so many seconds.
LATE_RECORD = 0.5
#: A stop whose time is over waits this long for the session to be revoked, seconds.
MIN_REVOKE = 0.2


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
        self.mark_leases = MarkLeases(self.store, root)
        self.leases = RetentionLeases(
            self.store,
            retention=config.marked_for if self.has_peers else config.retention,
            announce=self.mark_leases.announce if config.catch_up > 0 else lambda lease: None,
        )
        self.points = Points(self.store, root)
        self.plan = ShardPlan(self.store, root, replica_id)
        self._partitions = UNPARTITIONED
        self.gaps = GapStreams(self.store, root)
        self.members = Members(
            self.store,
            self.session,
            root,
            replica_id,
            describe,
            interval=ttl / 3,
            is_partitioned=lambda: bool(self.partitions),
        )
        self.hints = ClaimHints(root, retention=config.retention)
        self.looks = Looks(self.store, self.hints, root)
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
            looks=self.looks if self.has_peers else None,
        )
        self.elections = Elections(self.store, self.session, root, replica_id)
        self.journal_keys = JournalKeys(root, lambda: self.partitions)
        self.journals = JournalRouter(self.journal_keys)
        self.exchange = QuestionExchange(self.store, self.journal_keys, replica_id)
        self.command_records = CommandRecords(self.store, self.session, root, replica_id)
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
        self.presence = PresenceWord(self.store, root)
        self.timers = TimerStore(self.store, self.commit, self.leases, root, replica_id)
        self.posts = Posts(
            self.store,
            self.commit,
            root,
            replica_id,
            retention=config.retention,
            retry_for=config.etcd_timeout,
            silence=ttl,
        )
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
                backoff=Backoff(),
                releases=Releases(self.commit),
            )
        )
        self.router = WatchRouter(root)
        self.router.subscribe(self.hints, "e", "a")
        self.router.subscribe(self.members, "m")
        self.router.subscribe(self.elections, "l")
        self.router.subscribe(self.points, "p")
        self.router.subscribe(self.gaps, "g")
        self.router.subscribe(self.mark_leases, "ml")
        self.router.subscribe(self.journals, "j", "jc", "ja")
        self.router.subscribe(self.exchange, "jq", "jr")  # after the journals: marks before answers
        self.router.subscribe(self.plan, "s")
        self.router.subscribe(self.identify_queue, "iq")
        self.router.subscribe(self.identify_budget, "ib")
        self.router.subscribe(self.runs, "lp", "lc", "lt")
        self.router.subscribe(self.shared.locks, "k")
        self.router.subscribe(self.presence, "pr")
        self.watch = self.store.watch(
            root, self.router, silence=ttl, heartbeats=True, quiet=f"{root}e/", apart=root + APART
        )

    def share_requests(self, meter: Meter, total: int) -> Shares:
        """Shares this many requests per second with the other replicas. Called before ``start``."""
        self.shares = Shares(self.store, self.session, self.root, self._replica_id, total=total, meter=meter)
        self.router.subscribe(self.shares, "q")
        return self.shares

    @property
    def partitions(self) -> Partitions:
        """How keys are partitioned. A replica without shards, which is told of all, leaves that as it was at
        its start: it may have handled events before others have founded shards."""
        return self.plan.partitions if self._config.shard_count is not None else self._partitions

    def host(self, shards: Iterable[tuple[int, int]], *, wait: bool = True) -> None:
        """Has the watch tell of the claims and journals of these shards alone, where keys are partitioned.

        :param shards: each by its number and the number of all shards of its generation.
        :param wait: block until it does; else it soon will.
        :raises StoreUnavailable: etcd does not answer.
        """
        partitions = self.partitions
        if not partitions:
            return
        others, *spans = partitions.ranges(shards)
        claims, apart = f"{self.root}e/", self.root + APART[0]
        deletes = [(claims + first, claims + end) for first, end in (others, *spans)]
        parts = [(apart + first, apart + end) for first, end in spans]
        timeout = self._config.etcd_timeout if wait else 0.0
        with nullcontext() if wait else suppress(StoreUnavailable):
            if self.watch.narrow(deletes, parts, self.router.on_part, timeout):
                self.hints.doubt()

    def silent_owner(self, key: str) -> bool:
        """Whether another replica holds an event and is late with its member record. No I/O; any thread."""
        holder = self.hints.owner(key)
        return holder is not None and holder != self._replica_id and self.members.is_late(holder)

    def start(self) -> None:
        """Starts everything. Blocks until the session has begun and the watch has had its first snapshot.

        :raises StoreUnavailable: etcd did not answer in time; everything is stopped again.
        :raises ConfigError: etcd rejects this replica, another bot has its name, or an incompatible replica
            runs; everything is stopped again.
        :raises ReplicaIdTaken: another live replica has its id; everything is stopped again.
        """
        timeout = 2 * self._config.etcd_timeout
        with ExitStack() as undo:
            undo.callback(self.stop)
            self.session.start(timeout)
            if self.has_peers:
                self._until_etcd_answers(self._check_names, timeout)
            # Before this replica, or its claim to its name, counts as a member.
            self._until_etcd_answers(self.runs.start_life, timeout)
            self._until_etcd_answers(self.presence.start_life, timeout)
            self._until_etcd_answers(self.plan.start_life, timeout)
            self._partitions = self.plan.partitions
            if self.has_peers:
                self._until_etcd_answers(self._claim_replica_id, timeout)
            self._until_etcd_answers(self._refuse_incompatible, timeout)
            self.leases.start()
            self.commit.start()
            if self.has_peers:
                self.members.start()
                self.looks.start()
            self.watch.start()
            if not self.watch.wait_synced(timeout):
                raise StoreUnavailable(f"etcd has not reported what other replicas do within {timeout:g} s")
            if self._config.shard_count is None:
                self.host([(0, 1)])
            self.posts.start(timeout)
            if self.has_peers:
                self.elections.start()
            if self.shares is not None:
                self.shares.start()
            self.store.outlast_refusals(quiet=self._config.session_ttl / 2)  # members write more often
            undo.pop_all()

    def _until_etcd_answers(self, check: Callable[[], None], timeout: float) -> None:
        """Tries a check again for ``timeout`` seconds while etcd does not answer."""
        until = time.monotonic() + timeout
        while True:
            try:
                check()
                return
            except StoreUnavailable:
                if time.monotonic() >= until or self._stop_calls.wait(0.1):
                    raise

    def _check_names(self) -> None:
        """Raises ``ConfigError`` if another bot has the name."""
        bot_id = bot_id_from_token(self._config.token)
        if bot_id is not None:
            claim_bot_name(self.store, self.root, bot_id)

    def _claim_replica_id(self) -> None:
        """Raises ``ReplicaIdTaken`` if another live replica has this one's id."""
        grant = self.session.current
        if grant is None:
            raise StoreUnavailable("the session ended during the start")
        members, silence = self.members, self._config.session_ttl / 2 + LATE_RECORD
        record, wait = members.encoded(), self._stop_calls.wait
        claim_replica_id(self.store, members.key, record, grant.lease_id, silence=silence, wait=wait)

    def _refuse_incompatible(self) -> None:
        """Raises ``ConfigError`` if a member runs that this replica can't work beside."""
        for kv in self.store.range(f"{self.root}m/").items:
            try:
                record = json.loads(kv.value)
            except (ValueError, RecursionError):
                continue  # not a member's; the watch will report it
            if isinstance(record, dict):
                member = kv.key.rsplit("/", 1)[1]
                reason = incompatibility(member, record, bool(self.partitions))
                if reason is not None:
                    raise ConfigError(reason)

    def interrupt(self) -> None:
        """Ends a ``start`` under way, which raises ``StoreUnavailable``. Blocks for a moment; any thread."""
        self.session.interrupt()
        self.cut()
        self.watch.stop()
        self.posts.stop()

    def cut(self) -> None:
        """Ends all calls to etcd but the session's: calls in flight and later ones raise
        ``StoreUnavailable``. Does not block; any thread.
        """
        self._stop_calls.set()
        self.store.close()

    def stop(self, timeout: float = math.inf) -> None:
        """Writes what is pending, revokes the session, closes all connections. Blocks for a few round trips,
        or one timeout if etcd does not answer. Idempotent.

        :param timeout: seconds for the session; ``cut`` ends all other calls.
        """
        deadline = time.monotonic() + timeout
        self._stop_calls.set()
        self.voice.stop()
        self.posts.stop()
        self.claims.stop()
        self.looks.stop()
        self.shared.stop()
        self.elections.stop()
        if self.shares is not None:
            self.shares.stop()
        self.commit.stop()
        self.members.stop()
        self.leases.stop()
        self.watch.stop()
        self.session.stop(timeout=max(deadline - time.monotonic(), MIN_REVOKE))
        self.store.close()

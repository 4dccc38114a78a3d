"""Leader service: runs events that have no identity on the leader of their shard.

Guarantees
- An event of scope ``leader`` is run by the replica that leads its shard, in the order of the gateway within
  its lane.
- A replica whose connection to Discord is down for ``deaf_after`` seconds gives leadership to another, and
  stands again once it is connected.
- Leadership that is given up (drain, an operator's request, deafness) is handed over: running handlers finish
  here.

Threads and locks
- ``received`` runs on the gateway thread, ``begin`` and ``finished`` on handler threads, all else on any.
  Only ``begin``, ``close``, ``finish``, ``hand_over`` and ``stop`` block.
- ``_lock`` guards the writing of ``_shards``, which is replaced as a whole and read without it.
- ``Takeover`` has the thread. At stop: ``hand_over`` first, then ``stop``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence

from discordha.config import Config
from discordha.context import CurrentEvent
from discordha.coordination.election.election import Election
from discordha.coordination.etcd.store import Compare
from discordha.coordination.journal.entries import JournalEntry
from discordha.coordination.journal.journal import Journal
from discordha.coordination.journal.marks import JournalWriter
from discordha.coordination.node import CoordinationNode
from discordha.dispatch.handlers import Handler
from discordha.dispatch.items import LeaderItem
from discordha.dispatch.runner import Outcome
from discordha.events import Event
from discordha.leader.candidacy import CandidacyPolicy
from discordha.leader.catch_up import GatewayProbe, SessionCatchUp
from discordha.leader.shard import LeaderShard
from discordha.leader.takeover import Takeover
from discordha.stats import Stats

__all__ = ["LeaderService"]

#: A starting replica that is in doubt (``in_doubt``) is not ready, for so many seconds at the most.
DOUBT_LIMIT = 3.0


def _always() -> bool:
    return True


class LeaderService:
    """See the module.

    :param put: puts entries into the lanes of the handler threads.
    :param probe: the gateway.
    :param has_received: whether another replica that stays has received what this one received at a moment:
        (shard, moment).
    """

    def __init__(
        self,
        config: Config,
        coordination: CoordinationNode,
        replica_id: str,
        stats: Stats,
        *,
        put: Callable[[Sequence[JournalEntry]], None],
        probe: GatewayProbe,
        has_received: Callable[[int, float], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._coordination = coordination
        self._replica_id = replica_id
        self._stats = stats
        self._put = put
        self._probe = probe
        self._has_received = has_received
        self._clock = clock
        self._lock = threading.Lock()
        self._shards: dict[int, tuple[LeaderShard, SessionCatchUp]] = {}
        self._stop = threading.Event()
        self._takeover = Takeover(coordination, self._all, clock=clock)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread. Does not block."""
        self._takeover.start()

    def stop(self) -> None:
        """Ends the thread. Blocks for a call in flight. Idempotent."""
        self._stop.set()
        self._takeover.stop()

    def open(
        self,
        shard_id: int,
        number: int = 0,
        count: int | None = None,
        *,
        guard: Sequence[Compare] = (),
        may_act: Callable[[], bool] = _always,
    ) -> None:
        """Begins to keep a shard's journal and to observe its election. Does not block on etcd.

        :param shard_id: the shard's key.
        :param number: the shard's number, of ``count``; no count: there are no shards.
        :param guard: conditions that etcd checks when a candidate registers.
        :param may_act: a leader waits until it says so; asked on the leader's thread; quick.
        """
        coordination, config = self._coordination, self._config
        writer = JournalWriter(
            coordination.store,
            coordination.commit,
            coordination.leases,
            coordination.root,
            shard_id,
            self._replica_id,
            config.max_attempts,
        )
        journal = Journal(
            writer,
            put=self._put,
            size=config.queue_size,
            retention=config.retention,
            last_attempts=coordination.last_attempts,
            dropped=lambda reason: self._stats.add("dropped", reason),
            buried=lambda event: self._stats.add("dead", event),
        )
        shard = LeaderShard(
            shard_id,
            number,
            count,
            journal,
            # Shards come and go: a replica that hosted this one before has received more than a newcomer.
            CandidacyPolicy(
                coordination.members, self._replica_id, shard_id, led=count is not None, clock=self._clock
            ),
            coordination.elections,
            self._stats,
            participate=config.participate_in_election,
            guard=guard,
            may_act=may_act,
            wake=self._takeover.wake,
        )
        catch_up = SessionCatchUp(
            shard_id,
            journal.questions,
            shard.election,
            coordination.exchange,
            coordination.session,
            self._probe,
            self._takeover.wake,
            clock=self._clock,
        )
        coordination.journals.open(shard_id, journal, number, count or 1)
        with self._lock:
            self._shards = {**self._shards, shard_id: (shard, catch_up)}

    def close(self, shard_id: int) -> None:
        """Forgets a shard: its journal and its election. Blocks for a moment. Idempotent."""
        with self._lock:
            known = self._shards.get(shard_id)
            self._shards = {key: other for key, other in self._shards.items() if key != shard_id}
        if known is not None:
            shard, catch_up = known
            self._coordination.journals.close(shard_id)
            catch_up.close()
            self._coordination.elections.close(shard.election, timeout=1.0)

    def _all(self) -> Collection[tuple[LeaderShard, SessionCatchUp]]:
        return self._shards.values()

    def _shard(self, shard_id: int) -> LeaderShard | None:
        known = self._shards.get(shard_id)
        return known[0] if known is not None else None

    # -- the gateway -----------------------------------------------------------------------------------------

    def set_connected(self, shard_id: int, connected: bool) -> None:
        """The shard is connected to Discord, or has not been for too long. Does not block; any thread."""
        shard = self._shard(shard_id)
        if shard is not None:
            shard.set_connected(connected)

    def new_session(self, shard_id: int) -> None:
        """The gateway began a new session for the shard. Gateway thread."""
        known = self._shards.get(shard_id)
        if known is not None:
            shard, catch_up = known
            catch_up.new_session()
            shard.new_session()
            self._coordination.members.poke()

    def received(self, event: Event, handlers: Sequence[Handler], sequence: int) -> None:
        """Takes an event. Never blocks; gateway thread."""
        shard = self._shard(event.shard_id)
        if shard is not None:
            shard.received(event, handlers, sequence)

    # -- handler threads -------------------------------------------------------------------------------------

    def begin(self, item: LeaderItem) -> CurrentEvent | None:
        """Before an event is run; ``None`` when it is not this replica's to run. May block on etcd."""
        shard = self._shard(item.event.shard_id)
        return shard.begin(item) if shard is not None else None

    def finished(self, item: LeaderItem, outcome: Outcome) -> None:
        """After an event was run. Never blocks."""
        shard = self._shard(item.event.shard_id)
        if shard is not None:
            shard.finished(item, outcome)

    # -- handing over ----------------------------------------------------------------------------------------

    def retire(self, shard_id: int) -> None:
        """Hands a shard's leadership over for good, and keeps its journal. Does not block; see ``is_out``."""
        shard = self._shard(shard_id)
        if shard is not None and not shard.is_retired:
            shard.retire()
            self._coordination.members.poke()  # nobody is to wait for it

    def is_out(self, shard_id: int) -> bool:
        """Whether a retired shard is led by others now, or could be. No I/O; any thread."""
        shard = self._shard(shard_id)
        return shard is None or (shard.resigns is None and shard.election.is_out)

    def finish(self, timeout: float, hurry: Callable[[], bool] | None) -> None:
        """Waits until the shards that this replica leads have no event left that was received before this
        call, and that no other replica has received. Blocks for ``timeout`` seconds at the most, or until
        ``hurry``.
        """
        begun = self._clock()

        def may_leave(shard: LeaderShard) -> bool:
            oldest = shard.journal.oldest if shard.election.is_leader else None
            return oldest is None or oldest > begun or self._has_received(shard.key, oldest)

        while self._clock() < begun + timeout and not (hurry is not None and hurry()):
            if all(may_leave(shard) for shard, _ in self._shards.values()):
                return
            self._stop.wait(0.005)

    def hand_over(self, timeout: float) -> int:
        """Gives up all leaderships and candidatures, for good. Blocks until etcd has taken it, or for
        ``timeout`` seconds for each shard.

        :return: how many events were not started that no other replica is known to have received.
        """
        self._takeover.end()
        undone = 0
        for shard, _ in self._shards.values():
            leads = shard.election.is_leader
            shard.hand_over(again=False, timeout=timeout)
            if leads:
                moments = shard.journal.unstarted()
                undone += sum(not self._has_received(shard.key, moment) for moment in moments)
        return undone

    # -- what others ask; no I/O; any thread -----------------------------------------------------------------

    def election(self, shard_id: int) -> Election | None:
        """The election of a shard that this replica takes part in, or observes."""
        shard = self._shard(shard_id)
        return shard.election if shard is not None else None

    def leads(self, shard_id: int) -> bool:
        """Whether this replica leads a shard."""
        shard = self._shard(shard_id)
        return shard is not None and shard.election.is_leader

    def passed_over(self, shard_id: int, before: float) -> bool:
        """Whether this replica stands for a shard's election and keeps an event that was received before a
        moment, and that the leader has left out: no other replica may have received it.
        """
        shard = self._shard(shard_id)
        if shard is None or not shard.is_candidate or shard.election.is_leader:
            return False
        return shard.journal.passed_over(before)

    def oldest(self, shard_id: int) -> float | None:
        """When the oldest event in a shard's journal was received."""
        shard = self._shard(shard_id)
        return shard.journal.oldest if shard is not None else None

    def busy(self, shard_id: int) -> bool:
        """Whether events of a shard run here, or wait for their mark, or wait to be run by this leader."""
        shard = self._shard(shard_id)
        return shard is not None and shard.busy

    def in_doubt(self, shard_id: int) -> bool:
        """Whether the shard's leader, or the next one, may not know of this replica's gateway session yet, or
        is to be asked which events it handled as that began: for ``DOUBT_LIMIT`` seconds at the most.
        """
        shard = self._shard(shard_id)
        age = shard.candidacy.session_age if shard is not None else None
        if shard is None or age is None or age >= DOUBT_LIMIT or not shard.journal.questions.in_doubt:
            return False
        leader = shard.election.leader
        if leader is None:
            return bool(self._coordination.members.records().keys() - {self._replica_id})
        return leader != self._replica_id

    def backlog(self) -> float:
        """For how many seconds the oldest event has waited that this replica is to run as a leader."""
        waits = [since for shard, _ in self._shards.values() if (since := shard.waiting_since) is not None]
        return max(self._clock() - min(waits), 0.0) if waits else 0.0

    def ages(self) -> dict[str, float]:
        """For how many seconds each shard's gateway session has lasted: for the member record."""
        return {
            str(key): round(age, 3)
            for key, (shard, _) in self._shards.items()
            if (age := shard.candidacy.session_age) is not None and not shard.is_retired
        }

    @property
    def under_way(self) -> int:
        """The number of events that run here, or wait for their mark."""
        return sum(shard.journal.under_way for shard, _ in self._shards.values())

    def sizes(self) -> dict[int, int]:
        """The number of events in each shard's journal."""
        return {key: len(shard.journal) for key, (shard, _) in self._shards.items()}

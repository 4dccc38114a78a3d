"""Leader service: runs events that have no identity on the leader of their shard.

Guarantees: an event of scope ``leader`` is run by the replica that leads its shard, in the order of the
gateway within its lane. A replica whose connection to Discord is down for ``deaf_after`` seconds gives
leadership to another, and stands again once it is connected. Leadership that is given up is handed over:
running handlers finish here.

Threads and locks: any thread; only ``close``, ``finish``, ``hand_over`` and ``stop`` block. ``_lock`` guards
the replacement of ``_shards``, which is read without it. ``Takeover`` has the thread. At stop: first
``hand_over``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence

from discordha.config import Config
from discordha.coordination.election.election import Election, LeaderTerm
from discordha.coordination.etcd.store import Compare
from discordha.coordination.journal.entries import JournalEntry, digest
from discordha.coordination.node import CoordinationNode
from discordha.dispatch.handlers import Handler
from discordha.events import Event
from discordha.leader.catch_up import GatewayProbe
from discordha.leader.shard import LeaderParts, LeaderShard
from discordha.leader.takeover import Takeover
from discordha.stats import Stats

__all__ = ["LeaderService"]

_log = logging.getLogger(__name__)

#: A starting replica that is ``in_doubt`` is not ready, for so many seconds at the most.
DOUBT_LIMIT = 3.0


class LeaderService:
    """See the module.

    :param put: puts an entry into its lane.
    :param has_received: whether another replica that stays has received what this one received: (shard,
        moment).
    """

    def __init__(
        self,
        config: Config,
        coordination: CoordinationNode,
        replica_id: str,
        stats: Stats,
        *,
        put: Callable[[JournalEntry], None],
        probe: GatewayProbe,
        has_received: Callable[[int, float], bool],
    ) -> None:
        self._coordination = coordination
        self._replica_id = replica_id
        self._has_received = has_received
        self._clock = time.monotonic
        self._lock = threading.Lock()
        self._shards: dict[int, LeaderShard] = {}
        self._handed_over: dict[LeaderShard, float] = {}  # by a drain, and when
        self._stop = threading.Event()
        #: Called on the leader's thread when this replica begins to act as the leader of a shard; must not
        #: block.
        self.on_acting: Callable[[], None] = lambda: None
        self._takeover = Takeover(coordination, self._all, self._acts)
        self._parts = LeaderParts(
            config, coordination, replica_id, stats, put, probe, wake=self._takeover.wake
        )

    def _acts(self) -> None:
        self.on_acting()

    def _all(self) -> Collection[LeaderShard]:
        return self._shards.values()

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
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        """Begins to keep a shard's journal and to observe its election. Does not block on etcd.

        :param shard_id: the shard's key.
        :param number: the shard's number, of ``count``; no count: there are no shards.
        :param guard: conditions that etcd checks when a candidate registers.
        :param may_act: a leader waits until it says so; asked on the leader's thread; quick.
        """
        shard = LeaderShard(self._parts, shard_id, number, count, guard=guard, may_act=may_act)
        self._coordination.journals.open(shard_id, shard.journal, number, count or 1)
        with self._lock:
            self._shards = {**self._shards, shard_id: shard}

    def close(self, shard_id: int) -> None:
        """Forgets a shard: its journal and its election. Blocks for a moment. Idempotent."""
        with self._lock:
            shard = self._shards.get(shard_id)
            self._shards = {key: other for key, other in self._shards.items() if key != shard_id}
        if shard is not None:
            self._coordination.journals.close(shard_id)
            shard.catch_up.close()
            self._coordination.elections.close(shard.election, timeout=1.0)

    def received(self, event: Event, handlers: Sequence[Handler], sequence: int) -> None:
        """Takes an event. Never blocks; gateway thread."""
        shard = self._shards.get(event.shard_id)
        if shard is not None:
            shard.received(event, handlers, sequence)

    def passes(self, shard_id: int, guild: int, message: int) -> None:
        """A message came in, in its place among the events of its guild. Never blocks; gateway thread."""
        shard = self._shards.get(shard_id)
        if shard is not None:
            shard.journal.questions.passes(str(guild), str(message))

    def set_connected(self, shard_id: int, connected: bool) -> None:
        """The shard is connected to Discord, or has not been for too long. Does not block."""
        shard = self._shards.get(shard_id)
        if shard is not None:
            shard.set_connected(connected)

    def identifies(self, shard_id: int) -> None:
        """An IDENTIFY leaves for the shard. Gateway thread."""
        shard = self._shards.get(shard_id)
        if shard is not None:
            shard.journal.questions.identifies()

    def new_session(self, shard_id: int) -> None:
        """The gateway began a new session for the shard. Gateway thread."""
        shard = self._shards.get(shard_id)
        if shard is not None:
            shard.new_session()
            self._coordination.members.poke()

    def retire(self, shard_id: int) -> None:
        """Hands a shard's leadership over for good, and keeps its journal. Does not block; see ``is_out``."""
        shard = self._shards.get(shard_id)
        if shard is not None and not shard.is_retired:
            shard.retire()
            self._coordination.members.poke()  # nobody is to wait for it

    def is_out(self, shard_id: int) -> bool:
        """Whether a retired shard is led by others now, or could be."""
        shard = self._shards.get(shard_id)
        return shard is None or (shard.resigns is None and shard.election.is_out)

    def finish(self, timeout: float, hurry: Callable[[], bool] | None) -> None:
        """Blocks until all events that this replica received before the call, and no other has received, are
        done; for ``timeout`` seconds at the most, or until ``hurry``.
        """
        begun = self._clock()

        def may_leave(shard: LeaderShard) -> bool:
            if shard.misses():
                shard.is_leaving = True
                self._takeover.wake()  # it asks for the leadership
                return False
            oldest = shard.journal.oldest if shard.election.is_leader else None
            return oldest is None or oldest > begun or self._has_received(shard.key, oldest)

        while self._clock() < begun + timeout and not (hurry is not None and hurry()):
            if all(map(may_leave, self._all())):
                return
            self._stop.wait(0.005)

    def hand_over(self, timeout: float) -> None:
        """Gives up all leaderships and candidatures, for good. Blocks for about ``timeout`` seconds at
        most.
        """
        shards = self._all()
        for shard in shards:
            shard.leave()
        deadline = self._clock() + timeout
        for shard in shards:
            leads = shard.election.is_leader
            if not shard.hand_over(again=False, timeout=max(deadline - self._clock(), 0.0)):
                text = "shard %d is not handed over: etcd does not answer; this replica leads it to its end"
                _log.warning(text, shard.number)
            if leads:
                self._handed_over[shard] = self._clock()

    def undone(self) -> int:
        """How many events this leader had received and not started as it handed over, that no mark has struck
        out since, and that no other replica is known to have received. No I/O; any thread.
        """
        return sum(
            moment <= left and not self._has_received(shard.key, moment)
            for shard, left in self._handed_over.items()
            for moment in shard.journal.unstarted()
        )

    def election(self, shard_id: int) -> Election | None:
        """The election of a shard that this replica takes part in, or observes."""
        shard = self._shards.get(shard_id)
        return shard.election if shard is not None else None

    def leads(self, shard_id: int) -> bool:
        """Whether this replica leads a shard."""
        shard = self._shards.get(shard_id)
        return shard is not None and shard.election.is_leader

    def acting(self, shard_id: int) -> LeaderTerm | None:
        """The present term of leading a shard, once this replica has seen all that its predecessors wrote."""
        shard = self._shards.get(shard_id)
        return shard.acting if shard is not None else None

    def knows_gap(self, shard_id: int) -> bool:
        """Whether a shard's leader has been told of the last gap; see ``note_gap``."""
        shard = self._shards.get(shard_id)
        return shard is None or shard.knows_gap()

    def session(self, shard_id: int) -> int | None:
        """The number of a shard's gateway session."""
        shard = self._shards.get(shard_id)
        return shard.journal.sessions if shard is not None else None

    def note_gap(
        self,
        shard_id: int,
        gap: int,
        leadership: LeaderTerm | None = None,
        *,
        session: int | None = None,
    ) -> None:
        """See ``LeaderShard.note_gap``."""
        shard = self._shards.get(shard_id)
        if shard is not None:
            shard.note_gap(gap, leadership, session=session)

    def handled(self, shard_id: int, events: Sequence[Event], since: int) -> set[str]:
        """The keys of those events, each without an identity of its own, that a leader has handled, or that
        this leader keeps. ``since``: marks from before this revision are about other events.
        """
        shard = self._shards.get(shard_id)
        if shard is None:
            return set()
        kept, found = set(shard.journal.keys()), set()
        for event in events:
            key = event.key
            mark = self._coordination.journals.mark(f"{shard.partition(event)}/{digest(key)}")
            if key in kept or (mark is not None and mark.mod_revision > since):
                found.add(key)
        return found

    def leave_to_claims(self, shard_id: int, events: Sequence[Event]) -> None:
        """These events are caught up, and run by whoever claims them: the shard's journal forgets those that
        have not begun here. Each has a name of its own. Never blocks; any thread.
        """
        shard = self._shards.get(shard_id)
        if shard is not None:
            names = [f"{shard.partition(event)}/{digest(event.key)}" for event in events]
            shard.journal.questions.leave_to_claims(names)

    def misses(self) -> bool:
        """Whether this replica keeps an event that the leader of its shard has missed."""
        return any(shard.misses() for shard in self._all())

    def ask_for_passed_over(self, shard_id: int, before: float) -> bool:
        """See ``LeaderShard.ask_for_passed_over``. Blocks on etcd."""
        shard = self._shards.get(shard_id)
        return shard is not None and shard.ask_for_passed_over(before)

    def oldest(self, shard_id: int) -> float | None:
        """When the oldest event in a shard's journal was received."""
        shard = self._shards.get(shard_id)
        return shard.journal.oldest if shard is not None else None

    def youngest(self, shard_id: int, before: float) -> float | None:
        """When the youngest event of those from before a moment was received that waits in a journal."""
        shard = self._shards.get(shard_id)
        waiting = shard.journal.unstarted() if shard is not None else []
        return max((moment for moment in waiting if moment < before), default=None)

    def greeting(self, shard_id: int) -> int | None:
        """The revision of etcd at which this replica told of its present gateway session of a shard; ``None``
        until it has. Any thread.
        """
        shard = self._shards.get(shard_id)
        return shard.journal.questions.greeting if shard is not None else None

    def busy(self, shard_id: int) -> bool:
        """Whether events of a shard run here, or wait for their mark, or wait to be run by this leader."""
        shard = self._shards.get(shard_id)
        return shard is not None and shard.busy

    def in_doubt(self, shard_id: int) -> bool:
        """Whether the shard's leader, or the next one, may not know of this replica's gateway session yet, or
        has not told which events it handled as that began: for ``DOUBT_LIMIT`` seconds at the most.
        """
        shard = self._shards.get(shard_id)
        age = shard.candidacy.session_age if shard is not None else None
        if shard is None or age is None or age >= DOUBT_LIMIT or not shard.journal.questions.in_doubt:
            return False
        leader = shard.election.leader
        if leader is None:
            return bool(self._coordination.members.records().keys() - {self._replica_id})
        return leader != self._replica_id

    def backlog(self) -> float:
        """For how many seconds the oldest event has waited that this replica is to run as a leader."""
        waits = [since for shard in self._all() if (since := shard.waiting_since) is not None]
        return max(self._clock() - min(waits), 0.0) if waits else 0.0

    def ages(self) -> dict[str, float]:
        """For how many seconds each shard's gateway session has lasted: for the member record."""
        return {
            str(shard.key): round(age, 3)
            for shard in self._all()
            if (age := shard.candidacy.session_age) is not None and not shard.is_retired
        }

    @property
    def under_way(self) -> int:
        """The number of events that run here, or wait for their mark."""
        return sum(shard.journal.under_way for shard in self._all())

    def sizes(self) -> dict[int, int]:
        """The number of events in each shard's journal."""
        return {shard.key: len(shard.journal) for shard in self._all()}

"""One shard whose journal this replica keeps, and which it may lead.

Guarantees: an event begins here only while this replica leads the shard, in the journal's order. Its
handler's ``CurrentEvent`` is lost when the leadership is, unless the event was handed over.

Threads and locks: no thread. ``received`` runs on the gateway thread, ``begin`` and ``finished`` on handler
threads; ``begin`` and ``hand_over`` block on etcd. Any thread asks for a change, ``Takeover`` acts upon it.
``_lock`` guards whether this replica stands for election, what it is asked for, and which session was told of
the last gap; no I/O under it.
``_handing_over`` is held by the one thread that hands over, and blocks on etcd.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from discordha.config import Config
from discordha.context import CurrentEvent
from discordha.coordination.election.candidates import request_resignation
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.store import Compare
from discordha.coordination.journal.entries import JournalEntry
from discordha.coordination.journal.journal import Journal
from discordha.coordination.journal.marks import JournalWriter
from discordha.coordination.membership.shard_keys import generation_of
from discordha.coordination.node import CoordinationNode
from discordha.dispatch.handlers import Handler
from discordha.dispatch.items import LeaderItem
from discordha.dispatch.runner import Outcome
from discordha.events import Event, guild_of
from discordha.leader.candidacy import CandidacyPolicy
from discordha.leader.catch_up import GatewayProbe, SessionCatchUp
from discordha.stats import Stats

__all__ = ["AMBIGUOUS", "LeaderParts", "LeaderShard"]

_log = logging.getLogger(__name__)

#: Running events get at least this much time for their carries, seconds.
MIN_CARRY = 0.1
#: How long a new leader waits until it knows whether events were missed, seconds.
GAP_LIMIT = 5.0
#: A follower that keeps an event which the leader has missed asks it to resign after so many seconds, in
#: which the event's mark may still come; and gives up in the end.
MISSED_FOR, MISSED_LAST = 5.0, 60.0
#: Pause between two requests to a leader to resign, seconds.
ASK_INTERVAL = 3.0
#: Gaps stand above the revisions of etcd that are epochs.
GAP_SHIFT = 64
#: Said of an event that is run again although an earlier leader may have handled it (see guarantees.md).
AMBIGUOUS = "; it may have been handled: it came just as this replica's gateway session began"


class LeaderParts(NamedTuple):
    """What the shards of one replica share."""

    config: Config
    coordination: CoordinationNode
    replica_id: str
    stats: Stats
    put: Callable[[JournalEntry], None]  # puts an entry into its lane
    probe: GatewayProbe
    wake: Callable[[], None]  # wakes the leader's thread


class LeaderShard:
    """See the module, and ``LeaderService.open``."""

    def __init__(
        self,
        parts: LeaderParts,
        key: int,
        number: int,
        count: int | None,
        *,
        guard: Sequence[Compare],
        may_act: Callable[[], bool],
    ) -> None:
        config, coordination, replica_id, stats, put, probe, wake = parts
        self._awaits_gaps = config.ha and config.catch_up > 0
        self.key = key
        self.number = number
        self._count = count
        self.may_act = may_act
        self._stats = stats
        self._wake = wake
        self._lock = threading.Lock()
        self._handing_over = threading.Lock()
        self.is_connected = False  # to Discord
        self.is_candidate = False  # or the leader
        self.is_retired = False  # leads no more, and does not stand
        self.is_leaving = False  # the replica drains
        self.is_unannounced = False  # a gateway session has begun, and etcd does not know yet
        self.elected: LeaderTerm | None = None  # to be made to act
        self.acts: LeaderTerm | None = None  # has seen all that its predecessors wrote
        self._acts_since = 0.0
        self._members = coordination.members
        self._gap = 0  # see ``note_gap``
        self._gap_known: LeaderTerm | None = None  # the term in which this leader was told
        self._gap_session: int | None = None  # the gateway session in which this replica was told
        self._untold: list[LeaderItem] = []  # what a leader may have run, of a session that was not told yet
        self.resigns: bool | None = None  # asked to resign; true: stand again at once
        self._asked_at = -ASK_INTERVAL  # when this follower last asked its leader to resign
        store, commit, leases = coordination.store, coordination.commit, coordination.leases
        self._store, self._root, self._plan = store, coordination.root, coordination.plan
        keys, attempts = coordination.journal_keys, config.max_attempts
        self.journal = Journal(
            JournalWriter(store, commit, leases, keys, key, replica_id, attempts),
            put=put,
            size=config.queue_size,
            retention=config.retention,
            last_attempts=coordination.last_attempts,
            dropped=lambda reason: stats.add("dropped", reason),
            buried=lambda event: stats.add("dead", event),
            unplaced=wake,
        )
        # Shards come and go: a replica that hosted this one before has received more than a newcomer.
        self.candidacy = CandidacyPolicy(coordination.members, replica_id, key, led=count is not None)
        participate = config.participate_in_election
        self.election = coordination.elections.open(
            key, self._on_elected, self._on_deposed, participate=participate, guard=guard
        )
        self.election.on_asked = lambda: self.ask_to_resign(again=True)
        self.election.on_vacant = wake  # a young replica may stand now: at once
        exchange, session = coordination.exchange, coordination.session
        self.catch_up = SessionCatchUp(
            key,
            self.journal.questions,
            self.election,
            exchange,
            session,
            probe,
            wake,
            announce=self._members.poke,
        )

    @property
    def is_waiting(self) -> bool:
        """Whether this replica is to stand for election, and does not yet."""
        return self.is_connected and not self.is_candidate and not self.is_retired

    def set_connected(self, connected: bool) -> None:
        """Stands for election in time, or hands over, as the shard is connected to Discord or not. Does not
        block.
        """
        with self._lock:
            self.is_connected = connected
            if not connected and self.is_candidate and not self.is_retired:
                self.is_candidate = False
                self._ask_to_resign(again=False)
        if self.is_waiting:
            self._wake()

    def new_session(self) -> None:
        """The gateway began a new session: this replica has not received what happened since the last one. If
        it leads, another that has takes over, and it does not stand before those. Gateway thread.
        """
        self.catch_up.new_session()
        self.journal.deactivate()  # nothing that comes now may run before what another has received meanwhile
        self.journal.on_new_session()
        self.is_unannounced = True
        with self._lock:
            self._untold.clear()
            self.candidacy.session_began()
            if self.is_candidate:
                self._ask_to_resign(again=False)
        self._wake()

    def stand(self) -> None:
        """Stands for election if it is time to. Does not block; leader's thread."""
        with self._lock:
            if self.resigns is None and self.is_waiting and self.candidacy.may_stand(self.election.leader):
                self.is_candidate = True
                self.election.campaign()

    def retire(self) -> None:
        """Hands the leadership over for good, and keeps the journal. Does not block."""
        with self._lock:
            self.is_retired = True
            self.is_candidate = False
            self._ask_to_resign(again=False)

    def ask_to_resign(self, *, again: bool) -> None:
        """Hands over soon, and stands ``again`` at once, or not. Does not block; any thread."""
        with self._lock:
            self._ask_to_resign(again=again)

    def _ask_to_resign(self, *, again: bool) -> None:
        """Caller holds the lock. Whoever does not want this replica to stand again has the last word."""
        self.resigns = again and self.resigns is not False
        self._wake()

    def leave(self) -> None:
        """Stands for no election any more, whatever comes. Does not block."""
        with self._lock:
            self.is_retired = True
            self.election.withdraw()

    def misses(self, seconds: float = 0.0) -> bool:
        """Whether this replica has kept an event that its leader has missed, for ``seconds`` at the least.
        The event runs once this replica leads. No I/O; any thread.
        """
        leader, now = self.election.leader, time.monotonic()
        serves = self._plan.serving in {None, generation_of(self.key)}
        if leader is None or not self.is_candidate or not serves:
            return False
        return self.journal.questions.is_missed(leader, now - MISSED_LAST, now - seconds)

    def ask_to_lead(self) -> None:
        """Asks the leader to resign if it has missed an event that this replica has. Blocks on etcd; leader's
        thread.
        """
        if self._may_ask and self.misses(0.0 if self.is_leaving else MISSED_FOR):
            self._request_leadership()

    def ask_for_passed_over(self, before: float) -> bool:
        """Asks the leader to resign if it has left out an event that was received before a moment: no other
        replica may have received it. False when there is no such event. Blocks on etcd; the host's thread.
        """
        if not self.is_candidate or self.election.is_leader or not self.journal.passed_over(before):
            return False
        if self._may_ask:
            self._request_leadership()
        return True

    @property
    def _may_ask(self) -> bool:
        return time.monotonic() - self._asked_at >= ASK_INTERVAL

    def _request_leadership(self) -> None:
        self._asked_at = time.monotonic()
        leader = request_resignation(self._store, self._root, self.key)
        if leader is not None:
            text = "shard %d: this replica asks %s for leadership, to handle events that only it received"
            _log.warning(text, self.number, leader)

    def hand_over(self, *, again: bool, timeout: float) -> bool:
        """Leaves carries for running events, and resigns. One thread at a time; blocks on etcd, for about
        ``timeout`` seconds. False when etcd did not take the carries in that time: this replica leads on,
        begins nothing, and ``resigns`` stays.
        """
        deadline = time.monotonic() + timeout
        if not self._handing_over.acquire(timeout=timeout):
            self.ask_to_resign(again=again)
            return False
        try:
            leadership = self.election.leadership
            left = max(deadline - time.monotonic(), MIN_CARRY)
            if leadership is not None and not self.journal.hand_over(leadership, left):
                self.ask_to_resign(again=again)
                return False
            with self._lock:
                again = again and self.resigns is not False
                self.resigns = None
                self.is_candidate = again and self.is_connected and not self.is_retired
            self.election.resign(self.is_candidate, timeout=max(deadline - time.monotonic(), 0.0))
            return True
        finally:
            self._handing_over.release()

    def _on_elected(self, leadership: LeaderTerm) -> None:
        self.candidacy.saw_leader()
        self.elected = leadership
        self._wake()

    def _on_deposed(self, leadership: LeaderTerm) -> None:
        self.elected = None
        self.journal.deactivate()

    @property
    def acting(self) -> LeaderTerm | None:
        """The present term, once this leader has seen all that its predecessors wrote."""
        acts = self.acts
        return acts if acts is not None and acts.alive and not self.is_retired else None

    def act(self, leadership: LeaderTerm) -> None:
        """This leader has seen all that its predecessors wrote. Leader's thread."""
        self.acts, self._acts_since = leadership, time.monotonic()

    def note_gap(self, gap: int, leadership: LeaderTerm | None = None, *, session: int | None = None) -> None:
        """The last time in which events were missed: a number that all replicas share, and new for each.

        Nobody has the events that ran as a gap began. The next equal ones have the same occurrences, and need
        other nonces, since Discord remembers those. An event that an earlier leader may have run keeps its
        nonce: it has the gap that was known as it came, or as soon as anything was known in its session.

        :param leadership: the term in which this replica, as the leader, knows of no later gap. Any thread.
        :param session: the gateway session that began behind this gap and before any later one.
        """
        with self._lock:
            self._gap = gap
            if session is not None and session == self.journal.sessions != self._gap_session:
                self._gap_session = session
                for item in self._untold:
                    item.gap = gap
                self._untold.clear()
        if leadership is not None and self._gap_known is not leadership:
            self._gap_known = leadership
            self._wake()

    def knows_gap(self) -> bool:
        """Whether this leader may run events: it knows the last gap, or has waited for that long enough."""
        if not self._awaits_gaps or self._gap_known is self.acts:
            return True
        return time.monotonic() - self._acts_since > GAP_LIMIT

    @property
    def busy(self) -> bool:
        """Whether events run here, or wait for their mark, or wait to be run by this leader."""
        return self.election.is_leader or self.journal.under_way > 0

    @property
    def waiting_since(self) -> float | None:
        """When the oldest event was received that this replica is to run as the leader."""
        unstarted = self.journal.unstarted() if self.election.is_leader and self.may_act() else []
        return next(iter(unstarted), None)

    def received(self, event: Event, handlers: Sequence[Handler], sequence: int) -> None:
        """Takes an event. Gateway thread."""
        item = LeaderItem(event, handlers, sequence, self, self.partition(event))
        term, leader = self.election.leadership, self.election.leader
        if term is not None:
            is_led = self._gap_known is term
        else:
            is_led = leader is not None and self._members.was_heard(leader)
        if is_led and (self._is_told or not self._awaits_gaps):
            item.gap = self._gap
        elif is_led:
            with self._lock:
                if self._is_told:
                    item.gap = self._gap
                else:
                    self._untold.append(item)
        self.journal.received(item)

    @property
    def _is_told(self) -> bool:
        """Whether the present gateway session was told of the last gap before it."""
        return self._gap_session == self.journal.sessions

    def partition(self, event: Event) -> str:
        """The guild under which an event is counted."""
        return "0" if self._count is None else str(guild_of(event, self.number, self._count))

    def begin(self, item: LeaderItem) -> CurrentEvent | None:
        """Before an event is run; ``None`` when it is not this replica's to run. May block on etcd."""
        if not self.journal.begin(item):
            return None
        leadership = item.leadership
        assert leadership is not None
        if item.attempt > 1:
            self._stats.add("taken_over", item.event_name)
            why = AMBIGUOUS if item.ambiguous else ""
            _log.info("%s is run again (attempt %d)%s", item.key, item.attempt, why)
        return CurrentEvent(
            identity=item.event.identity.key,
            name=item.event_name,
            attempt=item.attempt,
            shard_id=self.number,
            fencing_token=leadership.fencing_token,
            occurrence=item.occurrence,
            is_lost=lambda: item.lost,
            epoch=item.epoch + (self._gap_before(item) << GAP_SHIFT),
        )

    def _gap_before(self, item: LeaderItem) -> int:
        """The gap that an event's nonces carry. One that no other event equals needs none: where it is caught
        up, and was received once, too, it must have the nonces that it had then.
        """
        if item.event.identity.is_unique:
            return 0
        return self._gap if item.gap is None else item.gap

    def finished(self, item: LeaderItem, outcome: Outcome) -> None:
        """After an event was run. Never blocks."""
        self.journal.finished(item, handled=outcome is not Outcome.LOST)

"""The leader's way of events: joins election and journal with the dispatcher.

Promises
- An event of scope ``leader`` is run by the replica that leads its shard, in the order of the gateway within
  its lane.
- A new leader begins when its watch has shown all marks that its predecessors wrote.
- A replica whose connection to Discord is down for ``deaf_after`` seconds gives leadership to another, and
  stands again when it hears.
- Leadership that is given up (drain, an operator's request, deafness) is handed over: what runs goes on here.

Concurrency
- The thread ``discordha-leader`` is owned here: it makes new leaders act, hands over, and tidies. It blocks
  on etcd.
- ``received`` runs on the gateway thread, ``begin`` and ``finished`` on handler threads, ``_elected`` and
  ``_deposed`` on whichever thread learned of it; none of them blocks but ``begin``.
- ``_lock`` guards ``_shards``, and that nobody stands for election once all has been handed over. Only
  ``campaign`` is called under it, which does not block.
- At stop: ``hand_over`` first, then ``stop``, which joins the thread. At a lost lease leadership has ended by
  itself; at a lost watch no new leader begins until it is back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from discordha.config import Config
from discordha.context import CurrentEvent
from discordha.coordination.election.election import Election, LeaderTerm
from discordha.coordination.etcd.store import Compare, LeaseNotFound
from discordha.coordination.journal.entries import Entry
from discordha.coordination.journal.journal import Journal
from discordha.coordination.node import CoordinationNode
from discordha.dispatch.runner import Outcome
from discordha.errors import DiscordHAError
from discordha.leader.candidacy import Seniority
from discordha.leader.catch_up import Ears, Reconciler
from discordha.leader.shard import LeaderShard
from discordha.stats import Stats

if TYPE_CHECKING:
    from discordha.dispatch import Item

__all__ = ["LeaderEvents"]

_log = logging.getLogger(__name__)

#: How often old entries are forgotten, seconds.
TIDY = 5.0
#: How often a replica that waits to stand looks whether its turn has come, seconds; it also looks when nobody
#: is left.
LOOK = 0.1
#: The same while nobody leads, seconds.
LOOK_SOON = 0.02
#: How long the watch may take to show a new leader what its predecessors did, seconds; then it is asked
#: again.
CATCH_UP = 2.0
#: A replica that starts is not ready while it is in doubt (``Reconciler``), but for no more than so many
#: seconds.
DOUBT = 3.0


def _always() -> bool:
    return True


class LeaderEvents:
    """See the module.

    :param put: gives items to the handler threads, in order.
    :param ears: the gateway.
    :param has_received: whether another replica that stays has received what this one received at a moment,
        of a shard.
    """

    def __init__(
        self,
        config: Config,
        coordination: CoordinationNode,
        replica_id: str,
        stats: Stats,
        put: Callable[[Sequence[Item]], None],
        *,
        ears: Ears,
        has_received: Callable[[int, float], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._coordination = coordination
        self._replica_id = replica_id
        self._stats = stats
        self._put = put
        self._ears = ears
        self._has_received = has_received
        self._clock = clock
        self._lock = threading.Lock()
        self._shards: dict[int, LeaderShard] = {}
        self._over = False
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._tidied = clock()
        self._reconciler = Reconciler(
            coordination.reconciliation, coordination.session, ears, self._wake.set, clock=clock
        )
        self._thread = threading.Thread(target=self._run, name="discordha-leader", daemon=True)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread. Does not block."""
        self._thread.start()

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
        :param guard: what must hold in etcd for anybody to stand.
        :param may_act: a leader waits until it says so; asked on the leader's thread; quick.
        """
        coordination, config = self._coordination, self._config
        journal = Journal(
            coordination.store,
            coordination.commit,
            coordination.leases,
            coordination.root,
            shard_id,
            replica_id=self._replica_id,
            ready=self._ready,
            size=config.queue_size,
            retention=config.retention,
            last_attempts=coordination.last_attempts,
            dropped=lambda reason: self._stats.add("dropped", reason),
            buried=lambda event: self._stats.add("dead", event),
            proven=lambda: self._ears.proven(shard_id),
        )
        # Shards come and go: whoever hosted this one before has more than a newcomer.
        seniority = Seniority(
            coordination.members, self._replica_id, shard_id, led=count is not None, clock=self._clock
        )
        shard = LeaderShard(journal, seniority, number, count, may_act)
        shard.election = coordination.elections.open(
            shard_id,
            lambda leadership: self._elected(shard, leadership),
            lambda leadership: self._deposed(shard, leadership),
            participate=config.participate_in_election,
            guard=guard,
        )
        shard.election.on_asked = lambda: self._ask_to_resign(shard, True)
        shard.election.on_vacant = self._wake.set  # a young replica may stand now: at once
        coordination.journals.open(shard_id, journal, number, count or 1)
        coordination.reconciliation.listen(shard_id, journal.questions.on_answer)
        with self._lock:
            self._shards = {**self._shards, shard_id: shard}

    def retire(self, shard_id: int) -> None:
        """Hands a shard's leadership over for good, and keeps its journal. Does not block; see ``is_out``."""
        shard = self._shards.get(shard_id)
        if shard is not None and not shard.retired:
            shard.retired = True
            shard.stands = False
            self._coordination.members.poke()  # nobody is to wait for it
            self._ask_to_resign(shard, False)

    def leads(self, shard_id: int) -> bool:
        """Whether this replica leads a shard. No I/O; any thread."""
        shard = self._shards.get(shard_id)
        return shard is not None and shard.election.is_leader

    def passed_over(self, shard_id: int, before: float) -> bool:
        """Whether this replica stands for a shard's election and keeps what came in before a moment, and what
        the leader has left out: nobody else may have received it. No I/O; any thread.
        """
        shard = self._shards.get(shard_id)
        if shard is None or not shard.stands or shard.election.is_leader:
            return False
        return shard.journal.passed_over(before)

    def is_out(self, shard_id: int) -> bool:
        """Whether a retired shard is led by others now, or could be. No I/O; any thread."""
        shard = self._shards.get(shard_id)
        return shard is None or (shard.resign is None and shard.election.is_out)

    def close(self, shard_id: int) -> None:
        """Forgets a shard: its journal and its election. Blocks for a moment. Idempotent."""
        with self._lock:
            shard = self._shards.get(shard_id)
            self._shards = {known: other for known, other in self._shards.items() if known != shard_id}
        if shard is not None:
            self._coordination.journals.close(shard_id)
            self._coordination.reconciliation.close(shard_id)
            self._reconciler.forget(shard)
            self._coordination.elections.close(shard.election, timeout=1.0)

    def oldest(self, shard_id: int) -> float | None:
        """When the oldest event in a shard's journal came in. No I/O; any thread."""
        shard = self._shards.get(shard_id)
        return shard.journal.oldest if shard is not None else None

    def busy(self, shard_id: int) -> bool:
        """Whether events of a shard run here, or wait for their mark, or wait to be run by this leader."""
        shard = self._shards.get(shard_id)
        return shard is not None and shard.busy

    def backlog(self) -> float:
        """For how many seconds the oldest event has waited that this replica is to run as a leader."""
        now = self._clock()
        waits = [now - since for shard in self._shards.values() if (since := shard.waiting_since) is not None]
        return max(waits, default=0.0)

    def stop(self) -> None:
        """Ends the thread. Blocks for a call in flight. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    # -- leadership ------------------------------------------------------------------------------------------

    def hears(self, shard_id: int, connected: bool) -> None:
        """The shard is connected to Discord, or has not been for too long: stand for election in time, or
        hand over. Does not block.
        """
        shard = self._shards.get(shard_id)
        if shard is None:
            return
        shard.hears = connected
        if shard.retired:
            return
        if connected and not shard.stands:
            self._wake.set()
        elif not connected and shard.stands:
            shard.stands = False
            self._ask_to_resign(shard, False)

    def ages(self) -> dict[str, float]:
        """For how many seconds each shard's gateway session has lasted: for the member record."""
        return {
            str(key): round(age, 3)
            for key, shard in self._shards.items()
            if (age := shard.seniority.age) is not None and not shard.retired
        }

    def in_doubt(self, shard_id: int) -> bool:
        """Whether the shard's leader, or the next one, does not know yet of this replica's gateway session,
        or is to be asked what it has handled of what came in just as that began: for a short time. No I/O;
        any thread.
        """
        shard = self._shards.get(shard_id)
        age = shard.seniority.age if shard is not None else None
        if shard is None or age is None or age >= DOUBT or not shard.journal.questions.in_doubt:
            return False
        leader = shard.election.leader
        if leader is None:
            return bool(self._coordination.members.records().keys() - {self._replica_id})
        return leader != self._replica_id

    def new_session(self, shard_id: int) -> None:
        """The gateway began a new session for the shard. Gateway thread.

        Whatever happened since the last one, this replica has not received: if it leads, another that has
        must, and it does not stand before those.
        """
        shard = self._shards.get(shard_id)
        if shard is not None:
            # Nothing that comes now may be run before what another has received meanwhile.
            shard.journal.deactivate()
            shard.journal.on_new_session()
            shard.fresh = True
            self._reconciler.new_session(shard)
            shard.seniority.begin()
            self._wake.set()
            self._coordination.members.poke()
            if shard.stands:
                self._ask_to_resign(shard, False)

    def finish(self, timeout: float, hurry: Callable[[], bool] | None) -> None:
        """Waits until the shards that this replica leads have no event left of those that came in before this
        call, and that no other replica has received. Blocks for ``timeout`` seconds at the most, or until
        ``hurry``.
        """
        begun = self._clock()

        def may_leave(key: int, shard: LeaderShard) -> bool:
            oldest = shard.journal.oldest if shard.election.is_leader else None
            return oldest is None or oldest > begun or self._has_received(key, oldest)

        while self._clock() < begun + timeout and not (hurry is not None and hurry()):
            if all(may_leave(key, shard) for key, shard in self._shards.items()):
                return
            self._stop.wait(0.005)

    def hand_over(self, timeout: float) -> int:
        """Gives up all leaderships and candidatures, for good. Blocks until etcd has taken it, or for
        ``timeout`` seconds for each shard.

        :return: how many events had no turn, and no other replica is known to have received.
        """
        with self._lock:
            self._over = True
        undone = 0
        for key, shard in self._shards.items():
            leads = shard.election.is_leader
            self._hand_over(shard, again=False, timeout=timeout)
            if leads:
                undone += sum(not self._has_received(key, moment) for moment in shard.journal.in_line())
        return undone

    def election(self, shard_id: int) -> Election | None:
        """The election of a shard that this replica takes part in, or observes."""
        shard = self._shards.get(shard_id)
        return shard.election if shard is not None else None

    def _ask_to_resign(self, shard: LeaderShard, again: bool) -> None:
        shard.resign = again
        self._wake.set()

    def _hand_over(self, shard: LeaderShard, *, again: bool, timeout: float) -> None:
        leadership = shard.election.leadership
        if leadership is not None:
            shard.journal.hand_over(leadership)
        shard.stands = again and shard.hears and not shard.retired
        shard.election.resign(shard.stands, timeout=timeout)

    def _elected(self, shard: LeaderShard, leadership: LeaderTerm) -> None:
        shard.seniority.led()
        shard.elected = leadership
        self._wake.set()

    def _deposed(self, shard: LeaderShard, leadership: LeaderTerm) -> None:
        shard.elected = None
        shard.journal.deactivate()

    def _run(self) -> None:
        while not self._stop.is_set():
            waiting = [shard for shard in self._shards.values() if shard.hears and not shard.stands]
            vacant = any(shard.seniority.waits for shard in waiting)
            busy = waiting or any(shard.elected or shard.fresh for shard in self._shards.values())
            due = min((self._reconciler.due(shard) for shard in self._shards.values()), default=TIDY)
            self._wake.wait(min(due, LOOK_SOON if vacant else LOOK if busy else TIDY))
            self._wake.clear()
            self._note_sessions()
            for shard in self._shards.values():
                try:
                    self._tend(shard)
                    self._reconciler.tend(shard)
                except DiscordHAError as error:
                    _log.warning("shard %d: its leader waits: %s", shard.election.shard_id, error)
                    self._wake.set()
                    self._stop.wait(0.1)
                except Exception:  # noqa: BLE001 - the thread must not end
                    _log.exception("shard %d: the leader's work failed", shard.election.shard_id)
            if self._clock() - self._tidied >= TIDY:
                self._tidied = self._clock()
                for shard in self._shards.values():
                    shard.journal.sweep()

    def _note_sessions(self) -> None:
        """Writes a marker after gateway sessions began: what others receive once they have seen it comes in
        here, too.
        """
        fresh = [shard for shard in self._shards.values() if shard.fresh]
        grant = self._coordination.session.current
        if not fresh or grant is None or not self._coordination.watch.alive:
            return
        for shard in fresh:
            shard.fresh = False
        sessions = {shard: shard.journal.sessions for shard in fresh}
        told: dict[LeaderShard, int] = {}
        try:
            for shard in fresh:
                told[shard] = self._coordination.reconciliation.greet(
                    shard.election.shard_id, lease=grant.lease_id
                )
            shown = self._coordination.watch.wait_revision(max(told.values()), CATCH_UP)
        except (DiscordHAError, LeaseNotFound):
            shown = False
        for shard in fresh:
            if not shown or not shard.journal.note_session(told[shard], sessions[shard]):
                shard.fresh = True

    def _tend(self, shard: LeaderShard) -> None:
        resign, shard.resign = shard.resign, None
        if resign is not None:
            self._hand_over(shard, again=resign, timeout=1.0)
        waiting = shard.hears and not shard.stands and not shard.retired
        if waiting and shard.seniority.may_stand(shard.election.leader):
            with self._lock:
                if not self._over and not shard.retired:
                    shard.stands = True
                    shard.election.campaign()
        leadership = shard.elected
        if leadership is None or not leadership.alive or not shard.may_act():
            return
        # A marker behind everything that was written before tells that the watch has shown all of it.
        if not self._coordination.watch.sync(CATCH_UP, lease=leadership.lease_id):
            self._wake.set()
            return
        shard.elected = None
        if leadership.alive:
            _log.info("leads shard %d (token %d)", shard.number, leadership.fencing_token)
            shard.journal.activate(leadership)
            shard.journal.bury_orphans()

    # -- events ----------------------------------------------------------------------------------------------

    def received(self, item: Item) -> None:
        """Takes an event. Gateway thread."""
        shard = self._shards.get(item.event.shard_id)
        if shard is not None:
            shard.received(item)

    def _ready(self, entries: Sequence[Entry]) -> None:
        """The journal says that these are to be run here, under its lock."""
        for entry in entries:
            entry.item.entry = entry
        self._put([entry.item for entry in entries])

    def begin(self, item: Item) -> CurrentEvent | None:
        """Before an event is run; ``None`` when it is not this replica's to run. Handler threads; may block
        on etcd.
        """
        shard = self._shards.get(item.event.shard_id)
        return shard.begin(item, self._stats) if shard is not None else None

    def finished(self, item: Item, outcome: Outcome) -> None:
        """After an event was run. Handler threads; never blocks."""
        shard = self._shards.get(item.event.shard_id)
        if shard is not None:
            shard.finished(item, outcome)

    @property
    def under_way(self) -> int:
        """How many events run here, or wait for their mark."""
        return sum(shard.journal.under_way for shard in self._shards.values())

    def sizes(self) -> dict[int, int]:
        """How many events each shard's journal holds."""
        return {shard_id: len(shard.journal) for shard_id, shard in self._shards.items()}

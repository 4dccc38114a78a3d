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
from discordha.coordination.assembly import Coordination
from discordha.coordination.candidates import Leadership
from discordha.coordination.election import Election
from discordha.coordination.journal import Journal
from discordha.coordination.journal_entries import Entry
from discordha.coordination.journal_tally import SETTLE
from discordha.coordination.store import Compare
from discordha.errors import DiscordHAError
from discordha.events import guild_of
from discordha.runner import Outcome
from discordha.stats import Stats

if TYPE_CHECKING:
    from discordha.dispatcher import Item

__all__ = ["LeaderEvents"]

_log = logging.getLogger(__name__)

#: How often old entries are forgotten, seconds.
TIDY = 5.0
#: Among replicas whose gateway sessions are all young, the oldest stands first: the others wait this long,
#: seconds, for as long as nobody leads.
YIELD = 1.0
#: Sessions that began within so many seconds count as equally old.
SAME_AGE = 0.05
#: How often such a replica looks whether its turn has come, seconds; it also looks when nobody is left.
LOOK = 0.1
#: The same while nobody leads, seconds.
LOOK_SOON = 0.02
#: States in which a replica does not stand for election.
LEAVING = frozenset({"draining", "stopping", "deaf"})
#: How long the watch may take to show a new leader what its predecessors did, seconds; then it is asked
#: again.
CATCH_UP = 2.0


def _always() -> bool:
    return True


class _Shard:
    """One shard's election and journal. ``hears``: connected to Discord."""

    def __init__(self, journal: Journal, number: int, count: int | None, may_act: Callable[[], bool]) -> None:
        self.journal = journal
        self.number = number
        self.count = count
        self.may_act = may_act
        self.retired = False  # leads no more, and does not stand
        self.fresh = False  # a gateway session has begun, and etcd does not know yet
        self.election: Election
        self.elected: Leadership | None = None  # to be made to act
        self.resign: bool | None = None  # asked to resign; true: stand again at once
        self.hears = False
        self.stands = False
        self.since = 0.0  # when its gateway session began
        self.saw_leader = False
        self.leaderless_since: float | None = None


class LeaderEvents:
    """See the module.

    :param put: gives items to the handler threads, in order.
    """

    def __init__(
        self,
        config: Config,
        coordination: Coordination,
        replica_id: str,
        stats: Stats,
        put: Callable[[Sequence[Item]], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._coordination = coordination
        self._replica_id = replica_id
        self._stats = stats
        self._put = put
        self._clock = clock
        self._lock = threading.Lock()
        self._shards: dict[int, _Shard] = {}
        self._over = False
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._tidied = clock()
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
            max_attempts=config.max_attempts,
            dropped=lambda reason: self._stats.add("dropped", reason),
            buried=lambda event: self._stats.add("dead", event),
            revision=lambda: coordination.watch.revision,
        )
        shard = _Shard(journal, number, count, may_act)
        # Shards come and go: whoever hosted this one before has more than a newcomer.
        shard.saw_leader = count is not None
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
            self._coordination.elections.close(shard.election, timeout=1.0)

    def oldest(self, shard_id: int) -> float | None:
        """When the oldest event in a shard's journal came in. No I/O; any thread."""
        shard = self._shards.get(shard_id)
        return shard.journal.oldest if shard is not None else None

    def busy(self, shard_id: int) -> bool:
        """Whether events of a shard run here, or wait for their mark, or wait to be run by this leader."""
        shard = self._shards.get(shard_id)
        if shard is None:
            return False
        return shard.election.is_leader or shard.journal.under_way > 0

    def backlog(self) -> float:
        """For how many seconds the oldest event has waited that this replica is to run as a leader."""
        now = self._clock()
        waits = [now - oldest for shard in self._shards.values() if (oldest := _in_line(shard)) is not None]
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

    def _may_stand(self, shard: _Shard) -> bool:
        """Whether a replica that hears may stand for election.

        A journal that has just begun may lack what is still under way: others should lead first.
        """
        now = self._clock()
        age = now - shard.since
        if age >= SETTLE:
            return True
        if shard.election.leader is not None:
            shard.saw_leader = True
            shard.leaderless_since = None
            return False
        if not shard.saw_leader or not self._older_peers(shard.election.shard_id, age):
            return True
        if shard.leaderless_since is None:
            shard.leaderless_since = now
        return now - shard.leaderless_since >= YIELD

    def _older_peers(self, shard_id: int, age: float) -> bool:
        """Whether a peer has heard the shard without a break for longer, as far as is known."""
        members = self._coordination.members
        for replica, record in members.records().items():
            heard = record.get("hears")
            since = heard.get(str(shard_id)) if isinstance(heard, dict) else None
            if replica == self._replica_id or not isinstance(since, int | float):
                continue
            if record.get("state") in LEAVING:
                continue  # it does not stand
            if since + members.silence(replica) > age + SAME_AGE:
                return True
        return False

    def ages(self) -> dict[str, float]:
        """For how many seconds each shard's gateway session has lasted: for the member record."""
        now = self._clock()
        return {
            str(key): round(now - shard.since, 3)
            for key, shard in self._shards.items()
            if shard.since and not shard.retired
        }

    def new_session(self, shard_id: int) -> None:
        """The gateway began a new session for the shard. Gateway thread.

        Whatever happened since the last one, this replica has not received: if it leads, another that has
        must, and it does not stand before those.
        """
        shard = self._shards.get(shard_id)
        if shard is not None:
            # Nothing that comes now may be run before what another has received meanwhile.
            shard.journal.deactivate()
            shard.fresh = True  # first: a marker that is under way is that of the session before
            shard.journal.on_new_session()
            shard.since = self._clock()
            self._wake.set()
            self._coordination.members.poke()
            if shard.stands:
                self._ask_to_resign(shard, False)

    def hand_over(self, timeout: float) -> None:
        """Gives up all leaderships and candidatures, for good. Blocks until etcd has taken it, or for
        ``timeout`` seconds for each shard.
        """
        with self._lock:
            self._over = True
        for shard in self._shards.values():
            self._hand_over(shard, again=False, timeout=timeout)

    def election(self, shard_id: int) -> Election | None:
        """The election of a shard that this replica takes part in, or observes."""
        shard = self._shards.get(shard_id)
        return shard.election if shard is not None else None

    def _ask_to_resign(self, shard: _Shard, again: bool) -> None:
        shard.resign = again
        self._wake.set()

    def _hand_over(self, shard: _Shard, *, again: bool, timeout: float) -> None:
        leadership = shard.election.leadership
        if leadership is not None:
            shard.journal.hand_over(leadership)
        shard.stands = again and shard.hears and not shard.retired
        shard.election.resign(shard.stands, timeout=timeout)

    def _elected(self, shard: _Shard, leadership: Leadership) -> None:
        shard.saw_leader = True
        shard.elected = leadership
        self._wake.set()

    def _deposed(self, shard: _Shard, leadership: Leadership) -> None:
        shard.elected = None
        shard.journal.deactivate()

    def _run(self) -> None:
        while not self._stop.is_set():
            waiting = [shard for shard in self._shards.values() if shard.hears and not shard.stands]
            vacant = any(shard.leaderless_since is not None for shard in waiting)
            busy = waiting or any(shard.elected or shard.fresh for shard in self._shards.values())
            self._wake.wait(LOOK_SOON if vacant else LOOK if busy else TIDY)
            self._wake.clear()
            self._note_sessions()
            for shard in self._shards.values():
                try:
                    self._tend(shard)
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
        try:
            noted = self._coordination.watch.sync(CATCH_UP, lease=grant.lease_id)
        except DiscordHAError:
            noted = False
        for shard in fresh:
            if not noted:
                shard.fresh = True
            elif not shard.fresh:
                shard.journal.note_session(self._coordination.watch.revision)

    def _tend(self, shard: _Shard) -> None:
        resign, shard.resign = shard.resign, None
        if resign is not None:
            self._hand_over(shard, again=resign, timeout=1.0)
        if shard.hears and not shard.stands and not shard.retired and self._may_stand(shard):
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
            partition = "0" if shard.count is None else str(guild_of(item.event, shard.number, shard.count))
            shard.journal.received(item.key, item.lane, item, item.event.raw, partition=partition)

    def _ready(self, entries: Sequence[Entry]) -> None:
        """The journal says that these are to be run here, under its lock."""
        for entry in entries:
            entry.item.entry = entry
        self._put([entry.item for entry in entries])

    def begin(self, item: Item) -> CurrentEvent | None:
        """Before an event is run; ``None`` when it is not this replica's to run. Handler threads; may block
        on etcd.
        """
        entry: Entry | None = item.entry
        shard = self._shards.get(item.event.shard_id)
        if entry is None or shard is None or not shard.journal.begin(entry):
            return None
        leadership = entry.leadership
        assert leadership is not None
        if entry.attempt > 1:
            self._stats.add("taken_over", item.event.name)
            _log.info("%s is run again (attempt %d)", item.key, entry.attempt)
        event = item.event
        return CurrentEvent(
            identity=event.identity.key,
            name=event.name,
            attempt=entry.attempt,
            shard_id=shard.number,
            fencing_token=leadership.fencing_token,
            occurrence=entry.occurrence,
            is_lost=lambda: entry.lost,
        )

    def finished(self, item: Item, outcome: Outcome) -> None:
        """After an event was run. Handler threads; never blocks."""
        entry: Entry = item.entry
        shard = self._shards.get(item.event.shard_id)
        if shard is not None:
            shard.journal.finished(entry, handled=outcome is not Outcome.LOST)

    @property
    def under_way(self) -> int:
        """How many events run here, or wait for their mark."""
        return sum(shard.journal.under_way for shard in self._shards.values())

    def sizes(self) -> dict[int, int]:
        """How many events each shard's journal holds."""
        return {shard_id: len(shard.journal) for shard_id, shard in self._shards.items()}


def _in_line(shard: _Shard) -> float | None:
    return shard.journal.oldest_in_line if shard.election.is_leader and shard.may_act() else None

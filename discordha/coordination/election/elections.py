"""Elections: which replica leads a shard, and until when it may believe so.

Guarantees
- At most one replica holds a living ``LeaderTerm`` of a shard. The term ends by the session's local deadline,
  without asking etcd. A write that must not happen twice carries the term's ``guard``, which etcd checks.
- The fencing token grows with each leader.
- A candidate never gives up silently: after a lost session, an outage of etcd, a lost watch, or a deleted key
  it campaigns again, at the back of the queue.
- After ``resign`` the next candidate leads as soon as its watch shows the deletion: milliseconds.

Nobody leads between a leader's death and the end of its lease. A leader's code does not stop when its term
ends: it must check ``alive``, or write with ``guard``.

Source: the recipe of etcd's ``client/v3/concurrency``: one key per candidate under its lease, the lowest
create revision leads. Here, candidates also read again after waiting, before they believe that they lead.

Threads and locks
- ``discordha-election`` serves all shards: started by ``start``, joined by ``stop``. It alone calls etcd.
- ``_lock`` guards the state of every ``Election``, the view of the candidates and waiting notifications. No
  I/O and no callback under it.
- ``on_elected`` and ``on_deposed`` run as ``SerialNotifier`` says, on the thread that learned of the change
  (the election's, the session's, the watch's, the caller of ``resign``); they must not block.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from discordha.coordination.election.candidates import CandidateList, CandidateStore, CandidateView, record_of
from discordha.coordination.election.election import FIRST_PAUSE, Election, LeaderTerm, SerialNotifier
from discordha.coordination.etcd.store import Compare, LeaseNotFound, Snapshot, Store, WatchEvent
from discordha.coordination.membership.shard_keys import number_of
from discordha.coordination.session import Grant, Session
from discordha.errors import DiscordHAError, StoreUnavailable
from discordha.process.threads import unending

__all__ = ["Elections"]

_log = logging.getLogger(__name__)

#: How often a candidate asks etcd while the watch is down, seconds.
POLL = 0.5
#: The longest pause between two tries while etcd does not answer, seconds. Pauses double from the first on.
LAST_PAUSE = 0.5


class Elections:
    """All elections of one replica. Listens to the component ``l`` below the key prefix ``root``."""

    def __init__(
        self,
        store: Store,
        session: Session,
        root: str,
        replica_id: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._replica_id = replica_id
        self._clock = clock
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)  # an election is no longer leaving
        self._elections: dict[int, Election] = {}
        self._view = CandidateView(f"{root}l/")
        self._candidates = CandidateStore(store, f"{root}l/", replica_id)
        self._watching = False
        self._notifier = SerialNotifier(self._lock)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-election", daemon=True
        )
        session.add_listener(self._on_session, self._on_session_lost)

    def open(
        self,
        shard_id: int,
        on_elected: Callable[[LeaderTerm], None],
        on_deposed: Callable[[LeaderTerm], None],
        *,
        participate: bool = True,
        guard: Sequence[Compare] = (),
    ) -> Election:
        """Starts to observe a shard's election; ``campaign`` makes this replica a candidate. Does not block.

        :param participate: false makes this replica an observer that never campaigns.
        :param guard: conditions that etcd checks when a candidate registers.
        """
        election = Election(self, shard_id, on_elected, on_deposed, participate=participate, guard=guard)
        with self._lock:
            if shard_id in self._elections:
                raise ValueError(f"the election of shard {shard_id} is open already")
            self._elections[shard_id] = election
        return election

    def first(self, shard_id: int) -> str | None:
        """The leader of any shard as the watch shows it, also of one not opened here. No I/O; any thread."""
        return self._view.first(shard_id)

    def has_candidate_below(self, shard_id: int) -> bool:
        """Whether a shard with a lower key has a candidate or a leader. No I/O; any thread."""
        return self._view.lowest_shard < shard_id

    def close(self, election: Election, *, timeout: float = 0.0) -> None:
        """Resigns and forgets the election. Blocks for at most ``timeout`` seconds."""
        self.resign(election, False, timeout)
        with self._lock:
            election.closed = True
            if not election.leaving:
                self._elections.pop(election.shard_id, None)  # else the thread does so once etcd has answered

    def start(self) -> None:
        """Starts the thread. Does not block. A second call raises ``RuntimeError``."""
        self._thread.start()

    def stop(self) -> None:
        """Ends all terms here, and the thread, after the call in flight. Keys stay until the session ends:
        resign first. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        with self._lock:
            for election in self._elections.values():
                election.wanted = False
                self._depose(election)
            self._left.notify_all()
        self._notifier.deliver()

    # -- called by Election ----------------------------------------------------------------------------------

    def campaign(self, election: Election) -> None:
        """See ``Election.campaign``."""
        with self._lock:
            election.wanted = election.participate and not election.closed
        self._wake.set()

    def withdraw(self, election: Election) -> None:
        """See ``Election.withdraw``."""
        with self._lock:
            election.participate = False

    def resign(self, election: Election, again: bool, timeout: float) -> bool:
        """See ``Election.resign``."""
        with self._lock:
            election.wanted = again and election.participate
            election.leaving = election.entered is not None
            self._depose(election)
        self._wake.set()
        self._notifier.deliver()
        if threading.current_thread() is self._thread:
            return not election.leaving
        with self._lock:
            self._left.wait_for(lambda: not election.leaving or self._stop.is_set(), timeout)
            return not election.leaving

    def leader(self, election: Election) -> str | None:
        """See ``Election.leader``."""
        if election.is_leader:
            return self._replica_id
        first = self._view.first(election.shard_id)
        return first if first != self._replica_id else None  # this replica's own term has ended

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            with self._lock:
                elections = list(self._elections.values())
            for election in elections:
                while (
                    not self._stop.is_set() and self._clock() >= election.retry_at and self._advance(election)
                ):
                    pass
            self._wake.wait(self._until_next(elections))

    def _until_next(self, elections: Sequence[Election]) -> float | None:
        """Seconds until the next retry or poll; ``None`` if there is none."""
        now = self._clock()
        with self._lock:
            due = [election.retry_at for election in elections if election.retry_at > now]
            if not self._watching and any(e.wanted and e.term is None for e in elections):
                for election in elections:
                    election.outdated = True
                due.append(now + POLL)
        return max(min(due) - now, 0.0) if due else None

    def _advance(self, election: Election) -> bool:
        """Takes an election's next step; false if there is none, or etcd does not answer."""
        step = self._next_step(election)
        self._notifier.deliver()
        if step is None:
            return False
        try:
            step()
        except LeaseNotFound:  # the session's next renewal finds out; then a new grant begins
            self._pause(election)
            return False
        except DiscordHAError as error:
            if election.pause == FIRST_PAUSE:
                _log.warning("the election of shard %d waits: %s", number_of(election.shard_id), error)
            self._pause(election)
            if isinstance(error, StoreUnavailable):
                with self._lock:  # etcd would not take the others' steps either
                    for other in self._elections.values():
                        other.retry_at = max(other.retry_at, election.retry_at)
            return False
        election.pause = FIRST_PAUSE
        self._notifier.deliver()
        return True

    def _pause(self, election: Election) -> None:
        election.retry_at = self._clock() + election.pause
        election.pause = min(election.pause * 2, LAST_PAUSE)

    def _next_step(self, election: Election) -> Callable[[], None] | None:
        grant = self._session.current
        with self._lock:
            if election.term is not None and not election.term.alive:
                self._depose(election)
            if election.entered is not None and election.entered is not grant:
                self._forget_key(election)  # deleted with its lease
            if election.leaving:
                return lambda: self._leave(election)
            if election.closed:
                self._elections.pop(election.shard_id, None)
                return None
            if not election.wanted or grant is None or election.term is not None:
                return None
            if election.entered is None or not election.revision:
                election.entered = grant
                election.outdated = False
                return lambda: self._enter(election, grant)
            if election.outdated:
                election.outdated = False
                return lambda: self._read(election, grant)
            return None

    def _enter(self, election: Election, grant: Grant) -> None:
        """Registers as a candidate. May be repeated."""
        candidates = self._candidates.enter(election.shard_id, grant, election.guard)
        if candidates is not None:
            self._decide(election, grant, candidates)
            return
        with self._lock:  # the guard forbids it: the shard is over
            election.wanted = False
            self._forget_key(election)

    def _read(self, election: Election, grant: Grant) -> None:
        """Reads the candidates again after waiting."""
        try:
            candidates = self._candidates.read(election.shard_id, grant)
        except DiscordHAError:
            with self._lock:
                election.outdated = True
            raise
        self._decide(election, grant, candidates)

    def _decide(self, election: Election, grant: Grant, candidates: CandidateList) -> None:
        mine = candidates.mine
        with self._lock:
            if election.entered is not grant:
                return
            if mine is None:
                self._forget_key(election)  # somebody deleted it
                return
            election.revision = mine.create_revision
            leads = candidates.first == mine.create_revision
            if leads and election.wanted and not election.leaving and grant.alive:
                election.term = LeaderTerm(election.shard_id, mine.key, mine.create_revision, grant)
                self._notifier.put(election.on_elected, election.term)
                _log.info("leads shard %d (token %d)", number_of(election.shard_id), mine.create_revision)

    def _leave(self, election: Election) -> None:
        grant, revision = election.entered, election.revision
        if grant is not None:
            self._candidates.leave(election.shard_id, grant, revision)
        with self._lock:
            self._forget_key(election)

    def _forget_key(self, election: Election) -> None:
        """Caller holds the lock."""
        election.entered = None
        election.revision = 0
        election.outdated = False
        election.leaving = False
        self._left.notify_all()

    def _depose(self, election: Election) -> None:
        """Ends the term, if there is one. Caller holds the lock, and delivers notifications afterwards."""
        term, election.term = election.term, None
        if term is not None:
            term.end()
            self._notifier.put(election.on_deposed, term)
            _log.info("no longer leads shard %d (token %d)", number_of(election.shard_id), term.fencing_token)

    # -- the session -----------------------------------------------------------------------------------------

    def _on_session(self, grant: Grant) -> None:
        with self._lock:
            for election in self._elections.values():
                election.retry_at = 0.0
                election.pause = FIRST_PAUSE
        self._wake.set()

    def _on_session_lost(self, grant: Grant) -> None:
        with self._lock:
            for election in self._elections.values():
                if election.term is not None and not election.term.alive:
                    self._depose(election)
        self._notifier.deliver()
        self._wake.set()

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        with self._lock:
            self._watching = True
            self._view.on_snapshot(snapshot)
            for election in self._elections.values():
                election.outdated = True
                term = election.term
                if term is None or term.key in self._view.keys:
                    continue
                if snapshot.revision >= term.fencing_token:  # somebody deleted the leader's key
                    self._depose(election)
                    self._forget_key(election)
        self._wake.set()
        self._notifier.deliver()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        asked: list[Election] = []
        vacant: list[Election] = []
        with self._lock:
            if not self._watching:
                self._watching = True
                for election in self._elections.values():
                    election.outdated = True
            self._view.on_events(revision, events)
            for kind, kv in events:
                concerned = self._elections.get(self._view.shard_of(kv.key))
                if concerned is None:
                    continue
                concerned.outdated = True
                if kind == "delete" and self._view.first(concerned.shard_id) is None:
                    vacant.append(concerned)
                term = concerned.term
                if term is None or term.key != kv.key or kv.mod_revision <= term.fencing_token:
                    continue
                if kind == "delete":
                    self._depose(concerned)
                    self._forget_key(concerned)
                elif record_of(kv).get("resign"):
                    asked.append(concerned)
        for election in asked:
            _log.info("asked to resign from shard %d", number_of(election.shard_id))
            election.on_asked()
        for election in vacant:
            election.on_vacant()
        self._wake.set()
        self._notifier.deliver()

    def on_lost(self) -> None:
        """From now on candidates poll etcd. A leader leads on, since only its lease counts."""
        with self._lock:
            self._watching = False
        self._wake.set()

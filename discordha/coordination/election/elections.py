"""Election: which replica leads a shard, and from when on it may no longer believe so.

Promises
- At most one replica holds a living ``Leadership`` of a shard. It dies by the local deadline of the session,
  without asking anybody; writes that must not happen twice carry its ``guard``, which etcd checks.
- The fencing token grows with each leader.
- A candidate is never given up silently: after a lost session, an outage of etcd, a lost watch, or a key that
  someone deleted it campaigns again, at the back of the queue.
- After ``resign`` the next candidate leads as soon as its watch shows the delete: milliseconds.

Does not promise that somebody leads: after the death of a leader nobody does until its lease has run out. Nor
that a leader's code stops when the leadership ends: it must ask ``alive``, or write with ``guard``.

Source: the recipe of etcd's ``client/v3/concurrency``: one key a candidate under its lease, the lowest create
revision leads. Unlike there, candidates read again after waiting, before they believe that they lead.

Concurrency
- One thread for all shards, ``discordha-election``, owned by ``Elections``: started by ``start``, joined by
  ``stop``. It alone talks to etcd, except for ``proclaim``.
- ``_lock`` guards every ``Election``'s state, the view of the candidates and the notices; no I/O and no
  callback under it.
- ``on_elected`` and ``on_deposed`` are called in the order in which things happened, one at a time, with no
  lock held, on whichever thread learned of it (the election's, the session's, the watch's, the caller of
  ``resign``). They must be quick and must not call etcd.
- At stop the thread ends after the call in flight; leadership ends locally; the keys go with the session.
- At a lost lease leadership ends at once, on the session's thread. At a lost watch candidates ask etcd every
  ``POLL`` seconds until it is back; a leader leads on, since only its lease counts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from discordha.coordination.election.candidate_store import Ballot, Standing
from discordha.coordination.election.candidates import Candidates, Leadership
from discordha.coordination.election.election import FIRST_PAUSE, Election
from discordha.coordination.election.notifier import Notices
from discordha.coordination.etcd.store import (
    Compare,
    LeaseNotFound,
    Snapshot,
    Store,
    WatchEvent,
)
from discordha.coordination.session import Grant, Session
from discordha.errors import DiscordHAError, NotLeader

__all__ = ["Elections"]

_log = logging.getLogger(__name__)

#: How often a candidate asks etcd while the watch is down, seconds.
POLL = 0.5
#: The longest pause between two tries while etcd does not answer, seconds: doubled from the first on.
LAST_PAUSE = 0.5


class Elections:
    """All elections of one replica. A ``WatchListener`` for the component ``l``.

    :param root: key prefix of the bot, ending in ``/``.
    """

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
        self._left = threading.Condition(self._lock)  # some election is no longer leaving
        self._elections: dict[int, Election] = {}
        self._candidates = Candidates(f"{root}l/")
        self._ballot = Ballot(store, f"{root}l/", replica_id)
        self._watching = False
        self._notices = Notices(self._lock)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discordha-election", daemon=True)
        self.elected = 0
        self.deposed = 0
        session.add_listener(self._on_session, self._on_session_lost)

    def open(
        self,
        shard_id: int,
        on_elected: Callable[[Leadership], None],
        on_deposed: Callable[[Leadership], None],
        *,
        participate: bool = True,
        guard: Sequence[Compare] = (),
    ) -> Election:
        """Begins to observe a shard's election; ``campaign`` makes it a candidate. Does not block.

        :param participate: false only observes, for ever.
        :param guard: without these, etcd lets nobody stand any more.
        """
        election = Election(self, shard_id, on_elected, on_deposed, participate)
        election.guard = guard
        with self._lock:
            if shard_id in self._elections:
                raise ValueError(f"the election of shard {shard_id} is open already")
            self._elections[shard_id] = election
        return election

    def first(self, shard_id: int) -> str | None:
        """Who leads a shard, whether or not this replica observes its election. No I/O; any thread."""
        return self._candidates.first(shard_id)

    def stands_before(self, shard_id: int) -> bool:
        """Whether anybody stands for, or leads, a shard with a lower key. No I/O; any thread."""
        return self._candidates.lowest < shard_id

    def close(self, election: Election, *, timeout: float = 0.0) -> None:
        """Resigns and forgets the election. Blocks for at most ``timeout`` seconds."""
        self.resign(election, False, timeout)
        with self._lock:
            election.closed = True
            if not election.leaving:
                self._elections.pop(election.shard_id, None)  # else the thread does, once etcd has taken it

    def start(self) -> None:
        """Starts the thread. Does not block. Twice raises ``RuntimeError``."""
        self._thread.start()

    def stop(self) -> None:
        """Ends all leaderships here, and the thread. Keys stay until the session ends: resign
        first. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        with self._lock:
            for election in self._elections.values():
                election.wanted = False
                self._depose(election)
            self._left.notify_all()
        self._notices.deliver()

    # -- what an Election asks for ---------------------------------------------------------------------------

    def campaign(self, election: Election) -> None:
        """See ``Election.campaign``."""
        with self._lock:
            election.wanted = election.participate and not election.closed
        self._wake.set()

    def resign(self, election: Election, again: bool, timeout: float) -> bool:
        """See ``Election.resign``."""
        with self._lock:
            election.wanted = again and election.participate
            election.leaving = election.entered is not None
            self._depose(election)
        self._wake.set()
        self._notices.deliver()
        if threading.current_thread() is self._thread:
            return not election.leaving
        with self._lock:
            self._left.wait_for(lambda: not election.leaving or self._stop.is_set(), timeout)
            return not election.leaving

    def proclaim(self, election: Election, record: Mapping[str, Any]) -> None:
        """See ``Election.proclaim``."""
        leadership = election.leadership
        if leadership is None or not self._ballot.proclaim(leadership, record):
            raise NotLeader(f"this replica does not lead shard {election.shard_id}")

    def leader(self, election: Election) -> str | None:
        """See ``Election.leader``."""
        if election.is_leader:
            return self._replica_id
        first = self._candidates.first(election.shard_id)
        return first if first != self._replica_id else None  # our own, which is ours no longer

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
        """Seconds until something is due by itself; ``None``: nothing is."""
        now = self._clock()
        with self._lock:
            due = [election.retry_at for election in elections if election.retry_at > now]
            if not self._watching and any(e.wanted and e.leading is None for e in elections):
                for election in elections:
                    election.look = True
                due.append(now + POLL)
        return max(min(due) - now, 0.0) if due else None

    def _advance(self, election: Election) -> bool:
        """Does the next thing there is to do for an election; false when there is nothing, or etcd does not
        answer."""
        step = self._next_step(election)
        self._notices.deliver()
        if step is None:
            return False
        try:
            step()
        except LeaseNotFound:
            # The session's thread will find out by its next renewal; then everything begins anew.
            self._pause(election)
            return False
        except DiscordHAError as error:
            if election.pause == FIRST_PAUSE:
                _log.warning("the election of shard %d waits: %s", election.shard_id, error)
            self._pause(election)
            return False
        election.pause = FIRST_PAUSE
        self._notices.deliver()
        return True

    def _pause(self, election: Election) -> None:
        election.retry_at = self._clock() + election.pause
        election.pause = min(election.pause * 2, LAST_PAUSE)

    def _next_step(self, election: Election) -> Callable[[], None] | None:
        grant = self._session.current
        with self._lock:
            if election.leading is not None and election.leading.lost:
                self._depose(election)
            if election.entered is not None and election.entered is not grant:
                self._forget_key(election)  # it went with its lease
            if election.leaving:
                return lambda: self._leave(election)
            if election.closed:
                self._elections.pop(election.shard_id, None)
                return None
            if not election.wanted or grant is None or election.leading is not None:
                return None
            if election.entered is None or not election.revision:
                election.entered = grant
                election.look = False
                return lambda: self._enter(election, grant)
            if election.look:
                election.look = False
                return lambda: self._look(election, grant)
            return None

    def _enter(self, election: Election, grant: Grant) -> None:
        """Stands as a candidate, or finds out that it does: may be repeated."""
        standing = self._ballot.enter(election.shard_id, grant, election.guard)
        if standing is not None:
            self._decide(election, grant, standing)
            return
        with self._lock:  # the guard: there is nothing to stand for any more
            election.wanted = False
            self._forget_key(election)

    def _look(self, election: Election, grant: Grant) -> None:
        """Reads the candidates again after waiting."""
        try:
            standing = self._ballot.look(election.shard_id, grant)
        except DiscordHAError:
            with self._lock:
                election.look = True
            raise
        self._decide(election, grant, standing)

    def _decide(self, election: Election, grant: Grant, standing: Standing) -> None:
        mine = standing.mine
        with self._lock:
            if election.entered is not grant:
                return
            if mine is None:
                self._forget_key(election)  # someone deleted it
                return
            election.revision = mine.create_revision
            leads = standing.first == mine.create_revision
            if leads and election.wanted and not election.leaving and grant.alive:
                election.leading = Leadership(election.shard_id, mine.key, mine.create_revision, grant)
                self.elected += 1
                self._notices.put(election.on_elected, election.leading)
                _log.info("leads shard %d (token %d)", election.shard_id, mine.create_revision)

    def _leave(self, election: Election) -> None:
        grant, revision = election.entered, election.revision
        if grant is not None:
            self._ballot.leave(election.shard_id, grant, revision)
        with self._lock:
            self._forget_key(election)

    def _forget_key(self, election: Election) -> None:
        """Caller holds the lock."""
        election.entered = None
        election.revision = 0
        election.look = False
        election.leaving = False
        self._left.notify_all()

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
                if election.leading is not None and election.leading.lost:
                    self._depose(election)
        self._notices.deliver()
        self._wake.set()

    def _depose(self, election: Election) -> None:
        """Ends the leadership, if there is one. Caller holds the lock, and notifies afterwards."""
        leading, election.leading = election.leading, None
        if leading is not None:
            leading.end()
            self.deposed += 1
            self._notices.put(election.on_deposed, leading)
            _log.info("no longer leads shard %d (token %d)", election.shard_id, leading.fencing_token)

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces the view of the candidates."""
        with self._lock:
            self._watching = True
            self._candidates.replace(snapshot)
            for election in self._elections.values():
                election.look = True
                leading = election.leading
                if leading is None or leading.key in self._candidates:
                    continue
                if snapshot.revision >= leading.fencing_token:  # somebody took the leadership away
                    self._depose(election)
                    self._forget_key(election)
        self._wake.set()
        self._notices.deliver()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Applies what candidates did."""
        asked: list[Election] = []
        vacant: list[Election] = []
        with self._lock:
            if not self._watching:
                self._watching = True
                for election in self._elections.values():
                    election.look = True
            self._candidates.apply(events)
            for kind, kv in events:
                concerned = self._elections.get(self._candidates.shard_of(kv.key))
                if concerned is None:
                    continue
                concerned.look = True
                if kind == "delete" and self._candidates.first(concerned.shard_id) is None:
                    vacant.append(concerned)
                leading = concerned.leading
                if leading is None or leading.key != kv.key or kv.mod_revision <= leading.fencing_token:
                    continue
                if kind == "delete":
                    self._depose(concerned)
                    self._forget_key(concerned)
                elif self._candidates.read(kv).get("resign"):
                    asked.append(concerned)
        for election in asked:
            _log.info("asked to resign from shard %d", election.shard_id)
            election.on_asked()
        for election in vacant:
            election.on_vacant()
        self._wake.set()
        self._notices.deliver()

    def on_lost(self) -> None:
        """From now on candidates ask etcd themselves."""
        with self._lock:
            self._watching = False
        self._wake.set()

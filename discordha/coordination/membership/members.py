"""Members: which replicas live, what each says of itself, and which of them is preferred for a channel.

Guarantees
- A replica's record exists in etcd while its session lives, and is written again under each new grant. It may
  outlive a dead replica by one TTL; safety never depends on it.
- The record is rewritten every ``interval`` seconds. That also keeps every replica's coordination watch busy:
  silence means that the watch is dead.
- ``rank`` agrees on all replicas that see the same members. Replicas that are not ready, for whatever
  reason, rank last; also those in a state that only another version knows.

Threads and locks
- ``discordha-members`` writes the record: started by ``start``, joined by ``stop`` after the write in flight.
- ``_writing`` is held while the record is made and written, so that no older one follows a newer one.
- ``_lock`` guards the view of the members and writes to the cache of ranks; nothing is called under it.
- Listener calls, and with them ``changed``, run on the watch's thread.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from typing import TypeAlias

from discordha._version import __version__
from discordha.coordination.etcd.store import (
    KeyValue,
    LeaseNotFound,
    Snapshot,
    Store,
    WatchEvent,
)
from discordha.coordination.membership import formats
from discordha.coordination.membership.admission import ReplicaIdentity
from discordha.coordination.membership.departures import LEAVING_STATES, Departures
from discordha.coordination.membership.placement import CACHED_RANKS, rank_among
from discordha.coordination.membership.rhythm import Rhythm
from discordha.coordination.membership.unreceived import Unreceived
from discordha.coordination.session import Grant, Session
from discordha.errors import DiscordHAError
from discordha.process.threads import note_failure, unending

__all__ = [
    "CACHED_RANKS",
    "DELIVERY_SKEW",
    "JSON",
    "NOT_READY",
    "READY",
    "Members",
    "session_age",
]

_log = logging.getLogger(__name__)

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

#: The state of a replica that was ready once, and is not, for whatever reason.
NOT_READY = "unready"
#: The state of a replica that receives events and takes new ones.
READY = "ready"
#: How much later than its rhythm a member's record may come in, seconds.
LATE = 0.3
#: How much later than one replica another may receive an event from Discord, seconds.
DELIVERY_SKEW = 1.0


def session_age(record: Mapping[str, JSON], shard: int) -> float | None:
    """Seconds that a member's gateway session of a shard had lasted when it wrote its record, if known."""
    ages = record.get("hears")
    age = ages.get(str(shard)) if isinstance(ages, dict) else None
    return age if isinstance(age, int | float) else None


def _state(records: Mapping[str, Mapping[str, JSON]], member: str) -> str | None:
    """A member's state; ``None`` without a record."""
    return str(records[member].get("state")) if member in records else None


class Members:
    """All members as one replica sees them, and its own record. Listens to the component ``m`` below the key
    prefix ``root``.

    ``draining`` holds the members that are about to leave; ``version`` grows when ranks may have changed.

    :param describe: adds to the record (load, counters, ``state``); quick; called for each write.
    :param interval: seconds between two writes, a third of the session's TTL.
    :param is_partitioned: whether the bot's claims are partitioned.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        root: str,
        replica_id: str,
        describe: Callable[[], Mapping[str, JSON]],
        *,
        interval: float,
        is_partitioned: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._session = session
        self._prefix = f"{root}m/"
        self._replica_id = replica_id
        self.key = self._prefix + replica_id  # of its record
        self._describe = describe
        self._interval = interval
        self._is_partitioned = is_partitioned
        self._started = int(time.time())  # for people who read the record
        self._state = "starting"
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._clock = clock
        self._records: dict[str, dict[str, JSON]] = {}
        self._rhythm = Rhythm(replica_id, interval, clock)
        self._unreceived = Unreceived(replica_id, self._rhythm, DELIVERY_SKEW)
        self._present_since: dict[str, tuple[int, float]] = {}  # the key's revision, and when it appeared
        self._heard: set[str] = set()  # members that have written since this replica started
        self._seen: tuple[str, ...] = ()
        self._last: frozenset[str] = frozenset()
        self.departures = Departures(replica_id)
        self.draining: frozenset[str] = frozenset()
        self._ranks: dict[str, int] = {}
        self.version = 0
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._failing = False
        self._identity = ReplicaIdentity(replica_id, self._started)
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-members", daemon=True
        )
        self.writes = 0
        self.unreadable = 0
        session.add_listener(lambda _: self.poke(), lambda _: None)

    def start(self) -> None:
        """Starts the heartbeat. Does not block."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the heartbeat and joins its thread. The record goes with the session's lease. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    # -- this replica ----------------------------------------------------------------------------------------

    def set_state(self, state: str) -> None:
        """Changes the record's state, such as ``ready`` or ``draining``, and writes it in the background."""
        if state != self._state:
            self._state = state
            self.poke()

    def flush(self, timeout: float) -> bool:
        """Writes the record now, for ``timeout`` seconds at the most; whether it did. Blocks on etcd."""
        grant = self._session.current
        return grant is not None and self._write(grant, timeout)

    def poke(self) -> None:
        """Writes the record now, in the background. Never blocks; any thread."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            grant = self._session.current
            self._wake.clear()
            if grant is not None:
                self._write(grant, self._interval)
            self._wake.wait(self._interval)

    def _write(self, grant: Grant, timeout: float) -> bool:
        """Writes the record; whether it succeeded."""
        until = self._clock() + timeout
        if not self._writing.acquire(timeout=timeout):
            return False
        try:
            value = self.encoded()
            self._store.put(self.key, value, lease=grant.lease_id, timeout=max(until - self._clock(), 0.001))
        except LeaseNotFound:
            _log.debug("the member record waits for the next session")
        except DiscordHAError as error:
            if not self._failing:
                self._failing = True
                _log.warning("the member record can't be written, and is tried again: %s", error)
        except Exception as error:  # noqa: BLE001 - ``describe`` must not make the replica look dead
            _log.exception("the member record can't be made; it is tried again")
            note_failure(error)
        else:
            self.writes += 1
            if self._failing:
                self._failing = False
                _log.info("the member record is written again")
            return True
        finally:
            self._writing.release()
        return False

    def encoded(self) -> bytes:
        """This replica's record as it is written."""
        record: dict[str, JSON] = {
            "replica": self._replica_id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
            "format": formats.FORMAT,
            "reads": formats.PARTITIONED if self._is_partitioned() else formats.READS,
            "started": self._started,
            "state": self._state,
            **self._describe(),
        }
        return json.dumps(formats.writing(record)).encode()

    # -- all replicas; no I/O; any thread --------------------------------------------------------------------

    @property
    def live(self) -> tuple[str, ...]:
        """The living replicas, sorted: this one by its own session, others as the watch shows them."""
        seen = self._seen
        alive = self._session.current is not None
        if alive == (self._replica_id in seen):
            return seen
        others = (member for member in seen if member != self._replica_id)
        return tuple(sorted((*others, self._replica_id))) if alive else tuple(others)

    def records(self) -> dict[str, dict[str, JSON]]:
        """A copy of each replica's latest record."""
        with self._lock:
            return dict(self._records)

    def silence(self, member: str) -> float:
        """Seconds since a member's last record arrived."""
        now, last = self._clock(), self._rhythm.last(member)
        return now - last if last is not None else 0.0

    def is_silent(self, member: str) -> bool:
        """See ``Rhythm``: what a dead or silent member owns holds up nothing."""
        return self._rhythm.is_silent(member)

    def is_late(self, member: str) -> bool:
        """The same, said as early as can be: for what does no harm if the member lives."""
        return self._rhythm.is_silent(member, self._interval + LATE)

    def is_heard(self, member: str) -> bool:
        """Whether a member lives for sure: it has written its record in time, while this replica watched."""
        return member in self._heard and not self.is_late(member)

    def was_heard(self, member: str) -> bool:
        """Whether a member has lived for sure while this replica watched. It may be cut off by now."""
        return member in self._heard

    @property
    def any_silent(self) -> bool:
        """Whether a member is silent whose session has not ended."""
        return self._rhythm.any_silent

    def has_received(self, shard: int, moment: float, among: Container[str] | None = None) -> bool:
        """Whether another replica, which stays, has received what this one received at a moment.

        Its gateway session of the shard and its session in etcd must be older than that by ``DELIVERY_SKEW``:
        a replica that stood still or was cut off is back before it knows what it has missed.

        :param moment: by this replica's monotonic clock; ``math.inf`` for events from now on.
        :param among: the replicas that count; by default all.
        """
        for member, record in self._records.items():
            age = session_age(record, shard)
            if member == self._replica_id or age is None:
                continue
            if record.get("state") != READY or not (among is None or member in among):
                continue
            last = self._rhythm.last(member)
            began = (last if last is not None else math.inf) - age
            present_since = self._present_since.get(member, (0, -math.inf))[1]
            if max(began, present_since) + DELIVERY_SKEW <= moment:
                return True
        return False

    def owes(self, order: str, shard: int) -> bool:
        """See ``Unreceived``: an older member has to finish an event of a channel first. No I/O."""
        return self._unreceived.owes(order, shard)

    def session_began(self, shard: int) -> float | None:
        """See ``Unreceived.began``: what ``owes`` says is about this session. No I/O."""
        return self._unreceived.began(shard)

    def review(self) -> None:
        """Looks again at what is owed: members that owe it may be silent by now. No I/O."""
        if self._unreceived.any_owed:
            self._unreceived.update(self._records)

    def listen(self, changed: Callable[[], None]) -> None:
        """Calls ``changed`` on the watch's thread when ranks or what is owed may have changed. Before the
        watch starts."""
        self._listeners.append(changed)

    def rank(self, ordering_key: str, shard: int = 0) -> int:
        """How many members are preferred to this replica for a channel: 0 if it is the preferred one. Without
        shards, all members host the only one. Cached until the members change."""
        known = self._ranks.get(ordering_key)  # one step without the lock, because every event asks
        if known is not None:
            return known
        with self._lock:
            seen, last = self._seen, self._last
        rank = rank_among(self._replica_id, ordering_key, seen, last)
        with self._lock:
            if self._seen is seen and self._last is last:
                if len(self._ranks) >= CACHED_RANKS:
                    self._ranks.clear()
                self._ranks[ordering_key] = rank
        return rank

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        records = {kv.key[len(self._prefix) :]: self._parse(kv) for kv in snapshot.items}
        self.departures.compare(self._records, records)
        self._update(records)

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        records = dict(self._records)  # written on this thread only
        told = set()
        for kind, kv in events:
            member = kv.key[len(self._prefix) :]
            told.add(member)
            if kind == "delete":
                if member in records:
                    self.departures.note(member, records.pop(member))
            else:
                records[member] = self._parse(kv)
                self._heard.add(member)
                if member == self._replica_id:
                    self._identity.check(records[member])
        self._update(records, told)

    def on_lost(self) -> None:
        """No action needed: ranks only spread the load."""

    def _parse(self, kv: KeyValue) -> dict[str, JSON]:
        try:
            record = json.loads(kv.value)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            member = kv.key[len(self._prefix) :]
            now = self._rhythm.arrived(member)
            known = self._present_since.get(member)
            if known is None or known[0] != kv.create_revision:
                # Members of the first snapshot were there before this replica, which received nothing yet.
                self._present_since[member] = (kv.create_revision, now if self._records else -math.inf)
            return formats.reading(record)
        self.unreadable += 1
        _log.warning(
            "the member record %s can't be read (%.40r) and is ignored: another version?", kv.key, kv.value
        )
        return {}

    def _update(self, records: dict[str, dict[str, JSON]], told: Collection[str] | None = None) -> None:
        """Takes new records. If ``told`` is given, only its members may differ from the present ones."""
        before = self._records
        if told is None or any(_state(records, member) != _state(before, member) for member in told):
            moved = self._take(records)
        else:  # most only say that their writers live, and a fleet's come by the hundred
            with self._lock:
                self._records, moved = records, False
        if self._unreceived.update(records) or moved:
            for changed in self._listeners:
                changed()

    def _take(self, records: dict[str, dict[str, JSON]]) -> bool:
        """Takes records whose members or states have changed; whether that changes any rank."""
        for member in records.keys() - self._records.keys():
            reason = formats.incompatibility(member, records[member], self._is_partitioned())
            if reason is not None and member != self._replica_id:
                _log.error("%s; it should have stayed out", reason)
        for gone in set(self._rhythm.members()) - records.keys():
            self._rhythm.gone(gone)
            self._heard.discard(gone)
            self._present_since.pop(gone, None)
        states = {member: str(record.get("state")) for member, record in records.items()}
        seen = tuple(sorted(records))
        last = frozenset(member for member, state in states.items() if state != READY)
        with self._lock:
            self._records = records
            self.draining = frozenset(m for m, state in states.items() if state in LEAVING_STATES)
            moved = seen != self._seen or last != self._last
            if moved:
                self._seen, self._last = seen, last
                self._ranks.clear()
                self.version += 1
        if moved:
            self.poke()  # a member that is new learns what is unfinished here
        return moved

"""Members: which replicas live, what each says of itself, and which of them is preferred for a channel.

Promises
- A replica's record stands in etcd for as long as its session lives, and is written again under each new
  grant.
- It is rewritten every ``interval`` seconds, which also keeps the coordination watch of every replica
  talking: silence means that the watch is dead.
- ``rank`` agrees on all replicas that see the same members. Replicas that are draining, deaf or not ready
  yet rank last.

Does not promise that a member that is listed still lives: it may be dead for up to one TTL. Safety never
rests on it.

Concurrency
- ``discordha-members``, owned by ``Members``: started by ``start``, joined by ``stop``. It alone writes the
  record. ``describe`` runs on it.
- The listener calls (``on_snapshot``, ``on_events``, ``on_lost``), and with them those of ``listen``, run on
  the watch's thread.
- ``_lock`` guards the view of the members, and the cache of ranks when it is written; nothing is called
  under it. ``_written``, a condition, guards ``_asked`` and ``_told``; only ``poke`` is called under it.
- At stop the thread ends after the write in flight. At a lost session the record is gone, and this replica
  is not ``live``; it is written again as soon as the next grant begins. At a lost watch the view grows old
  until the stream is back.
"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Protocol, TypeAlias

from discordha._version import __version__
from discordha.coordination.etcd.router import CoordinationWatch
from discordha.coordination.etcd.store import KeyValue, LeaseNotFound, Snapshot, Store, WatchEvent
from discordha.coordination.membership.rendezvous import order
from discordha.coordination.session import Grant
from discordha.errors import DiscordHAError

__all__ = ["FORMAT", "JSON", "READS", "CoordinationWatch", "Members", "readable", "session_age"]

_log = logging.getLogger(__name__)

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

#: The format of everything that this version writes into etcd, and the oldest that it can work beside. The
#: member record itself, as far as ``version``, ``format`` and ``reads``, is the same in all formats.
FORMAT = 1
READS = 1
#: States in which a replica gets no events or takes no new ones: preferring it would cost each one the grace.
LEAVING = frozenset({"draining", "stopping"})
NOT_PREFERRED = LEAVING | {"starting", "deaf"}
#: How much later than one replica another may get an event from Discord, seconds.
LAG = 1.0
#: How many ordering keys' ranks are remembered.
RANKS = 20_000


def readable(replica: str, record: Mapping[str, JSON]) -> str | None:
    """Why this version can't work beside a replica; ``None`` when it can.

    Each says which format it writes and which it can read down to; versions that are neighbours overlap. A
    record that does not say so is from a replica that is just starting, or from something else: no reason.
    """
    writes, reads = record.get("format", FORMAT), record.get("reads", record.get("format", READS))
    if not isinstance(writes, int) or not isinstance(reads, int):
        writes = reads = -1
    if writes >= READS and reads <= FORMAT:
        return None
    return (
        f"replica {replica} (version {record.get('version', '?')}) writes format {record.get('format')!r} "
        f"into etcd, and this version ({__version__}) can only work beside formats {READS} to {FORMAT}: run "
        "neighbouring versions, or let all replicas of the other one end first"
    )


def session_age(record: Mapping[str, JSON], shard: int) -> float | None:
    """For how many seconds a member's gateway session of a shard had lasted when it wrote its record, if it
    says so.
    """
    hears = record.get("hears")
    age = hears.get(str(shard)) if isinstance(hears, dict) else None
    return age if isinstance(age, int | float) else None


class _Grants(Protocol):
    """The part of ``Session`` that members use."""

    @property
    def current(self) -> Grant | None: ...
    def add_listener(self, on_begin: Callable[[Grant], None], on_lost: Callable[[Grant], None]) -> None: ...


class Members:
    """The members as one replica sees them, and its own record. A ``WatchListener`` for the component ``m``.

    :param root: key prefix of the bot, ending in ``/``.
    :param describe: adds to the record (load, counters, ``state``); quick; called for each write.
    :param interval: seconds between two writes, a third of the session's TTL.
    """

    def __init__(
        self,
        store: Store,
        session: _Grants,
        root: str,
        replica_id: str,
        describe: Callable[[], Mapping[str, JSON]],
        *,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._session = session
        self._prefix = f"{root}m/"
        self._replica_id = replica_id
        self._describe = describe
        self._interval = interval
        self._started = int(time.time())  # for people who read the record; nothing is decided by it
        self._state = "starting"
        self._listeners: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._clock = clock
        self._records: dict[str, dict[str, JSON]] = {}
        self._heard_at: dict[str, float] = {}  # when each record came in
        self._back_at: dict[str, tuple[int, float]] = {}  # the key's revision, and since when it stands
        self._seen: tuple[str, ...] = ()
        self._last: frozenset[str] = frozenset()
        self._draining: frozenset[str] = frozenset()
        self._ranks: dict[str, int] = {}
        self._version = 0
        self._written = threading.Condition()
        self._asked = 0  # records that somebody waits for
        self._told = 0  # how many of those are written
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="discordha-members", daemon=True)
        self.writes = 0
        self.unreadable = 0
        session.add_listener(lambda _: self.poke(), lambda _: None)

    def start(self) -> None:
        """Starts the heartbeat. Does not block. Twice raises ``RuntimeError``."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the heartbeat and joins its thread. The record goes with the session's lease. Idempotent."""
        self._stop.set()
        self._wake.set()
        with self._written:
            self._written.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    # -- this replica ----------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``starting``, ``ready``, ``deaf``, ``draining`` or ``stopping``, as the record says unless
        ``describe`` knows better."""
        return self._state

    def set_state(self, state: str) -> None:
        """Changes the state and writes it at once, in the background."""
        if state != self._state:
            self._state = state
            self.poke()

    def flush(self, timeout: float) -> bool:
        """Blocks until the record stands in etcd as it is now, so that what is written later is seen later.

        False when it does not within ``timeout`` seconds: etcd does not answer, or the session is lost. Any
        thread but the watch's.
        """
        with self._written:
            self._asked += 1
            wanted = self._asked
            self.poke()
            if self._thread.is_alive() and self._session.current is not None:
                self._written.wait_for(lambda: self._told >= wanted or self._stop.is_set(), timeout)
            return self._told >= wanted

    def poke(self) -> None:
        """Writes the record now, in the background. Never blocks; any thread."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            grant = self._session.current
            self._wake.clear()
            asked = self._asked
            if grant is not None and self._write(grant):
                with self._written:
                    self._told = asked
                    self._written.notify_all()
            self._wake.wait(self._interval)

    def _write(self, grant: Grant) -> bool:
        """Whether the record stands in etcd as it is now."""
        try:
            value = json.dumps(self._record()).encode()
            self._store.put(
                self._prefix + self._replica_id, value, lease=grant.lease_id, timeout=self._interval
            )
        except LeaseNotFound:
            _log.debug("the member record waits for the next session")
        except DiscordHAError as error:
            if not self._failing:
                self._failing = True
                _log.warning("the member record can't be written: %s", error)
        except Exception:  # noqa: BLE001 - a fault of ``describe`` must not make the replica look dead
            _log.exception("the member record can't be made")
        else:
            self.writes += 1
            if self._failing:
                self._failing = False
                _log.info("the member record is written again")
            return True
        return False

    def _record(self) -> dict[str, JSON]:
        return {
            "replica": self._replica_id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": __version__,
            "format": FORMAT,
            "reads": READS,
            "started": self._started,
            "state": self._state,
            **self._describe(),
        }

    # -- all replicas ----------------------------------------------------------------------------------------

    @property
    def live(self) -> tuple[str, ...]:
        """The living replicas, sorted, as the watch shows them; this one by its own session. No I/O; any
        thread."""
        seen = self._seen
        alive = self._session.current is not None
        if alive == (self._replica_id in seen):
            return seen
        others = (member for member in seen if member != self._replica_id)
        return tuple(sorted((*others, self._replica_id))) if alive else tuple(others)

    def records(self) -> dict[str, dict[str, JSON]]:
        """What each replica said of itself last. A copy; no I/O; any thread."""
        with self._lock:
            return dict(self._records)

    def silence(self, member: str) -> float:
        """Seconds since a member's record came in, by this replica's clock. No I/O; any thread."""
        return self._clock() - self._heard_at.get(member, self._clock())

    @property
    def draining(self) -> frozenset[str]:
        """The members that are about to leave. No I/O; any thread."""
        return self._draining

    def has_received(self, shard: int, moment: float, among: Container[str] | None = None) -> bool:
        """Whether another replica, which stays, has received what this one received at a moment: its gateway
        session of the shard began ``LAG`` seconds before that, at the least, and it has had a session in etcd
        for as long: one that stood still, or was cut off, is back before it knows what it has missed. No I/O;
        any thread.

        :param moment: by this replica's monotonic clock; ``math.inf``: what comes from now on.
        :param among: which replicas count.
        """
        for member, record in self._records.items():
            age = session_age(record, shard)
            if member == self._replica_id or age is None:
                continue
            if str(record.get("state")) in NOT_PREFERRED or not (among is None or member in among):
                continue
            began = self._heard_at.get(member, math.inf) - age
            if max(began, self._back_at.get(member, (0, -math.inf))[1]) + LAG <= moment:
                return True
        return False

    def listen(self, changed: Callable[[], None]) -> None:
        """Calls ``changed`` on the watch's thread when ranks may have changed. Before the watch starts."""
        self._listeners.append(changed)

    @property
    def version(self) -> int:
        """Grows when ranks may have changed. No I/O; any thread."""
        return self._version

    def rank(self, ordering_key: str, shard: int = 0) -> int:
        """How many members are preferred to this replica for a channel: 0 when it is the preferred one, or
        alone. Where there are no shards, all members host the only one.

        No I/O; any thread. The answer is remembered until the members change.
        """
        known = self._ranks.get(ordering_key)  # one step: no lock, as this is asked for each event
        if known is not None:
            return known
        with self._lock:
            seen, last = self._seen, self._last
        ranked = order(ordering_key, {*seen, self._replica_id})
        ranked.sort(key=last.__contains__)  # stable: those that rank last keep their order
        rank = ranked.index(self._replica_id)
        with self._lock:
            if self._seen is seen and self._last is last:
                if len(self._ranks) >= RANKS:
                    self._ranks.clear()
                self._ranks[ordering_key] = rank
        return rank

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces the view."""
        self._update({kv.key[len(self._prefix) :]: self._read(kv) for kv in snapshot.items})

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Applies heartbeats and departures."""
        records = dict(self._records)  # written on this thread only
        for kind, kv in events:
            member = kv.key[len(self._prefix) :]
            if kind == "delete":
                records.pop(member, None)
            else:
                records[member] = self._read(kv)
        self._update(records)

    def on_lost(self) -> None:
        """The view grows old. Nothing to do: ranks only spread the load."""

    def _read(self, kv: KeyValue) -> dict[str, JSON]:
        try:
            record = json.loads(kv.value)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            member, now = kv.key[len(self._prefix) :], self._clock()
            self._heard_at[member] = now
            known = self._back_at.get(member)
            if known is None or known[0] != kv.create_revision:
                # Nothing came in here while those were away that were there before us.
                self._back_at[member] = (kv.create_revision, now if self._records else -math.inf)
            return record
        self.unreadable += 1
        _log.warning("the member record %s can't be read (%.40r): another version?", kv.key, kv.value)
        return {}

    def _update(self, records: dict[str, dict[str, JSON]]) -> None:
        seen = tuple(sorted(records))
        last = frozenset(
            member for member, record in records.items() if str(record.get("state")) in NOT_PREFERRED
        )
        for member in records.keys() - self._records.keys():
            reason = readable(member, records[member])
            if reason is not None and member != self._replica_id:
                _log.error("%s; it should have stayed out", reason)
        draining = frozenset(m for m, record in records.items() if str(record.get("state")) in LEAVING)
        for gone in self._heard_at.keys() - records.keys():
            self._heard_at.pop(gone, None)
            self._back_at.pop(gone, None)
        with self._lock:
            self._records = records
            self._draining = draining
            moved = seen != self._seen or last != self._last
            if moved:
                self._seen, self._last = seen, last
                self._ranks.clear()
                self._version += 1
        if moved:
            for changed in self._listeners:
                changed()

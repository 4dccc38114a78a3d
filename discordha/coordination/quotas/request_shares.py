"""Shares: the requests a second that Discord allows a bot, divided among its replicas.

Promises
- The shares that replicas may use never add up to more than ``total``, whatever each of them sees: a
  replica raises its share in a transaction that fails when anybody else has raised his since, and uses what
  it gained only a second later, when the last requests of the one who gave it are a second old. A replica
  that gives takes the new share first, and writes it when no more requests than that are under way.
- A share goes with the session, by the local deadline. Without one, a replica may make ``RESERVE`` requests
  a second, from the margin that ``total`` leaves.
- Shares follow demand: what idle replicas do not need, busy ones have after about two seconds; nobody falls
  below ``allotment.FLOOR`` for long.
- When Discord says that the whole bot is over its limit, all replicas pause.
- What each replica knows of refused requests (401, 403, 429) is summed over the living and those that died
  within the last ten minutes before this replica's eyes.

Does not promise anything while more than a few replicas are without a session at the same time: the
reserves of many are more than the margin. Discord's answer is then a 429, which all obey.

Concurrency
- ``discordha-shares``, owned here: started by ``start``, joined by ``stop``. It alone writes.
- ``_lock`` guards the view of all shares and the pause to be told. Nothing is called under it.
- The listener calls run on the watch's thread. ``slots`` and ``others_refused`` are read by any thread.
- At stop the thread ends after the transaction in flight; the share goes with the session's lease. At a
  lost session the share is gone at once, and asked for anew under the next grant. At a lost watch shares
  stay as they are: a raise from an old view fails.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from discordha.coordination.etcd.store import (
    Compare,
    KeyValue,
    LeaseNotFound,
    Put,
    Snapshot,
    Store,
    WatchEvent,
)
from discordha.coordination.quotas.allotment import allot
from discordha.coordination.session import Grant, Session
from discordha.errors import DiscordHAError

__all__ = ["RESERVE", "WINDOW", "Meter", "Shares"]

_log = logging.getLogger(__name__)

#: The span of Discord's limit, seconds.
WINDOW = 1.0
#: Requests a second for a replica that has no share: it starts, or has lost its session.
RESERVE = 1
#: How often shares are looked at, seconds.
TICK = 0.5
#: A share that nobody else needs is given up when it is too large by so much.
SLACK = 4
#: How long the refused requests of a replica that is gone count on, seconds.
MEMORY = 600.0
#: Nobody pauses for longer because a peer says so, seconds.
LONGEST_PAUSE = 60.0


class Meter(Protocol):
    """What this replica's requests look like. Any thread; no I/O."""

    def want(self) -> int:
        """How many requests a second it would have made lately, had nothing held it back."""

    @property
    def in_flight(self) -> int:
        """Requests that wait for their answer."""

    def refused(self) -> int:
        """Requests of the last ten minutes that Discord counts as invalid."""

    def changed(self) -> None:
        """The share has changed."""

    def pause(self, seconds: float) -> None:
        """Discord wants nothing from this bot for so long."""


class _Gone(NamedTuple):
    """What a replica was refused whose key is gone."""

    at: float
    name: str
    refused: int


class _Share(NamedTuple):
    """One replica's entry: what it holds, what it would use, what Discord refused it."""

    slots: int
    want: int
    refused: int


class Shares:
    """One replica's share and its view of all. A ``WatchListener`` for the component ``q``.

    :param root: key prefix of the bot, ending in ``/``.
    :param total: requests a second for all replicas together.
    """

    def __init__(
        self, store: Store, session: Session, root: str, replica_id: str, *, total: int, meter: Meter
    ) -> None:
        self.total = total
        self._store = store
        self._session = session
        self._prefix = f"{root}q/"
        self._turn = f"{root}q/turn"
        self._own = f"{root}q/s/{replica_id}"
        self._replica_id = replica_id
        self._meter = meter
        self._lock = threading.Lock()
        self._view: dict[str, _Share] = {}
        self._turn_revision = 0
        self._gone: deque[_Gone] = deque(maxlen=1000)
        self._pause: float | None = None
        self._grant: Grant | None = None  # under which the share below is held
        self._slots = 0  # what may be used
        self._held = 0  # what etcd says
        self._written = _Share(-1, 0, 0)
        self._revision: int | None = None  # of this replica's key, when it was written last
        self._usable_at = 0.0
        self._failing = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discordha-shares", daemon=True)
        self.writes = 0

    def start(self) -> None:
        """Starts to ask for a share. Does not block. Twice raises ``RuntimeError``."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Blocks for a transaction at most. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    # -- what the replica asks -------------------------------------------------------------------------------

    def slots(self) -> int:
        """Requests that this replica may make within a second. No I/O; any thread."""
        return self.shared_slots() or RESERVE

    def shared_slots(self) -> int:
        """What of it comes from ``total``; 0: it has to make do with the reserve. No I/O; any thread."""
        grant = self._grant
        return self._slots if grant is not None and grant.alive else 0

    def others_refused(self) -> int:
        """What Discord refused the other replicas in the last ten minutes. No I/O; any thread."""
        oldest = time.monotonic() - MEMORY
        with self._lock:
            while self._gone and self._gone[0].at < oldest:
                self._gone.popleft()
            gone = sum(left.refused for left in self._gone)
            return gone + sum(s.refused for name, s in self._view.items() if name != self._replica_id)

    def report_pause(self, seconds: float) -> None:
        """Tells all replicas, in the background, that Discord wants nothing from this bot for so long. Any
        thread.
        """
        with self._lock:
            self._pause = seconds
        self._wake.set()

    def poke(self) -> None:
        """Looks at the shares now, in the background. Any thread."""
        self._wake.set()

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
                self._failing = False
            except (DiscordHAError, LeaseNotFound) as error:
                if not self._failing:
                    self._failing = True
                    _log.warning("the share of requests can't be settled: %s", error)
            except Exception:  # noqa: BLE001 - the share stays as it is, which is safe
                _log.exception("the share of requests can't be settled")
            if self._wake.wait(TICK):
                self._wake.clear()
                self._stop.wait(0.02)  # what comes at once is looked at once

    def _look(self) -> None:
        self._tell_pause()
        grant = self._session.current
        if grant is None:
            return
        if grant is not self._grant:
            self._slots = self._held = 0
            self._grant = grant
            self._revision = None
        if self._revision is None:
            self._read_own_key()
        want, refused = min(self._meter.want(), self.total), self._meter.refused()
        with self._lock:
            others = [share for name, share in self._view.items() if name != self._replica_id]
            wants = {name: share.want for name, share in self._view.items()}
            turn = self._turn_revision
        target = allot({**wants, self._replica_id: want}, self.total)[self._replica_id]
        free = self.total - sum(share.slots for share in others) - self._held
        hungry = any(share.want > share.slots for share in others)
        if target < self._held and (hungry or free < 0 or self._held - target >= SLACK):
            self._lower(grant, target, want, refused)
            return
        if self._slots < self._held and time.monotonic() >= self._usable_at:
            self._slots = self._held
            self._meter.changed()
        if target > self._held and free > 0 and self._slots == self._held:
            self._raise(grant, min(target, self._held + free), want, refused, turn)
        elif self._is_news(want, refused):
            self._write(grant, _Share(self._held, want, refused))

    def _raise(self, grant: Grant, slots: int, want: int, refused: int, turn: int) -> None:
        guard = Compare.mod_revision(self._turn, turn)
        if self._write(grant, _Share(slots, want, refused), guard):
            self._held = slots
            self._usable_at = time.monotonic() + WINDOW
        elif self._is_news(want, refused):  # somebody else was faster: the watch shows it, and wakes us
            self._write(grant, _Share(self._held, want, refused))

    def _lower(self, grant: Grant, slots: int, want: int, refused: int) -> None:
        self._slots = min(self._slots, slots)
        if self._meter.in_flight <= slots and self._write(grant, _Share(slots, want, refused)):
            self._held = slots

    def _write(self, grant: Grant, share: _Share, guard: Compare | None = None) -> bool:
        """Writes this replica's key, if it is as this replica left it, and if ``guard`` holds."""
        assert self._revision is not None
        compare = [Compare.mod_revision(self._own, self._revision)]
        puts = [Put(self._own, json.dumps(share).encode(), grant.lease_id)]
        if guard is not None:
            compare.append(guard)
            puts.append(Put(self._turn, self._replica_id.encode()))
        self._revision, revision = None, self._revision  # until the answer is known
        result = self._store.txn(compare, puts)
        if result.succeeded:
            self.writes += 1
            self._written = share
            self._revision = result.revision
        elif guard is not None:
            self._revision = revision
        return result.succeeded

    def _read_own_key(self) -> None:
        """After a loss, or a write whose outcome is not known: what stands there is written over."""
        kv = self._store.get(self._own)
        self._revision = kv.mod_revision if kv is not None else 0
        self._written = _Share(-1, 0, 0)

    def _is_news(self, want: int, refused: int) -> bool:
        written = self._written
        if written.slots < 0 or (want > self._held) != (written.want > self._held):
            return True
        return abs(want - written.want) >= max(2, written.want // 4) or abs(refused - written.refused) >= max(
            1, written.refused // 50
        )

    def _tell_pause(self) -> None:
        with self._lock:
            seconds, self._pause = self._pause, None
        if seconds is not None:
            lease = self._store.grant(max(seconds, 1.0))
            self._store.put(f"{self._prefix}pause", json.dumps(seconds).encode(), lease=lease.id)

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces the view."""
        self._apply({}, [WatchEvent("put", kv) for kv in snapshot.items])

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Follows shares, pauses and departures."""
        self._apply(dict(self._view), events)  # written on this thread only

    def on_lost(self) -> None:
        """The view grows old: nothing can be raised from it that is not there."""

    def _apply(self, view: dict[str, _Share], events: Sequence[WatchEvent]) -> None:
        turn = self._turn_revision
        for kind, kv in events:
            name = kv.key[len(self._prefix) :]
            if name == "turn":
                turn = kv.mod_revision
            elif kind == "delete":
                view.pop(name.removeprefix("s/"), None)
            elif name == "pause":
                self._take_pause(kv)
            else:
                view[name.removeprefix("s/")] = self._read(kv)
        with self._lock:
            now = time.monotonic()
            for name in view.keys() - self._view.keys():
                self._take_back(name, view[name].refused)
            for name in self._view.keys() - view.keys():
                if self._view[name].refused:
                    self._gone.append(_Gone(now, name, self._view[name].refused))
            self._view, self._turn_revision = view, turn  # together: a raise is judged by both
        self._wake.set()

    def _take_back(self, name: str, refused: int) -> None:
        """A replica is back that had lost its session: it goes on to tell what it told before. One that began
        anew under the same name has less to tell. Caller holds the lock.
        """
        known = next((left for left in reversed(self._gone) if left.name == name), None)
        if known is not None and refused >= known.refused:
            self._gone.remove(known)

    def _read(self, kv: KeyValue) -> _Share:
        try:
            slots, want, refused = json.loads(kv.value)
            return _Share(int(slots), int(want), int(refused))
        except (ValueError, TypeError):
            _log.warning("the share %s can't be read (%.40r): another version?", kv.key, kv.value)
            return _Share(0, 0, 0)

    def _take_pause(self, kv: KeyValue) -> None:
        try:
            self._meter.pause(min(float(json.loads(kv.value)), LONGEST_PAUSE))
        except (ValueError, TypeError):
            _log.warning("%s can't be read (%.40r): another version?", kv.key, kv.value)

"""Request shares: the REST requests per second that Discord allows a bot, divided among its replicas.

Guarantees
- The shares in use never add up to more than ``total``, whatever each replica sees. A raise is a transaction
  that fails if another replica has raised its share since, and is usable ``WINDOW`` seconds later, when the
  giver's last requests have left Discord's window. A replica lowers what it uses first, and writes the lower
  share once no more requests than that are in flight.
- A share ends with the session, by the local deadline. Without a share a replica makes ``RESERVE_SLOTS``
  requests per second, out of the margin that ``total`` leaves. Many replicas without a session at once exceed
  the margin; Discord then answers 429, which all obey.
- Shares follow demand within about two seconds; nobody falls below ``FLOOR`` for long.
- If Discord says that the bot as a whole is over its limit, all replicas pause.
- Refused requests (401, 403, 429) are summed over living replicas, and over those that this replica saw die
  within ``REFUSALS_KEPT`` seconds.

Threads and locks
- ``discordha-shares``: started by ``start``, joined by ``stop`` after the transaction in flight. It alone
  writes to etcd. If the session is lost, it asks for a share again under the next grant.
- ``_lock`` guards the view of all shares and the pause to report. Nothing is called under it.
- Listener calls run on the watch's thread. If the watch is lost, raises from the outdated view fail.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from discordha.coordination.etcd.store import Compare, KeyValue, Put, Snapshot, Store, WatchEvent
from discordha.coordination.session import Grant, Session
from discordha.errors import DiscordHAError
from discordha.process.threads import note_failure, unending

__all__ = ["FLOOR", "REFUSALS_KEPT", "RESERVE_SLOTS", "WINDOW", "Meter", "Shares", "allot"]

_log = logging.getLogger(__name__)

#: The span of Discord's limit, seconds.
WINDOW = 1.0
#: Requests per second of a replica without a share: it starts, or has lost its session.
RESERVE_SLOTS = 1
#: The share that an idle replica keeps, so that its first requests do not wait.
FLOOR = 2
#: How often shares are reviewed, seconds.
TICK = 0.5
#: A share that nobody else needs is lowered if it is too large by this much.
SLACK = 4
#: How long the refused requests of a replica that is gone count, seconds.
REFUSALS_KEPT = 600.0
#: The longest pause that another replica can ask for, seconds.
LONGEST_PAUSE = 60.0


def allot(wants: Mapping[str, int], total: int) -> dict[str, int]:
    """A share for each replica in ``wants``. Equal arguments give equal shares, so replicas agree.

    The shares add up to ``total``. Nobody is left below the floor; replicas that want more divide the rest
    equally, and what nobody wants is spread evenly: max-min fairness by progressive filling (Bertsekas and
    Gallager, "Data Networks", section 6.5.2).

    :param wants: requests per second that each replica would make now.
    """
    names = sorted(wants)
    if not names:
        return {}
    shares = dict.fromkeys(names, min(FLOOR, total // len(names)))
    left = _fill(shares, wants, total - sum(shares.values()))
    _fill(shares, dict.fromkeys(names, total), left)
    return shares


def _fill(shares: dict[str, int], wants: Mapping[str, int], left: int) -> int:
    """Raises the lowest shares together until every want is met; returns what is left."""
    hungry = [name for name in shares if shares[name] < wants[name]]
    while hungry and left > 0:
        lowest = min(shares[name] for name in hungry)
        for name in hungry:
            if shares[name] == lowest and left > 0:
                shares[name] += 1
                left -= 1
        hungry = [name for name in hungry if shares[name] < wants[name]]
    return left


class Meter(Protocol):
    """This replica's requests. Any thread; no I/O."""

    def want(self) -> int:
        """Requests per second that it would have made lately if nothing had held it back."""

    @property
    def in_flight(self) -> int:
        """Requests that wait for their answer."""

    def refused(self) -> int:
        """Requests of the last ten minutes that Discord counts as invalid."""

    def changed(self) -> None:
        """The share has changed."""

    def pause(self, seconds: float) -> None:
        """Discord wants no requests from this bot for so long."""


class _Gone(NamedTuple):
    """A replica whose key is gone, and its refused requests."""

    at: float
    name: str
    refused: int


class _Share(NamedTuple):
    """One replica's record: what it holds, what it would use, what Discord refused it."""

    slots: int
    want: int
    refused: int


_NOT_WRITTEN = _Share(-1, 0, 0)


class Shares:
    """One replica's share, and its view of all. Listens to the component ``q`` below the key prefix ``root``.

    :param total: requests per second for all replicas together.
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
        self._written = _NOT_WRITTEN
        self._revision: int | None = None  # of this replica's key after its last write
        self._usable_at = 0.0
        self._failing = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-shares", daemon=True
        )
        self.writes = 0

    def start(self) -> None:
        """Starts to ask for a share. Does not block. A second call raises ``RuntimeError``."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Blocks for a transaction at most. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    # -- for the replica -------------------------------------------------------------------------------------

    def slots(self) -> int:
        """Requests that this replica may make within a second. No I/O; any thread."""
        return self.shared_slots() or RESERVE_SLOTS

    def shared_slots(self) -> int:
        """The part of ``slots`` that comes from ``total``; 0 if only the reserve is left. Any thread."""
        grant = self._grant
        return self._slots if grant is not None and grant.alive else 0

    def others_refused(self) -> int:
        """Requests that Discord refused the other replicas in the last ten minutes. No I/O; any thread."""
        oldest = time.monotonic() - REFUSALS_KEPT
        with self._lock:
            while self._gone and self._gone[0].at < oldest:
                self._gone.popleft()
            gone = sum(left.refused for left in self._gone)
            return gone + sum(s.refused for name, s in self._view.items() if name != self._replica_id)

    def report_pause(self, seconds: float) -> None:
        """Tells all replicas, in the background, that Discord wants no requests for so long. Any thread."""
        with self._lock:
            self._pause = seconds
        self._wake.set()

    def poke(self) -> None:
        """Reviews the shares now, in the background. Any thread."""
        self._wake.set()

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._review()
                self._failing = False
            except DiscordHAError as error:
                if not self._failing:
                    self._failing = True
                    _log.warning("the share of requests can't be settled, and is tried again: %s", error)
            except Exception as error:  # noqa: BLE001 - the share stays as it is, which is safe
                _log.exception("the share of requests can't be settled; it is tried again")
                note_failure(error)
            if self._wake.wait(TICK):
                self._wake.clear()
                self._stop.wait(0.02)  # several changes at once need one review

    def _review(self) -> None:
        self._write_pause()
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
        elif self._is_news(want, refused):  # another replica was faster; the watch shows it and wakes us
            self._write(grant, _Share(self._held, want, refused))

    def _lower(self, grant: Grant, slots: int, want: int, refused: int) -> None:
        self._slots = min(self._slots, slots)
        if self._meter.in_flight <= slots and self._write(grant, _Share(slots, want, refused)):
            self._held = slots

    def _write(self, grant: Grant, share: _Share, guard: Compare | None = None) -> bool:
        """Writes this replica's key if nobody else has written it, and if ``guard`` holds."""
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
        """After a loss, or a write with an unknown outcome: the next write replaces what is there."""
        kv = self._store.get(self._own)
        self._revision = kv.mod_revision if kv is not None else 0
        self._written = _NOT_WRITTEN

    def _is_news(self, want: int, refused: int) -> bool:
        written = self._written
        if written.slots < 0 or (want > self._held) != (written.want > self._held):
            return True
        return abs(want - written.want) >= max(2, written.want // 4) or abs(refused - written.refused) >= max(
            1, written.refused // 50
        )

    def _write_pause(self) -> None:
        with self._lock:
            seconds, self._pause = self._pause, None
        if seconds is not None:
            lease = self._store.grant(max(seconds, 1.0))
            self._store.put(f"{self._prefix}pause", json.dumps(seconds).encode(), lease=lease.id)

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self._apply({}, [WatchEvent("put", kv) for kv in snapshot.items])

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        self._apply(dict(self._view), events)  # written on this thread only

    def on_lost(self) -> None:
        """No action needed: raises from an outdated view fail."""

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
                view[name.removeprefix("s/")] = self._parse(kv)
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
        """Stops counting a gone replica that is back after a lost session and reports what it reported
        before. One that has started over under the same name reports less. Caller holds the lock."""
        known = next((left for left in reversed(self._gone) if left.name == name), None)
        if known is not None and refused >= known.refused:
            self._gone.remove(known)

    def _parse(self, kv: KeyValue) -> _Share:
        try:
            slots, want, refused = json.loads(kv.value)
            return _Share(int(slots), int(want), int(refused))
        except (ValueError, TypeError):
            _log.warning(
                "the share %s can't be read (%.40r) and is ignored: another version?", kv.key, kv.value
            )
            return _Share(0, 0, 0)

    def _take_pause(self, kv: KeyValue) -> None:
        try:
            self._meter.pause(min(float(json.loads(kv.value)), LONGEST_PAUSE))
        except (ValueError, TypeError):
            _log.warning("%s can't be read (%.40r) and is ignored: another version?", kv.key, kv.value)

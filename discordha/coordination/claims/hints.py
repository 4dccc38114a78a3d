"""Claim hints: which events are running or done as far as this replica knows, so that asking costs no round
trip.

No replica is told of every claim and mark. What it knows comes from four places:
- *the watch's deletes* below ``e/``, with what was deleted: a claim that vanished (``on_free``), or a mark.
  Where claims are partitioned, only those of the shards that this replica hosts are told;
- *the watch on* ``a/``: who runs an event that was taken over or caught up. Its end deletes the record;
- *answers to claims* that this replica made, and to its marks;
- *looks* (``Looks``): who runs an event, that it is set aside, or that it is done.
That the stream lives is told by the member records, which all replicas write in their rhythm. A snapshot,
at the start and after a gap of the watch, has the records below ``a/``, but neither claims nor marks: there
may be hundreds of thousands of marks. So what waits is looked at after it (``on_resync``).

Guarantees: what is known is answered without I/O, and each change that the watch shows is passed to the
listener once, after the hints have changed. Hints may be outdated: a miss leads to a claim, and the claim
decides. A look that is older than what is known changes nothing.

Threads and locks: ``_lock`` guards changes of the tables, and ``_report_lock``, which is taken last, the keys
that the log has named. Single look-ups take no lock, which the watch's thread holds for a whole batch. The
listener is called on the watch's thread and on that of the looks, without a lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from discordha.coordination.claims.recent import Recent, TTLSet
from discordha.coordination.claims.records import (
    Attempts,
    ClaimListener,
    Held,
    Hint,
    held_by,
    parse_claim,
    traceparent_of,
)
from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent, WatchListener

__all__ = ["ClaimHints"]

_log = logging.getLogger(__name__)


#: Contexts of traces that are kept for the next attempts.
MAX_TRACES = 1000
#: The log names so many unreadable keys before it may name one again.
MAX_REPORTED = 1000
#: Holders that are kept: not every end is told of. And keys of which a delete has been told lately.
MAX_HELD = 100_000
MAX_GONE = 10_000
#: A claim that looks have missed for so many seconds is gone, even if the watch has not told its end.
MISSING = 1.0


_UNKNOWN, _RUNNING, _DONE = Hint


class ClaimHints(WatchListener):
    """The hints of one replica. Listens to the components ``e`` and ``a`` below the key prefix ``root``.

    :param retention: seconds that *done* is remembered.
    :param size: how many *done* hints are kept.
    """

    def __init__(
        self, root: str, *, retention: float, size: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._prefix = f"{root}e/"
        self._attempts_prefix = f"{root}a/"
        self._listener: ClaimListener | None = None
        self._lock = threading.Lock()
        self._clock = clock
        self._held: Recent[Held] = Recent(MAX_HELD)
        self._gone: Recent[int] = Recent(MAX_GONE)  # keys that were deleted, and at which revision
        self._snapshot = 0  # the revision of the last one; deletes between two streams are not told
        self._missing: Recent[float] = Recent(MAX_GONE)  # held ones that a look did not find
        self._done = TTLSet(size, retention, clock)
        self._attempts: dict[str, Attempts] = {}
        self._traces: Recent[str] = Recent(MAX_TRACES)  # of owners that are gone without a mark
        self._report_lock = threading.Lock()
        self._reported = TTLSet(MAX_REPORTED, retention, clock)  # unreadable keys that the log has named
        self.unreadable = 0

    def set_listener(self, listener: ClaimListener) -> None:
        """Sets who is told of done and freed events. Called once, before the watch starts."""
        self._listener = listener

    def hint(self, key: str, *, own_lease: int = 0) -> Hint:
        """The state of an event. No I/O; any thread.

        :param own_lease: claims under this lease do not count.
        """
        held = self._held.get(key)  # in this order, and without the lock: what ends is noted as done first
        if held is not None and not (own_lease and held.lease == own_lease):
            return _RUNNING
        return _DONE if key in self._done else _UNKNOWN

    def owner(self, key: str) -> str | None:
        """The replica that holds an event, as far as is known; ``?`` if that cannot be read."""
        held = self._held.get(key)
        return held.replica if held is not None else None

    def is_aside(self, key: str) -> bool:
        """Whether the replica that holds an event has set it aside, as far as is known."""
        held = self._held.get(key)
        return held is not None and held.aside

    def attempts(self, key: str) -> Attempts | None:
        """The record ``a/<key>``, which exists from the second attempt on. No I/O; any thread."""
        return self._attempts.get(key)

    def traceparent(self, key: str) -> str | None:
        """The context of the last known attempt's trace. No I/O; any thread."""
        attempts = self._attempts.get(key)
        known = attempts.traceparent if attempts is not None else None
        return known if known is not None else self._traces.get(key)

    def note_done(self, *keys: str) -> None:
        """Notes that claims or marks were answered with *done*."""
        with self._lock:
            self._finish(keys)

    def _finish(self, keys: Iterable[str]) -> None:
        self._done.update(keys)
        for key in keys:
            self._held.pop(key, None)
            self._traces.pop(key, None)

    def note_held(self, key: str, held: Held) -> None:
        """Notes who holds an event after a refused claim or a look, unless the watch has told its end or more
        is known."""
        with self._lock:
            self._hold(key, held)

    def _hold(self, key: str, held: Held) -> None:
        known = self._held.get(key)
        if self._gone.get(key, 0) < held.revision and (known is None or known.revision <= held.revision):
            self._held[key] = held
            self._missing.pop(key, None)

    def note_looks(self, keys: Sequence[str], found: Snapshot) -> None:
        """Notes what a look at these events has found, and tells the listener."""
        cut = len(self._prefix)
        there = {kv.key[cut:]: kv for kv in found.items}
        freed: list[tuple[str, int]] = []
        unreadable: list[tuple[str, KeyValue]] = []
        with self._lock:
            for key in keys:
                kv = there.get(key)
                if kv is None:
                    attempt = self._miss(key, found.revision)
                    if attempt is not None:
                        freed.append((key, attempt))
                elif (parsed := parse_claim(kv.value)) is None:
                    unreadable.append((key, kv))
                elif parsed[0] == "r":
                    if found.revision >= self._snapshot or key in self._held:  # else it may have ended before
                        self._hold(key, held_by(parsed, kv))
                elif self._gone.get(key, 0) < kv.mod_revision:  # else an operator wants it again
                    self._finish((key,))
            orphans = self._orphans(keys)
        for key, kv in unreadable:
            self.note_unreadable(key, Held("?", 1, kv.mod_revision), kv.value)
        self._tell([], freed, orphans)
        if self._listener is not None:
            self._listener.on_looked(keys)

    def _miss(self, key: str, revision: int) -> int | None:
        """Nobody holds an event, as a look has shown. The watch tells, within milliseconds, with what attempt
        it has ended; if it has not for long, that is returned. Caller holds the lock."""
        held = self._held.get(key)
        if held is None or held.revision > revision:
            return None
        now = self._clock()
        if now - self._missing.setdefault(key, now) < MISSING:
            return None
        del self._held[key], self._missing[key]
        return held.attempt

    def note_unreadable(self, key: str, held: Held, value: bytes) -> None:
        """Notes that a claim was refused by something that cannot be read: its writer holds the event until
        it removes or replaces that. Logged once for each key."""
        self.note_held(key, held)
        self._warn(self._prefix + key, value, "claim", "the event is left to its writer")

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        attempts: dict[str, Attempts] = {}
        for kv in snapshot.items:
            if kv.key.startswith(self._attempts_prefix):
                self._note_attempts(kv, attempts)
        with self._lock:
            self._attempts = attempts
            self._snapshot = snapshot.revision
            for key, held in list(self._held.items()):
                if held.revision > snapshot.revision:  # etcd has lost its data
                    del self._held[key]
            self._doubt(self._clock())
            if any(revision > snapshot.revision for revision in self._gone.values()):
                self._gone.clear()
        if self._listener is not None:
            self._listener.on_resync(list(attempts))

    def doubt(self) -> None:
        """Has all events looked at that wait here or may be orphans: of some the watch has not told so far.
        Any thread but the watch's."""
        with self._lock:
            self._doubt(self._clock() - MISSING)
            attempts = list(self._attempts)
        if self._listener is not None:
            self._listener.on_resync(attempts)

    def _doubt(self, since: float) -> None:
        """Ends of what is held may have gone untold: looks that miss it tell, ``MISSING`` after a moment.
        Caller holds the lock."""
        for key in list(self._held):
            self._missing[key] = since

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        with self._lock:
            done, freed, concerned = self._apply(events, self._held, self._done, self._attempts)
            orphans = self._orphans(concerned)
        self._tell(done, freed, orphans)

    def _apply(
        self,
        events: Sequence[WatchEvent],
        held: Recent[Held],
        done: TTLSet | set[str],
        attempts: dict[str, Attempts],
    ) -> tuple[list[str], list[tuple[str, int]], set[str]]:
        """Applies events to the tables. Returns the events that are finished, those that are free again with
        their attempt, and those that may have become orphans."""
        prefix = self._prefix
        cut = len(prefix)
        finished: list[str] = []
        freed: list[tuple[str, int]] = []
        concerned: set[str] = set()
        for kind, kv in events:
            if not kv.key.startswith(prefix):
                if kv.key.startswith(self._attempts_prefix):
                    self._apply_attempts(kind, kv, attempts, concerned)
                continue
            key = kv.key[cut:]
            if kind == "delete":
                attempt = self._apply_delete(key, kv, held, done)
                if attempt is not None:
                    freed.append((key, attempt))
                concerned.add(key)
                continue
            parsed = parse_claim(kv.value)
            if parsed is None:
                # Its writer holds the event until the key goes: else each claim would be refused, and made
                # again at once.
                if key not in done:
                    known = held.get(key)
                    held[key] = Held("?", known.attempt if known is not None else 1, kv.mod_revision)
                self._warn(kv.key, kv.value, "claim", "the event is left to its writer")
            elif parsed[0] == "d":
                done.add(key)
                held.pop(key, None)
                self._traces.pop(key, None)
                finished.append(key)
            else:
                held[key] = held_by(parsed, kv)
        return finished, freed, concerned

    def _apply_delete(
        self, key: str, kv: KeyValue, held: Recent[Held], done: TTLSet | set[str]
    ) -> int | None:
        """Applies a delete, which may be told after what has followed it. Returns the attempt of the claim
        that is gone; ``None`` if it was a mark, or another claim has followed."""
        self._gone[key] = kv.mod_revision
        was = held.get(key)
        if was is not None and was.revision > kv.mod_revision:
            return None
        held.pop(key, None)
        before = parse_claim(kv.value)
        if before is not None and before[0] == "d":
            done.discard(key)
            return None
        traceparent = traceparent_of(kv.value) or (was.traceparent if was is not None else None)
        if traceparent is not None:
            self._traces[key] = traceparent
        if before is not None:
            return before[2]
        if was is None:
            done.discard(key)
        return was.attempt if was is not None else 0

    def _apply_attempts(
        self, kind: str, kv: KeyValue, attempts: dict[str, Attempts], concerned: set[str]
    ) -> None:
        key = kv.key[len(self._attempts_prefix) :]
        if kind == "delete":
            attempts.pop(key, None)
            return
        known = self._note_attempts(kv, attempts)
        if known is None:
            return
        if known.replica is not None and key not in self._done:
            held = Held(known.replica, known.attempt, kv.mod_revision, known.lease, known.traceparent)
            self._hold(key, held)  # the claim that came with it is not told
        concerned.add(key)

    def _note_attempts(self, kv: KeyValue, attempts: dict[str, Attempts]) -> Attempts | None:
        known = Attempts.parse(kv.value, kv.mod_revision)
        if known is None:
            self._warn(kv.key, kv.value, "attempts", "ignored")
        else:
            attempts[kv.key[len(self._attempts_prefix) :]] = known
        return known

    def _warn(self, key: str, value: bytes, what: str, effect: str) -> None:
        self.unreadable += 1
        with self._report_lock:
            known = key in self._reported
            self._reported.add(key)
        if not known:
            _log.warning(
                "the key %s holds no %s (%.40r): %s. Keep other programs out of the bot's keys",
                key,
                what,
                value,
                effect,
            )

    def _orphans(self, keys: Iterable[str]) -> list[tuple[str, Attempts]]:
        return [
            (key, self._attempts[key])
            for key in keys
            if key in self._attempts and key not in self._held and key not in self._done
        ]

    def _tell(
        self, done: list[str], freed: list[tuple[str, int]], orphans: list[tuple[str, Attempts]]
    ) -> None:
        listener = self._listener
        if listener is None:
            return
        if done:
            listener.on_done(done)
        if freed:
            listener.on_free(freed)
        for key, known in orphans:
            listener.on_orphan(key, known)

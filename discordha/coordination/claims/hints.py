"""The hint cache: what the coordination watch says of events, so that *done* and *running* cost no round
trip.

Promises: what the watch has shown is answered without I/O; each change is told to the listener once, after
the hints themselves have changed. Does not promise to be up to date: a miss leads to a claim, and the claim
is the truth.

Concurrency
- ``_lock`` guards the tables. The listener is called on the watch's thread, with no lock held.
- At a lost session nothing changes here: etcd deletes the claims, and the watch says so.
- At a lost watch the hints go stale, which costs claims that are refused, never a wrong decision. After a gap
  the new snapshot replaces them, and every event that waits for somebody is looked at again (``on_resync``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from discordha.coordination.claims.records import Attempts, ClaimListener, Held, Hint, parse_claim
from discordha.coordination.claims.ttl_set import Remembered
from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent

__all__ = ["ClaimHints"]

_log = logging.getLogger(__name__)


class ClaimHints:
    """A ``WatchListener`` for the components ``e`` and ``a``.

    :param root: key prefix of the bot, ending in ``/``.
    :param retention: seconds that *done* is remembered.
    :param size: how many *done* hints are kept; running ones are as many as the fleet runs.
    """

    def __init__(
        self,
        root: str,
        *,
        retention: float,
        size: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = f"{root}e/"
        self._attempts_prefix = f"{root}a/"
        self._listener: ClaimListener | None = None
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._done = Remembered(size, retention, clock)
        self._attempts: dict[str, Attempts] = {}
        self._revision = 0
        self.unreadable = 0

    def set_listener(self, listener: ClaimListener) -> None:
        """Who hears of done and freed events. Set once, before the watch starts."""
        self._listener = listener

    def hint(self, key: str) -> Hint:
        """What the watch says of an event: no I/O, any thread. Own claims are *running* too."""
        with self._lock:
            if key in self._held:
                return Hint.RUNNING
            return Hint.DONE if key in self._done else Hint.UNKNOWN

    def holder(self, key: str) -> str | None:
        """The replica that runs an event, as far as the watch says; ``None``: nobody. No I/O; any thread."""
        held = self._held.get(key)
        return held.replica if held is not None else None

    def attempts(self, key: str) -> Attempts | None:
        """What ``a/<key>`` says: there is a record from the second attempt on. One lookup, without the lock:
        the watch's thread holds it for a whole batch, and the gateway's asks for every event.
        """
        return self._attempts.get(key)

    def running(self) -> dict[str, Held]:
        """A copy of who runs what now, as the watch saw it last."""
        with self._lock:
            return dict(self._held)

    def note_done(self, key: str) -> None:
        """A claim or a mark was answered with *done*."""
        with self._lock:
            self._done.add(key)

    def note_held(self, key: str, held: Held) -> None:
        """A claim was refused: whoever holds it is noted, unless the watch has come further already and will
        say nothing more of it.
        """
        with self._lock:
            if self._revision < held.revision:
                self._held[key] = held

    # -- the coordination watch ----------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces all hints. ``snapshot`` holds the keys below ``e/`` and ``a/``."""
        held: dict[str, Held] = {}
        done: list[str] = []
        attempts: dict[str, Attempts] = {}
        for kv in snapshot.items:
            self._read_key(kv, held, done, attempts)
        with self._lock:
            gone = {key: was for key, was in self._held.items() if key not in held}
            self._held = held
            self._attempts = attempts
            for key in done:
                self._done.add(key)
            self._revision = snapshot.revision
            orphans = [
                (key, known) for key, known in attempts.items() if key not in held and key not in self._done
            ]
        listener = self._listener
        if listener is None:
            return
        listener.on_done(done)
        done_keys = set(done)
        for key, was in gone.items():
            if key not in done_keys:
                listener.on_free(key, was.attempt)
        for key, known in orphans:
            listener.on_orphan(key, known)
        listener.on_resync()

    def _read_key(
        self, kv: KeyValue, held: dict[str, Held], done: list[str], attempts: dict[str, Attempts]
    ) -> None:
        if kv.key.startswith(self._prefix):
            parsed = parse_claim(kv.value)
            if parsed is None:
                self.unreadable += 1
                _log.warning("the key %s holds no claim (%.40r): ignored", kv.key, kv.value)
            elif parsed[0] == "d":
                done.append(kv.key[len(self._prefix) :])
            else:
                held[kv.key[len(self._prefix) :]] = Held(parsed[1], parsed[2], kv.mod_revision)
        elif kv.key.startswith(self._attempts_prefix):
            known = Attempts.parse(kv.value)
            if known is None:
                self.unreadable += 1
                _log.warning("the key %s holds no attempts (%.40r): ignored", kv.key, kv.value)
            else:
                attempts[kv.key[len(self._attempts_prefix) :]] = known

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Applies one batch of changes, then tells the listener."""
        prefix = self._prefix
        cut = len(prefix)
        finished: list[str] = []
        freed: list[tuple[str, int]] = []
        concerned: set[str] = set()  # what may have become an orphan
        with self._lock:
            for kind, kv in events:
                if not kv.key.startswith(prefix):
                    concerned.update(self._apply_attempts(kind, kv))
                    continue
                key = kv.key[cut:]
                if kind == "delete":
                    was = self._held.pop(key, None)
                    if was is not None:
                        freed.append((key, was.attempt))
                        concerned.add(key)
                    else:
                        self._done.discard(key)
                    continue
                parsed = parse_claim(kv.value)
                if parsed is None:
                    self.unreadable += 1
                    _log.warning("the key %s holds no claim (%.40r): ignored", kv.key, kv.value)
                elif parsed[0] == "d":
                    self._held.pop(key, None)
                    self._done.add(key)
                    finished.append(key)
                else:
                    self._held[key] = Held(parsed[1], parsed[2], kv.mod_revision)
            self._revision = revision
            orphans = [
                (key, self._attempts[key])
                for key in concerned
                if key in self._attempts and key not in self._held and key not in self._done
            ]
        listener = self._listener
        if listener is None:
            return
        if finished:
            listener.on_done(finished)
        for key, attempt in freed:
            listener.on_free(key, attempt)
        for key, known in orphans:
            listener.on_orphan(key, known)

    def _apply_attempts(self, kind: str, kv: KeyValue) -> tuple[str, ...]:
        """The keys concerned. Caller holds the lock."""
        if not kv.key.startswith(self._attempts_prefix):
            return ()
        key = kv.key[len(self._attempts_prefix) :]
        if kind == "delete":
            self._attempts.pop(key, None)
            return ()
        known = Attempts.parse(kv.value)
        if known is None:
            self.unreadable += 1
            _log.warning("the key %s holds no attempts (%.40r): ignored", kv.key, kv.value)
            return ()
        self._attempts[key] = known
        return (key,)

    def on_lost(self) -> None:
        """The stream is down. Nothing to do: stale hints cost a refused claim, never a wrong decision."""

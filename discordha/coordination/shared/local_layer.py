"""A local copy of one shared cache: reads without a round trip, kept fresh by a watch.

Guarantees
- A read is answered from memory only while the watch is known to have caught up since its last loss.
  Otherwise it goes to the store, and is as fresh as any read.
- This process never reads a value older than one that it has written, or has read from the store, and never
  an older one again. A value ends with its time to live, counted from when the watch showed it.
- At most ``LIMIT`` bytes are kept; other values are read from the store.

Another replica's write is usually seen within milliseconds. While the network swallows the watch without a
sign, old values are shown for at most ``silence`` seconds; then the watch counts as lost.

Threads and locks: the watch's thread, ``discordha-cache``, is started by ``start`` and joined by ``stop``.
``_lock`` guards all tables; no I/O under it. ``_catching_up`` lets one reader at a time check the watch.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cachetools import TLRUCache

from discordha.coordination.etcd.store import KeyValue, Snapshot, Store, WatchEvent
from discordha.coordination.shared.expiry import Expiry
from discordha.coordination.shared.values import MISSING, Missing, Record
from discordha.errors import DiscordHAError

__all__ = ["LocalLayer"]

_log = logging.getLogger(__name__)

#: Bytes that one copy holds at most.
LIMIT = 64 * 1024 * 1024
#: What an entry costs besides its key and its value, bytes.
ENTRY_OVERHEAD = 300
#: Pause between two checks whether the watch has caught up, and how long one may take, seconds.
CATCH_UP_EVERY = 0.1
CATCH_UP_WITHIN = 1.0
#: Seconds that the watch's marker stays in the store.
MARKER_TTL = 10.0

_PLAIN = (str, int, float, bool, type(None))


class _Entry(NamedTuple):
    value: Any  # an immutable value, or the bytes of another, which each reader decodes for itself
    encoded: bool
    revision: int
    stamp: str | None
    expires: float
    size: int


class _Entries(TLRUCache[str, _Entry]):
    """Notes that an entry was pushed out."""

    pushed_out = False

    def popitem(self) -> tuple[str, _Entry]:
        self.pushed_out = True
        return super().popitem()


class LocalLayer:
    """The copy of one cache in this process. A ``WatchListener``.

    :param store: is cloned for the watch.
    :param folder: prefix of the cache's keys, ending in ``/``.
    :param silence: seconds without a sign of life after which the watch counts as lost.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        expiry: Expiry,
        *,
        silence: float,
        limit: int = LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._expiry = expiry
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._entries = self._empty()
        self.fresh = False  # whether reads are answered from memory
        self._losses = 0
        self._revision = 0
        # Keys that this process has written or read, and at which revision, until the watch shows that. An
        # absent key has no revision: it waits until the watch has caught up once more.
        self._floors: dict[str, float] = {}
        self._absent: set[str] = set()
        self._reading: dict[str, object] = {}  # reads under way; a change that the watch shows removes one
        self._catching_up = threading.Lock()
        self._ask_at = 0.0
        self._watch = store.watch(folder, self, silence=silence, name="discordha-cache")
        self.hits = 0

    def start(self) -> None:
        """Starts the watch. Does not block."""
        self._watch.start()

    def stop(self) -> None:
        """Ends the watch. Idempotent; any thread."""
        self.fresh = False
        self._watch.stop()

    def read(self, path: str, fetch: Callable[[], KeyValue | None]) -> Any | Missing:
        """The value of a key, or ``MISSING``. Blocks only if it calls ``fetch``, which reads the key from the
        store. Any thread.
        """
        token = object()
        with self._lock:
            if self.fresh and path not in self._floors:
                entry = self._entries.get(path)
                if entry is not None or not self._entries.pushed_out:
                    self.hits += 1
                    if entry is None:
                        return MISSING
                    return Record.read(entry.value)[0] if entry.encoded else entry.value
                self._reading[path] = token
            behind = not self.fresh or bool(self._absent)
            ask = behind and self._watch.alive and self._clock() >= self._ask_at
        if ask:
            self._catch_up()
        try:
            kv = fetch()
        finally:
            with self._lock:
                unchanged = self._reading.get(path) is token
                if unchanged:
                    del self._reading[path]
        with self._lock:
            if kv is None:
                self._absent.add(path)
                self._floors[path] = math.inf
                return MISSING
            if kv.mod_revision > self._revision:
                self._floors[path] = max(kv.mod_revision, self._floors.get(path, 0))
            if unchanged and self.fresh:
                self._keep(kv)
        return Record.read(kv.value)[0]

    def wrote(self, path: str, revision: int) -> None:
        """Notes that this process has written the key at ``revision``. Does not block; any thread."""
        with self._lock:
            if revision > self._revision:
                known = self._floors.get(path, 0)
                self._floors[path] = revision if known == math.inf else max(revision, known)

    # -- the watch -------------------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        with self._lock:
            self._entries = self._empty()
            self._reading.clear()
            self._revision = snapshot.revision
            self._floors = {
                path: revision for path, revision in self._floors.items() if revision > snapshot.revision
            }
            for kv in snapshot.items:
                self._keep(kv)

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        with self._lock:
            for kind, kv in events:
                self._reading.pop(kv.key, None)
                if self._floors.get(kv.key, math.inf) <= kv.mod_revision:
                    del self._floors[kv.key]
                if kind == "put":
                    self._keep(kv)
                    continue
                entry = self._entries.get(kv.key)
                if entry is not None and entry.revision < kv.mod_revision:
                    self._entries.pop(kv.key, None)
            self._revision = revision

    def on_lost(self) -> None:
        """Reads go to the store from now on."""
        with self._lock:
            self.fresh = False
            self._losses += 1
            self._reading.clear()
            self._floors.clear()  # the watch catches up with all of these before the copy is fresh again
            self._absent.clear()
            self._ask_at = 0.0

    def _empty(self) -> _Entries:
        return _Entries(
            self._limit,
            ttu=lambda _, entry, __: entry.expires,
            timer=self._clock,
            getsizeof=lambda entry: entry.size,
        )

    def _keep(self, kv: KeyValue) -> None:
        known = self._entries.get(kv.key)
        if known is not None and known.revision >= kv.mod_revision:
            return
        try:
            value, record = Record.read(kv.value)
        except ValueError:
            self._entries.pop(kv.key, None)
            self._entries.pushed_out = True  # so that a read goes to the store, and fails there
            return
        expires = math.inf
        if record.stamp is not None:
            same = known is not None and known.stamp == record.stamp  # counted up
            expires = known.expires if known is not None and same else self._clock() + record.ttl
        encoded = not isinstance(value, _PLAIN)
        size = len(kv.key) + len(kv.value) + ENTRY_OVERHEAD
        entry = _Entry(kv.value if encoded else value, encoded, kv.mod_revision, record.stamp, expires, size)
        self._entries[kv.key] = entry

    def _catch_up(self) -> None:
        """Checks, by a write, whether the watch has told everything up to now."""
        if not self._catching_up.acquire(blocking=False):
            return
        caught_up = False
        with self._lock:
            losses, absent, self._absent = self._losses, self._absent, set()
        try:
            caught_up = self._watch.sync(CATCH_UP_WITHIN, lease=self._expiry.lease_for(MARKER_TTL))
        except DiscordHAError as error:
            _log.debug("it is unknown whether the watch has caught up: %s", error)
        finally:
            with self._lock:
                if losses == self._losses:
                    self._settle(absent, caught_up)
            self._ask_at = self._clock() + CATCH_UP_EVERY
            self._catching_up.release()

    def _settle(self, absent: set[str], caught_up: bool) -> None:
        if not caught_up:
            self._absent |= absent
            return
        self.fresh = True
        for path in absent - self._absent:
            if self._floors.get(path) == math.inf:
                del self._floors[path]

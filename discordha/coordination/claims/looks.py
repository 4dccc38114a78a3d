"""Looks: reads the keys of events that wait here, to learn whether another replica runs or has finished them.

A look costs etcd no consensus: whichever member is asked answers from what it has. So it may be stale, late,
or lost, and decides nothing that a claim does not decide again: *done* is true for good, *running* is looked
at again, and an event that is *absent* is claimed, which etcd refuses if the look was stale.

Guarantees: every event that is asked for gets an answer, after which ``ClaimHints`` know it and the listener
is told (``on_looked``). While etcd does not answer, it is asked again. Keys that etcd cannot look up count as
absent. What is asked for while a look is under way goes with the next one, which comes ``PACE`` later.

Threads and locks: owns ``discordha-looks``, which blocks on etcd and calls the listener; ``stop`` joins it.
``_lock`` guards ``_wanted``; nothing is called under it. ``ask`` never blocks, any thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from discordha.coordination.claims.hints import ClaimHints
from discordha.coordination.etcd.store import Snapshot, Store
from discordha.errors import StoreUnavailable
from discordha.process.threads import unending

__all__ = ["Looks"]

_log = logging.getLogger(__name__)

#: The pause after a look that etcd did not answer, seconds.
RETRY_PAUSE = 0.25
#: Keys of one look. A replay of thousands of events is looked at in parts.
MOST = 500
#: See ``Looks``. Events that come late and at once ask one by one, before the first of them is looked at.
PACE = 0.01


class Looks:
    """The looks of one replica, below the key prefix ``root``.

    :param pace: seconds from one look to the next, at least, unless more than ``MOST`` keys wait.
    """

    def __init__(
        self,
        store: Store,
        hints: ClaimHints,
        root: str,
        *,
        pace: float = PACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._pace = pace
        self._clock = clock
        self._hints = hints
        self._prefix = f"{root}e/"
        self._lock = threading.Lock()
        self._wanted: dict[str, None] = {}
        self._asked = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-looks", daemon=True
        )

    def start(self) -> None:
        """Starts the thread. Twice raises ``RuntimeError``."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, after the look under way. Idempotent."""
        self._stop.set()
        self._asked.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def ask(self, keys: Iterable[str]) -> None:
        """Looks at these events soon. Never blocks; any thread."""
        with self._lock:
            self._wanted.update(dict.fromkeys(keys))
        self._asked.set()

    def _run(self) -> None:
        next_at = self._clock()
        while not self._stop.is_set():
            self._asked.wait()
            self._asked.clear()
            while self._wanted:
                if len(self._wanted) < MOST and (left := next_at - self._clock()) > 0:
                    self._stop.wait(left)
                if self._stop.is_set():
                    return
                next_at = self._clock() + self._pace
                keys = self._take()
                try:
                    found = self._read(keys)
                except StoreUnavailable:
                    self.ask(keys)
                    self._stop.wait(RETRY_PAUSE)
                    continue
                self._hints.note_looks(keys, found)

    def _take(self) -> list[str]:
        with self._lock:
            keys = list(self._wanted)[:MOST]
            for key in keys:
                del self._wanted[key]
            return keys

    def _read(self, keys: list[str]) -> Snapshot:
        try:
            return self._store.look([self._prefix + key for key in keys])
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a claim tells what a look cannot
            _log.debug("%d events can't be looked at: %s", len(keys), error)
            return Snapshot(0, [])

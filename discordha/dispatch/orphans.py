"""Orphans: events without an owner that this replica did not receive.

Guarantees: an orphan that no replica which received it takes over is adopted from its payload in etcd, or
becomes a dead letter when it was attempted too often or has no payload. An event that this replica receives
is no orphan. A replica without a session with Discord adopts none of Discord's: handlers would find no guild.

Threads and locks: ``note`` runs on the watch thread, ``received`` on the gateway's, ``adopt`` on the timer's;
none blocks. ``_lock`` guards ``_orphans``; nothing is called under it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from discordha.coordination.claims.records import Attempts, Claim, ClaimRequest, Hint
from discordha.coordination.partitions import bare
from discordha.dispatch.items import ClaimStore
from discordha.stats import Stats

__all__ = ["ADOPT_AFTER", "Orphans"]

_log = logging.getLogger(__name__)

#: Seconds that replicas which received an event have to take it over, before one that did not adopts it;
#: three times as long before one that does not host its shard.
ADOPT_AFTER = 1.0
#: Why an event that may be tried again becomes a dead letter.
NO_PAYLOAD = "no replica that received it lives, and its payload was too large to be kept"


class Orphans:
    """See the module, and ``Dispatcher``."""

    def __init__(
        self,
        claims: ClaimStore,
        stats: Stats,
        *,
        max_attempts: int,
        inject: Callable[[str, int], bool],
        hosts: Callable[[int], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claims = claims
        self._stats = stats
        self._max_attempts = max_attempts
        self._inject = inject
        self._hosts = hosts
        self._clock = clock
        self._lock = threading.Lock()
        self._orphans: dict[str, tuple[float, Attempts]] = {}

    def __bool__(self) -> bool:
        return bool(self._orphans)

    def note(self, key: str, attempts: Attempts) -> None:
        """An event that was taken over before has no owner."""
        pause = ADOPT_AFTER if self._hosts(attempts.shard_id) else 3 * ADOPT_AFTER
        with self._lock:
            self._orphans[key] = (self._clock() + pause, attempts)

    def received(self, key: str) -> None:
        """This replica has received the event."""
        if self._orphans:
            with self._lock:
                self._orphans.pop(key, None)

    def adopt(self, now: float) -> None:
        """Takes over the orphans whose time has come."""
        with self._lock:
            due = [(key, known) for key, (when, known) in self._orphans.items() if when <= now]
            for key, _ in due:
                del self._orphans[key]
        for key, known in due:
            if self._claims.owner(key) is not None or self._claims.hint(key) is Hint.DONE:
                continue
            if self._claims.previous_attempts(key) is None:
                continue  # its record went with its mark
            tried = known.runs >= self._max_attempts
            if tried or known.payload is None:
                reason = None if tried else NO_PAYLOAD
                bury = ClaimRequest(key, known.attempt + 1, known.payload, known.shard_id, refused=reason)
                self._claims.claim_later((bury,), self._on_buried)
            elif self._inject(known.payload, known.shard_id):
                _log.info("%s is adopted: no replica that received it took it over", key)
            else:
                self.note(key, known)

    def _on_buried(self, request: ClaimRequest, claim: Claim | None) -> None:
        self._stats.add("dead", bare(request.key).split("/", 1)[0])

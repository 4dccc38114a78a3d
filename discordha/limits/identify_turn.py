"""One turn at IDENTIFY, and the turns of a replica that has no peers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from discordha.coordination.membership.shard_keys import number_of
from discordha.coordination.quotas.identify_queue import TurnLease
from discordha.limits.session_limits import SessionLimits

__all__ = ["AloneIdentify", "IdentifyTurn"]


class IdentifyTurn:
    """One turn, as the gateway has it: see ``gateway.client.IdentifyTurn``.

    Concurrency: ``_lock`` guards the step to ``sent_at``, on the gateway's thread, against ``give_up``, on
    that of ``Identify``. ``wake`` is called under it, and must be quick.
    """

    def __init__(self, bucket: int, held: TurnLease | None, begun: float, wake: Callable[[], None]) -> None:
        self.bucket = bucket
        self.held = held
        self.begun = begun
        self.sent_at: float | None = None
        self.over_at: float | None = None
        self._wake = wake
        self._lock = threading.Lock()

    def sent(self) -> bool:
        """See ``gateway.client.IdentifyTurn``."""
        with self._lock:
            if self.over_at is not None or (self.held is not None and not self.held.valid):
                return False
            self.sent_at = time.monotonic()
            return True

    def give_up(self) -> None:
        """Over, if the IDENTIFY has not gone out: it must not any more."""
        with self._lock:
            if self.sent_at is None:
                self.over()

    def over(self) -> None:
        """See ``gateway.client.IdentifyTurn``."""
        if self.over_at is None:
            self.over_at = time.monotonic()
            self._wake()


class AloneIdentify:
    """The same where there is no etcd: this replica keeps its own distance.

    Concurrency: everything runs on the gateway's loop.
    """

    def __init__(self) -> None:
        self._limits: SessionLimits | None = None
        self._next: dict[int, float] = {}

    def start(self, limits: SessionLimits) -> None:
        """Notes what Discord said. Before the first shard is opened."""
        self._limits = limits

    async def turn(self, key: int, initial: bool) -> IdentifyTurn:
        """Waits for a turn."""
        limits = self._limits
        assert limits is not None
        bucket = number_of(key) % limits.max_concurrency
        now = time.monotonic()
        mine = max(self._next.get(bucket, 0.0), now)
        # A connection takes a moment from its turn to its IDENTIFY, more or less of one.
        self._next[bucket] = mine + limits.interval * 1.05
        await asyncio.sleep(mine - now)
        return IdentifyTurn(bucket, None, mine, lambda: None)

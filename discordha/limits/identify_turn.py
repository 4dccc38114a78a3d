"""One turn at IDENTIFY, and the turns of a replica without peers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from discordha.coordination.membership.shard_keys import number_of
from discordha.coordination.quotas.identify_queue import TurnLease
from discordha.limits.session_limits import SessionLimits

__all__ = ["IdentifyTurn", "LocalIdentify"]


class IdentifyTurn:
    """The right to send one IDENTIFY: the ``IdentifyPermit`` of ``gateway.client``.

    Threads and locks: ``_lock`` guards the step to ``sent_at`` on the gateway's thread against ``give_up`` on
    the thread of ``Identify``. ``wake`` is called under it and must be quick.

    :param held: the bucket's turn in etcd; ``None``: this replica identifies without etcd.
    :param begun: when the turn began, by the monotonic clock.
    :param wake: called when the turn is over.
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
        """Notes that the IDENTIFY leaves now. False when the turn has expired: it must not leave."""
        with self._lock:
            if self.over_at is not None or (self.held is not None and not self.held.valid):
                return False
            self.sent_at = time.monotonic()
            return True

    def give_up(self) -> None:
        """Ends the turn unless the IDENTIFY has left; it must not leave any more."""
        with self._lock:
            if self.sent_at is None:
                self.over()

    def over(self) -> None:
        """Ends the turn: Discord answered, or will not. Idempotent."""
        if self.over_at is None:
            self.over_at = time.monotonic()
            self._wake()


class LocalIdentify:
    """``Identify`` without etcd: this replica alone spaces its IDENTIFYs. Everything runs on the gateway's
    loop, except ``start`` before the first turn.
    """

    reason: str | None = None

    def __init__(self) -> None:
        self._limits: SessionLimits | None = None
        self._next: dict[int, float] = {}  # by bucket: the moment of the next turn

    def start(self, limits: SessionLimits) -> None:
        """Takes Discord's limits. Does not block."""
        self._limits = limits

    def stop(self, *, clean: bool = True) -> None:
        """Needs no action."""

    async def turn(self, key: int) -> IdentifyTurn:
        """Waits for a turn."""
        limits = self._limits
        assert limits is not None
        bucket = number_of(key) % limits.max_concurrency
        now = time.monotonic()
        mine = max(self._next.get(bucket, 0.0), now)
        # The time from a turn to its IDENTIFY varies a little from connection to connection.
        self._next[bucket] = mine + limits.interval * 1.05
        await asyncio.sleep(mine - now)
        return IdentifyTurn(bucket, None, mine, lambda: None)

    def status(self) -> dict[str, Any]:
        """Nothing: there is no shared budget."""
        return {}

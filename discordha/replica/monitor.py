"""Monitor: looks twice a second, and whenever a connection came or went, whether a replica is ready, or
deaf, and says so in its member record.

Promises: a shard on which peers receive events while this replica does not is reported, and taken up again:
by RESUME, then with a new session; whoever may not lead for want of a connection is told.

Concurrency
- The thread ``discordha-monitor`` is owned here: started by ``start``, joined by ``stop``. It blocks on
nothing.
- ``_comparisons`` is the thread's own; ``is_deaf`` reads single values, from any thread.
- At a lost session or watch the replica is not ready, and goes on as soon as they are back.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from discordha.coordination.membership.shard_keys import number_of
from discordha.gateway import GatewayState
from discordha.replica import status as report
from discordha.replica.deafness import Comparison

if TYPE_CHECKING:
    from discordha.replica.replica import Replica

__all__ = ["Monitor"]

_log = logging.getLogger("discordha")

#: How often the monitor looks, seconds.
LOOK = 0.5


class Monitor:
    """See the module."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._look = threading.Event()
        self._stop = threading.Event()
        self._comparisons: dict[int, Comparison] = {}
        self._thread = threading.Thread(target=self._run, name="discordha-monitor", daemon=True)

    def start(self) -> None:
        """Starts the thread. Does not block."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Blocks for a look. Idempotent."""
        self._stop.set()
        self._look.set()
        if self._thread.is_alive():
            self._thread.join()

    def poke(self) -> None:
        """Something may have changed. Never blocks; any thread."""
        self._look.set()

    def is_deaf(self, key: int) -> bool:
        """Whether peers receive a shard's events, and this replica does not. No I/O; any thread."""
        comparison = self._comparisons.get(key)
        return comparison is not None and comparison.deaf

    def _run(self) -> None:
        while not self._stop.is_set():
            self._look.wait(LOOK)
            self._look.clear()
            if self._replica.stopped:
                return
            try:
                self._judge()
            except Exception:  # noqa: BLE001 - it looks again
                _log.exception("the monitor failed")

    def _judge(self) -> None:
        replica = self._replica
        if replica.leaders is not None:
            for key, client in replica.gateway.clients.items():
                gateway = client.state()
                deaf = self._compare(key, gateway)
                if gateway.connected and not deaf:
                    replica.leaders.set_connected(key, True)
                # A connection that is given up for its silence was none before, either.
                elif deaf or max(gateway.since, gateway.silent) >= replica.config.deaf_after:
                    replica.leaders.set_connected(key, False)
        replica.readiness.note(report.reasons(replica))

    def _compare(self, key: int, gateway: GatewayState) -> bool:
        """Whether peers receive events on this shard while this replica does not; then something is done."""
        replica = self._replica
        comparison = self._comparisons.get(key)
        if comparison is None:
            comparison = self._comparisons[key] = Comparison(
                replica.config.deaf_after, settle=replica.config.session_ttl * 2 / 3 + LOOK
            )
        peers: dict[str, int] = {}
        for name, record in replica.replicas().items():
            events = record.get("events")
            count = events.get(str(key)) if isinstance(events, dict) else None
            if isinstance(count, int) and name != replica.replica_id:
                peers[name] = count
        if comparison.observe(gateway.heard, peers) and gateway.connected:
            resume = comparison.tries == 1
            _log.warning(
                "shard %d is deaf: other replicas receive events, and it does not; it reconnects %s",
                number_of(key),
                "by RESUME" if resume else "with a new session",
            )
            replica.gateway.reconnect(key, resume=resume)
        return comparison.deaf

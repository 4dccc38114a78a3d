"""Watches one replica's connections: whether it is ready, and whether a shard is deaf.

A deaf connection acknowledges heartbeats but brings no events. Every replica publishes in its member record
how many events each shard has received; a replica is deaf when its own count stands still while a peer's
grows.

Guarantees
- Readiness is judged twice a second, and at every change of a connection.
- A deaf shard is reported and reconnects: by RESUME first, then with a new session.
- The leader service learns when a shard's connection is too poor to lead.

Threads and locks: ``Monitor`` owns the thread ``discordha-monitor``: ``start`` starts it, ``stop`` joins it.
It does no I/O. ``_detectors`` belongs to it; ``is_deaf`` reads single values from any thread. While the
session or the watch is lost, the replica is not ready.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from discordha.coordination.membership.shard_keys import number_of
from discordha.gateway import GatewayState
from discordha.process.threads import failing, note_failure, unending
from discordha.replica.incidents import Observation
from discordha.replica.status import ReplicaView, reasons

__all__ = ["DeafnessDetector", "Monitor"]

_log = logging.getLogger("discordha")

#: Pause between two checks, seconds.
CHECK_INTERVAL = 0.5
#: How many events a peer must have received meanwhile: one or two may be on their way here.
MIN_MISSED_EVENTS = 3


class DeafnessDetector:
    """Compares one shard's count of events with its peers'. No I/O; one thread.

    :param patience: seconds without an event after which peers are believed.
    :param settle: seconds that a peer's record may lag behind. Growth within this time after this replica's
        last event may stem from events that both have received.
    """

    def __init__(
        self, patience: float, *, settle: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience = patience
        self._settle = settle
        self._clock = clock
        self._events = -1
        self._since = 0.0
        self._peers: dict[str, int] = {}
        self.deaf = False
        self.tries = 0

    def observe(self, events: int, peers: Mapping[str, int]) -> bool:
        """Whether the shard must reconnect now: it is deaf, and the last remedy had its time. Never blocks.

        ``tries`` counts the remedies since the last event. A shard is deaf until an event arrives, or until
        peers receive none after a remedy either.

        :param events: how many events this replica has received, those that RESUME brought included.
        :param peers: how many events each peer has received, without those.
        """
        now = self._clock()
        if events != self._events:
            self._events, self._since, self._peers = events, now, dict(peers)
            self.deaf = False
            self.tries = 0
            return False
        if now - self._since < self._settle:
            self._peers = dict(peers)
            return False
        for peer, count in peers.items():
            self._peers.setdefault(peer, count)
        if now - self._since < self._patience:
            return False
        missed = max((count - self._peers[peer] for peer, count in peers.items()), default=0)
        self.deaf = missed >= MIN_MISSED_EVENTS
        if self.deaf:
            self.tries += 1
            self._since, self._peers = now, dict(peers)
        return self.deaf


class Monitor:
    """The monitor of one replica."""

    def __init__(self, replica: ReplicaView) -> None:
        self._replica = replica
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._detectors: dict[int, DeafnessDetector] = {}
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-monitor", daemon=True
        )

    def start(self) -> None:
        """Starts the thread. Does not block."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Blocks for a check. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def poke(self) -> None:
        """Has the thread check now. Never blocks; any thread."""
        self._wake.set()

    def is_deaf(self, key: int) -> bool:
        """Whether peers receive a shard's events while this replica does not. No I/O; any thread."""
        detector = self._detectors.get(key)
        return detector is not None and detector.deaf

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(CHECK_INTERVAL)
            self._wake.clear()
            if self._replica.readiness.draining:
                return
            try:
                self._check()
            except Exception as error:  # noqa: BLE001 - the thread must not end
                _log.exception("the monitor failed; it checks again")
                note_failure(error)
                if found := failing():
                    self._replica.readiness.note(found)

    def _check(self) -> None:
        replica, leaders = self._replica, self._replica.leaders
        if leaders is not None:
            for key, client in replica.gateway.clients.items():
                gateway = client.state()
                deaf = self._repair_if_deaf(key, gateway)
                if gateway.connected and not deaf:
                    leaders.set_connected(key, True)
                # A connection that is replaced because of its silence was dead before, too.
                elif deaf or max(gateway.since, gateway.silent) >= replica.config.deaf_after:
                    leaders.set_connected(key, False)
        replica.readiness.note(reasons(replica))
        self._look()

    def _look(self) -> None:
        """Has the replica's incidents noted."""
        replica, node = self._replica, self._replica.coordination
        shards = replica.shards.clients()
        replica.incidents.look(
            Observation(
                {name: each for name, each in replica.replicas().items() if name != replica.replica_id},
                node.members.departures.latest() if node is not None else (),
                replica.stats.count("taken_over"),
                replica.stats.count("dead"),
                node.session.losses if node is not None else 0,
                frozenset(number_of(key) for key in replica.gateway.clients if self.is_deaf(key)),
                frozenset(shard for shard in shards if replica.leading.is_leader(shard)),
            )
        )

    def _repair_if_deaf(self, key: int, gateway: GatewayState) -> bool:
        """Whether a shard is deaf; reconnects it when the last remedy had its time."""
        replica = self._replica
        detector = self._detectors.get(key)
        if detector is None:
            detector = self._detectors[key] = DeafnessDetector(
                replica.config.deaf_after, settle=replica.config.session_ttl * 2 / 3 + CHECK_INTERVAL
            )
        peers: dict[str, int] = {}
        for name, record in replica.replicas().items():
            events = record.get("events")
            count = events.get(str(key)) if isinstance(events, dict) else None
            if isinstance(count, int) and name != replica.replica_id:
                peers[name] = count
        if detector.observe(gateway.heard, peers) and gateway.connected:
            resume = detector.tries == 1
            _log.warning(
                "shard %d is deaf: other replicas receive events, and it does not; it reconnects %s",
                number_of(key),
                "by RESUME" if resume else "with a new session",
            )
            replica.gateway.reconnect(key, resume=resume)
        return detector.deaf

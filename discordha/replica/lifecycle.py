"""One replica from its start to its end.

Start: coordination (session, watch, members), the dispatcher, then the gateway, so that nothing arrives
before it can be handled. Stop, within one deadline: tell peers, move shards and leadership, finish handlers,
write their marks, close the gateway, revoke the session.

Threads and locks: one thread at a time, that of the facade, calls ``start``; any thread calls ``stop``, also
after a start that failed half way. ``_stop_lock`` guards ``_stopped``. Lost sessions and watches show in the
replica's readiness, and end by themselves.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from discordha.limits.session_limits import SessionLimits
from discordha.replica.parts import ReplicaParts
from discordha.supervisor import link

__all__ = ["ReplicaLifecycle"]

_log = logging.getLogger("discordha")

#: The share of ``drain_timeout`` for handing over: other replicas take this one's shards, and this replica,
#: as their leader, handles the events that only it received.
HANDOVER_SHARE = 0.6
#: The part of ``drain_timeout`` that is kept for marks, the gateway and the session, seconds.
CLEANUP_RESERVE = 2.0
#: How long etcd may take to tell peers that this replica drains, seconds; then it drains anyway.
ANNOUNCE_TIMEOUT = 0.5


class ReplicaLifecycle:
    """Starts and stops the parts of one replica. One use: a bot that starts again makes another one."""

    def __init__(self, parts: ReplicaParts) -> None:
        self.parts = parts
        self.pid = os.getpid()
        self._clock = time.monotonic
        self._failed = False
        self._stop_lock = threading.Lock()
        self._stopped = False
        self._ended = threading.Event()

    def start(self) -> None:
        """Starts all parts. Blocks until etcd and Discord accept this replica, not until it is ready.

        :raises ConfigError: Discord or etcd refuses the configuration.
        :raises StoreUnavailable: etcd does not answer.
        """
        parts = self.parts
        with ExitStack() as undo:
            undo.callback(self.stop, 0.0)
            for part in (parts.health, parts.node, parts.dispatcher, parts.leaders, parts.gateway):
                if part is not None:
                    part.start()
            link.current().watch_loop(parts.gateway.loop)
            self._open_shards(parts.gateway.session_limits())
            for following in (parts.commands, parts.monitor, parts.loops, parts.wheel):
                following.start()
            for worker in parts.voice_workers:
                worker.start(parts, parts.voice, parts.readiness.wait)
            undo.pop_all()

    def _open_shards(self, limits: SessionLimits) -> None:
        """Opens the only connection, or the shards. Blocks until Discord accepts the first, or on etcd."""
        parts = self.parts
        parts.identify.start(limits)
        wanted = parts.config.shard_count
        count = limits.shards if wanted == "auto" else wanted
        if parts.hosting is not None:
            assert isinstance(count, int)
            parts.hosting.start(count)
        elif isinstance(count, int):
            for number in range(count):
                parts.gateway.open_shard(number, number, count)
        else:
            if parts.leaders is not None:
                parts.leaders.open(0)
            parts.gateway.open_shard(0)

    def note_failure(self) -> None:
        """Notes that an error ends this replica: its start counts as a crash. Any thread."""
        self._failed = True

    def stop(self, timeout: float, hurry: Callable[[], bool] = lambda: False) -> list[str]:
        """Drains and ends everything. Blocks for about ``timeout`` seconds at most. Idempotent.

        :param hurry: nothing waits any more once it is true.
        :return: the handlers that were still running; other replicas run their events again.
        """
        with self._stop_lock:
            first, self._stopped = not self._stopped, True
        if not first:
            self._ended.wait(timeout + CLEANUP_RESERVE)
            return []
        try:
            deadline = self._clock() + timeout
            undone = self._hand_over(timeout, hurry)
            left = self._finish_handlers(timeout, deadline, hurry, undone)
            self._end_parts(deadline, handlers_left=bool(left))
            return left
        finally:
            self._ended.set()

    def _hand_over(self, timeout: float, hurry: Callable[[], bool]) -> int:
        """Moves shards and leadership; returns the number of events that perhaps no other replica has."""
        parts = self.parts
        parts.readiness.drain()
        if parts.coordination is not None:
            # First of all: peers that see free leadership, or get an event, must know that this replica
            # leaves.
            parts.coordination.members.flush(min(ANNOUNCE_TIMEOUT, timeout))
        leave_at = self._clock() + max(timeout - CLEANUP_RESERVE, 0.0) * HANDOVER_SHARE
        if parts.hosting is not None:
            parts.hosting.give_away(leave_at - self._clock(), hurry)
            parts.hosting.stop()
        if parts.leaders is None:
            return 0
        parts.leaders.finish(leave_at - self._clock(), hurry)
        return parts.leaders.hand_over(timeout=min(1.0, max(timeout, 0.1)))

    def _finish_handlers(
        self, timeout: float, deadline: float, hurry: Callable[[], bool], undone: int
    ) -> list[str]:
        """Lets loops, voice and handlers finish, and writes their marks; returns the handlers that run on."""
        parts = self.parts
        parts.loops.pause()
        parts.wheel.pause()
        parts.commands.stop()
        for worker in parts.voice_workers:
            worker.stop(max(timeout / 2, 1.0))
        rest = max(deadline - self._clock(), 0.0)
        left = parts.dispatcher.drain(
            max(rest - CLEANUP_RESERVE, min(timeout / 2, rest)), hurry, undone=undone
        )
        parts.waiters.close()
        if left:
            _log.warning(
                "%d handlers did not finish in time; other replicas retry: %s", len(left), ", ".join(left)
            )
        marks_by = self._clock() + (0.5 if left else max(deadline - self._clock(), 0.5))
        parts.dispatcher.marked(marks_by - self._clock())
        while parts.leaders is not None and parts.leaders.under_way and self._clock() < marks_by:
            self._ended.wait(0.005)
        if not parts.loops.stop(max(deadline - CLEANUP_RESERVE - self._clock(), 0.0)):
            _log.warning("a loop did not end in time")
        return left

    def _end_parts(self, deadline: float, *, handlers_left: bool) -> None:
        parts = self.parts
        parts.readiness.end()
        parts.monitor.stop()
        parts.wheel.stop()
        parts.dispatcher.stop(timeout=0.1 if handlers_left else 1.0)
        parts.voice.stop()
        parts.gateway.stop(max(deadline - self._clock(), 1.0))
        parts.identify.stop(clean=parts.readiness.was_ready and not self._failed)
        if parts.leaders is not None:
            parts.leaders.stop()
        parts.shared.stop()
        parts.node.stop()
        parts.commands.join()
        if parts.health is not None:
            parts.health.stop()

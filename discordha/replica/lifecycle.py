"""One replica from its start to its end.

Start: coordination (session, watch, members), the dispatcher, then the gateway, so that nothing arrives
before it can be handled. Stop, within one deadline: tell peers, move shards and leadership, finish handlers,
write their marks, close the gateway, revoke the session.

Threads and locks: one thread at a time, that of the facade, calls ``start``; any thread calls ``stop``, also
during a start, which it interrupts, or after one that failed half way. ``_stop_lock`` guards ``_stopped``.
``StopClock`` runs a thread during ``stop``. Lost sessions and watches show in the replica's readiness, and
end by themselves.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from discordha.errors import DiscordHAError
from discordha.limits.session_limits import SessionLimits
from discordha.process.threads import listen
from discordha.replica.parts import ReplicaParts
from discordha.replica.stop_clock import CLEANUP_RESERVE, REVOKE_RESERVE, StopClock
from discordha.supervisor import link

__all__ = ["ReplicaLifecycle", "StartInterrupted"]

_log = logging.getLogger("discordha")

#: The share of ``drain_timeout`` for handing over: other replicas take this one's shards, and this replica,
#: as their leader, handles the events that only it received.
HANDOVER_SHARE = 0.6
#: The part of a stop's time that is kept for the gateway and the session after the marks, seconds.
END_RESERVE = 1.0
#: How long marks may take when handlers run on or the stop's caller hurries, seconds.
MARKS_GRACE = 0.5
#: How long etcd may take to accept resignations, seconds; then leadership moves when the session ends.
RESIGN_TIMEOUT = 2.0
#: The gateway gets this much to close its connections, seconds, also when the stop's time is over.
MIN_CLOSING = 0.3
#: How long etcd may take to tell peers that this replica drains, seconds; then it drains anyway.
ANNOUNCE_TIMEOUT = 0.5


class StartInterrupted(DiscordHAError):
    """The bot was stopped while it started."""


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
        self._end_listening: Callable[[], None] = lambda: None
        self._start_over = threading.Event()  # cleared while a start is under way
        self._start_over.set()

    def start(self) -> None:
        """Starts all parts. Blocks until etcd and Discord accept this replica, not until it is ready.

        :raises ConfigError: Discord or etcd refuses the configuration.
        :raises StoreUnavailable: etcd does not answer.
        :raises StartInterrupted: ``stop`` was called meanwhile.
        """
        self._start_over.clear()
        self._end_listening = listen(self._on_thread_failure)
        try:
            self._start_parts()
            self._go_on()
        except BaseException as error:
            self._start_over.set()
            interrupted = self._stopped
            self.stop(0.0)
            if interrupted and isinstance(error, Exception):
                raise StartInterrupted("the bot was stopped while it started") from error
            raise
        self._start_over.set()

    def _start_parts(self) -> None:
        parts = self.parts
        for part in (
            parts.health,
            parts.node,
            parts.dispatcher,
            parts.leaders,
            parts.gateway,
            parts.catch_up,
        ):
            self._go_on()
            if part is not None:
                part.start()
        link.current().watch_loop(parts.gateway.loop)
        self._open_shards(parts.gateway.session_limits())
        for following in (parts.commands, parts.monitor, parts.loops, parts.wheel, parts.inbox):
            self._go_on()
            following.start()
        if parts.telemetry is not None:
            parts.telemetry.observe(parts)
        for worker in parts.voice_workers:
            worker.start(parts, parts.voice, parts.readiness.wait)

    def _on_thread_failure(self, given_up: DiscordHAError | None) -> None:
        """A thread failed unexpectedly: the replica is not ready, or ends if the thread is given up."""
        if given_up is not None:
            self.parts.on_fatal(given_up)
        self.parts.monitor.poke()

    def _go_on(self) -> None:
        if self._stopped:
            raise StartInterrupted("the bot was stopped while it started")

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
        """Drains and ends everything. Blocks for ``timeout`` seconds at most, or for ``CLEANUP_RESERVE`` if
        that is more, whatever does not answer. Idempotent. A start under way is interrupted.

        :param hurry: nothing waits any more once it is true.
        :return: the handlers that were still running; other replicas run their events again.
        """
        with self._stop_lock:
            first, self._stopped = not self._stopped, True
        if not first:
            self._ended.wait(timeout + CLEANUP_RESERVE)
            return []
        clock = StopClock(timeout, hurry, self._clock)
        parts = self.parts
        try:
            if not self._start_over.is_set():
                parts.gateway.interrupt()
                parts.node.interrupt()
                clock.wait(self._start_over.is_set, clock.until_end(END_RESERVE))
            parts.gateway.refuse_shards()
            with clock.cutting(self._cut):
                self._hand_over(clock, hurry)
                left = self._finish_handlers(clock)
                self._end_parts(clock, handlers_left=bool(left))
            return left
        finally:
            self._end_listening()
            self._ended.set()

    def _cut(self) -> None:
        _log.warning("the stop's time is over: calls to etcd and Discord without an answer are given up")
        self.parts.node.cut()
        self.parts.gateway.interrupt()

    def _hand_over(self, clock: StopClock, hurry: Callable[[], bool]) -> None:
        """Moves shards and leadership."""
        parts = self.parts
        parts.readiness.drain()
        if parts.catch_up is not None:
            parts.catch_up.pause()
        if parts.coordination is not None:
            # First of all: peers that see free leadership, or get an event, must know that this replica
            # leaves.
            parts.coordination.members.flush(min(ANNOUNCE_TIMEOUT, clock.until_end()))
        leave_at = self._clock() + clock.left(CLEANUP_RESERVE) * HANDOVER_SHARE
        if parts.hosting is not None:
            parts.hosting.give_away(leave_at - self._clock(), hurry)
            parts.hosting.stop()
        if parts.leaders is not None:
            parts.leaders.finish(leave_at - self._clock(), hurry)
            parts.leaders.hand_over(timeout=min(RESIGN_TIMEOUT, clock.until_end(END_RESERVE)))

    def _finish_handlers(self, clock: StopClock) -> list[str]:
        """Lets loops, voice and handlers finish, and writes their marks; returns the handlers that run on."""
        parts = self.parts
        parts.loops.pause()
        parts.wheel.pause()
        parts.inbox.pause()
        parts.commands.stop()
        parts.voice.drain()
        for worker in parts.voice_workers:
            worker.stop(max(clock.left() / 2, 1.0))
        at_least = min(clock.timeout / 2, clock.left(REVOKE_RESERVE))
        left = parts.dispatcher.drain(
            max(clock.left(CLEANUP_RESERVE), at_least),
            lambda: clock.hurried,
            parts.leaders.undone if parts.leaders is not None else lambda: 0,
        )
        parts.waiters.close()
        if left:
            _log.warning(
                "%d handlers did not finish in time; other replicas retry: %s", len(left), ", ".join(left)
            )
        leaders = parts.leaders
        clock.wait(
            lambda: parts.dispatcher.marked(0.0) and not (leaders is not None and leaders.under_way),
            min(MARKS_GRACE, clock.until_end()) if left else clock.until_end(END_RESERVE),
            grace=MARKS_GRACE,
        )
        clock.wait(lambda: parts.voice.idle, clock.left(CLEANUP_RESERVE))
        if not clock.wait(lambda: parts.loops.stop(0.0), clock.left(CLEANUP_RESERVE)):
            _log.warning(
                "a loop did not end in time, and is left behind: raise drain_timeout, or shorten its runs"
            )
        return left

    def _end_parts(self, clock: StopClock, *, handlers_left: bool) -> None:
        parts = self.parts
        parts.readiness.end()
        parts.monitor.stop()
        parts.wheel.stop()
        parts.inbox.stop()
        if parts.catch_up is not None:
            if not handlers_left:
                parts.catch_up.settle()
            parts.catch_up.stop(min(0.5, max(clock.until_end(END_RESERVE), 0.0)))
        parts.dispatcher.stop(timeout=0.1 if handlers_left else min(1.0, clock.until_end(END_RESERVE)))
        parts.voice.stop()
        parts.gateway.stop(max(clock.until_end(END_RESERVE), MIN_CLOSING))
        parts.identify.stop(clean=parts.readiness.was_ready and not self._failed)
        if parts.leaders is not None:
            parts.leaders.stop()
        parts.shared.stop()
        parts.node.stop(clock.until_end())
        parts.commands.join()
        if parts.health is not None:
            parts.health.stop()

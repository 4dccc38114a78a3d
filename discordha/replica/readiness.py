"""Readiness: whether a replica takes its share of events, as it tells its peers, its log and its callers.

A replica is *starting* until it has been ready once, then *ready*, or *unready* while a reason prevents it;
*draining* is its last state.

Guarantees
- Each change is announced once and logged with its reasons.
- ``wait`` ends when the replica has been ready, when it never will be, and when it stops.

Threads and locks: the monitor's thread calls ``note``; the thread that stops the replica calls ``drain`` and
``end``; any thread calls ``give_up``. ``_lock`` guards ``state`` together with its announcement, so that a
late check of the monitor's cannot call a draining replica ready. Lost sessions and watches show in the
reasons.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from discordha.coordination.membership.members import NOT_READY

__all__ = ["Readiness"]

_log = logging.getLogger("discordha")


class Readiness:
    """The readiness of one replica.

    :param announce: tells peers of a new state; must not block.
    """

    def __init__(self, replica_id: str, announce: Callable[[str], None]) -> None:
        self._replica_id = replica_id
        self._announce = announce
        self._lock = threading.Lock()
        self._awaited = threading.Event()  # has been ready, or never will be
        self._ended = False
        self.state = "starting"
        self.was_ready = False

    @property
    def draining(self) -> bool:
        """Whether the replica starts nothing new."""
        return self.state == "draining"

    def note(self, reasons: Sequence[str]) -> None:
        """Takes the reasons why the replica is not ready; no reasons: it is. Ignored while it drains. Never
        blocks.
        """
        state = "ready" if not reasons else ("starting" if not self._awaited.is_set() else NOT_READY)
        with self._lock:
            if self.state in (state, "draining"):
                return
            before, self.state = self.state, state
            self._announce(state)
        if state != "ready":
            _log.warning("replica %s is not ready: %s", self._replica_id, "; ".join(reasons))
        elif before == "starting":
            self.was_ready = True
            self._awaited.set()
            _log.info("discordha ready replica=%s", self._replica_id)
        else:
            _log.info("replica %s is ready again", self._replica_id)

    def wait(self, timeout: float | None) -> bool:
        """Blocks until the replica has been ready once. False after ``timeout`` seconds, or at the end."""
        return self._awaited.wait(timeout) and not self._ended

    def give_up(self) -> None:
        """Ends ``wait``: the replica cannot go on."""
        self._awaited.set()

    def drain(self) -> None:
        """Begins the last state: the replica starts nothing new."""
        with self._lock:
            self.state = "draining"
            self._announce("draining")

    def end(self) -> None:
        """Ends ``wait``: the replica has drained. Idempotent."""
        self._ended = True
        self._awaited.set()

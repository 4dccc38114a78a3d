"""Readiness: whether a replica takes its share, and what it says of that to its peers, its log, and whoever
waits for it.

A replica is *starting* until it has been ready once, then *ready*, or *deaf* while something is in the way;
*draining* is its last state.

Promises: each change is announced once, with the reasons in the log. ``wait`` ends when the replica has been
ready, when it never will be, and when it stops.

Concurrency: no thread. ``note`` is the monitor's; ``drain`` and ``end`` are called by whoever stops the
replica, ``give_up`` by any thread. ``_lock`` guards the change of ``state`` and its announcement, lest a look
of the monitor's that ends late call a draining replica ready. At a lost session or watch nothing is to be
done here: the reasons say so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

__all__ = ["Readiness"]

_log = logging.getLogger("discordha")


class Readiness:
    """See the module.

    :param announce: tells peers of the state; must not block.
    """

    def __init__(self, replica_id: str, announce: Callable[[str], None]) -> None:
        self._replica_id = replica_id
        self._announce = announce
        self._lock = threading.Lock()
        self._awaited = threading.Event()  # ready once, or not to be waited for
        self._ended = False
        self.state = "starting"
        self.was_ready = False

    def note(self, reasons: Sequence[str]) -> None:
        """Why the replica is not ready; no reason: it is. Nothing, once it drains. Never blocks."""
        state = "ready" if not reasons else ("starting" if not self._awaited.is_set() else "deaf")
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
        """Blocks until the replica has been ready for the first time; false when that takes longer than
        ``timeout`` seconds, or at the end.
        """
        return self._awaited.wait(timeout) and not self._ended

    def give_up(self) -> None:
        """Ends ``wait``: the replica can't go on."""
        self._awaited.set()

    def drain(self) -> None:
        """The replica begins nothing new."""
        with self._lock:
            self.state = "draining"
            self._announce("draining")

    def end(self) -> None:
        """The replica has drained. Idempotent."""
        self._ended = True
        self._awaited.set()

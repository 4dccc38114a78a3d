"""Drain: what becomes of the events that wait when a replica leaves.

Guarantees: events that another replica has received are left to it, the oldest first; the rest is worked to
the end, within the time given. An event that is not looked at yet counts as open. What is left then, and no
other replica is known to have received, is counted (``dropped``, ``undone``) and said in the log. The return
from an outage fetches such messages again.

Threads and locks: no lock, no thread. ``begin`` never blocks, any thread; ``run`` blocks the thread that ends
the replica.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.dispatch.items import ClaimItem, LaneItem, LeaderItem, State
from discordha.dispatch.lanes import Lanes
from discordha.dispatch.pending import PendingEvents
from discordha.dispatch.router import Router
from discordha.stats import Stats

__all__ = ["Drain"]

_log = logging.getLogger(__name__)

#: So long the peers have to tell that they received or handled what a leader leaves to them, seconds.
NEWS = 1.0


class Drain:
    """The drain of one replica's dispatcher.

    :param has_journals: leader events that wait are in the journals of other replicas.
    """

    def __init__(  # noqa: PLR0917
        self,
        pending: PendingEvents,
        lanes: Lanes,
        router: Router,
        last_attempts: LastAttempts,
        stats: Stats,
        has_journals: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pending = pending
        self._lanes = lanes
        self._router = router
        self._last_attempts = last_attempts
        self._stats = stats
        self._has_journals = has_journals
        self._clock = clock

    def begin(self) -> None:
        """Gives the waiting events to the other replicas that have received them."""
        router = self._router
        router.draining = True
        waiting = self._lanes.clear(lambda item: isinstance(item, ClaimItem) and router.gives_back(item))
        router.give_back([item for item in waiting if isinstance(item, ClaimItem)])
        router.look_at_all()

    def run(
        self,
        timeout: float,
        stop: threading.Event,
        hurry: Callable[[], bool] | None,
        undone: Callable[[], int],
    ) -> None:
        """Begins, and waits for the events that are only ours. Blocks for ``timeout`` seconds at the most, or
        until ``hurry`` or ``stop``.

        :param undone: how many leader events were not started, as far as peers have told by now.
        """
        deadline, told = self._clock() + timeout, self._clock() + NEWS
        router, pending = self._router, self._pending
        self.begin()
        while self._clock() < deadline and not stop.wait(0.005):
            if hurry is not None and hurry():
                break
            if any(self._lanes.sizes()) or self._last_attempts.waits:
                continue
            unlooked = [item for item in pending.standing(State.PARKED) if item.look is not None]
            open_ = [*pending.standing(State.DELAYED), *pending.held(), *unlooked]
            if all(map(router.gives_back, open_)) and (self._clock() >= told or not undone()):
                break
        unstarted = [*pending.standing(State.WAITING), *pending.standing(State.DELAYED), *pending.held()]
        left = sum(not router.gives_back(item) for item in unstarted) + undone()
        left += len(self._lanes.clear(self._is_only_ours))
        router.drained = True
        if left:
            _log.error(
                "%d events were not started before this replica left, and no other replica is known to have "
                "received them",
                left,
            )
            self._stats.add("dropped", "undone", left)

    def _is_only_ours(self, item: LaneItem) -> bool:
        """Whether a waiting event is neither to be claimed nor in a journal."""
        return not isinstance(item, ClaimItem) and not (isinstance(item, LeaderItem) and self._has_journals)

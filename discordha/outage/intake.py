"""Intake: what catch-ups have the gateway's thread do, in order and in small turns.

Guarantees: calls run in the order in which they were put. Between turns of ``TURN`` seconds the loop does
what else is due, so that a frame of caught-up events holds up no live one.

Threads and locks: no lock. Any thread puts; the calls run on the gateway's thread.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

__all__ = ["Intake"]

_log = logging.getLogger(__name__)

#: A turn begins no call after so many seconds.
TURN = 0.001


class Intake:
    """See the module. ``soon`` calls on the gateway's thread, in the order of the calls."""

    def __init__(
        self, soon: Callable[[Callable[[], None]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._soon = soon
        self._clock = clock
        self._calls: deque[Callable[[], object]] = deque()
        self._is_due = False  # a turn is

    def put(self, calls: Iterable[Callable[[], object]]) -> None:
        """Adds calls. Does not block; any one thread."""
        self._calls.extend(calls)
        if not self._is_due:
            self._is_due = True
            self._soon(self._turn)

    def _turn(self) -> None:
        end = self._clock() + TURN
        while self._calls:
            call = self._calls.popleft()
            try:
                call()
            except Exception:  # noqa: BLE001 - whatever is wrong with one payload
                _log.exception("something of a catch-up failed")
            if self._clock() >= end:
                break
        self._is_due = False
        if self._calls:  # also what was put while the turn was still due
            self._is_due = True
            self._soon(self._turn)

"""Last attempts: events that become dead letters if their replica dies once more run one at a time.

When a process dies, nothing tells which of the events that ran in it was the reason. All of them run again,
probably on the same replica at the same moment, so an event that runs beside a poisonous one would do so each
time, and be buried with it.

Guarantees: of the events on their last attempt, one runs in this process at a time. The others have not
begun: their attempts are not counted meanwhile, and another replica may take them. Events on earlier attempts
run beside it, and lose one attempt if it ends the process. Nobody waits longer than ``EXCLUSIVE_LIMIT``: a
poisonous event usually ends its process at once, and a handler that hangs must not hold up others. With
``max_attempts=1`` nothing waits.

Threads and locks: no thread, nothing blocks. ``_lock`` guards everything here and may be taken under the
journals' locks; nothing is called under it. Waiters are called by the thread that calls ``leave`` or
``tend``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

__all__ = ["LastAttempts"]

#: The longest time that one event keeps others on their last attempt from beginning, seconds.
EXCLUSIVE_LIMIT = 10.0


class LastAttempts:
    """Lets one event on the last of its ``max_attempts`` attempts run at a time. Any thread."""

    def __init__(self, max_attempts: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_attempts = max_attempts
        self._clock = clock
        self._lock = threading.Lock()
        self._inside: Hashable = None
        self._since = 0.0
        self._waiting: dict[Hashable, Callable[[], None]] = {}

    @property
    def waits(self) -> bool:
        """Whether an event waits."""
        return bool(self._waiting)

    def concerns(self, attempt: int) -> bool:
        """Whether this is the last of several attempts."""
        return attempt > 1 and attempt == self.max_attempts

    def enter(self, event: Hashable, who: Hashable, again: Callable[[], None]) -> bool:
        """Lets an event begin, or returns false if another one runs.

        :param event: identifies the event within the process.
        :param who: identifies the caller, who is called back once, however often it asked.
        :param again: called once the event may be able to begin.
        """
        with self._lock:
            if self._inside is None:
                self._inside, self._since = event, self._clock()
                return True
            self._waiting[who] = again
            return False

    def leave(self, event: Hashable) -> None:
        """Ends the turn of an event that is marked or was not handled, and calls the waiters."""
        if self._inside == event:
            self._next(event)

    def tend(self) -> None:
        """Ends the turn of an event that has run for too long. Called now and then."""
        event = self._inside
        if event is not None and self._waiting and self._clock() - self._since >= EXCLUSIVE_LIMIT:
            self._next(event)

    def _next(self, event: Hashable) -> None:
        with self._lock:
            if self._inside != event:
                return
            self._inside = None
            waiting, self._waiting = self._waiting, {}
        for again in waiting.values():
            again()

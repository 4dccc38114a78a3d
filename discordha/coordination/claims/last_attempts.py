"""Last attempts: the events that become dead letters if their replica ends once more, one at a time.

Where a process ends, nothing tells which of the events that ran in it was the reason. All of them are run
again, likely by the same replica, at the same moment: so what stood beside a poisonous event once would stand
beside it each time, and be buried with it.

Promises: of the events that are on their last attempt, one runs in this process at a time; what waits for
that has not begun, so that its attempts are not counted meanwhile, and another replica may take it.

Does not promise that an event is alone: those on earlier attempts run beside it, and lose one of theirs if it
ends the process. Nor to wait for longer than ``EXCLUSIVE_LIMIT``: what ends a process does so at once,
mostly, and a handler that hangs must not hold up the others.

With one attempt (``max_attempts=1``) there is nothing to wait for: whatever ran is buried.

Concurrency: no thread. ``_lock`` guards everything here, may be taken under the journals' locks, and nothing
is called under it; what waits is told by the caller of ``leave``, on a handler thread or one of
coordination's, or by that of ``tend``, the dispatcher's timer. At stop, a lost lease and a lost watch nothing
changes: who entered leaves once its mark is written, or its handler was lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

__all__ = ["LastAttempts"]

#: How long one event keeps others on their last attempt from beginning, at the most, seconds.
EXCLUSIVE_LIMIT = 10.0


class LastAttempts:
    """See the module. Thread-safe; nothing here blocks.

    :param max_attempts: how often an event may be started.
    """

    def __init__(self, max_attempts: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_attempts = max_attempts
        self._clock = clock
        self._lock = threading.Lock()
        self._inside: Hashable = None
        self._since = 0.0
        self._waiting: dict[Hashable, Callable[[], None]] = {}

    @property
    def waits(self) -> bool:
        """Whether something waits for its turn."""
        return bool(self._waiting)

    def concerns(self, attempt: int) -> bool:
        """Whether this is the last attempt of several."""
        return attempt > 1 and attempt == self.max_attempts

    def enter(self, event: Hashable, who: Hashable, again: Callable[[], None]) -> bool:
        """Lets an event begin, unless another is under way; then ``again`` is called once that may have
        changed.

        :param event: what is told apart from all others, within the process.
        :param who: asks; is called once, however often it did.
        """
        with self._lock:
            if self._inside is None:
                self._inside, self._since = event, self._clock()
                return True
            self._waiting[who] = again
            return False

    def leave(self, event: Hashable) -> None:
        """An event that had entered is marked, or was not handled. Nothing for one that had not. Calls what
        waits.
        """
        if self._inside == event:
            self._next(event)

    def tend(self) -> None:
        """Called now and then: what has run for too long is not waited for any more. Calls what waits."""
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

"""When calls that etcd does not take are made again: one caller for all of them, after pauses that double.

Guarantees
- While etcd takes calls, nobody waits. After a failure, all callers of a kind together ask once in
  ``first`` to ``last`` seconds, however many threads wait. Once one call is taken, all go on at once.
- A caller waits no longer than until its own deadline.

One object stands for calls that etcd takes or refuses alike: those of one prefix, reads apart from writes.

Threads and locks: no thread. Any thread but the gateway's. ``_changed`` guards the rest; no I/O under it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from discordha.errors import StoreUnavailable

__all__ = ["Backoff"]

#: The first and the longest pause between two calls, seconds.
FIRST_PAUSE = 0.05
LAST_PAUSE = 0.5


class Backoff:
    """See the module.

    :param first: the pause after the first failure, seconds; it doubles with each.
    :param last: the longest pause, seconds.
    """

    def __init__(
        self,
        first: float = FIRST_PAUSE,
        last: float = LAST_PAUSE,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = first
        self._last = last
        self._clock = clock
        self._changed = threading.Condition()
        self._pause = 0.0  # 0.0: etcd takes calls
        self._next = 0.0  # when the next call may be made
        self._round = 0  # counts failures: of many calls that fail together, one doubles the pause
        self._reason = ""
        self._stopped = False

    def stop(self) -> None:
        """Makes all that wait raise. Idempotent; any thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @contextmanager
    def attempt(self, until: float) -> Iterator[None]:
        """A context for one call; blocks until it is this caller's turn. ``StoreUnavailable`` that leaves the
        context is a failure; anything else shows that etcd answered.

        :param until: how long to wait for the turn, by the clock. While etcd takes calls there is no wait.
        :raises StoreUnavailable: there was no turn in time, or ``stop`` was called meanwhile.
        """
        turn = self._await_turn(until)
        try:
            yield
        except StoreUnavailable as error:
            self._failed(turn, error)
            raise
        except BaseException:
            self._taken()
            raise
        self._taken()

    def _await_turn(self, until: float) -> int:
        with self._changed:
            while self._pause:
                now = self._clock()
                if self._stopped:
                    raise StoreUnavailable("the bot stops")
                if now >= self._next:
                    self._next = now + self._pause  # the next caller's, if this one has no answer by then
                    break
                if now >= until:
                    raise StoreUnavailable(self._reason)
                self._changed.wait(min(self._next, until) - now)
            return self._round

    def _failed(self, turn: int, error: StoreUnavailable) -> None:
        with self._changed:
            self._reason = str(error)
            if turn == self._round:
                self._round += 1
                self._pause = min(max(2 * self._pause, self._first), self._last)
                self._next = self._clock() + self._pause

    def _taken(self) -> None:
        if not self._pause:
            return
        with self._changed:
            self._pause = 0.0
            self._round += 1
            self._changed.notify_all()

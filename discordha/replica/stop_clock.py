"""The time of one stop: a single deadline for everything that it waits for.

Guarantees
- ``left`` and ``until_end`` never exceed the stop's time. Once its caller hurries, nothing waits for handlers
  any more, and everything ends ``HURRY`` seconds later.
- While ``cutting`` lasts, a function is called at the end of that time, to end the calls that still block.

Threads and locks: the thread ``discordha-stop`` lasts as long as ``cutting``. Any thread may ask for the
time; there is no lock, since every change only brings the end closer.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

__all__ = ["CLEANUP_RESERVE", "StopClock"]

_log = logging.getLogger(__name__)

#: The part of a stop's time that is kept for marks, the gateway and the session, seconds. A stop that is
#: given less takes as long if it must.
CLEANUP_RESERVE = 2.0
#: How long a stop may take from the moment in which its caller hurries, seconds.
HURRY = 1.5
#: The part of the end that is kept to revoke the session after all other calls to etcd, seconds.
REVOKE_RESERVE = 0.5
#: How often the clock looks whether its caller hurries, seconds.
LOOK = 0.05


class StopClock:
    """Counts a stop's time from now on.

    :param timeout: seconds for running handlers and for all that follows.
    :param hurry: whether the caller hurries; quick; asked by several threads.
    """

    def __init__(
        self, timeout: float, hurry: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._hurry = hurry
        self.timeout = timeout
        now = clock()
        self._deadline = now + timeout
        self._end = now + max(timeout, CLEANUP_RESERVE)
        self._hurried = False

    @property
    def hurried(self) -> bool:
        """Whether the caller hurries, or did before."""
        if not self._hurried and self._hurry():
            now = self._clock()
            self._hurried = True
            self._deadline = min(self._deadline, now)
            self._end = min(self._end, now + HURRY)
        return self._hurried

    def left(self, reserve: float = 0.0) -> float:
        """Seconds until the deadline of handlers, less ``reserve``; at least 0."""
        return max(self._deadline - reserve - self._clock(), 0.0) if not self.hurried else 0.0

    def until_end(self, reserve: float = 0.0) -> float:
        """Seconds until everything has to be over, less ``reserve``; at least 0."""
        self.hurried  # noqa: B018 - moves the end
        return max(self._end - reserve - self._clock(), 0.0)

    def wait(self, done: Callable[[], bool], timeout: float, *, grace: float = 0.0) -> bool:
        """Blocks until something is done, for ``timeout`` seconds at most; ``grace`` once the caller hurries.

        :return: whether it is done.
        """
        pause = threading.Event()
        begun = self._clock()
        while not done():
            if self._clock() - begun >= (min(timeout, grace) if self.hurried else timeout):
                return False
            pause.wait(0.005)
        return True

    @contextlib.contextmanager
    def cutting(self, cut: Callable[[], None]) -> Iterator[None]:
        """Calls ``cut`` on a thread of its own when the time is over, except for the session."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(min(LOOK, max(self.until_end(REVOKE_RESERVE), 0.001))):
                if self.until_end(REVOKE_RESERVE) <= 0.0:
                    cut()
                    return

        thread = threading.Thread(target=watch, name="discordha-stop", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads: each call has a timeout of its own
            _log.warning("the stop may take longer than it should: %s", error)
            yield
            return
        try:
            yield
        finally:
            over.set()
            thread.join()

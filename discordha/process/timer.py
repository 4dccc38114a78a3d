"""A thread that sleeps until something is due.

Threads and locks: ``Timer`` owns its thread; ``stop`` joins it. No lock: whoever adds something wakes it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from discordha.process.threads import note_failure, unending

__all__ = ["Timer"]

_log = logging.getLogger(__name__)


class Timer:
    """See the module.

    :param pause: for how many seconds, from a moment, nothing is due; ``None``: until something is added.
    :param tick: does everything that is due; an error is logged.
    """

    def __init__(
        self,
        pause: Callable[[float], float | None],
        tick: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause = pause
        self._tick = tick
        self._clock = clock
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._wakes_at = math.inf  # when the thread will look again
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-timer", daemon=True
        )

    def start(self) -> None:
        """Starts the thread. Twice raises ``RuntimeError``."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Blocks for a tick. Idempotent."""
        self._stop.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def is_idle(self) -> bool:
        """Whether the timer sleeps until something is added."""
        return self._wakes_at == math.inf

    def wake(self, due: float) -> None:
        """Something was added that is due at a moment."""
        if due < self._wakes_at and not self._woken.is_set():
            self._woken.set()

    def poke(self) -> None:
        """Something is due now."""
        self._woken.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            # In this order: ``pause`` sees what was added before, and ``_woken`` tells of the rest.
            self._wakes_at = math.inf
            self._woken.clear()
            now = self._clock()
            pause = self._pause(now)
            if pause is not None:
                self._wakes_at = now + pause
            self._woken.wait(pause)
            try:
                if not self._stop.is_set():
                    self._tick()
            except Exception as error:  # noqa: BLE001 - time must go on
                _log.exception("the timer failed; it goes on")
                note_failure(error)

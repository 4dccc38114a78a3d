"""The owner of a long-lived thread's end: an error that nobody expected does not end the thread.

Threads and locks: no state that threads share.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["unending"]

_log = logging.getLogger(__name__)

#: Pauses before a thread's work begins again, seconds: doubled from the first to the last. Work that lasted
#: for longer than the last one begins with the first again.
FIRST_PAUSE = 0.1
LAST_PAUSE = 5.0


def unending(run: Callable[..., None], stop: threading.Event) -> Callable[..., None]:
    """A thread's target that calls ``run``, and calls it again after every error. Ends when ``run`` returns,
    and after an error once ``stop`` is set. The log names the thread and the error.
    """

    def target(*args: Any) -> None:
        pause = FIRST_PAUSE
        while True:
            begun = time.monotonic()
            try:
                return run(*args)
            except BaseException:  # noqa: BLE001 - SystemExit, too, would end the thread without a word
                if time.monotonic() - begun > LAST_PAUSE:
                    pause = FIRST_PAUSE
                name = threading.current_thread().name
                _log.exception("the thread %s failed; it goes on in %.1f s", name, pause)
            if stop.wait(pause):
                return None
            pause = min(pause * 2, LAST_PAUSE)

    return target

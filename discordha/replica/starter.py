"""Starts a replica beside the thread that waits for signals.

Threads and locks: ``Starter`` owns the thread ``discordha-start``, which ends with the start. ``failure`` is
written before ``tell`` is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from discordha.errors import reason_of
from discordha.replica.lifecycle import StartInterrupted

__all__ = ["Starter"]


class Starter:
    """One start.

    :param start: blocks until the replica has started; raises ``StartInterrupted`` once it is stopped.
    :param tell: takes the reason when the start fails; starter's thread; must be quick.
    """

    def __init__(self, start: Callable[[], None], tell: Callable[[str], None]) -> None:
        self._start = start
        self._tell = tell
        self._thread = threading.Thread(target=self._run, name="discordha-start", daemon=True)
        self.failure: BaseException | None = None

    def begin(self) -> None:
        """Begins to start. Does not block."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Blocks until the start has ended, for ``timeout`` seconds at most; whether it has."""
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._start()
        except StartInterrupted:
            return
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self.failure = error
            self._tell(f"the start failed: {reason_of(error)}")

"""Notices: calls back in the order in which things happened, one at a time, with no lock held.

Promises: what is put is called once, in the order of ``put``, whoever calls ``deliver``. A call that fails is
logged, and the next ones are made.

Does not promise that ``deliver`` has called everything when it returns: another thread may be about to.

Concurrency: no thread. ``put`` is called under the lock given, ``deliver`` without it: it takes that lock for
a moment, and calls back on the calling thread. Whoever comes second leaves its notice to the first.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from discordha.coordination.election.candidates import Leadership

__all__ = ["Notices"]

_log = logging.getLogger(__name__)


class Notices:
    """See the module."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._waiting: deque[tuple[Callable[[Leadership], None], Leadership]] = deque()
        self._delivering = False

    def put(self, call: Callable[[Leadership], None], leadership: Leadership) -> None:
        """Has ``call`` told of a leadership at the next ``deliver``. Caller holds the lock."""
        self._waiting.append((call, leadership))

    def deliver(self) -> None:
        """Calls back what waits, unless another thread does. Blocks for as long as they take."""
        while True:
            with self._lock:
                if self._delivering or not self._waiting:
                    return
                self._delivering = True
                call, leadership = self._waiting.popleft()
            try:
                call(leadership)
            except Exception:  # noqa: BLE001 - the election outlives its listeners' faults
                _log.exception("a listener of the election of shard %d failed", leadership.shard_id)
            finally:
                with self._lock:
                    self._delivering = False

"""Refusals: etcd answers, and does not let this replica work, for a reason that an operator can mend.

Guarantees
- While a replica starts, a refusal is a ``ConfigError``: it ends the start.
- From ``outlast`` on it is a ``StoreRefused``, an outage to every caller: nothing was applied, the caller
  tries again, and work goes on by itself once etcd accepts.
- One log line says that etcd refuses, with the remedy, and one that it no longer does.

Threads and locks: any thread. ``_lock`` guards ``_reason``, ``_began`` and ``_last``; no I/O under it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from discordha.coordination.etcd.failures import AccessDenied
from discordha.coordination.etcd.store import StoreRefused
from discordha.errors import ConfigError

__all__ = ["Refusals"]

_log = logging.getLogger(__name__)

#: A refusal is over when etcd has accepted a call and has refused none for this long at least, seconds.
QUIET = 2.0


class Refusals:
    """The refusals that one replica meets, on all its connections."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._outlasts = False
        self._quiet = QUIET
        self._reason: str | None = None
        self._began = 0.0
        self._last = 0.0

    def outlast(self, quiet: float = QUIET) -> None:
        """Treats refusals as outages from now on.

        :param quiet: seconds without a refusal that end one: longer than the pause between two writes of the
            rarest kind, so that the log does not tell of an end between them.
        """
        self._quiet = max(quiet, QUIET)
        self._outlasts = True

    @property
    def reason(self) -> str | None:
        """Why etcd refuses; ``None`` while it does not."""
        return self._reason

    def note(self, error: Exception) -> Exception:
        """Takes the error of a call; returns the error to raise in its place."""
        if isinstance(error, ConfigError):
            if not self._outlasts:
                return error
            error = StoreRefused(str(error), by_key=isinstance(error, AccessDenied))
        if isinstance(error, StoreRefused):
            with self._lock:
                begins = self._reason is None
                self._reason = str(error)
                self._last = self._clock()
                if begins:
                    self._began = self._last
            if begins:
                _log.error("etcd refuses this replica: %s", error)
        return error

    def accepted(self) -> None:
        """A call succeeded."""
        if self._reason is None:
            return
        with self._lock:
            if self._reason is None or self._clock() - self._last < self._quiet:
                return
            self._reason = None
            lasted = self._last - self._began
        _log.info("etcd refuses this replica no more, after %.1f s", lasted)

"""Cooldowns that all replicas count together: so many uses in a window, which begins with its first use.

Guarantees
- Over all replicas at most ``rate`` uses pass in a window. Each use counts once: one that is repeated, since
  its event is run again or the answer from etcd got lost, passes as it did before.
- Times are those of the uses, such as a message's, and no process's clock.

Not guaranteed: fairness between uses that arrive at once. Source: the compare-and-swap loop on etcd's
``mod_revision``.

Threads and locks: no state; any thread but the gateway's.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable
from typing import NamedTuple

from discordha.coordination.etcd.store import Compare, Delete, Put, Txn
from discordha.coordination.shared.cache import Calls, SharedCaches
from discordha.coordination.shared.values import Record

__all__ = ["Cooldowns"]

#: The folder of all cooldowns, among the caches.
FOLDER = "discordha.cooldowns"
#: Seconds that a window stays in etcd beyond its end: clocks of etcd and of Discord differ.
MARGIN = 5.0
#: The longest pause after another replica was faster, seconds.
CONFLICT_PAUSE = 0.01


class _Window(NamedTuple):
    """A window: when it began, and the uses that passed."""

    began: float
    uses: tuple[str, ...]


class Cooldowns:
    """All cooldowns of the bot."""

    def __init__(self, caches: SharedCaches) -> None:
        self._caches = caches

    def take(self, key: str, rate: int, per: float, now: float, use: str) -> float | None:
        """Counts one use. Blocks for two round trips, and for more when replicas count at once.

        :param per: the length of a window, seconds.
        :param now: the time of the use, seconds.
        :param use: names the use over processes.
        :return: ``None`` if it passes; else the seconds until the window ends.
        :raises StoreUnavailable: etcd does not answer, or the bot stops.
        """
        path = self._caches.path(FOLDER, key)
        while True:
            kv = self._caches.fetch(path)
            window = _read(kv.value if kv is not None else None, per, now)
            if use in window.uses:
                return None
            if len(window.uses) >= rate:
                return window.began + per - now
            began = window.began if window.uses else now
            data = json.dumps([began, [*window.uses, use]]).encode()
            compare = Compare.mod_revision(path, kv.mod_revision if kv is not None else 0)

            def send(lease: int, data: bytes = data, compare: Compare = compare) -> bool:
                txn = Txn((compare,), (Put(path, Record(data).data(), lease),), ())
                return self._caches.run(path, txn, ()).succeeded

            # Repeated although it may have been applied: then the use is found in the window.
            write = functools.partial(self._write, per, send)
            if self._caches.repeat(write, Calls.WRITES, harmless=True):
                return None
            self._caches.pause(random.uniform(0, CONFLICT_PAUSE))

    def _write(self, per: float, send: Callable[[int], bool], left: float) -> bool:
        return self._caches.with_lease(per + MARGIN, send)

    def state(self, key: str, rate: int, per: float, now: float) -> tuple[int, float]:
        """The uses left, and the seconds until there is one. Blocks for a round trip."""
        kv = self._caches.fetch(self._caches.path(FOLDER, key))
        window = _read(kv.value if kv is not None else None, per, now)
        left = max(rate - len(window.uses), 0)
        return left, 0.0 if left else window.began + per - now

    def reset(self, key: str) -> None:
        """Begins anew. Blocks for a round trip."""
        path = self._caches.path(FOLDER, key)
        txn = Txn((), (Delete(path),))
        self._caches.repeat(lambda left: self._caches.run(path, txn, ()), Calls.WRITES, harmless=True)


def _read(data: bytes | None, per: float, now: float) -> _Window:
    """The window in force; an empty one if the last has ended."""
    if data is not None:
        began, uses = Record.read(data)[0]
        if now <= began + per:
            return _Window(began, tuple(uses))
    return _Window(now, ())

"""Tells apart equal events whose occurrences have the same number, since their mark vanished in between.

The occurrence of an event without identity is the version that its mark's key will get. When the key goes, by
a short ``retention`` or with its lease, it counts anew, and Discord may still remember the nonces of the
earlier events. The revision at which the key went is their *epoch*.

Guarantees
- The epoch is equal on all replicas that saw the mark come and go; in every attempt, unless the key goes
  between two of them. 0: no mark went within ``NONCE_MEMORY`` of its last change.
- Not guaranteed: a replica that started since the mark was written has epoch 0.

Threads and locks: none; the journal's lock guards it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["MarkEpochs"]

#: Seconds for which Discord may remember a nonce; below the default ``retention``.
NONCE_MEMORY = 450.0
#: Epochs kept at the most, the latest ones.
MAX_EPOCHS = 100_000


class MarkEpochs:
    """The epochs of one journal, by name of the mark."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._written: dict[str, float] = {}  # when the watch showed the mark's last change
        self._gone: dict[str, tuple[int, float]] = {}  # the revision, and until when it counts without a mark

    def of(self, name: str) -> int:
        """The epoch of the next event of a name."""
        revision, until = self._gone.get(name, (0, 0.0))
        return revision if name in self._written or self._clock() < until else 0

    def written(self, name: str) -> None:
        """The watch shows a mark."""
        self._written[name] = self._clock()

    def gone(self, name: str, revision: int) -> None:
        """The watch shows that a mark was deleted."""
        now, at = self._clock(), self._written.pop(name, None)
        self._gone.pop(name, None)
        if at is not None and now - at < NONCE_MEMORY:
            self._gone[name] = revision, now + NONCE_MEMORY
            if len(self._gone) > MAX_EPOCHS:
                del self._gone[next(iter(self._gone))]

    def keep(self, names: set[str]) -> None:
        """A snapshot shows which marks there are."""
        self._written = {name: at for name, at in self._written.items() if name in names}

    def expire(self) -> None:
        """Forgets what counts no longer."""
        now = self._clock()
        old = [name for name, (_, until) in self._gone.items() if until <= now and name not in self._written]
        for name in old:
            del self._gone[name]

"""Marks that fit no entry yet, or none any more: kept by name for a while, the first to come the first to go.
No I/O, no threads, no lock of its own.

Concurrency: ``Journal`` calls everything here under its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["Foreseen"]


class Foreseen:
    """See the module.

    :param life: how long each is kept, seconds.
    """

    def __init__(self, life: float, clock: Callable[[], float]) -> None:
        self._life = life
        self._clock = clock
        # When each one ends, and when the session of its writer began.
        self._waiting: dict[str, deque[tuple[float, int]]] = {}

    def put(self, name: str, session: int) -> None:
        """Keeps one.

        :param session: the revision at which the gateway session of its writer began.
        """
        self._waiting.setdefault(name, deque()).append((self._clock() + self._life, session))

    def take(self, name: str) -> int | None:
        """The session of the one that came first; ``None`` when there is none."""
        waiting = self._waiting.get(name)
        if waiting is None:
            return None
        now = self._clock()
        while waiting and waiting[0][0] <= now:
            waiting.popleft()
        session = waiting.popleft()[1] if waiting else None
        if not waiting:
            del self._waiting[name]
        return session

    def expire(self) -> None:
        """Forgets names of which nothing is left to wait for."""
        now = self._clock()
        for name in [name for name, waiting in self._waiting.items() if waiting[-1][0] <= now]:
            del self._waiting[name]

    def clear(self) -> None:
        """Nothing is waited for."""
        self._waiting.clear()

"""One lock for each key, for as long as somebody wants it. Within one process.

Concurrency: ``_lock`` guards ``_slots``; it is never held while anything waits.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from discordha.errors import DiscordHAError

__all__ = ["KeyedLocks"]


class _Slot:
    __slots__ = ("lock", "owner", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner = 0
        self.users = 0


class KeyedLocks:
    """Locks by key; none is kept that nobody wants."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: dict[Hashable, _Slot] = {}

    @contextmanager
    def turn(self, key: Hashable, timeout: float | None) -> Iterator[None]:
        """Holds the key's lock. Blocks; any thread.

        :param timeout: seconds to wait; ``None``: for ever.
        :raises TimeoutError: others held it all the time.
        :raises DiscordHAError: this thread holds it already, and would wait for itself.
        """
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            if slot.owner == threading.get_ident():
                raise DiscordHAError(f"the computation of {key!r} asks for {key!r} itself")
            slot.users += 1
        try:
            if not slot.lock.acquire(timeout=-1 if timeout is None else max(timeout, 0.0)):
                raise TimeoutError(f"{key!r} was not computed in time")
            slot.owner = threading.get_ident()
            try:
                yield
            finally:
                slot.owner = 0
                slot.lock.release()
        finally:
            with self._lock:
                slot.users -= 1
                if not slot.users:
                    del self._slots[key]

    def __len__(self) -> int:
        return len(self._slots)

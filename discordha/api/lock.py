"""The named lock of all replicas: ``with ha.lock("import", timeout=10) as lock:``.

Guarantees: once another caller may hold the lock, the next blocking call of the code under it (to Discord, to
a shared cache) raises ``LockLost``. For other effects there are only ``fencing_token`` and ``lost``.

Threads and locks: one thread at a time uses a ``NamedLock``; the locks behind it are thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from discordha.context import check_fence, current_fence, holding
from discordha.coordination.shared.locks import Locks
from discordha.errors import DiscordHAError

__all__ = ["NamedLock"]


class NamedLock:
    """A lock that one holder among all replicas has at a time; a context manager, made by ``ha.lock``. One
    thread at a time uses an object; several objects of one name are one lock.

    :param timeout: seconds to wait; ``None``: for as long as etcd answers.
    """

    def __init__(self, table: Callable[[], Locks], name: str, timeout: float | None) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"a lock's name must be a text that is not empty, not {name!r}")
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be seconds, or None to wait for ever, not {timeout!r}")
        self._table = table
        self._timeout = timeout
        self._held: Any = None
        self._locks: Locks | None = None
        self._scope: Any = None
        self.name = name

    def __repr__(self) -> str:
        state = "not held" if self._held is None else f"token {self._held.fencing_token}"
        return f"<NamedLock {self.name!r} {state}>"

    @property
    def fencing_token(self) -> int:
        """Greater than the token of every earlier holder: for systems that can refuse an older one. No
        I/O; any thread.

        :raises DiscordHAError: the lock is not held.
        """
        if self._held is None:
            raise DiscordHAError(f"the lock {self.name!r} is not held")
        return int(self._held.fencing_token)

    @property
    def lost(self) -> bool:
        """Whether another caller may hold the lock by now. No I/O; any thread."""
        return self._held is None or bool(self._held.lost)

    def __enter__(self) -> Self:
        """Waits for the lock, in the order in which all replicas asked. Blocks; any thread but the gateway's.

        :raises TimeoutError: the lock was not free in time.
        :raises StoreUnavailable: etcd does not answer.
        :raises LockLost: the caller has lost its event or another lock.
        :raises DiscordHAError: the caller holds the lock already, or the bot stops.
        """
        if self._held is not None or any(held.name == self.name for held in current_fence().locks):
            raise DiscordHAError(
                f"this code holds the lock {self.name!r} already, and would wait for itself: a named lock is "
                "not re-entrant, and each use takes an ha.lock(...) of its own"
            )
        what = f"ha.lock({self.name!r})"
        check_fence(what)
        locks = self._locks = self._table()
        held = locks.acquire(self.name, self._timeout)
        try:
            check_fence(what)  # the event may have been lost meanwhile
        except BaseException:
            locks.release(held)
            raise
        self._held = held
        self._scope = holding(held)
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Frees the lock. Blocks for a round trip; without an answer of etcd it is freed later, in the
        background."""
        held, self._held = self._held, None
        self._scope.__exit__(kind, error, trace)
        if held is not None and self._locks is not None:
            self._locks.release(held)

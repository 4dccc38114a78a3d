"""``ha.wait_for``: a thread waits for an event that this replica receives.

Promises
- The first event that fits, and is received after the call began, ends the wait: at reception, before claims
  and lanes, so that an event behind the waiting handler's own is seen, too.
- A waiting handler costs none of the ``workers``: another thread is lent for it, for at most ``MAX_WAITING``.
- A wait ends when the handler's event is lost, and when the bot stops.

Does not promise that one replica only sees the event: nothing is claimed, and whoever waits on another
replica sees it there. Nor that an event is seen that this replica did not receive.

Concurrency: ``offer`` runs on the gateway thread and never blocks; ``where`` is called there. ``_lock``
guards ``_waiting`` and ``_closed``; neither ``where`` nor anything else is called under it. At stop ``close``
ends every wait: a handler's with ``LockLost`` where another replica may run its event again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from discordha.context import current_event, current_fence
from discordha.errors import ConfigError, DiscordHAError, LockLost
from discordha.events import EVENTS, suggest

__all__ = ["Waiters"]

_log = logging.getLogger(__name__)

#: So many threads may wait at once.
MAX_WAITING = 500
#: How often a waiting handler looks whether its event is lost, seconds.
LOOK = 0.1


class _Waiter:
    __slots__ = ("arrived", "event", "received", "where")

    def __init__(self, event: str, where: Callable[..., Any] | None) -> None:
        self.event = event
        self.where = where
        self.received: tuple[Any, ...] | None = None
        self.arrived = threading.Event()

    def fits(self, args: tuple[Any, ...]) -> bool:
        return self.where is None or bool(self.where(*args))


class Waiters:
    """All waits of one replica.

    :param lend: a context during which one more handler thread may run.
    :param hands_over: whether there may be other replicas.
    """

    def __init__(
        self,
        lend: Callable[[], AbstractContextManager[Any]],
        *,
        hands_over: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lend = lend
        self._hands_over = hands_over
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[_Waiter, ...]] = {}
        self._count = 0
        self._closed = False

    def offer(self, event: str, args: tuple[Any, ...]) -> None:
        """An event was received. Never blocks; gateway thread."""
        for waiter in self._waiting.get(event, ()):
            if waiter.received is not None:
                continue
            try:
                fits = waiter.fits(args)
            except Exception:  # noqa: BLE001 - a predicate of the user's
                _log.exception("where of a wait for %s failed; the event is passed over", event)
                continue
            if fits:
                waiter.received = args
                waiter.arrived.set()

    def wait(self, event: str, where: Callable[..., Any] | None, timeout: float | None) -> tuple[Any, ...]:
        """Blocks until an event is received that fits; its arguments. Any thread but the gateway's.

        :raises TimeoutError: none came within ``timeout`` seconds.
        :raises LockLost: the calling handler's event is not this replica's any more.
        :raises DiscordHAError: the bot stops, or too many threads wait.
        :raises ConfigError: there is no such event.
        """
        name = event.removeprefix("on_")
        if name not in EVENTS:
            nearest = suggest(name)
            hint = f"; did you mean {nearest}?" if nearest else ""
            raise ConfigError(f"{name!r} is not an event of discord.py{hint}")
        waiter = _Waiter(name, where)
        self._enter(waiter)
        try:
            with self._lend() if current_event() is not None else nullcontext():
                return self._await(waiter, timeout)
        finally:
            self._leave(waiter)

    def _await(self, waiter: _Waiter, timeout: float | None) -> tuple[Any, ...]:
        deadline = None if timeout is None else self._clock() + timeout
        fence = current_fence()
        while not self._closed:
            left = LOOK if deadline is None else min(LOOK, deadline - self._clock())
            arrived = waiter.arrived.wait(max(left, 0.0))
            broken = fence.broken()
            if broken is not None:
                raise LockLost(
                    f"this replica may not own {broken} any more: it waits for {waiter.event} no more"
                )
            if arrived:
                break
            if left <= 0:
                raise TimeoutError(f"no {waiter.event} that fits came within {timeout:g} s")
        if waiter.received is not None:
            return waiter.received
        if fence.event is not None and fence.event.fencing_token and self._hands_over:
            raise LockLost(
                f"the bot stops while it waits for {waiter.event}: another replica runs this again"
            )
        raise DiscordHAError(f"the bot stops while it waits for {waiter.event}")

    def close(self) -> None:
        """Ends all waits, and refuses new ones. Does not block; idempotent; any thread."""
        with self._lock:
            self._closed = True
            waiting = [waiter for waiters in self._waiting.values() for waiter in waiters]
        for waiter in waiting:
            waiter.arrived.set()

    def _enter(self, waiter: _Waiter) -> None:
        with self._lock:
            if self._count >= MAX_WAITING and not self._closed:
                raise DiscordHAError(f"{MAX_WAITING} threads wait for events already")
            self._count += 1
            self._waiting[waiter.event] = (*self._waiting.get(waiter.event, ()), waiter)

    def _leave(self, waiter: _Waiter) -> None:
        with self._lock:
            self._count -= 1
            left = tuple(each for each in self._waiting[waiter.event] if each is not waiter)
            if left:
                self._waiting[waiter.event] = left
            else:
                del self._waiting[waiter.event]

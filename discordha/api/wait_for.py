"""``ha.wait_for``: threads that wait for an event that this replica receives.

Guarantees
- The first matching event that arrives after the call ends the wait on arrival, before claims and lanes: a
  handler also sees events behind its own.
- A waiting handler takes none of the ``workers``: it lends its place to another thread. Unless its event is
  a leader's, the younger events of its channel begin from then on, on all replicas.
- A wait ends when the handler's event is lost, and when the bot stops.

Not guaranteed: that only one replica sees the event, since nothing is claimed; nor that a wait sees an event
that this replica did not receive.

Threads and locks: the gateway thread calls ``offer``, which never blocks, and ``where``. ``_lock`` guards
``_waiting`` and ``_closed``; nothing is called under it. At stop ``close`` ends every wait: with
``LockLost`` in a handler whose event another replica may run again.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from discordha.context import current_event, current_fence
from discordha.dispatch.handlers.callables import check_predicate
from discordha.errors import DiscordHAError, LockLost
from discordha.events import EventSpec

__all__ = ["Waiters"]

_log = logging.getLogger(__name__)

#: How many threads may wait at once.
MAX_WAITING = 500
#: Pause between two checks whether a waiting handler has lost its event, seconds.
FENCE_CHECK_INTERVAL = 0.1


class _Waiter(NamedTuple):
    """One wait. ``arrived`` gets the event's arguments; ``None``: the bot stops."""

    where: Callable[..., Any] | None
    arrived: Future[tuple[Any, ...] | None]


class Waiters:
    """All waits of one replica.

    :param lend: makes a context during which one more handler thread may run.
    :param hands_over: whether other replicas may run the events of this one again.
    :param spec: gives an event's row, or raises ``ConfigError``.
    """

    def __init__(
        self,
        lend: Callable[[], AbstractContextManager[Any]],
        *,
        hands_over: bool,
        spec: Callable[[str], EventSpec],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lend = lend
        self._hands_over = hands_over
        self._spec = spec
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[_Waiter, ...]] = {}
        self._closed = False

    @property
    def count(self) -> int:
        """How many threads wait."""
        return sum(map(len, list(self._waiting.values())))

    def offer(self, event: str, args: tuple[Any, ...]) -> None:
        """Ends the waits that an event matches. Never blocks; the thread that the event arrives on."""
        for waiter in self._waiting.get(event, ()):
            try:
                if not waiter.arrived.done() and (waiter.where is None or waiter.where(*args)):
                    _end(waiter, args)
            except Exception:  # noqa: BLE001 - a predicate of the user's
                _log.exception("the where of a wait for %s failed; the wait goes on", event)

    def wait(self, name: str, where: Callable[..., Any] | None, timeout: float | None) -> tuple[Any, ...]:
        """Blocks until a matching event arrives; returns its arguments. Any thread but the gateway's.

        :raises TimeoutError: no event matched within ``timeout`` seconds.
        :raises LockLost: the calling handler has lost its event.
        :raises DiscordHAError: the bot stops, or too many threads wait.
        :raises ConfigError: there is no such event, or ``where`` is impossible.
        """
        name = name.removeprefix("on_")
        spec = self._spec(name)
        if where is not None:
            check_predicate(where, spec.arguments)
        waiter = _Waiter(where, Future())
        with self._lock:
            if self.count >= MAX_WAITING and not self._closed:
                raise DiscordHAError(f"{MAX_WAITING} threads already wait for events")
            self._waiting[name] = (*self._waiting.get(name, ()), waiter)
            if self._closed:
                _end(waiter, None)
        event = current_event()
        try:
            if event is not None:
                event.set_aside()
            with self._lend() if event is not None else nullcontext():
                return self._await(name, waiter.arrived, timeout)
        finally:
            with self._lock:
                self._waiting[name] = tuple(each for each in self._waiting[name] if each is not waiter)

    def _await(
        self, name: str, arrived: Future[tuple[Any, ...] | None], timeout: float | None
    ) -> tuple[Any, ...]:
        deadline = math.inf if timeout is None else self._clock() + timeout
        fence = current_fence()
        while True:
            left = deadline - self._clock()
            with contextlib.suppress(TimeoutError):
                arrived.result(max(min(left, FENCE_CHECK_INTERVAL), 0.0))
            broken = fence.refusal()
            if broken is not None:
                raise LockLost(f"this replica may have lost {broken}: the wait for {name} ends")
            if arrived.done():
                break
            if left <= 0:
                raise TimeoutError(f"no matching {name} arrived within {timeout:g} s")
        args = arrived.result()
        if args is not None:
            return args
        if fence.event is not None and fence.event.fencing_token and self._hands_over:
            fence.event.refuse()
            raise LockLost(f"the bot stops while {fence.event.name} waits: another replica runs it again")
        raise DiscordHAError(f"the bot stops during the wait for {name}")

    def close(self) -> None:
        """Ends all waits and refuses new ones. Does not block; idempotent; any thread."""
        with self._lock:
            self._closed = True
            for waiters in self._waiting.values():
                for waiter in waiters:
                    _end(waiter, None)


def _end(waiter: _Waiter, args: tuple[Any, ...] | None) -> None:
    with contextlib.suppress(InvalidStateError):  # it has ended
        waiter.arrived.set_result(args)

"""``ha.schedule`` and ``ha.timer``.

Threads and locks: one thread declares, before ``start``. Any thread but the gateway's schedules.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from discordha.api.client import ReplicaAccess
from discordha.blocking.nonces import with_token
from discordha.context import check_fence
from discordha.dispatch.handlers.callables import check_arguments, refuse_coroutine
from discordha.errors import ConfigError

__all__ = ["Timers"]

Function = TypeVar("Function", bound=Callable[..., Any])
#: Milliseconds since 1970 have so many digits in a timer's key.
LAST = 10.0**12 - 1


class Timers(ReplicaAccess):
    """The part of ``DiscordHA`` that has timers."""

    def __init__(self) -> None:
        super().__init__()
        self._timers: dict[str, Callable[[Any], Any]] = {}

    def timer(self, name: str) -> Callable[[Function], Function]:
        """Decorator: a plain function that runs, with the payload, when a timer of that name is due; once, on
        one replica. ``current_event().late_by`` has the seconds by which it is late. Before ``start``.

        :raises ConfigError: the name is taken, a coroutine function, or one without exactly one argument.
        """

        if not isinstance(name, str) or not name:
            raise ConfigError(f'a timer\'s name must be text, as in @ha.timer("remind"), not {name!r}')

        def register(function: Function) -> Function:
            refuse_coroutine(function, "Timers")
            check_arguments(function, ("payload",), f"be the timer {name!r}")
            self._refuse_late(f"the timer {name!r}")
            if name in self._timers:
                raise ConfigError(f"there is a timer {name!r} already: give this one another name")
            self._timers[name] = function
            return function

        return register

    def schedule(
        self, when: datetime.datetime | datetime.timedelta | float, name: str, payload: Any = None
    ) -> str:
        """Has ``@ha.timer(name)`` run once, at a time, over restarts and outages; returns the timer's id.
        Blocks for a round trip; any thread. A handler that runs again schedules nothing twice.

        :param when: a time with its time zone, or a duration from now, as ``timedelta`` or in seconds.
        :param payload: a value that JSON can hold.
        :raises ValueError: the time has no time zone, or is no time; the payload is too large.
        :raises TypeError: JSON cannot hold the payload; names the place.
        :raises LockLost: the caller has lost its event or lock; nothing was written.
        :raises StoreUnavailable: etcd does not answer; the timer may have been written.
        """
        due = _moment(when)
        check_fence(f"schedule({name!r})")
        timers = self._blocking("schedule").timers
        with with_token("schedule", when, name, payload) as token:
            return timers.schedule(due, name, payload, token)

    def unschedule(self, timer: str) -> bool:
        """Deletes a timer by its id; false if it has ended, or never was. A run that began goes on. Blocks
        for a round trip; any thread.

        :raises StoreUnavailable: etcd does not answer; the timer may have been deleted.
        """
        check_fence(f"unschedule({timer!r})")
        return self._blocking("unschedule").timers.cancel(timer)


def _moment(when: datetime.datetime | datetime.timedelta | float) -> float:
    if isinstance(when, datetime.datetime):
        if when.tzinfo is None:
            raise ValueError(
                f"{when!r} has no time zone: use datetime.now(UTC) + timedelta(...), or zoneinfo.ZoneInfo"
            )
        due = when.timestamp()
    elif isinstance(when, datetime.timedelta):
        due = time.time() + when.total_seconds()
    elif isinstance(when, int | float) and not isinstance(when, bool) and math.isfinite(when):
        due = time.time() + when
    else:
        raise ValueError(f"when must be a datetime, a timedelta or seconds, not {when!r}")
    if not 0 <= due <= LAST:
        raise ValueError(f"{when!r} is out of reach")
    return due

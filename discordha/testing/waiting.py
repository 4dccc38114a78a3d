"""Waiting for a condition, the only way that tests of this project wait.

Promises: returns as soon as the condition holds (within one polling interval), raises with what was waited
for and the last value seen. Time for which this process itself stood still does not count: its other threads,
which are to make the condition true, stood still, too. Does not promise to interrupt a predicate that blocks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["WaitTimeout", "wait_for"]

T = TypeVar("T")

#: A pause that is so much longer than it was to be tells that the process stood still, seconds.
STALL = 0.1


class WaitTimeout(TimeoutError):
    """What was waited for did not happen in time. The message says what, how long, and the last value."""


def wait_for(
    predicate: Callable[[], T | None],
    timeout: float = 10.0,
    what: str | Callable[[], str] = "the condition",
    *,
    interval: float = 0.01,
) -> T:
    """Call ``predicate`` until it returns something true and return that. Blocks; any thread.

    The predicate is called once more at the end of ``timeout``, so a slow machine cannot fail a condition
    that holds.

    :param predicate: cheap; its exceptions pass through.
    :param timeout: seconds.
    :param what: for the message; a callable is asked only when the wait failed (for logs, states, counts).
    :param interval: seconds between two calls.
    :raises WaitTimeout: the condition did not become true.
    """
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        last_call = time.monotonic() >= deadline
        value = predicate()
        if value:
            return value
        if last_call:
            described = what() if callable(what) else what
            raise WaitTimeout(f"waited {timeout:g} s for {described}; the last value was {value!r}")
        slept = time.monotonic()
        pause.wait(interval)
        stood_still = time.monotonic() - slept - interval
        if stood_still > STALL:
            deadline += stood_still

"""Waits for a condition; the tests of this project wait in no other way.

Guarantees: returns within one polling interval of the condition. The error names the condition and its last
value. Time in which this process stood still does not count, since the threads that make the condition true
stood still, too. ``DISCORDHA_TEST_PATIENCE=3`` in the environment has all of them wait three times as long,
for a slow machine.
Not guaranteed: that a predicate which blocks is interrupted.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["WaitTimeout", "wait_for"]

T = TypeVar("T")

#: Seconds by which a pause is too long when the process stood still.
STALL = 0.1


class WaitTimeout(TimeoutError):
    """A condition did not hold in time. The message has the condition, the time and the last value."""


def wait_for(
    predicate: Callable[[], T | None],
    timeout: float = 10.0,
    what: str | Callable[[], str] = "the condition",
    *,
    interval: float = 0.01,
) -> T:
    """Calls ``predicate`` until it returns a true value, and returns that. Blocks; any thread.

    It calls once more at the end of ``timeout``, so that a slow machine fails no condition that holds.

    :param predicate: cheap; its exceptions pass through.
    :param timeout: seconds, on a machine that is not slow.
    :param what: names the condition in the error; a callable is called only then (for logs or counts).
    :param interval: seconds between two calls.
    :raises WaitTimeout: the condition does not become true.
    """
    timeout *= max(float(os.environ.get("DISCORDHA_TEST_PATIENCE") or 1.0), 1.0)
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

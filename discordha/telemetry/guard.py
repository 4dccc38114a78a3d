"""Keeps errors of a tracer away from the events that it traces.

An exporter or a span processor is the author's choice, and OpenTelemetry's SDK hands its errors on. An event
must not fail, or run twice, because a span could not be written.

Threads and locks: any thread; no lock. The first error is logged with its traceback, later ones are not.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["guarded"]

_log = logging.getLogger(__name__)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_reported: set[str] = set()


def guarded(function: Callable[Parameters, Result]) -> Callable[Parameters, Result | None]:
    """The function, which returns ``None`` instead of raising an error."""

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result | None:
        try:
            return function(*args, **kwargs)
        except Exception:  # noqa: BLE001 - whatever the author's exporter raises
            if function.__qualname__ not in _reported:
                _reported.add(function.__qualname__)
                _log.exception(
                    "a span or a metric can't be recorded; events are handled all the same, and later errors "
                    "like this one are not logged: look at the set-up of OpenTelemetry's SDK"
                )
            return None

    return call

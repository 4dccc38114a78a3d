"""Tells a handler's author about a coroutine that the handler made and never awaited: it did not run.

Views block, but ``ha.client`` and ``unwrap`` lead to discord.py's own objects, whose methods make coroutines.
Python warns of a dropped coroutine, in words for programs with ``await``.

Guarantees: each place in a handler is logged once, as Python's filters have it, with the remedy. The warning
goes on to whatever showed warnings before.

Threads and locks: none. ``watch_unawaited`` may be called again, from any thread.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

from discordha.context import current_event

__all__ = ["watch_unawaited"]

_log = logging.getLogger(__name__)

_DROPPED = (
    "%s: %s (%s, line %d), so that nothing of it ran. Call the method of a view instead, as in "
    "ha.wrap(...).send(...), or run the coroutine by ha.call(...)"
)


class _Show:
    """A ``warnings.showwarning`` that looks for dropped coroutines first."""

    def __init__(self, before: Callable[..., Any]) -> None:
        self._before = before

    def __call__(  # noqa: PLR0917 - as the function that it replaces
        self, message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        event = current_event()
        if event is not None and category is RuntimeWarning and "was never awaited" in str(message):
            _log.error(_DROPPED, event.handler, message, filename, lineno)
        self._before(message, category, filename, lineno, file, line)


def watch_unawaited() -> None:
    """Begins to log coroutines that handlers drop, for this process. Does not block; idempotent."""
    if not isinstance(warnings.showwarning, _Show):
        warnings.showwarning = _Show(warnings.showwarning)

"""Runs the handlers of one event on the calling handler thread.

Guarantees: each handler of an event runs, in order of registration, even when an earlier one failed. A
handler's error goes to ``on_error``, as a part of the handler's run, and never ends the thread. ``LockLost``
ends the event: later calls would be refused too. A handler that caught it has not finished either: the event
remembers that it refused a call. Requests for an event that was caught up give way to all others.

Threads and locks: no lock. Each thread writes its own entry of ``_running``; the timer reads them.
"""

from __future__ import annotations

import enum
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from discordha.blocking import Bridge, wrap
from discordha.blocking.unawaited import watch_unawaited
from discordha.context import CurrentEvent, handler_scope
from discordha.dispatch.handlers import Handler
from discordha.dispatch.handlers.callables import refuse_result
from discordha.errors import HandlerTimeout, LockLost
from discordha.limits.rest import in_background
from discordha.stats import Stats

if TYPE_CHECKING:
    from discordha.telemetry import EventTrace

__all__ = ["ErrorHook", "Outcome", "Runner"]

_log = logging.getLogger(__name__)

_SWALLOWED = (
    "%s on %s did not finish: this replica may have lost the event and refused a call, and the handler "
    "caught LockLost; the event is run again. Let LockLost pass"
)

ErrorHook = Callable[[CurrentEvent, Handler, BaseException], Any]


class Outcome(enum.Enum):
    """How an event's handlers ended."""

    HANDLED = "handled"
    FAILED = "failed"
    LOST = "lost"

    def __init__(self, label: str) -> None:
        self.label = label  # as ``value``, which Python code looks up


def log_error(event: CurrentEvent, handler: Handler, error: BaseException) -> None:
    """The default ``on_error``: one log entry, with the traceback."""
    _log.error("%s failed on %s", handler.name, event, exc_info=(type(error), error, error.__traceback__))


_HANDLED, _FAILED, _LOST = Outcome


class Runner:
    """Calls handlers with blocking views of their arguments.

    :param bridge: carries the views' calls into the loop.
    :param handler_timeout: seconds after which a running handler is reported; ``None``: never.
    :param on_error: called with each error of a handler; by default it is logged.
    """

    def __init__(
        self,
        bridge: Bridge,
        stats: Stats,
        *,
        handler_timeout: float | None = None,
        on_error: ErrorHook | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bridge = bridge
        self._stats = stats
        self._handler_timeout = handler_timeout
        self._clock = clock
        #: By thread id: the event, the handler, and when that began.
        self._running: dict[int, tuple[CurrentEvent, Handler, float]] = {}
        self._warned: dict[int, float] = {}  # by thread id: when the last handler began that was reported
        self._on_error = on_error or log_error
        watch_unawaited()

    def run(
        self,
        context: CurrentEvent,
        handlers: Sequence[Handler],
        args: Sequence[Any],
        trace: EventTrace | None = None,
        *,
        is_late: bool = False,
        started: float,
    ) -> Outcome:
        """Runs all handlers of one event, inside spans of ``trace``. Blocks for as long as they do.

        :param is_late: their requests give way to others'.
        :param started: now, by the clock.
        """
        outcome, handled = _HANDLED, 0
        bridge = self._bridge
        views = [wrap(arg, bridge) for arg in args]
        thread = threading.get_ident()
        for handler in handlers:
            self._running[thread] = (context, handler, started)
            scope = handler_scope(context, handler.name)
            ended = _HANDLED
            function = handler.function if trace is None else trace.runs(handler.function, handler.name)
            if is_late:
                function = in_background()(function)
            try:
                with scope:
                    result = function(*views)
                    if result is not None:
                        refuse_result(result, handler.name)
            except LockLost as error:
                _log.warning("%s on %s stopped: %s", handler.name, context, error)
                ended = _LOST
            except BaseException as error:  # noqa: BLE001 - also SystemExit: a handler must not end its thread
                ended = self._report(context, handler, error)
            finally:
                self._running.pop(thread, None)
            if scope.refused and ended is not _LOST:
                _log.warning(_SWALLOWED, handler.name, context)
                ended = _LOST
            if ended is _HANDLED:
                handled += 1
            else:
                self._stats.add("handlers", ended.label)
                outcome = ended
                if ended is _LOST:
                    break
            if handler is not handlers[-1]:
                started = self._clock()
        if handled:
            self._stats.add("handlers", _HANDLED.label, handled)
        return outcome

    def _report(self, context: CurrentEvent, handler: Handler, error: BaseException) -> Outcome:
        """Gives an error to the hook, whose calls are fenced and carry nonces as the handler's do."""
        scope = handler_scope(context, f"on_error of {handler.name}")
        try:
            with scope:
                self._on_error(context, handler, error)
        except BaseException:  # noqa: BLE001 - a hook of the user's
            _log.exception("on_error itself failed")
            log_error(context, handler, error)
        return _LOST if scope.refused else _FAILED

    def warn_of_slow_handlers(self) -> None:
        """Logs each handler that exceeds ``handler_timeout``, once, with its stack. For the timer."""
        limit, now = self._handler_timeout, self._clock()
        if limit is None:
            return
        for thread, (context, handler, started) in list(self._running.items()):
            if now - started < limit or self._warned.get(thread) == started:
                continue
            self._warned = {known: at for known, at in self._warned.items() if known in self._running}
            self._warned[thread] = started
            self._stats.add("handlers", "slow")
            frame = sys._current_frames().get(thread)
            stack = "".join(traceback.format_stack(frame)) if frame is not None else "(ended meanwhile)\n"
            slow = HandlerTimeout(f"{handler.name} runs for over {limit:g} s on {context}")
            _log.warning("%s: %s; it is at\n%s", type(slow).__name__, slow, stack)

    def running(self) -> list[str]:
        """The handlers that run now, and on what."""
        now = list(self._running.values())
        return [f"{context.name}/{context.identity} ({handler.name})" for context, handler, _ in now]

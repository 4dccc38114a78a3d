"""The handlers of each event.

Threads and locks: the registry is copied on write. ``select`` is called on the gateway thread for every event
and takes no lock; registering and removing take ``_lock`` and swap a whole tuple.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from discordha.errors import ConfigError
from discordha.events import EVENTS, Scope, suggest

__all__ = ["Handler", "HandlerRegistry", "refuse_coroutine"]

_log = logging.getLogger(__name__)


def refuse_coroutine(function: Any, what: str = "Handlers") -> None:
    """Raises ``ConfigError`` for a coroutine function; ``what``: the kind of function, in the plural."""
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        title = getattr(function, "__qualname__", repr(function))
        raise ConfigError(
            f"{title} is a coroutine function. {what} are plain functions that may block: "
            f"write `def {title}` and delete every `await` in it"
        )


@dataclass(slots=True, eq=False)
class Handler:
    """One registered function. Its name, which goes into nonces, is equal wherever the same code runs."""

    function: Callable[..., Any]
    event: str
    scope: Scope
    where: Callable[..., Any] | None
    name: str

    def wants(self, args: Sequence[Any]) -> bool:
        """Whether ``where`` accepts the event. An exception in it is logged and counts as no: ``where`` may
        be a check of rights.
        """
        if self.where is None:
            return True
        try:
            return bool(self.where(*args))
        except Exception:  # noqa: BLE001 - any error of the user's predicate
            _log.exception("where of %s failed; the handler does not run for this event", self.name)
            return False


#: Makes the handlers of one event from its arguments.
Source = Callable[[Sequence[Any]], list[Handler]]


class HandlerRegistry:
    """All handlers of one replica, by event."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_event: dict[str, tuple[Handler, ...]] = {}
        self._sources: dict[str, Source] = {}

    def add(
        self,
        function: Callable[..., Any],
        event: str | None = None,
        *,
        scope: str | Scope | None = None,
        where: Callable[..., Any] | None = None,
    ) -> Callable[[], None]:
        """Registers a plain function, and returns a function that removes it. Any thread.

        :param event: discord.py's name with or without ``on_``; by default the function's own name.
        :param scope: ``"claim"``, ``"leader"`` or ``"every"``; by default that of the events table.
        :param where: a fast, pure predicate on the event's arguments, asked before anything else.
        :raises ConfigError: unknown event, coroutine function, wrong number of arguments.
        """
        handler = self._build(function, event, scope, where)
        with self._lock:
            known = self._by_event.get(handler.event, ())
            same = sum(1 for other in known if other.name.split("#")[0] == handler.name)
            if same:
                handler.name = f"{handler.name}#{same}"
            self._by_event[handler.event] = (*known, handler)

        def remove() -> None:
            with self._lock:
                known = self._by_event[handler.event]
                self._by_event[handler.event] = tuple(other for other in known if other is not handler)

        return remove

    def select(self, name: str, args: Sequence[Any]) -> Sequence[Handler]:
        """The handlers that want this event. Gateway thread; takes no lock."""
        handlers, source = self._by_event.get(name, ()), self._sources.get(name)
        wanting = [each for each in handlers if each.where is None or each.wants(args)]
        if source is None:
            return wanting
        try:
            return [*source(args), *wanting]
        except Exception:  # noqa: BLE001 - the handlers that are registered get the event all the same
            _log.exception("the source of handlers for on_%s failed; registered handlers run", name)
            return wanting

    def set_source(self, event: str, source: Source) -> None:
        """Adds the handlers that ``source`` makes, on the gateway thread, from an event's arguments. Before
        the bot starts.
        """
        self._sources[event] = source

    def _build(
        self,
        function: Callable[..., Any],
        event: str | None,
        scope: str | Scope | None,
        where: Callable[..., Any] | None,
    ) -> Handler:
        title = getattr(function, "__qualname__", repr(function))
        if not callable(function):
            raise ConfigError(f"{title} can't handle events: it is not callable")
        refuse_coroutine(function)
        name = event if event is not None else getattr(function, "__name__", "")
        name = name.removeprefix("on_")
        spec = EVENTS.get(name)
        if spec is None:
            nearest = suggest(name)
            hint = f"; did you mean on_{nearest}?" if nearest else ""
            raise ConfigError(f"on_{name} ({title}) is not an event of discord.py{hint}")
        self._check_arguments(function, title, name, spec.arguments)
        try:
            chosen = spec.scope if scope is None else Scope(scope)
        except ValueError:
            raise ConfigError(
                f'scope of {title} must be "claim", "leader" or "every", not {scope!r}'
            ) from None
        return Handler(function, name, chosen, where, f"{getattr(function, '__module__', '')}.{title}")

    @staticmethod
    def _check_arguments(
        function: Callable[..., Any], title: str, name: str, arguments: Sequence[str] | None
    ) -> None:
        if arguments is None:
            return
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            return  # a builtin without a signature
        try:
            signature.bind(*arguments)
        except TypeError:
            wanted = f"with ({', '.join(arguments)})" if arguments else "without arguments"
            raise ConfigError(f"{title}{signature} can't handle on_{name}: it is called {wanted}") from None

"""What a bot declares before it runs: handlers, loops, and what hears of errors.

Concurrency: handlers may be added and removed from any thread at any time; everything else is declared before
``start``, by one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from discordha.errors import ConfigError
from discordha.handlers import HandlerRegistry
from discordha.leader_loop import Task
from discordha.runner import ErrorHook

__all__ = ["Declarations"]

Function = TypeVar("Function", bound=Callable[..., Any])
Hook = TypeVar("Hook", bound=ErrorHook)


class Declarations:
    """The part of ``DiscordHA`` that its author's decorators fill, and that each start reads."""

    def __init__(self) -> None:
        super().__init__()
        self._registry = HandlerRegistry()
        self._on_error: ErrorHook | None = None
        self._tasks: list[Task] = []

    def event(self, function: Function) -> Function:
        """Decorator: registers a plain function named ``on_<event>``; see ``add_handler``."""
        self.add_handler(function)
        return function

    def listen(
        self,
        event: str | None = None,
        *,
        scope: str | None = None,
        where: Callable[..., Any] | None = None,
    ) -> Callable[[Function], Function]:
        """Decorator: registers a plain function for an event, as often as wanted; see ``add_handler``."""

        def register(function: Function) -> Function:
            self.add_handler(function, event, scope=scope, where=where)
            return function

        return register

    def add_handler(
        self,
        function: Callable[..., Any],
        event: str | None = None,
        *,
        scope: str | None = None,
        where: Callable[..., Any] | None = None,
    ) -> Callable[[], None]:
        """Registers a plain function that may block, and returns what removes it again. Any thread, any
        time.

        :param event: discord.py's name, with or without ``on_``; by default the function's own.
        :param scope: ``"claim"`` (one replica handles the event), ``"leader"`` (the leader does),
            ``"every"`` (all do); by default what suits the event.
        :param where: a fast, pure predicate on the event's arguments, asked before anything else.
        :raises ConfigError: unknown event (names the nearest), coroutine function, wrong number of
            arguments.
        """
        return self._registry.add(function, event, scope=scope, where=where)

    def on_error(self, hook: Hook) -> Hook:
        """Decorator: ``hook(event, handler, error)`` hears of each handler's error instead of the log.
        Before ``start``.
        """
        self._on_error = hook
        return hook

    def loop(self, *, seconds: float, name: str | None = None) -> Callable[[Function], Function]:
        """Decorator: a plain function without arguments that runs every ``seconds`` on the leader only;
        never two runs at once over all replicas. Before ``start``.

        :param name: the same on all replicas; by default the function's.
        :raises ConfigError: the name is taken, or the period impossible.
        """

        def register(function: Function) -> Function:
            task = Task(function, name or function.__name__, seconds)
            if any(known.name == task.name for known in self._tasks):
                raise ConfigError(f"there is a loop {task.name!r} already: give this one another name")
            self._tasks.append(task)
            return function

        return register

"""The events of a ``Bot``: discord.py's, those of commands, and an author's own.

Events of discord.py's go through the registry of handlers, as with every ``DiscordHA``. All others are
dispatched within the handler that causes them, on its thread.

Threads and locks: one thread declares. ``dispatch`` runs on the loop, or on a handler thread.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from discord.app_commands import CommandInvokeError as AppCommandInvokeError
from discord.ext import commands as theirs
from discord.ext.commands.bot import BotBase
from discord.utils import MISSING

from discordha.blocking.sides import on_loop_side
from discordha.bot import DiscordHA
from discordha.commands.trampoline import current_trampoline
from discordha.config import Config
from discordha.dispatch.handlers.callables import refuse_coroutine, short_name
from discordha.errors import DiscordHAError
from discordha.events import EVENTS

__all__ = ["CommandEvents"]

#: What commands dispatch.
_OF_COMMANDS = frozenset({"command", "command_completion", "command_error"})


class CommandEvents(DiscordHA):
    """The part of ``Bot`` that registers and calls functions for events."""

    extra_events: dict[str, list[Any]]

    def __init__(self, config: Config, tree_cls: Any = None) -> None:
        self._handled: dict[str, Callable[[], None]] = {}  # by event: removes the bot's own handler
        self._listening: dict[tuple[str, Any], Callable[[], None]] = {}
        super().__init__(config, tree_cls=tree_cls)

    def _add_methods(self) -> None:
        self._refuse_on_error()
        known = _library_class(type(self))
        for name in dir(type(self)):
            if name.startswith("on_") and getattr(type(self), name) is not getattr(known, name, None):
                self.event(getattr(self, name))

    def event(self, function: Any = None, /, *, ordering: str | None = None) -> Any:
        """Decorator: a plain function handles an event in place of the bot's own method, as in discord.py:
        a bot with an ``on_message`` of its own calls ``process_commands`` itself.

        :param ordering: see ``add_handler``.
        """
        if function is None:
            return lambda function: self.event(function, ordering=ordering)
        title = short_name(function)
        name = title.removeprefix("on_")
        if self._is_registered(name):
            remove = self.add_handler(function, ordering=ordering)
            if name in self._handled:
                self._handled.pop(name)()
            self._handled[name] = remove
        else:
            refuse_coroutine(function)
            if getattr(self, title, None) != function:
                setattr(self, title, function)
        return function

    def add_listener(self, func: Any, /, name: str = MISSING) -> None:
        """Adds a plain function for an event of discord.py's, of commands, or of your own (``dispatch``)."""
        title = _title(func, name)
        if self._is_registered(title.removeprefix("on_")):
            ordering = getattr(func, "__discordha_ordering__", None)
            self._listening[title, func] = self.add_handler(func, title, ordering=ordering)
        else:
            refuse_coroutine(func, "Listeners")
            self.extra_events.setdefault(title, []).append(func)

    def remove_listener(self, func: Any, /, name: str = MISSING) -> None:
        """Removes a function that ``add_listener`` added."""
        title = _title(func, name)
        remove = self._listening.pop((title, func), None)
        if remove is not None:
            remove()
        elif func in self.extra_events.get(title, []):
            self.extra_events[title].remove(func)

    def listen(self, event: Any = None, **options: Any) -> Any:
        """Decorator: see ``add_listener``; ``options`` as in ``DiscordHA.listen``."""

        def register(function: Any) -> Any:
            if options:
                self.add_handler(function, event, **options)
            else:
                self.add_listener(function, event)
            return function

        return register

    def _is_registered(self, name: str) -> bool:
        """Whether an event goes through the registry of handlers."""
        return name in self._registry.own or _is_gateway_event(name)

    def dispatch(self, event_name: str, /, *args: Any, **kwargs: Any) -> None:
        """Calls the functions for an event of commands, or of your own, one after another on the handler
        thread. Other replicas see nothing of it, unless the event was declared: see ``DiscordHA.dispatch``.
        """
        if event_name in self._registry.own:
            super().dispatch(event_name, *args, **kwargs)
            return
        title = f"on_{event_name}"
        own = getattr(self, title, None)
        if getattr(type(self), title, None) is getattr(_library_class(type(self)), title, None) and (
            title not in vars(self)
        ):
            own = None  # discord.py's default
        functions = [*([own] if own is not None else []), *self.extra_events.get(title, [])]
        if not on_loop_side():
            for function in functions:
                function(*args, **kwargs)
            return
        trampoline = current_trampoline()
        if trampoline is None:
            raise DiscordHAError(f"{event_name} was dispatched on the loop, outside of any command")
        for function in functions:
            trampoline.post(function, *args)
        if event_name == "command_error" and not functions and not _has_handler(args[0]):
            trampoline.note(_original(args[1]))


def _library_class(kind: type) -> type:
    """The class in a bot's ancestry that is this library's, with discord.py's defaults."""
    return next((each for each in kind.__mro__ if each.__module__.startswith("discordha.")), BotBase)


def _title(function: Any, name: Any) -> str:
    title = str(short_name(function) if name is MISSING or name is None else name)
    return title if title.startswith("on_") else f"on_{title}"


def _is_gateway_event(name: str) -> bool:
    """Whether a name is an event of discord.py's, or so near to one that it must be misspelt: then
    ``add_handler`` refuses it.
    """
    if name in _OF_COMMANDS:
        return False
    return bool(difflib.get_close_matches(name, EVENTS, n=1, cutoff=0.9))


def _has_handler(context: Any) -> bool:
    """Whether the command or its cog handles errors."""
    command, cog = context.command, context.cog
    return bool((command and command.has_error_handler()) or (cog and cog.has_error_handler()))


def _original(error: Any) -> Any:
    """The author's exception behind discord.py's."""
    while isinstance(error, (theirs.CommandInvokeError, theirs.HybridCommandError, AppCommandInvokeError)):
        error = error.original
    return error

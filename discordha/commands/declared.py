"""Commands, context menus and groups of ``discord.app_commands`` with plain functions.

Options, choices, checks and localization are discord.py's. These classes take plain functions where
discord.py takes coroutine functions; ``trampoline`` runs them.

Threads and locks: one thread declares before the bot starts; used on the loop.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from discord import app_commands
from discord.utils import MISSING

from discordha.commands.trampoline import adapt, plain_function
from discordha.dispatch.handlers import check_ordering
from discordha.dispatch.handlers.callables import short_name

__all__ = [
    "Checks",
    "Command",
    "ContextMenu",
    "Group",
    "adapt_parameters",
    "adapted_hook",
    "command",
    "context_menu",
    "is_theirs",
]

PlainFunction = Callable[..., Any]
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_CHECKS = "Checks"
_ERROR_HANDLERS = "Error handlers"
#: Attributes of trees and groups that discord.py awaits.
_HOOKS = {"interaction_check": _CHECKS, "on_error": _ERROR_HANDLERS}
#: Where ``discord.app_commands.autocomplete`` leaves its mark on a function.
_AUTOCOMPLETE = "__discord_app_commands_param_autocomplete__"


class Checks(list[Any]):
    """A command's checks. The user's plain ones run on the handler thread, discord.py's on the loop."""

    def __init__(self, checks: Iterable[Any]) -> None:
        super().__init__()
        for check in checks:
            self.append(check)

    def append(self, check: Any) -> None:
        """Adds a check."""
        super().append(check if is_theirs(check) else adapt(check, _CHECKS))

    def copy(self) -> Checks:
        """The same checks, in a list that adapts later ones, too."""
        return type(self)(self)

    def remove(self, check: Any) -> None:
        """Removes a check, which may be the plain function."""
        super().remove(next((known for known in self if plain_function(known) is check), check))


def is_theirs(function: Any) -> bool:
    """Whether a function or a class is discord.py's own."""
    return str(getattr(function, "__module__", "")).startswith("discord.")


def _callback(function: PlainFunction, own: dict[str, Any] | None = None) -> Any:
    """A command's callback, with the marks that decorators have left on the function.

    :param own: what ``_take_own`` has found.
    """
    callback: Any = adapt(function, "Commands")
    if own is not None:
        callback.__discordha_defer__ = own["defer"], own["ephemeral"]
        callback.__discordha_ordering__ = check_ordering(own["ordering"], short_name(function))
    completions = getattr(callback, _AUTOCOMPLETE, None)
    if completions is not None:
        setattr(callback, _AUTOCOMPLETE, {name: _autocomplete(each) for name, each in completions.items()})
    return callback


def _autocomplete(function: PlainFunction) -> Any:
    return adapt(function, "Autocompletes", ends=True)


def adapt_parameters(parameters: Iterable[Any]) -> None:
    """The user's transformers, and their autocompletes, run on the handler thread, too."""
    for parameter in parameters:
        complete = parameter.autocomplete
        if complete is not None and not inspect.iscoroutinefunction(complete):
            parameter.autocomplete = _autocomplete(complete)
        transformer = parameter._annotation
        if not isinstance(transformer, app_commands.Transformer) or is_theirs(type(transformer)):
            continue
        if not inspect.iscoroutinefunction(transformer.transform):
            parameter._annotation = copy.copy(transformer)
            parameter._annotation.transform = adapt(transformer.transform, "Transformers")


def adapted_hook(name: str, value: Any) -> Any:
    """The value for an attribute of a tree or group: plain functions for the hooks that discord.py awaits."""
    return adapt(value, _HOOKS[name]) if name in _HOOKS and callable(value) else value


class Command(app_commands.Command[Any, ..., Any]):
    """``discord.app_commands.Command`` with plain functions, which run on a handler thread and may block.
    Declared by one thread, before ``start``.

    :raises ConfigError: ``callback`` is a coroutine function.
    """

    def __init__(self, *, callback: PlainFunction, **options: Any) -> None:
        super().__init__(callback=_callback(callback), **options)
        self.checks = Checks(self.checks)
        adapt_parameters(self._params.values())

    def error(self, coro: Decorated) -> Decorated:
        """Decorator: a plain function handles this command's errors: (interaction, error)."""
        self.on_error = adapt(coro, _ERROR_HANDLERS)
        return coro

    def autocomplete(self, name: str) -> Callable[[Decorated], Decorated]:
        """Decorator: a plain function returns an option's choices: (interaction, typed text)."""
        register = super().autocomplete(name)

        def decorator(function: Decorated) -> Decorated:
            register(_autocomplete(function))
            return function

        return decorator


class ContextMenu(app_commands.ContextMenu):
    """``discord.app_commands.ContextMenu`` with plain functions; see ``Command``."""

    def __init__(self, *, callback: PlainFunction, **options: Any) -> None:
        super().__init__(callback=_callback(callback), **options)
        self.checks = Checks(self.checks)

    def error(self, coro: Decorated) -> Decorated:
        """Decorator: a plain function handles this command's errors: (interaction, error)."""
        self.on_error = adapt(coro, _ERROR_HANDLERS)
        return coro


class Group(app_commands.Group):
    """``discord.app_commands.Group`` with plain functions, also where a subclass overrides
    ``interaction_check`` and ``on_error``; see ``Command``.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        for name in _HOOKS:
            if name in cls.__dict__:
                setattr(cls, name, adapted_hook(name, cls.__dict__[name]))
        super().__init_subclass__(**options)

    def command(  # type: ignore[override]
        self, *, name: Any = MISSING, description: Any = MISSING, **options: Any
    ) -> Callable[[PlainFunction], Command]:
        """Decorator: makes a command of this group of a plain function."""
        make = command(name=name, description=description, parent=self, **options)

        def decorator(function: PlainFunction) -> Command:
            made = make(function)
            self.add_command(made)
            return made

        return decorator

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, adapted_hook(name, value))

    def error(self, coro: Decorated) -> Decorated:
        """Decorator: a plain function handles the errors of this group's commands."""
        super().error(adapt(coro, _ERROR_HANDLERS))
        return coro


def command(
    *, name: Any = MISSING, description: Any = MISSING, **options: Any
) -> Callable[[PlainFunction], Command]:
    """Decorator: makes a command of a plain function, to be added to a tree or found in a group's class.

    :param options: ``nsfw``, ``extras``, ``auto_locale_strings`` as in ``discord.app_commands.command``;
        ``defer``, ``ephemeral`` and ``ordering`` as in ``DiscordHA.command``.
    :raises ConfigError: a coroutine function, or an impossible ``ordering``.
    """
    own = _take_own(options)

    def decorator(function: PlainFunction) -> Command:
        callback = _callback(function, own)
        lines = (callback.__doc__ or "").strip().splitlines()
        summary = lines[0][:100] if lines else "\N{HORIZONTAL ELLIPSIS}"
        return Command(
            name=callback.__name__ if name is MISSING else name,
            description=summary if description is MISSING else description,
            callback=callback,
            **options,
        )

    return decorator


def context_menu(*, name: Any = MISSING, **options: Any) -> Callable[[PlainFunction], ContextMenu]:
    """Decorator: makes a context menu command of a plain function; see ``command``."""
    own = _take_own(options)

    def decorator(function: PlainFunction) -> ContextMenu:
        title = short_name(function).title() if name is MISSING else name
        return ContextMenu(name=title, callback=_callback(function, own), **options)

    return decorator


def _take_own(options: dict[str, Any]) -> dict[str, Any]:
    """Removes the options that discord.py does not know."""
    usual = {"defer": "auto", "ephemeral": False, "ordering": None}
    return {name: options.pop(name, value) for name, value in usual.items()}

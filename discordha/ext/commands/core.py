"""Prefix commands, groups and checks with plain functions.

discord.py parses, converts, checks and reports. These classes take plain functions where discord.py takes
coroutine functions.

Threads and locks: one thread declares, before the bot starts. Commands run on the loop, and their functions
on the handler thread that owns the message.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from discord.ext import commands as theirs
from discord.utils import MISSING

from discordha.blocking import unwrap, wrap
from discordha.blocking.sides import on_loop_side
from discordha.commands.declared import Checks
from discordha.commands.trampoline import adapt, plain_function
from discordha.ext.commands.converters import convert_converters
from discordha.ext.commands.sides import TwoSided, both, bridge_of, drive, is_authors, two_sided

__all__ = [
    "CHECK_FACTORIES",
    "Command",
    "Group",
    "GroupMixin",
    "after_invoke",
    "before_invoke",
    "check",
    "check_any",
    "command",
    "group",
    "two_sided_check",
]

_HOOKS = "Hooks of commands"
_ERROR_HANDLERS = "Error handlers"


@two_sided()
class Command(TwoSided, theirs.Command[Any, ..., Any]):
    """``discord.ext.commands.Command`` of a plain function."""

    def __init__(self, func: Callable[..., Any], /, **kwargs: Any) -> None:
        super().__init__(adapt(func, "Commands"), **kwargs)
        self.checks = Checks(self.checks)
        for parameter in self.params.values():
            convert_converters(parameter.converter)
            default = parameter.default
            if is_authors(default):
                parameter._default = both(default, "Defaults of parameters")

    def __call__(self, context: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Calls the command's function, without checks and conversions. Blocks."""
        if on_loop_side():
            return super().__call__(context, *args, **kwargs)
        function = plain_function(self.callback)
        if self.cog is not None:
            return function(self.cog, context, *args, **kwargs)
        return function(context, *args, **kwargs)

    def error(self, coro: Any, /) -> Any:
        """Decorator: a plain function handles this command's errors: (context, error)."""
        self.on_error = adapt(coro, _ERROR_HANDLERS)
        return coro

    def before_invoke(self, coro: Any, /) -> Any:
        """Decorator: a plain function runs before the command: (context)."""
        super().before_invoke(adapt(coro, _HOOKS))
        return coro

    def after_invoke(self, coro: Any, /) -> Any:
        """Decorator: a plain function runs after the command: (context)."""
        super().after_invoke(adapt(coro, _HOOKS))
        return coro


class GroupMixin(theirs.GroupMixin[Any]):
    """``discord.ext.commands.GroupMixin``, whose decorators take plain functions."""

    def command(self, name: str = MISSING, cls: Any = MISSING, *args: Any, **kwargs: Any) -> Any:
        """Decorator: makes a command of this group of a plain function; see ``commands.command``."""
        return super().command(name, Command if cls is MISSING else cls, *args, **kwargs)

    def group(self, name: str = MISSING, cls: Any = MISSING, *args: Any, **kwargs: Any) -> Any:
        """Decorator: makes a group in this group of a plain function; see ``commands.group``."""
        return super().group(name, Group if cls is MISSING else cls, *args, **kwargs)


@two_sided()
class Group(GroupMixin, Command, theirs.Group[Any, ..., Any]):
    """``discord.ext.commands.Group`` of a plain function."""


def command(name: str = MISSING, cls: Any = MISSING, **attrs: Any) -> Any:
    """Decorator: makes a command of a plain function; see ``discord.ext.commands.command``.

    :raises ConfigError: a coroutine function.
    """
    return theirs.command(name, Command if cls is MISSING else cls, **attrs)


def group(name: str = MISSING, cls: Any = MISSING, **attrs: Any) -> Any:
    """Decorator: makes a group of a plain function; see ``discord.ext.commands.group``."""
    return theirs.command(name, Group if cls is MISSING else cls, **attrs)


def check(predicate: Callable[..., Any], /) -> Any:
    """Decorator: a plain function decides on the handler thread whether a command may run: (context)."""
    return two_sided_check(theirs.check(adapt(predicate, "Checks")), predicate)


def check_any(*checks: Any) -> Any:
    """Decorator: the command may run if one of the checks allows it; see ``discord.ext.commands``."""
    return two_sided_check(theirs.check_any(*checks))


def before_invoke(coro: Callable[..., Any], /) -> Any:
    """Decorator: a plain function runs before the command: (context)."""
    return theirs.before_invoke(adapt(coro, _HOOKS))


def after_invoke(coro: Callable[..., Any], /) -> Any:
    """Decorator: a plain function runs after the command: (context)."""
    return theirs.after_invoke(adapt(coro, _HOOKS))


def two_sided_check(decorator: Any, plain: Callable[..., Any] | None = None) -> Any:
    """Makes the ``predicate`` of a check's decorator block on the author's side.

    :param plain: the author's function behind it, if there is one.
    """
    awaited = decorator.predicate

    @functools.wraps(awaited)
    def predicate(context: Any) -> Any:
        if on_loop_side():
            return awaited(context)
        if plain is not None:
            return plain(context)
        bridge = bridge_of(context)
        real = unwrap(context)
        return wrap(drive(bridge, lambda: awaited(real)), bridge)

    decorator.predicate = predicate
    return decorator


def _factory(name: str) -> Callable[..., Any]:
    make = getattr(theirs, name)

    @functools.wraps(make)
    def factory(*args: Any, **kwargs: Any) -> Any:
        return two_sided_check(make(*args, **kwargs))

    return factory


#: discord.py's own checks, by name.
CHECK_FACTORIES = {
    name: _factory(name)
    for name in (
        *("bot_has_any_role", "bot_has_guild_permissions", "bot_has_permissions", "bot_has_role"),
        *("dm_only", "guild_only", "has_any_role", "has_guild_permissions", "has_permissions"),
        *("has_role", "is_nsfw", "is_owner"),
    )
}

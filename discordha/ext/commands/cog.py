"""Cogs with plain functions.

Threads and locks: one thread makes and adds cogs, before the bot starts. Their commands, checks and listeners
run on handler threads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from discord.ext import commands as theirs
from discord.utils import MISSING

from discordha.blocking import Bridge
from discordha.dispatch.handlers import check_ordering
from discordha.dispatch.handlers.callables import refuse_coroutine
from discordha.ext.commands.sides import both

__all__ = ["Cog", "CogMeta", "GroupCog"]

#: The methods of a cog that discord.py calls.
_SPECIAL = frozenset(
    {
        *("bot_check", "bot_check_once", "cog_after_invoke", "cog_app_command_error", "cog_before_invoke"),
        *("cog_check", "cog_command_error", "cog_load", "cog_unload", "interaction_check"),
    }
)


class CogMeta(theirs.CogMeta):
    """``discord.ext.commands.CogMeta``, for plain functions."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        name, bases, members = args
        if not str(members.get("__module__", "")).startswith("discordha.ext."):
            for special in _SPECIAL & members.keys():
                members[special] = both(members[special], "Methods of cogs")
        made: Any = super().__new__(cls, name, bases, members, **kwargs)
        made.__cog_listeners__ = _listeners(made)
        return made


def _listeners(cog: type) -> list[tuple[str, str]]:
    """The events of a cog's listeners, with the names of the methods."""
    found: dict[str, Any] = {}
    for base in reversed(cog.__mro__):
        for name, member in vars(base).items():
            found.pop(name, None)
            function: Any = member.__func__ if isinstance(member, staticmethod) else member
            if inspect.isfunction(function) and hasattr(function, "__cog_listener__"):
                if name.startswith(("cog_", "bot_")):
                    raise TypeError(
                        f"Commands or listeners must not start with cog_ or bot_ (in {cog.__name__}.{name})"
                    )
                found[name] = function
    return [(event, name) for name, function in found.items() for event in function.__cog_listener_names__]


class Cog(theirs.Cog, metaclass=CogMeta):
    """``discord.ext.commands.Cog``, with plain functions."""

    def __discordha_wrap__(self, bridge: Bridge) -> Any:
        return self

    @classmethod
    def listener(cls, name: str = MISSING, *, ordering: str | None = None) -> Callable[[Any], Any]:
        """Decorator: a plain method handles an event; see ``discord.ext.commands.Cog.listener``.

        :param ordering: see ``DiscordHA.add_handler``.
        """
        if name is not MISSING and not isinstance(name, str):
            raise TypeError(
                f"Cog.listener takes an event's name, not {type(name).__name__}; write listener()"
            )

        def register(function: Any) -> Any:
            actual: Any = function.__func__ if isinstance(function, staticmethod) else function
            refuse_coroutine(actual, "Listeners")
            actual.__cog_listener__ = True
            actual.__discordha_ordering__ = check_ordering(ordering, actual.__name__)
            names = actual.__dict__.setdefault("__cog_listener_names__", [])
            names.append(actual.__name__ if name is MISSING else name)
            return function

        return register


class GroupCog(Cog):
    """``discord.ext.commands.GroupCog``: a cog whose slash commands make a group."""

    __cog_is_app_commands_group__: ClassVar[bool] = True

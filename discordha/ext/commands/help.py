"""Help commands, whose methods an author may override with plain functions.

Guarantees: each page appears once, also when the command runs again on another replica. Two help commands at
once do not mix: each run has its own copy, where discord.py's share one.

Threads and locks: discord.py's methods run on the loop, an author's on the handler thread.
"""

from __future__ import annotations

import copy
import functools
import inspect
from typing import Any

from discord.ext import commands as theirs
from discord.ext.commands.help import _HelpCommandImpl

from discordha.blocking import unwrap
from discordha.blocking.nonces import with_nonce
from discordha.blocking.sides import on_loop_side
from discordha.commands.declared import Checks
from discordha.commands.trampoline import adapt
from discordha.ext.commands.core import Command
from discordha.ext.commands.sides import TwoSided, two_sided

__all__ = ["DefaultHelpCommand", "HelpCommand", "MinimalHelpCommand"]


class _Destination:
    """A channel on the loop's side whose messages get the handler's nonces."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    async def send(self, *args: Any, **kwargs: Any) -> Any:
        send = self._channel.send
        return await send(*with_nonce(send, args, kwargs), **kwargs)


class _Implementation(Command, _HelpCommandImpl):
    """The command of a help command."""

    def __init__(self, inject: Any, *args: Any, **kwargs: Any) -> None:
        _HelpCommandImpl.__init__(self, inject, *args, **kwargs)
        self.checks = Checks(self.checks)

    def invoke(self, ctx: Any, /) -> Any:
        """Runs a copy: ``prepare`` writes what this run needs into the command."""
        if on_loop_side():
            return super(Command, copy.copy(self)).invoke(ctx)
        return super().invoke(ctx)


@two_sided(keep=["command_callback"])
class HelpCommand(TwoSided, theirs.HelpCommand):
    """``discord.ext.commands.HelpCommand``, with plain functions."""

    def __init_subclass__(cls, **options: Any) -> None:
        own = vars(cls)
        callback, destination = own.get("command_callback"), own.get("get_destination")
        if inspect.isfunction(callback) and not callback.__module__.startswith("discord"):
            cls.command_callback = adapt(callback, "Help commands")  # type: ignore[method-assign]
        super().__init_subclass__(**options)
        if destination is not None:
            cls.get_destination = _numbered(destination)  # type: ignore[method-assign]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._command_impl = _Implementation(self, **self.command_attrs)

    def get_destination(self) -> Any:
        """Where the help goes: by default, the channel of the command."""
        return super().get_destination()


def _numbered(function: Any) -> Any:
    """On the loop's side, messages to a help command's destination get nonces."""
    if hasattr(function, "__discordha_numbered__"):
        return function

    @functools.wraps(function)
    def get_destination(self: Any) -> Any:
        found = function(self)
        if not on_loop_side() or isinstance(found, _Destination):
            return found
        return _Destination(unwrap(found))

    get_destination.__discordha_numbered__ = True  # type: ignore[attr-defined]
    return get_destination


HelpCommand.get_destination = _numbered(HelpCommand.get_destination)  # type: ignore[method-assign]


@two_sided(keep=["command_callback"])
class DefaultHelpCommand(HelpCommand, theirs.DefaultHelpCommand):
    """``discord.ext.commands.DefaultHelpCommand``, with plain functions."""


@two_sided(keep=["command_callback"])
class MinimalHelpCommand(HelpCommand, theirs.MinimalHelpCommand):
    """``discord.ext.commands.MinimalHelpCommand``, with plain functions."""

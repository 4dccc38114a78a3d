"""Hybrid commands and groups of plain functions: one function for a prefix command and a slash command.

Threads and locks: as for prefix and slash commands.
"""

from __future__ import annotations

from typing import Any

from discord.ext import commands as theirs
from discord.utils import MISSING

from discordha.commands.declared import Checks, adapt_parameters
from discordha.commands.trampoline import adapt
from discordha.ext.commands.core import Command, Group
from discordha.ext.commands.sides import two_sided

__all__ = ["HybridCommand", "HybridGroup", "hybrid_command", "hybrid_group"]


def _adapt(app_command: Any) -> None:
    """The slash command's own checks and transformers run on the handler thread, too."""
    if app_command is not None:
        app_command.checks = Checks(app_command.checks)
        adapt_parameters(app_command._params.values())


class _Autocompletes:
    """Gives ``autocomplete`` of a hybrid command plain functions."""

    def autocomplete(self, name: str) -> Any:
        """Decorator: a plain function returns an option's choices: (interaction, typed text)."""
        register: Any = super().autocomplete(name)  # type: ignore[misc]

        def decorator(function: Any) -> Any:
            register(adapt(function, "Autocompletes", ends=True))
            return function

        return decorator


@two_sided()
class HybridCommand(_Autocompletes, Command, theirs.HybridCommand[Any, ..., Any]):
    """``discord.ext.commands.HybridCommand`` of a plain function."""

    def __init__(self, func: Any, /, **kwargs: Any) -> None:
        super().__init__(func, **kwargs)
        _adapt(self.app_command)


@two_sided()
class HybridGroup(_Autocompletes, Group, theirs.HybridGroup[Any, ..., Any]):
    """``discord.ext.commands.HybridGroup`` of a plain function."""

    def __init__(self, func: Any, /, **kwargs: Any) -> None:
        super().__init__(func, **kwargs)
        _adapt(self._fallback_command)

    def command(self, name: Any = MISSING, *args: Any, with_app_command: bool = True, **kwargs: Any) -> Any:
        """Decorator: makes a hybrid command of this group of a plain function."""

        def decorator(function: Any) -> Any:
            kwargs.setdefault("parent", self)
            made = hybrid_command(name, with_app_command=with_app_command, **kwargs)(function)
            self.add_command(made)
            return made

        return decorator

    def group(self, name: Any = MISSING, *args: Any, with_app_command: bool = True, **kwargs: Any) -> Any:
        """Decorator: makes a hybrid group in this group of a plain function."""

        def decorator(function: Any) -> Any:
            kwargs.setdefault("parent", self)
            made = hybrid_group(name, with_app_command=with_app_command, **kwargs)(function)
            self.add_command(made)
            return made

        return decorator


def hybrid_command(name: Any = MISSING, *, with_app_command: bool = True, **attrs: Any) -> Any:
    """Decorator: makes a hybrid command of a plain function; see ``discord.ext.commands.hybrid_command``."""
    return _hybrid(HybridCommand, name, with_app_command, attrs)


def hybrid_group(name: Any = MISSING, *, with_app_command: bool = True, **attrs: Any) -> Any:
    """Decorator: makes a hybrid group of a plain function; see ``discord.ext.commands.hybrid_group``."""
    return _hybrid(HybridGroup, name, with_app_command, attrs)


def _hybrid(kind: Any, name: Any, with_app_command: bool, attrs: dict[str, Any]) -> Any:
    def decorator(function: Any) -> Any:
        if isinstance(function, theirs.Command):
            raise TypeError("Callback is already a command.")
        return kind(function, name=name, with_app_command=with_app_command, **attrs)

    return decorator

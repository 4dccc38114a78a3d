"""``discord.app_commands`` with plain functions, where that takes coroutine functions.

Import it in place of ``discord.app_commands``. ``Command``, ``CommandTree``, ``ContextMenu``, ``Group``,
``command`` and ``context_menu`` are this library's. All other names are discord.py's and take plain functions
as they are.
"""

from __future__ import annotations

from typing import Any

from discord import app_commands as _theirs
from discord.app_commands import (
    AppCommandError,
    CheckFailure,
    Choice,
    Range,
    Transform,
    Transformer,
    check,
    checks,
    choices,
    default_permissions,
    describe,
    guild_only,
    guilds,
    locale_str,
    rename,
)

from discordha.commands.declared import Command, ContextMenu, Group, command, context_menu
from discordha.commands.tree import Tree as CommandTree

__all__ = [
    "AppCommandError",
    "CheckFailure",
    "Choice",
    "Command",
    "CommandTree",
    "ContextMenu",
    "Group",
    "Range",
    "Transform",
    "Transformer",
    "check",
    "checks",
    "choices",
    "command",
    "context_menu",
    "default_permissions",
    "describe",
    "guild_only",
    "guilds",
    "locale_str",
    "rename",
]


def __getattr__(name: str) -> Any:
    return getattr(_theirs, name)

"""``discord.app_commands`` with plain functions, where that takes coroutine functions.

Porting: ``from discordha import app_commands`` instead of ``from discord import app_commands``. Ours are
``Command``, ``ContextMenu``, ``Group``, ``command`` and ``context_menu``. All else is discord.py's own, and
works on plain functions as it is; type checkers know what is listed here.
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

__all__ = [
    "AppCommandError",
    "CheckFailure",
    "Choice",
    "Command",
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

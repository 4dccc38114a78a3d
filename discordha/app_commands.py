"""``discord.app_commands`` with plain functions, where that takes coroutine functions.

Porting: ``from discordha import app_commands`` instead of ``from discord import app_commands``. What is not
named here is discord.py's own, and works on plain functions as it is: ``describe``, ``rename``, ``choices``,
``autocomplete``, ``check``, ``checks``, ``guilds``, ``default_permissions``, ``Choice``, ``Range``, ...
"""

from __future__ import annotations

from typing import Any

from discord import app_commands as _theirs

from discordha.commands.declared import Command, ContextMenu, Group, command, context_menu

__all__ = ["Command", "ContextMenu", "Group", "command", "context_menu"]


def __getattr__(name: str) -> Any:
    return getattr(_theirs, name)

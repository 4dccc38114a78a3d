"""discord.py's classes under the types that handlers see: ``from discordha import views as discord``.

Guarantees: at run time each name is discord.py's own class, so that ``isinstance`` and whatever looks at
annotations work as ever. Type checkers and editors read ``views.pyi`` instead, where the models are blocking
like a handler's views; ``make stubs`` writes it from discord.py's source. All other names of discord.py are
there, too, so that this module can be imported in its stead.
Not guaranteed: that an object made here is a view. ``views.Poll(...)`` is discord.py's own.

Threads and locks: no state.
"""

from __future__ import annotations

from typing import Any

import discord
import discord.abc
from discord import app_commands

_SOURCES: tuple[Any, ...] = (discord, discord.abc, app_commands)

__all__ = list(dict.fromkeys(name for home in _SOURCES for name in vars(home) if not name.startswith("_")))


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for home in _SOURCES:
            if hasattr(home, name):
                return getattr(home, name)
    raise AttributeError(f"neither discord.py nor discordha.views has a {name!r}")


def __dir__() -> list[str]:
    return __all__

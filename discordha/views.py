"""discord.py's classes under the types that handlers see: ``from discordha import views as discord``.

Promises: at run time each name here is discord.py's own class, so that ``isinstance``, application command
options and whatever else looks at annotations work as ever. For type checkers and editors ``views.pyi``
stands in its place: there the models are blocking, as the views are that handlers get. It is written from
discord.py's source by ``make stubs``. Names that are no models are discord.py's there, too, so that this
module can be imported in discord.py's stead.

Does not promise that what is made with a class of this module is a view: ``views.Poll(...)`` is discord.py's
own object, here and for type checkers.

Concurrency: no state.
"""

from __future__ import annotations

from typing import Any

import discord
import discord.abc
from discord import app_commands

_HOMES: tuple[Any, ...] = (discord, discord.abc, app_commands)

__all__ = list(dict.fromkeys(name for home in _HOMES for name in vars(home) if not name.startswith("_")))


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for home in _HOMES:
            if hasattr(home, name):
                return getattr(home, name)
    raise AttributeError(f"neither discord.py nor discordha.views has a {name!r}")


def __dir__() -> list[str]:
    return __all__

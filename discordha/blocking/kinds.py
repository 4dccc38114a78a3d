"""Which of discord.py's types become views.

An object becomes a view when its class, or a base of it, is discord.py's, except for

- exceptions, which are raised and caught as they are;
- plain data (embeds, colours, flags, permissions, enumerations, files, activities, ...), which can't block;
- classes that users write and discord.py calls: ``discord.ui`` views and items, application commands,
  transformers, audio sources, voice protocols. Their callbacks are coroutines on the loop;
- machinery: the HTTP client, the connection's state, helpers of ``discord.utils``.

A type without coroutine methods becomes a view, too, since it may lead to one with some, as a ``VoiceState``
leads to its channel. A test walks discord.py and shows that no plain type leads to a coroutine.
"""

from __future__ import annotations

import discord
from discord import app_commands

__all__ = ["PLAIN_MODULES", "PLAIN_TYPES", "is_model"]

_PLAIN_DATA = "activity colour embeds enums file flags mentions object permissions"
_WRITTEN_BY_USERS = (
    "app_commands.checks app_commands.commands app_commands.installs app_commands.transformers "
    "app_commands.translator app_commands.tree player"
)
_MACHINERY = "backoff gateway http oggparse opus state utils voice_state"
#: Modules whose types never become views.
PLAIN_MODULES = frozenset(
    f"discord.{name}" for names in (_PLAIN_DATA, _WRITTEN_BY_USERS, _MACHINERY) for name in names.split()
)
#: Types that do not become views, nor do their subclasses, although others of their modules do.
PLAIN_TYPES: tuple[type, ...] = (
    BaseException,
    app_commands.Choice,
    app_commands.Command,  # of this and the next, discord.ext has subclasses
    app_commands.Group,
    discord.VoiceProtocol,
)


def is_model(kind: type) -> bool:
    """Whether objects of this type become views. Slow: ``wrap`` remembers the answer for each type."""
    if issubclass(kind, discord.VoiceClient):  # the one voice protocol that discord.py makes
        return True
    if issubclass(kind, (type, tuple, *PLAIN_TYPES)):
        return False
    home = next(
        (base.__module__ for base in kind.__mro__ if base.__module__.split(".")[0] == "discord"), None
    )
    return home is not None and home not in PLAIN_MODULES and not home.startswith("discord.ui.")

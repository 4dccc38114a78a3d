"""discord.py's models and their coroutines, found by introspection of the installed discord.py."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import discord

__all__ = ["CLASSES", "METHODS", "NO_VIEWS", "VIEWED", "excuse", "title"]

WRITTEN_BY_USERS = "users write it, discord.py awaits its coroutines on the loop"
MACHINERY = "discord.py's machinery: no event and no model leads to it by a public name"
THROUGH_HA = "registration takes the user's own functions as they are: ha.tree, ha.command, ha.call"
NO_VIEWS: dict[str, str] = {
    "discord.app_commands.commands": WRITTEN_BY_USERS,
    "discord.app_commands.models.Choice": WRITTEN_BY_USERS,
    "discord.app_commands.transformers": WRITTEN_BY_USERS,
    "discord.app_commands.translator": WRITTEN_BY_USERS,
    "discord.app_commands.tree": THROUGH_HA,
    "discord.gateway": MACHINERY,
    "discord.http": MACHINERY,
    "discord.player": "audio sources are made by users and read by discord.py's player thread",
    "discord.state": MACHINERY,
    "discord.ui": WRITTEN_BY_USERS,
    "discord.voice_client.VoiceProtocol": WRITTEN_BY_USERS,
    "discord.voice_state": MACHINERY,
}


def modules() -> Iterator[Any]:
    yield discord
    for info in pkgutil.walk_packages(discord.__path__, "discord."):
        if not info.name.startswith(("discord.ext", "discord.types", "discord.__main__")):
            yield importlib.import_module(info.name)


CLASSES = sorted(
    {
        kind
        for module in modules()
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__.startswith("discord.")
    },
    key=lambda kind: (kind.__module__, kind.__name__),
)


def title(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


def asynchronous(kind: type) -> Iterator[str]:
    for name in dir(kind):
        static = inspect.getattr_static(kind, name)
        function = getattr(static, "__func__", static)
        if not name.startswith("_") and (
            inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        ):
            yield name


def excuse(kind: type) -> str | None:
    return next((NO_VIEWS[name] for name in NO_VIEWS if f"{title(kind)}.".startswith(f"{name}.")), None)


METHODS = [(kind, name) for kind in CLASSES for name in asynchronous(kind)]
VIEWED = [(kind, name) for kind, name in METHODS if excuse(kind) is None]

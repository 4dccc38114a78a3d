"""``discord.app_commands.checks`` with cooldowns that all replicas count together.

Guarantees: as many uses pass over all replicas as in one process. A command that runs again after a crash
passes as it did before. Only commands with a cooldown ask etcd: two round trips for each use.

Threads and locks: no state. Keys and cooldowns are computed, and uses counted, on the handler thread that
owns the interaction; the check blocks there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from discord import app_commands
from discord.app_commands.checks import bot_has_permissions, has_any_role, has_permissions, has_role
from discord.utils import MISSING

from discordha.blocking import unwrap
from discordha.context import current_event
from discordha.dispatch.handlers.callables import check_arguments, refuse_coroutine

__all__ = [
    "bot_has_permissions",
    "cooldown",
    "dynamic_cooldown",
    "has_any_role",
    "has_permissions",
    "has_role",
    "use_of",
]

Decorated = TypeVar("Decorated")
#: From an interaction to the key under which uses count together: a number, a text, or a tuple of them.
Key = Callable[[Any], Any]


def cooldown(
    rate: int, per: float, *, key: Key | None = MISSING, per_replica: bool = False
) -> Callable[[Decorated], Decorated]:
    """Decorator: a slash command may be used ``rate`` times in ``per`` seconds, over all replicas; see
    ``discord.app_commands.checks.cooldown``.

    :param key: a plain function ``(interaction)``, which may block; by default the user's id. ``None``: all
        uses count together.
    :param per_replica: whether each replica counts for itself, without etcd.
    :raises ConfigError: ``key`` is a coroutine function, or takes other arguments.
    """
    if per_replica:
        return app_commands.checks.cooldown(rate, per, key=key)
    made = app_commands.Cooldown(rate, per)
    return _decorator(lambda interaction: made, key)


def dynamic_cooldown(
    factory: Callable[[Any], app_commands.Cooldown | None],
    *,
    key: Key | None = MISSING,
    per_replica: bool = False,
) -> Callable[[Decorated], Decorated]:
    """Decorator: a cooldown that a plain function ``(interaction)`` makes; ``None``: none. See ``cooldown``.

    :raises ConfigError: ``factory`` or ``key`` is a coroutine function, or takes other arguments.
    """
    if per_replica:
        return app_commands.checks.dynamic_cooldown(factory, key=key)
    _check(factory, "make cooldowns")
    return _decorator(factory, key)


def use_of(moment: float) -> str:
    """Names a use of a command over processes: by the event that the calling handler runs for.

    :param moment: the time of the use, where there is none.
    """
    event = current_event()
    return f"{event.name}/{event.identity}/{event.occurrence}" if event is not None else f"{moment}"


def _check(function: Callable[..., Any], purpose: str) -> None:
    refuse_coroutine(function, "Functions of cooldowns")
    check_arguments(function, ("interaction",), purpose)


def _decorator(
    make: Callable[[Any], app_commands.Cooldown | None], key: Key | None
) -> Callable[[Decorated], Decorated]:
    if key is not MISSING and key is not None:
        _check(key, "make keys of cooldowns")

    def is_allowed(interaction: Any) -> bool:
        made = make(interaction)
        if made is None:
            return True
        real = unwrap(interaction)
        if key is MISSING:
            bucket: Any = real.user.id
        else:
            bucket = key(interaction) if key is not None else None
        now = real.created_at.timestamp()
        name = _name(real.command.qualified_name, made, bucket)
        wait = _shared(real).cooldowns.take(name, made.rate, made.per, now, use_of(now))
        if wait is not None:
            raise app_commands.CommandOnCooldown(made, wait)
        return True

    return app_commands.check(is_allowed)


def _name(command: str, made: app_commands.Cooldown, bucket: Any) -> str:
    """A name over processes: a command may have several cooldowns, of different lengths."""
    try:
        return f"/{command}/{made.rate}/{made.per:g}/{json.dumps(bucket, sort_keys=True)}"
    except TypeError:
        raise TypeError(
            f"the key {bucket!r} of /{command} has no name over processes: return numbers, texts, or tuples "
            "of them, or count with per_replica=True"
        ) from None


def _shared(interaction: Any) -> Any:
    """The shared state of the bot that received an interaction."""
    return interaction._state._command_tree._bot().shared

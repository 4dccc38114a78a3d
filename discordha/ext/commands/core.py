"""Prefix commands, groups and checks with plain functions.

discord.py parses, converts, checks and reports. These classes take plain functions where discord.py takes
coroutine functions.

Threads and locks: one thread declares, before the bot starts. Commands run on the loop, and their functions
on the handler thread that owns the message.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from discord.ext import commands as theirs
from discord.utils import MISSING

from discordha.blocking import unwrap, wrap
from discordha.blocking.sides import loop_side, on_loop_side
from discordha.commands.declared import Checks
from discordha.commands.trampoline import adapt, plain_function
from discordha.dispatch.handlers import check_ordering
from discordha.ext.commands.converters import convert_converters
from discordha.ext.commands.limits import LocalCooldown, LocalDynamicCooldown, cool_down, cooldown_key
from discordha.ext.commands.sides import TwoSided, both, bridge_of, drive, is_authors, two_sided

__all__ = [
    "CHECK_FACTORIES",
    "Command",
    "Group",
    "GroupMixin",
    "after_invoke",
    "before_invoke",
    "check",
    "check_any",
    "command",
    "group",
    "two_sided_check",
]

_HOOKS = "Hooks of commands"
_ERROR_HANDLERS = "Error handlers"


@two_sided()
class Command(TwoSided, theirs.Command[Any, ..., Any]):
    """``discord.ext.commands.Command`` of a plain function.

    :param ordering: as in ``DiscordHA.add_handler``; of commands in a group, the group's counts.
    """

    def __init__(self, func: Callable[..., Any], /, **kwargs: Any) -> None:
        super().__init__(adapt(func, "Commands"), **kwargs)
        self.ordering = check_ordering(kwargs.get("ordering"), self.name)
        self.checks = Checks(self.checks)
        for parameter in self.params.values():
            convert_converters(parameter.converter)
            default = parameter.default
            if is_authors(default):
                parameter._default = both(default, "Defaults of parameters")

    def __call__(self, context: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Calls the command's function, without checks and conversions. Blocks."""
        if on_loop_side():
            return super().__call__(context, *args, **kwargs)
        function = plain_function(self.callback)
        if self.cog is not None:
            return function(self.cog, context, *args, **kwargs)
        return function(context, *args, **kwargs)

    async def _parse_arguments(self, ctx: Any) -> None:
        prepared = ctx.__dict__.pop("_discordha_prepared", None) is self
        if prepared and not self.cooldown_after_parsing:
            await cool_down(self, ctx)
        await super()._parse_arguments(ctx)
        if prepared and self.cooldown_after_parsing:
            await cool_down(self, ctx)

    def _prepare_cooldowns(self, ctx: Any) -> None:
        """Counts in memory what each replica counts for itself; ``_parse_arguments`` counts the rest."""
        if isinstance(self._buckets, (LocalCooldown, LocalDynamicCooldown)):
            super()._prepare_cooldowns(ctx)

    async def _prepare_on_loop(self, ctx: Any) -> None:
        """Prepares a run: checks, limits, arguments, hooks. On the loop."""
        ctx.__dict__["_discordha_prepared"] = self
        await super().prepare(ctx)

    def prepare(self, ctx: Any, /) -> Any:
        """See ``discord.ext.commands.Command``. On the author's side it blocks."""
        if on_loop_side():
            return self._prepare_on_loop(ctx)
        return drive(bridge_of(self, ctx), lambda: self._prepare_on_loop(ctx))

    def reset_cooldown(self, ctx: Any, /) -> None:
        """Begins the cooldown of a context's bucket anew. Blocks."""
        if self._counts_in_etcd:
            ctx.bot._running().shared.cooldowns.reset(self._bucket(ctx)[0])
        else:
            super().reset_cooldown(unwrap(ctx))

    def is_on_cooldown(self, ctx: Any, /) -> bool:
        """Whether no use is left. Blocks."""
        if not self._counts_in_etcd:
            return super().is_on_cooldown(ctx)
        return self.get_cooldown_retry_after(ctx) > 0.0

    def get_cooldown_retry_after(self, ctx: Any, /) -> float:
        """The seconds until there is a use left; 0 if there is one. Blocks."""
        if not self._counts_in_etcd:
            return super().get_cooldown_retry_after(ctx)
        key, bucket, now = self._bucket(ctx)
        if bucket is None:
            return 0.0
        found: float = ctx.bot._running().shared.cooldowns.state(key, bucket.rate, bucket.per, now)[1]
        return found

    @property
    def _counts_in_etcd(self) -> bool:
        local = isinstance(self._buckets, (LocalCooldown, LocalDynamicCooldown))
        return self._buckets.valid and not local and not on_loop_side()

    def _bucket(self, ctx: Any) -> tuple[str, Any, float]:
        moment = ctx.message.edited_at or ctx.message.created_at
        now = moment.timestamp()
        with loop_side():
            return cooldown_key(self, ctx), self._buckets.get_bucket(ctx, now), now

    def error(self, coro: Any, /) -> Any:
        """Decorator: a plain function handles this command's errors: (context, error)."""
        self.on_error = adapt(coro, _ERROR_HANDLERS)
        return coro

    def before_invoke(self, coro: Any, /) -> Any:
        """Decorator: a plain function runs before the command: (context)."""
        super().before_invoke(adapt(coro, _HOOKS))
        return coro

    def after_invoke(self, coro: Any, /) -> Any:
        """Decorator: a plain function runs after the command: (context)."""
        super().after_invoke(adapt(coro, _HOOKS))
        return coro


class GroupMixin(theirs.GroupMixin[Any]):
    """``discord.ext.commands.GroupMixin``, whose decorators take plain functions."""

    def command(self, name: str = MISSING, cls: Any = MISSING, *args: Any, **kwargs: Any) -> Any:
        """Decorator: makes a command of this group of a plain function; see ``commands.command``."""
        return super().command(name, Command if cls is MISSING else cls, *args, **kwargs)

    def group(self, name: str = MISSING, cls: Any = MISSING, *args: Any, **kwargs: Any) -> Any:
        """Decorator: makes a group in this group of a plain function; see ``commands.group``."""
        return super().group(name, Group if cls is MISSING else cls, *args, **kwargs)


@two_sided()
class Group(GroupMixin, Command, theirs.Group[Any, ..., Any]):
    """``discord.ext.commands.Group`` of a plain function."""


def command(name: str = MISSING, cls: Any = MISSING, **attrs: Any) -> Any:
    """Decorator: makes a command of a plain function; see ``discord.ext.commands.command``.

    :raises ConfigError: a coroutine function.
    """
    return theirs.command(name, Command if cls is MISSING else cls, **attrs)


def group(name: str = MISSING, cls: Any = MISSING, **attrs: Any) -> Any:
    """Decorator: makes a group of a plain function; see ``discord.ext.commands.group``."""
    return theirs.command(name, Group if cls is MISSING else cls, **attrs)


def check(predicate: Callable[..., Any], /) -> Any:
    """Decorator: a plain function decides on the handler thread whether a command may run: (context)."""
    return two_sided_check(theirs.check(adapt(predicate, "Checks")), predicate)


def check_any(*checks: Any) -> Any:
    """Decorator: the command may run if one of the checks allows it; see ``discord.ext.commands``."""
    return two_sided_check(theirs.check_any(*checks))


def before_invoke(coro: Callable[..., Any], /) -> Any:
    """Decorator: a plain function runs before the command: (context)."""
    return theirs.before_invoke(adapt(coro, _HOOKS))


def after_invoke(coro: Callable[..., Any], /) -> Any:
    """Decorator: a plain function runs after the command: (context)."""
    return theirs.after_invoke(adapt(coro, _HOOKS))


def two_sided_check(decorator: Any, plain: Callable[..., Any] | None = None) -> Any:
    """Makes the ``predicate`` of a check's decorator block on the author's side.

    :param plain: the author's function behind it, if there is one.
    """
    awaited = decorator.predicate

    @functools.wraps(awaited)
    def predicate(context: Any) -> Any:
        if on_loop_side():
            return awaited(context)
        if plain is not None:
            return plain(context)
        bridge = bridge_of(context)
        real = unwrap(context)
        return wrap(drive(bridge, lambda: awaited(real)), bridge)

    decorator.predicate = predicate
    return decorator


def _factory(name: str) -> Callable[..., Any]:
    make = getattr(theirs, name)

    @functools.wraps(make)
    def factory(*args: Any, **kwargs: Any) -> Any:
        return two_sided_check(make(*args, **kwargs))

    return factory


#: discord.py's own checks, by name.
CHECK_FACTORIES = {
    name: _factory(name)
    for name in (
        *("bot_has_any_role", "bot_has_guild_permissions", "bot_has_permissions", "bot_has_role"),
        *("dm_only", "guild_only", "has_any_role", "has_guild_permissions", "has_permissions"),
        *("has_role", "is_nsfw", "is_owner"),
    )
}

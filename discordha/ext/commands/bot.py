"""``commands.Bot``: a ``DiscordHA`` with prefix commands, cogs and extensions.

Guarantees
- A message that calls a command is claimed by one replica, as any message with a handler is. The command runs
  on the handler thread that owns the message, once over all replicas.
- An error of a command that no handler takes goes to ``ha.on_error``, as any handler's error does.
- Not guaranteed: changes while the bot runs. Declare commands, cogs and extensions first, then start.

Threads and locks: one thread declares. ``dispatch`` and discord.py's own methods run on the loop. Everything
that an author writes runs on handler threads.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import discord
from discord.ext import commands as theirs
from discord.utils import MISSING

from discordha.api.client import ClientLookups
from discordha.blocking import Bridge, unwrap
from discordha.blocking.sides import on_loop_side
from discordha.commands.declared import Checks, is_theirs
from discordha.commands.trampoline import Trampoline, adapt
from discordha.config import Config
from discordha.context import current_event
from discordha.dispatch.handlers import Handler
from discordha.dispatch.runner import log_error
from discordha.errors import ConfigError
from discordha.events import Scope
from discordha.ext.commands.context import Context
from discordha.ext.commands.core import Command, GroupMixin
from discordha.ext.commands.events import CommandEvents
from discordha.ext.commands.help import DefaultHelpCommand
from discordha.ext.commands.hybrid import hybrid_command, hybrid_group
from discordha.ext.commands.loading import Loading
from discordha.ext.commands.routing import command_of
from discordha.ext.commands.sides import both, drive, two_sided

__all__ = ["AutoShardedBot", "Bot"]

_log = logging.getLogger("discordha")

_DEFAULT_HELP: Any = object()
#: Stands for the token until ``run`` gets it.
_WITHOUT = "unset"
#: Options that ``discord.ext.commands`` takes, not ``DiscordHA``.
_OPTIONS = ("owner_id", "owner_ids", "strip_after_prefix", "case_insensitive")
_HOOKS = "Hooks of commands"


class _End:
    """Takes the arguments that discord.py's classes pass on to their client."""

    def __init__(self, **options: Any) -> None:
        super().__init__()


@two_sided()
class Bot(CommandEvents, Loading, _End):  # type: ignore[misc] # ``listen`` takes more than discord.py's
    """``discord.ext.commands.Bot`` over several replicas, with plain functions.

    :param command_prefix: a text, a list of texts, ``when_mentioned_or(...)``, or a plain function
        ``(bot, message)`` that may block.
    :param help_command: ``None`` for none.
    :param options: ``owner_id``, ``owner_ids``, ``strip_after_prefix``, ``case_insensitive``, and those of
        ``DiscordHA``. Fields of ``Config`` without an option come from the environment, as in ``from_env``.
    :raises ConfigError: an option is unknown or impossible, or ``command_prefix`` is a coroutine function.
    """

    _discordha_called: ClassVar[frozenset[str]] = frozenset({"setup_hook"})

    def __init__(
        self,
        command_prefix: Any,
        *,
        config: Config | None = None,
        help_command: Any = _DEFAULT_HELP,
        description: str | None = None,
        tree_cls: Any = None,
        allowed_contexts: Any = MISSING,
        allowed_installs: Any = MISSING,
        **options: Any,
    ) -> None:
        own = {name: options.pop(name) for name in _OPTIONS if name in options}
        if callable(command_prefix) and not is_theirs(command_prefix):
            command_prefix = both(command_prefix, "Functions for the prefix")
        self._is_set_up = False
        super().__init__(_config(config, options), tree_cls)
        self._declare(
            command_prefix,
            help_command=None,
            tree_cls=lambda bot: self._tree,
            description=description,
            allowed_contexts=allowed_contexts,
            allowed_installs=allowed_installs,
            intents=self.config.intents,
            **own,
        )
        self._checks = Checks(self._checks)
        self._check_once = Checks(self._check_once)
        self.help_command = DefaultHelpCommand() if help_command is _DEFAULT_HELP else help_command
        self._tree.client_seen = self
        self._registry.set_source("message", self._handlers_for)

    @classmethod
    def from_env(cls, command_prefix: Any = None, **options: Any) -> Self:
        """See ``DiscordHA.from_env``; a bot reads the environment in any case."""
        return cls(command_prefix, **options)

    # -- life ------------------------------------------------------------------------------------------------

    def setup_hook(self) -> Any:
        """Called once before the bot starts: a subclass loads its extensions here."""

    def start(self) -> None:
        """Calls ``setup_hook`` once, then starts this replica; see ``DiscordHA.start``."""
        if self.config.token == _WITHOUT:
            raise ConfigError(
                "token is missing: set BOT_TOKEN, or give the token to the bot's constructor or to run()"
            )
        if not self._is_set_up:
            self._is_set_up = True
            self.setup_hook()
        super().start()

    def run(self, token: str | None = None, **_: Any) -> None:
        """See ``DiscordHA.run``.

        :param token: the bot's token, if neither an option nor a variable has it.
        """
        if token is not None:
            self._config = dataclasses.replace(self._config, token=token)
        super().run()

    def stop(self, timeout: float | None = None) -> None:
        """Drains this replica and ends it, then calls ``cog_unload`` of each cog; see ``DiscordHA.stop``."""
        ran = self._replica is not None
        super().stop(timeout)
        if ran:
            for cog in self.cogs.values():
                unload: Callable[[], Any] = cog.cog_unload  # blocks, on this side
                if hasattr(unload, "__cog_special_method__"):
                    continue  # discord.py's own, a coroutine function that does nothing
                try:
                    unload()
                except Exception:  # noqa: BLE001 - an author's method
                    _log.exception("cog_unload of %s failed", cog.qualified_name)

    def close(self) -> Any:
        """Asks ``run`` to drain this replica and to end. Other replicas go on. Does not block; any thread."""
        self._ends.put("close() was called")

    def __getattr__(self, name: str) -> Any:
        """All else of ``discord.Client``'s is the client's of the lowest shard."""
        if name in ("_connection", "_get_websocket"):
            return getattr(self._running().all_clients, name)
        if name.startswith(("_", "on_")) or not hasattr(discord.Client, name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        replica = self._running()
        return getattr(replica.all_clients if on_loop_side() else replica.client_view, name)

    @property
    def _discordha_bridge(self) -> Bridge:
        return self._running().gateway.bridge

    # -- commands --------------------------------------------------------------------------------------------

    def _handlers_for(self, args: Sequence[Any]) -> list[Handler]:
        """The handler of a message that calls a command. Gateway thread."""
        if "message" in self._handled:
            return []
        command = command_of(self, args[0])
        if command is None:
            return []
        ordering = getattr(command, "ordering", None)
        return [Handler(self._run_command, "message", Scope.CLAIM, None, f"command {command.name}", ordering)]

    def _run_command(self, view: Any) -> None:
        message = unwrap(view)
        # Looked up on the loop, where an author's own method is a coroutine function.
        drive(view._discordha_bridge, lambda: self.process_commands(message))

    def process_commands(self, message: Any, /) -> Any:
        """Runs the command that a message calls, if it calls one. Blocks; on a handler thread.

        An error that no handler takes goes to ``ha.on_error``.
        """
        if on_loop_side():
            return super().process_commands(message)
        return self._drive(lambda: super(Bot, self).process_commands(unwrap(message)))

    def invoke(self, ctx: Any, /) -> Any:
        """Runs a context's command with its checks and events; see ``process_commands``."""
        if on_loop_side():
            return super().invoke(ctx)
        return self._drive(lambda: super(Bot, self).invoke(ctx))

    def _drive(self, start: Callable[[], Any]) -> None:
        async def main() -> None:
            await start()

        trampoline = Trampoline(self._discordha_bridge)
        trampoline.drive(main)
        event = current_event()
        for error in trampoline.noted:
            if event is None:
                raise error
            handler = Handler(self.process_commands, event.name, Scope.CLAIM, None, event.handler)
            (self._on_error or log_error)(event, handler, error)

    def get_context(self, origin: Any, /, *, cls: Any = Context) -> Any:
        """The context of a message or an interaction. Blocks; on a handler thread.

        :param cls: a subclass of ``Context``.
        """
        if on_loop_side():
            return super().get_context(origin, cls=cls)
        return drive(self._discordha_bridge, lambda: super(Bot, self).get_context(unwrap(origin), cls=cls))

    def command(self, *args: Any, **kwargs: Any) -> Any:
        """Decorator: makes a prefix command of a plain function and adds it; see ``commands.command``. Slash
        commands are made by ``tree.command``.
        """
        return GroupMixin.command(self, *args, **kwargs)

    def hybrid_command(self, name: Any = MISSING, with_app_command: bool = True, **kwargs: Any) -> Any:
        """Decorator: makes a hybrid command of a plain function and adds it."""
        return self._adding(hybrid_command, name, with_app_command, kwargs)

    def hybrid_group(self, name: Any = MISSING, with_app_command: bool = True, **kwargs: Any) -> Any:
        """Decorator: makes a hybrid group of a plain function and adds it."""
        return self._adding(hybrid_group, name, with_app_command, kwargs)

    def _adding(self, make: Any, name: Any, with_app_command: bool, kwargs: dict[str, Any]) -> Any:
        def decorator(function: Any) -> Any:
            kwargs.setdefault("parent", self)
            made = make(name, with_app_command=with_app_command, **kwargs)(function)
            self.add_command(made)
            return made

        return decorator

    def add_command(self, command: Any, /) -> None:
        """Adds a command.

        :raises ConfigError: it is discord.py's own, with a coroutine function.
        """
        if isinstance(command, theirs.Command) and not isinstance(command, Command):
            raise ConfigError(
                f"the command {command.name!r} is discord.py's own, with a coroutine function. Make it with "
                "discordha.ext.commands, from a plain one"
            )
        super().add_command(command)

    def before_invoke(self, coro: Any, /) -> Any:
        """Decorator: a plain function runs before each command: (context)."""
        self._before_invoke = adapt(coro, _HOOKS)
        return coro

    def after_invoke(self, coro: Any, /) -> Any:
        """Decorator: a plain function runs after each command: (context)."""
        self._after_invoke = adapt(coro, _HOOKS)
        return coro


class AutoShardedBot(Bot):
    """``discord.ext.commands.AutoShardedBot``: a bot with Discord's number of shards, unless it names one."""

    def __init__(self, command_prefix: Any, **options: Any) -> None:
        if options.get("config") is None:
            options.setdefault("shard_count", "auto")
        super().__init__(command_prefix, **options)


def _config(config: Config | None, options: dict[str, Any]) -> Config:
    if config is not None:
        return Config.build(config, **options)
    environ = dict(os.environ)
    if not environ.get("DISCORDHA_TOKEN", "").strip() and not environ.get("BOT_TOKEN", "").strip():
        options = {"token": _WITHOUT, **options}
    return Config.from_env(environ, **options)


def _looked_up(name: str) -> Any:
    """A look-up of ``DiscordHA``, which is discord.py's own on the loop's side."""
    inherited = inspect.getattr_static(Bot, name)
    if isinstance(inherited, property):
        read = inherited.fget
        assert read is not None

        def get(self: Any) -> Any:
            return getattr(self._running().all_clients, name) if on_loop_side() else read(self)

        return property(get, doc=inherited.__doc__)

    @functools.wraps(inherited)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if on_loop_side():
            return getattr(self._running().all_clients, name)(*args, **kwargs)
        return inherited(self, *args, **kwargs)

    return method


for _name in vars(ClientLookups):
    if not _name.startswith("_"):
        setattr(Bot, _name, _looked_up(_name))

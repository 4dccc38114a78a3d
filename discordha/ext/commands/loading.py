"""Cogs and extensions of a ``Bot``: declared before it starts, the same on every replica.

Threads and locks: one thread declares; nothing here runs afterwards.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Sequence
from typing import Any

from discord.ext import commands as theirs
from discord.ext.commands.bot import BotBase
from discord.utils import MISSING

from discordha.blocking.sides import run_without_loop
from discordha.dispatch.handlers.callables import refuse_coroutine
from discordha.errors import ConfigError, DiscordHAError
from discordha.ext.commands.cog import Cog
from discordha.ext.commands.core import GroupMixin
from discordha.ext.commands.sides import TwoSided

__all__ = ["Loading"]


class Loading(TwoSided, GroupMixin, BotBase):
    """discord.py's half of a bot: commands, checks, cogs, extensions."""

    _replica: Any

    def __init__(self) -> None:
        """Does nothing yet: ``DiscordHA`` calls this without arguments, and ``_declare`` follows."""

    def _declare(self, prefix: Any, **options: Any) -> None:
        BotBase.__init__(self, prefix, **options)

    def add_cog(
        self, cog: Any, /, *, override: bool = False, guild: Any = MISSING, guilds: Sequence[Any] = MISSING
    ) -> Any:
        """Adds a cog and calls its ``cog_load``. Before ``start``.

        :raises ConfigError: the cog is discord.py's own, or the bot runs.
        """
        if isinstance(cog, theirs.Cog) and not isinstance(cog, Cog):
            raise ConfigError(
                f"the cog {type(cog).__name__} is discord.py's own: derive it from discordha.ext.commands.Cog"
            )
        self._refuse_while_running("add_cog")
        return run_without_loop(
            lambda: BotBase.add_cog(self, cog, override=override, guild=guild, guilds=guilds)
        )

    def remove_cog(self, name: str, /, *, guild: Any = MISSING, guilds: Sequence[Any] = MISSING) -> Any:
        """Removes a cog and calls its ``cog_unload``; returns it. Before ``start``."""
        self._refuse_while_running("remove_cog")
        return self._remove_cog(name, guild, guilds)

    def _remove_cog(self, name: str, guild: Any = MISSING, guilds: Any = MISSING) -> Any:
        return run_without_loop(lambda: BotBase.remove_cog(self, name, guild=guild, guilds=guilds))

    def load_extension(self, name: str, *, package: str | None = None) -> Any:
        """Imports a module and calls its plain function ``setup(bot)``. Before ``start``.

        :raises ConfigError: ``setup`` is a coroutine function, or the bot runs.
        :raises ExtensionError: as ``discord.ext.commands.Bot.load_extension``.
        """
        self._refuse_while_running("load_extension")
        name = self._resolve_name(name, package)
        if name in self.extensions:
            raise theirs.ExtensionAlreadyLoaded(name)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            raise theirs.ExtensionNotFound(name)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            setup = getattr(module, "setup", None)
            if setup is None:
                raise theirs.NoEntryPointError(name)
            refuse_coroutine(setup, "Setup functions")
            setup(self)
        except BaseException as error:
            self._forget(module, name)
            if isinstance(error, Exception) and not isinstance(error, (ConfigError, theirs.ExtensionError)):
                raise theirs.ExtensionFailed(name, error) from error
            raise
        self._extensions()[name] = module

    def unload_extension(self, name: str, *, package: str | None = None) -> Any:
        """Removes all that an extension has added, and calls its ``teardown(bot)``. Before ``start``."""
        self._refuse_while_running("unload_extension")
        name = self._resolve_name(name, package)
        module = self.extensions.get(name)
        if module is None:
            raise theirs.ExtensionNotLoaded(name)
        self._forget(module, name)

    def reload_extension(self, name: str, *, package: str | None = None) -> Any:
        """Refused: one replica would run other code than its peers.

        :raises DiscordHAError: always.
        """
        raise DiscordHAError(
            f"the extension {name} was not reloaded: this replica would run other code than its peers. "
            "Change the code, then roll the replicas one by one; that loses no event"
        )

    def _extensions(self) -> dict[str, types.ModuleType]:
        known: dict[str, types.ModuleType] = self._BotBase__extensions  # type: ignore[attr-defined]
        return known

    def _forget(self, module: types.ModuleType, name: str) -> None:
        """Removes a module and all that it has added."""
        for cog_name, cog in dict(self.cogs).items():
            if _is_part(name, cog.__module__):
                self._remove_cog(cog_name)
        run_without_loop(lambda: BotBase._remove_module_references(self, name))
        teardown = getattr(module, "teardown", None)
        if teardown is not None and name in self.extensions:
            refuse_coroutine(teardown, "Teardown functions")
            teardown(self)
        self._extensions().pop(name, None)
        for known in [each for each in sys.modules if _is_part(name, each)]:
            del sys.modules[known]

    def _refuse_while_running(self, what: str) -> None:
        if self._replica is not None:
            raise ConfigError(
                f"{what} was called while the bot runs: this replica would have other commands than its "
                "peers. Call it before start(), or in setup_hook(); to change the code, roll the replicas"
            )


def _is_part(package: str, module: str) -> bool:
    return module == package or module.startswith(f"{package}.")

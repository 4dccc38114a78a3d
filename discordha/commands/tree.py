"""The command tree: ``discord.app_commands.CommandTree``, declared before any client and for all clients.

Guarantees
- An interaction runs nothing by itself: it comes through the dispatcher like any event, and ``invoke`` runs
  it.
- An error that no handler of the command or the tree takes is raised by ``invoke`` as the callback raised it,
  with the callback's line in its traceback.
- Not guaranteed: changes while the bot runs. Declare first, then start.

``tests/unit/commands/test_commands_surface.py`` pins the private names of discord.py that this module,
``answers`` and ``declared`` use.

Threads and locks: one thread declares. ``find`` runs on the gateway thread, ``invoke`` on the loop, ``sync``
and ``fetch_commands`` on any other thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

import discord
from discord import app_commands
from discord.utils import MISSING

from discordha.blocking import wrap
from discordha.commands.declared import (
    Command,
    ContextMenu,
    Decorated,
    Group,
    adapted_hook,
    command,
    context_menu,
)
from discordha.commands.trampoline import adapt
from discordha.errors import ConfigError, DiscordHAError

__all__ = ["Tree", "fetch_commands", "overwrite_commands"]

_log = logging.getLogger(__name__)

Made = TypeVar("Made", Command, ContextMenu)


class _NoClient:
    """Stands for the client that a tree is made with; a test shows that a tree asks for nothing else."""

    http = None

    def __init__(self) -> None:
        self._connection = SimpleNamespace(_command_tree=None, _translator=None)

    @staticmethod
    def dispatch(event: str, interaction: Any, *args: Any) -> None:
        """Sends ``app_command_completion`` to the client that received the interaction."""
        interaction._state._get_client().dispatch(event, interaction, *args)


class Tree(app_commands.CommandTree[Any]):
    """The bot's commands: ``ha.tree``. A subclass may override ``interaction_check`` and ``on_error`` with
    plain functions.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, what in (("interaction_check", "Checks"), ("on_error", "Error handlers")):
            if name in cls.__dict__:
                setattr(cls, name, adapt(cls.__dict__[name], what))

    def __init__(self, client: Any = None, **options: Any) -> None:
        super().__init__(_NoClient(), **options)
        #: Whether the bot registers changed commands when it starts.
        self.sync_on_start = True
        #: Whether another replica has claimed an event and is silent. Set by the replica, before it starts.
        self.silent_owner: Callable[[str], bool] = lambda key: False
        self._bot: Callable[[], Any] | None = None
        self._refuse_late: Callable[[str], None] = lambda what: None
        self._unknown: set[str] = set()
        self._check: Callable[..., Any] | None = None
        #: What ``interaction.client`` is, where that is not the client that received the interaction.
        self.client_seen: Any = None

    def command(  # type: ignore[override]
        self,
        *,
        name: Any = MISSING,
        description: Any = MISSING,
        guild: Any = MISSING,
        guilds: Any = MISSING,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Command]:
        """Decorator: makes a slash command of a plain function; see ``DiscordHA.command``."""
        return self._adding(command(name=name, description=description, **options), guild, guilds)

    def context_menu(
        self, *, name: Any = MISSING, guild: Any = MISSING, guilds: Any = MISSING, **options: Any
    ) -> Callable[[Callable[..., Any]], ContextMenu]:
        """Decorator: makes a context menu command of a plain function, whose second argument is annotated
        with ``discord.Message``, ``discord.Member`` or ``discord.User``. Before ``start``.

        :param options: see ``discordha.app_commands.command``.
        :raises ConfigError: a coroutine function, or the bot runs.
        """
        return self._adding(context_menu(name=name, **options), guild, guilds)

    def _adding(
        self, make: Callable[[Callable[..., Any]], Made], guild: Any, guilds: Any
    ) -> Callable[[Callable[..., Any]], Made]:
        def decorator(function: Callable[..., Any]) -> Made:
            made = make(function)
            self.add_command(made, guild=guild, guilds=guilds)
            return made

        return decorator

    def group(
        self,
        *,
        name: str,
        description: str,
        guild: Any = MISSING,
        guilds: Any = MISSING,
        **options: Any,
    ) -> Group:
        """Adds a group to this tree; ``@group.command()`` adds commands to the group. Before ``start``.

        :raises ConfigError: the bot runs.
        """
        made = Group(name=name, description=description, **options)
        self.add_command(made, guild=guild, guilds=guilds)
        return made

    def add_command(self, command: Any, /, **options: Any) -> None:
        """Adds a command, a context menu or a group. Before ``start``.

        :raises ConfigError: one of its callbacks is a coroutine function, or the bot runs.
        """
        self._refuse_late(f"the command {getattr(command, 'name', command)!r}")
        members = (
            [command, *command.walk_commands()] if isinstance(command, app_commands.Group) else [command]
        )
        for member in members:
            callback = getattr(member, "callback", None)
            if callback is not None and not hasattr(callback, "__discordha_plain__"):
                raise ConfigError(
                    f"the command {member.name!r} is discord.py's own, with a coroutine function. Make it "
                    "with ha.tree.command, or with discordha.app_commands, from a plain one"
                )
        super().add_command(command, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "interaction_check":
            name, value = "_check", adapt(value, "Checks")
        super().__setattr__(name, adapted_hook(name, value))

    def interaction_check(self, function: Any, /) -> Any:
        """Decorator: a plain function allows or refuses every command and autocomplete: (interaction). The
        same as ``tree.interaction_check = function``; discord.py calls this with an interaction.
        """
        if callable(function):
            self._check = adapt(function, "Checks")
            return function
        return self._is_allowed(function)

    async def _is_allowed(self, interaction: discord.Interaction[Any]) -> bool:
        return self._check is None or bool(await self._check(interaction))

    def error(self, coro: Decorated) -> Decorated:
        """Decorator: a plain function handles all commands' errors: (interaction, error). It runs on the
        handler thread of the interaction, and may block.
        """
        super().error(adapt(coro, "Error handlers"))
        return coro

    # -- running (gateway thread, loop) ----------------------------------------------------------------------

    def attach(self, client: discord.Client) -> None:
        """Gives a new client the tree, for ``interaction.command`` and ``interaction.namespace``. On the
        gateway thread.
        """
        client._connection._command_tree = self
        client._connection._translator = self._state._translator

    def _from_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Does nothing: discord.py would run the command here, on every replica."""

    def find(self, interaction: discord.Interaction[Any]) -> Any:
        """The command of an interaction; ``None`` if this version of the bot does not have it."""
        found = interaction.command
        data: Any = interaction.data
        name = str(data.get("name"))
        if found is None and name not in self._unknown and len(self._unknown) < 1000:
            self._unknown.add(name)
            _log.warning(
                "command %r is unknown to this version of the bot: other replicas may handle it", name
            )
        return found

    async def invoke(self, interaction: discord.Interaction[Any]) -> None:
        """Runs the command of an interaction. On the loop, within a trampoline."""
        await self._call(interaction)

    async def on_error(
        self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /
    ) -> None:
        """Raises an error that no handler of the command takes, so that it reaches ``ha.on_error``. Runs
        where the tree has no error handler.
        """
        failed = interaction.command
        if failed is not None and failed._has_any_error_handlers():
            return
        if isinstance(error, app_commands.CommandInvokeError):
            raise error.original from error.original.__cause__
        raise error

    def bind(self, bot: Callable[[], Any], refuse_late: Callable[[str], None]) -> None:
        """Tells the tree where the running bot is, an object with ``gateway``. ``DiscordHA`` calls it.

        :param refuse_late: raises for a declaration while the bot runs.
        """
        self._bot = bot
        self._refuse_late = refuse_late

    def scopes(self) -> set[int | None]:
        """The guilds with commands of their own, and ``None`` if there are global commands."""
        scopes: set[int | None] = {guild for guild, known in self._guild_commands.items() if known}
        scopes |= {guild for _, guild, _ in self._context_menus}
        if self._global_commands:
            scopes.add(None)
        return scopes

    async def payload(self, guild_id: int | None) -> list[dict[str, Any]]:
        """A scope's commands in Discord's format. On the loop."""
        guild = None if guild_id is None else discord.Object(guild_id)
        commands = self._get_all_commands(guild=guild)
        translator = self._state._translator
        if translator is None:
            return [each.to_dict(self) for each in commands]
        return [await each.get_translated_payload(self, translator) for each in commands]

    def sync(self, *, guild: Any = None) -> Any:
        """Registers the commands now, whatever Discord has. Blocks; any thread but the loop's. Needed only
        with ``sync_on_start`` off: else the bot registers changed commands when it starts.

        :param guild: whose commands; ``None``: the global ones.
        :raises DiscordHAError: the bot does not run.
        :return: Discord's commands afterwards, as ``discord.app_commands.AppCommand``.
        """
        gateway, scope = self._gateway(), None if guild is None else guild.id

        async def sync() -> Any:
            return await overwrite_commands(gateway, scope, await self.payload(scope))

        return self._parsed(gateway.call(sync()))

    def fetch_commands(self, *, guild: Any = None) -> Any:
        """The commands that Discord has. Blocks; any thread but the loop's.

        :param guild: whose commands; ``None``: the global ones.
        :raises DiscordHAError: the bot does not run.
        """
        gateway = self._gateway()
        return self._parsed(gateway.call(fetch_commands(gateway, None if guild is None else guild.id)))

    def set_translator(self, translator: app_commands.Translator | None) -> None:  # type: ignore[override]
        """Sets the translator of names and descriptions, before the bot starts. ``translate`` is a coroutine
        on the loop; ``load`` is called before the first sync.

        :raises ConfigError: it is no translator.
        """
        if translator is not None and not isinstance(translator, app_commands.Translator):
            raise ConfigError(f"a translator must be a discord.app_commands.Translator, not {translator!r}")
        self._state._translator = translator

    def _gateway(self) -> Any:
        if self._bot is None:
            raise DiscordHAError("the bot does not run: call start() first")
        return self._bot().gateway

    def _parsed(self, data: Any) -> Any:
        gateway = self._gateway()
        state = gateway.client._connection
        return wrap([app_commands.AppCommand(data=each, state=state) for each in data], gateway.bridge)


async def fetch_commands(gateway: Any, guild_id: int | None) -> Any:
    """Discord's data of a scope's commands; ``None`` is the global scope. On the loop."""
    http, application = gateway.client.http, gateway.client.application_id
    if guild_id is None:
        return await http.get_global_commands(application)
    return await http.get_guild_commands(application, guild_id)


async def overwrite_commands(gateway: Any, guild_id: int | None, payload: Any) -> Any:
    """Replaces Discord's commands of a scope, and returns its data of them. On the loop."""
    http, application = gateway.client.http, gateway.client.application_id
    if guild_id is None:
        return await http.bulk_upsert_global_commands(application, payload=payload)
    return await http.bulk_upsert_guild_commands(application, guild_id, payload=payload)

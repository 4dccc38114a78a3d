"""The command tree: ``discord.app_commands.CommandTree``, declared before there is any client, for all of
them.

Promises
- Commands are declared as with discord.py's tree, with plain functions. Nothing runs by itself on a replica:
  interactions come through the dispatcher as all events do, and ``invoke`` runs one.
- An error that no handler of the command's or of the tree's takes is raised out of ``invoke``: a callback's
  as it was raised, with the handler's line in its traceback.

Does not promise that a tree may change while the bot runs: declare first, then start.

What is used of discord.py's private surface, all of it here, in ``answers`` and in ``declared``, is pinned by
``tests/unit/commands/test_commands_surface.py``.

Concurrency: declared by one thread; ``find`` runs on the gateway thread, ``invoke`` on the loop, ``sync`` and
the like on any other thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import discord
from discord import app_commands
from discord.utils import MISSING

from discordha.blocking import wrap
from discordha.commands.declared import Command, ContextMenu, Decorated, Group, command, context_menu
from discordha.commands.trampoline import adapt
from discordha.errors import ConfigError, DiscordHAError

__all__ = ["Tree"]

_log = logging.getLogger(__name__)


class _NoClient:
    """What a tree wants of a client before there is one: it is never asked for anything but this."""

    http = None

    def __init__(self) -> None:
        self._connection = SimpleNamespace(_command_tree=None, _translator=None)

    @staticmethod
    def dispatch(event: str, interaction: Any, *args: Any) -> None:
        """``app_command_completion`` goes to the client that the interaction came by."""
        interaction.client.dispatch(event, interaction, *args)


class Tree(app_commands.CommandTree[Any]):
    """See the module. ``ha.tree``."""

    def __init__(self) -> None:
        super().__init__(_NoClient())
        #: Whether this bot tells Discord of its commands by itself when it starts.
        self.sync_on_start = True
        #: Whether another replica has claimed an event and is silent. Set by the replica, before it starts.
        self.silent_owner: Callable[[str], bool] = lambda key: False
        self._bot: Callable[[], Any] | None = None
        self._unknown: set[str] = set()

    # -- declaring -------------------------------------------------------------------------------------------

    def command(  # type: ignore[override]
        self,
        *,
        name: Any = MISSING,
        description: Any = MISSING,
        guild: Any = MISSING,
        guilds: Any = MISSING,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Command]:
        """Decorator: a plain function becomes a slash command; see ``DiscordHA.command``."""
        make = command(name=name, description=description, **options)

        def decorator(function: Callable[..., Any]) -> Command:
            made: Command = make(function)
            self.add_command(made, guild=guild, guilds=guilds)
            return made

        return decorator

    def context_menu(
        self, *, name: Any = MISSING, guild: Any = MISSING, guilds: Any = MISSING, **options: Any
    ) -> Callable[[Callable[..., Any]], ContextMenu]:
        """Decorator: a plain function becomes a context menu command: its second argument is annotated with
        ``discord.Message``, ``discord.Member`` or ``discord.User``.
        """
        make = context_menu(name=name, **options)

        def decorator(function: Callable[..., Any]) -> ContextMenu:
            made: ContextMenu = make(function)
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
        """Makes a group of this tree: ``@group.command()`` adds commands to it."""
        made = Group(name=name, description=description, **options)
        self.add_command(made, guild=guild, guilds=guilds)
        return made

    def add_command(self, command: Any, /, **options: Any) -> None:
        """Adds a command, a context menu or a group.

        :raises ConfigError: one of its callbacks is a coroutine function.
        """
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

    def error(self, coro: Decorated) -> Decorated:
        """Decorator: a plain function that hears of all commands' errors: (interaction, error)."""
        super().error(adapt(coro, "Error handlers"))
        return coro

    # -- running (gateway thread, loop) ----------------------------------------------------------------------

    def attach(self, client: discord.Client) -> None:
        """Makes a new client know the tree, for ``interaction.command`` and ``interaction.namespace``.
        Gateway thread.
        """
        client._connection._command_tree = self
        client._connection._translator = self._state._translator

    def _from_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """discord.py would run the command here, on each replica. The event does, on one."""

    def find(self, interaction: discord.Interaction[Any]) -> Any:
        """The command that an interaction is for; ``None`` when this version of the bot has none."""
        found = interaction.command
        data: Any = interaction.data
        name = str(data.get("name"))
        if found is None and name not in self._unknown and len(self._unknown) < 1000:
            self._unknown.add(name)
            _log.warning(
                "this version of the bot does not know the command %r: it is left to other replicas", name
            )
        return found

    async def invoke(self, interaction: discord.Interaction[Any]) -> None:
        """Runs the command of an interaction. On the loop, within a trampoline."""
        await self._call(interaction)

    async def on_error(
        self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError, /
    ) -> None:
        """Without an error handler of the tree's: what the command's handlers do not take goes to
        ``ha.on_error``.
        """
        failed = interaction.command
        if failed is not None and failed._has_any_error_handlers():
            return
        if isinstance(error, app_commands.CommandInvokeError):
            raise error.original from error.original.__cause__
        raise error

    # -- what Discord knows ----------------------------------------------------------------------------------

    def bind(self, bot: Callable[[], Any]) -> None:
        """Tells where the running bot is: an object with ``gateway``. By the facade."""
        self._bot = bot

    def scopes(self) -> set[int | None]:
        """The guilds with commands of their own, and ``None`` for everywhere, where there are any."""
        scopes: set[int | None] = {guild for guild, known in self._guild_commands.items() if known}
        scopes |= {guild for _, guild, _ in self._context_menus}
        if self._global_commands:
            scopes.add(None)
        return scopes

    async def payload(self, guild_id: int | None) -> list[dict[str, Any]]:
        """What Discord is told of one scope. On the loop."""
        guild = None if guild_id is None else discord.Object(guild_id)
        commands = self._get_all_commands(guild=guild)
        translator = self._state._translator
        if translator is None:
            return [each.to_dict(self) for each in commands]
        return [await each.get_translated_payload(self, translator) for each in commands]

    def sync(self, *, guild: Any = None) -> Any:
        """Tells Discord of the commands now, whatever it knows. Blocks; any thread but the loop's. Not needed
        but where ``sync_on_start`` is off: the bot syncs by itself when commands have changed.

        :return: what Discord has then, as ``discord.app_commands.AppCommand``.
        """
        gateway = self._gateway()
        guild_id = None if guild is None else guild.id

        async def sync() -> Any:
            client = gateway.client
            http, application = client.http, client.application_id
            payload: Any = await self.payload(guild_id)
            if guild_id is None:
                data = await http.bulk_upsert_global_commands(application, payload=payload)
            else:
                data = await http.bulk_upsert_guild_commands(application, guild_id, payload=payload)
            return [app_commands.AppCommand(data=each, state=client._connection) for each in data]

        return self._views(gateway.call(sync()))

    def fetch_commands(self, *, guild: Any = None) -> Any:
        """The commands that Discord knows. Blocks; any thread but the loop's."""
        gateway = self._gateway()

        async def fetch() -> Any:
            client = gateway.client
            http, application = client.http, client.application_id
            if guild is None:
                data = await http.get_global_commands(application)
            else:
                data = await http.get_guild_commands(application, guild.id)
            return [app_commands.AppCommand(data=each, state=client._connection) for each in data]

        return self._views(gateway.call(fetch()))

    def set_translator(self, translator: app_commands.Translator | None) -> None:  # type: ignore[override]
        """Sets what translates names and descriptions, before the bot starts. Its ``translate`` is a
        coroutine on the loop; its ``load`` is called before the first sync.
        """
        if translator is not None and not isinstance(translator, app_commands.Translator):
            raise ConfigError(f"a translator must be a discord.app_commands.Translator, not {translator!r}")
        self._state._translator = translator

    def _gateway(self) -> Any:
        if self._bot is None:
            raise DiscordHAError("the bot does not run: call start() first")
        return self._bot().gateway

    def _views(self, value: Any) -> Any:
        return wrap(value, self._gateway().bridge)

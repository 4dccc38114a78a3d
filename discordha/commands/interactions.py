"""Interactions as events: which one this bot handles, and how it is run on the handler thread that owns it.

Promises
- An interaction is claimed as every event with an identity: one replica answers, another takes over.
- Commands and autocompletes that this version of the bot does not know, and custom ids that fit no pattern
  and no persistent view, are not claimed: another version's replica may.
- An interaction that can't be answered any more, because it was taken over too late or answered too slowly,
  ends with one line in the log.

Concurrency: ``handlers_for`` runs on the gateway thread, before anything else sees the event, and never
blocks. What it returns runs on handler threads. No state but the declarations, which do not change after
``start``. At stop and at a lost lease a run ends as all handlers do.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import discord

from discordha.blocking import unwrap
from discordha.commands.answers import Answer, install
from discordha.commands.components import Component, Components, values_of
from discordha.commands.peer_defer import PeerDefer
from discordha.commands.persistent import PersistentViews, Press
from discordha.commands.trampoline import Trampoline, adapt, is_unanswerable
from discordha.commands.tree import Tree
from discordha.context import current_event
from discordha.dispatch.handlers import Handler
from discordha.errors import LockLost
from discordha.events import Scope
from discordha.stats import Stats

__all__ = ["Interactions"]

_log = logging.getLogger(__name__)

_Kind = discord.InteractionType


class Interactions:
    """See the module.

    :param stats: counts ``interactions`` by ``deferred``, ``deferred_for_peer``, ``late``, ``resumed``,
        ``unanswerable``.
    """

    def __init__(self, tree: Tree, components: Components, views: PersistentViews, stats: Stats) -> None:
        self._tree = tree
        self._components = components
        self._views = views
        self._stats = stats
        self._peers = PeerDefer(tree, self._note)

    def handlers_for(self, args: Sequence[Any]) -> list[Handler]:
        """What handles an interaction, if this bot does. Gateway thread."""
        interaction: discord.Interaction[Any] = args[0]
        if interaction.type in (_Kind.application_command, _Kind.autocomplete):
            command = self._tree.find(interaction)
            if command is None:
                return []
            return [_handler(self._command(interaction, command), f"/{command.qualified_name}")]
        handlers = []
        if interaction.type in (_Kind.component, _Kind.modal_submit):
            found = self._components.find(str(interaction.custom_id))
            if found is not None:
                handlers.append(_handler(self._component(interaction, *found), found[0].name))
        if interaction.type is _Kind.component:
            for press in self._views.presses(interaction):
                handlers.append(_handler(self._press(interaction, press), press.name))
        return handlers

    def _note(self, what: str) -> None:
        self._stats.add("interactions", what)

    def _command(self, interaction: discord.Interaction[Any], command: Any) -> Callable[..., Any]:
        answer = install(interaction, self._note)
        defer, ephemeral = getattr(command.callback, "__discordha_defer__", ("auto", False))
        if interaction.type is _Kind.autocomplete:
            defer = None
        if defer == "auto":
            self._peers.watch(interaction, ephemeral=ephemeral)
        name = f"/{command.qualified_name}"
        invoke = self._tree.invoke
        return functools.partial(self._run, name, answer, invoke, defer=defer == "auto", ephemeral=ephemeral)

    def _component(
        self, interaction: discord.Interaction[Any], component: Component, captured: Any
    ) -> Callable[..., Any]:
        answer = install(interaction, self._note)
        arguments = dict(captured)
        if component.wants_values:
            data: Any = interaction.data
            arguments["values"] = values_of(data)
        call = adapt(component.function, "Handlers")

        async def invoke(interaction: Any) -> None:
            await call(interaction, **arguments)

        defer = component.defer == "auto"
        if defer:
            self._peers.watch(interaction, ephemeral=False)
        return functools.partial(self._run, component.name, answer, invoke, defer=defer, ephemeral=False)

    def _press(self, interaction: discord.Interaction[Any], press: Press) -> Callable[..., Any]:
        """A view's callback hears of its errors itself (``View.on_error``): a lost event must not look like
        one that was handled.
        """
        answer = install(interaction, self._note)
        self._peers.watch(interaction, ephemeral=False)

        async def invoke(interaction: Any) -> None:
            await press.run(interaction)
            event = current_event()
            if event is not None and event.lost:
                raise LockLost(f"this replica may not own {event.identity} any more: {press.name} ran for it")

        return functools.partial(self._run, press.name, answer, invoke, defer=True, ephemeral=False)

    def _run(
        self,
        name: str,
        answer: Answer,
        invoke: Callable[[Any], Awaitable[None]],
        view: Any,
        *,
        defer: bool,
        ephemeral: bool,
    ) -> None:
        """Handler thread."""
        interaction = unwrap(view)

        def gone(error: Exception) -> bool:
            return is_unanswerable(error, interaction.token)

        async def main() -> None:
            deferring = None
            if defer:
                deferring = asyncio.get_running_loop().create_task(answer._defer_in_time(ephemeral))
            try:
                await invoke(interaction)
            except asyncio.CancelledError:  # nobody waits any more; another replica may own the event
                if deferring is not None:
                    deferring.cancel()
                raise
            except BaseException:
                await answer._settle(deferring)
                raise
            await answer._settle(deferring)

        try:
            Trampoline(view._discordha_bridge, gone).drive(main)
        except discord.HTTPException as error:
            if not gone(error):
                raise
            self._note("unanswerable")
            event = current_event()
            _log.warning(
                "%s can't be answered any more (interaction %d, attempt %d): %s",
                name,
                interaction.id,
                event.attempt if event is not None else 1,
                error,
            )


def _handler(run: Callable[..., Any], name: str) -> Handler:
    return Handler(run, "interaction", Scope.CLAIM, None, name)

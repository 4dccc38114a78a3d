"""Interactions as events: which function handles one, and how it runs on the handler thread that owns it.

Guarantees
- An interaction is claimed like any event with an identity: one replica answers, and another takes over.
- A command, autocomplete or custom id that this version of the bot does not know is not claimed, so that a
  replica of another version may handle it.
- An interaction that can't be answered any more, since the take-over or the handler was late, ends with one
  line in the log.

Threads and locks: ``handlers_for`` runs on the gateway thread, before anything else sees the event, and does
not block. What it returns runs on handler threads. The only state is the declarations, fixed since ``start``.
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

_InteractionType = discord.InteractionType
_Invoke = Callable[[Any], Awaitable[None]]


class Interactions:
    """Finds the handlers of interactions. ``stats`` counts the unusual ones as ``interactions``."""

    def __init__(self, tree: Tree, components: Components, views: PersistentViews, stats: Stats) -> None:
        self._tree = tree
        self._components = components
        self._views = views
        self._note = functools.partial(stats.add, "interactions")
        self._peers = PeerDefer(tree, self._note)

    def is_used(self) -> bool:
        """Whether this bot has any command, component or persistent view. Any thread."""
        return bool(self._tree.scopes()) or self._components.any or self._views.any

    def handlers_for(self, args: Sequence[Any]) -> list[Handler]:
        """The handlers of an interaction; empty if this bot has none. On the gateway thread."""
        interaction: discord.Interaction[Any] = args[0]
        if self._tree.client_seen is not None:
            interaction._client = self._tree.client_seen
        if interaction.type in (_InteractionType.application_command, _InteractionType.autocomplete):
            command = self._tree.find(interaction)
            return [] if command is None else [self._command(interaction, command)]
        handlers = []
        if interaction.type in (_InteractionType.component, _InteractionType.modal_submit):
            found = self._components.find(str(interaction.custom_id))
            if found is not None:
                handlers.append(self._component(interaction, *found))
        if interaction.type is _InteractionType.component:
            handlers += [self._press(interaction, press) for press in self._views.presses(interaction)]
        return handlers

    def _command(self, interaction: discord.Interaction[Any], command: Any) -> Handler:
        defer, ephemeral = getattr(command.callback, "__discordha_defer__", ("auto", False))
        if interaction.type is _InteractionType.autocomplete:
            defer = None
        name = f"/{command.qualified_name}"
        handler = self._handler(interaction, name, self._tree.invoke, defer=defer, ephemeral=ephemeral)
        hybrid = getattr(command, "wrapped", None)
        handler.ordering = getattr(hybrid, "ordering", None) or getattr(
            command.callback, "__discordha_ordering__", None
        )
        return handler

    def _component(
        self, interaction: discord.Interaction[Any], component: Component, captured: Any
    ) -> Handler:
        arguments = dict(captured)
        if component.wants_values:
            data: Any = interaction.data
            arguments["values"] = values_of(data)
        call = adapt(component.function, "Handlers")

        async def invoke(interaction: Any) -> None:
            await call(interaction, **arguments)

        return self._handler(interaction, component.name, invoke, defer=component.defer)

    def _press(self, interaction: discord.Interaction[Any], press: Press) -> Handler:
        """Runs a view's callback. ``View.on_error`` takes its errors, a ``LockLost`` among them, so the loss
        is checked afterwards: the event must not look handled.
        """

        async def invoke(interaction: Any) -> None:
            await press.run(interaction)
            event = current_event()
            if event is not None and event.lost:
                lost = f"interaction {event.identity}"
                raise LockLost(f"this replica may have lost {lost}: {press.name} ran for it")

        return self._handler(interaction, press.name, invoke)

    def _handler(
        self,
        interaction: discord.Interaction[Any],
        name: str,
        invoke: _Invoke,
        *,
        defer: str | None = "auto",
        ephemeral: bool = False,
    ) -> Handler:
        if defer == "auto":
            self._peers.watch(interaction, ephemeral=ephemeral)
        answer = install(interaction, self._note)
        run = functools.partial(self._run, name, answer, invoke, defer=defer == "auto", ephemeral=ephemeral)
        return Handler(run, "interaction", Scope.CLAIM, None, name)

    def _run(
        self, name: str, answer: Answer, invoke: _Invoke, view: Any, *, defer: bool, ephemeral: bool
    ) -> None:
        """Runs one handler. On its handler thread."""
        interaction = unwrap(view)

        def gone(error: Exception) -> bool:
            return is_unanswerable(error, interaction.token)

        async def main() -> None:
            await answer._begin(current_event())
            deferring = None
            if defer:
                deferring = asyncio.get_running_loop().create_task(answer._defer_in_time(ephemeral))
            try:
                await invoke(interaction)
            except asyncio.CancelledError:  # another replica may own the event: leave the placeholder to it
                if deferring is not None:
                    deferring.cancel()
                raise
            except BaseException:
                await answer._settle(deferring)
                raise
            await answer._settle(deferring)

        try:
            trampoline = Trampoline(view._discordha_bridge, gone)
            trampoline.drive(main)
            trampoline.raise_noted()
        except discord.HTTPException as error:
            if not gone(error):
                raise
            self._note("unanswerable")
            event = current_event()
            attempt = event.attempt if event is not None else 1
            text = "%s can't be answered any more (interaction %d, attempt %d): %s"
            _log.warning(text, name, interaction.id, attempt, error)

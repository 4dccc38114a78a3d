"""Views that outlive the process that sent them (``add_view``), and dynamic items: registered on every
replica, run on one.

discord.py calls their callbacks at reception, and so each replica would answer each press. Here the press is
claimed as every event with an identity, and the callback runs, as a coroutine on the loop, on behalf of the
handler thread that owns it.

Promises
- Whatever holds a custom id of its own and has no timeout is claimed, however it was registered: by
  ``ha.add_view``, by discord.py's ``client.add_view``, or by being sent. Where a replica does not know it,
  others that do handle it.
- Everything else stays as it is in discord.py: a view with a timeout is answered where it was sent.

Does not promise that a view's attributes are the same on all replicas: each has an object of its own.

Concurrency: declared by one thread before the bot starts; ``attach`` and ``presses`` run on the gateway
thread and take no lock. What ``presses`` returns is called on the loop.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import discord
from discord.ui import DynamicItem, Item
from discord.ui.view import BaseView, ViewStore

from discordha.errors import ConfigError

__all__ = ["PersistentViews", "Press"]


class Press(NamedTuple):
    """A callback that a press is for.

    :param name: the same on every replica that runs the same code.
    :param run: calls it; on the loop.
    """

    name: str
    run: Callable[[discord.Interaction[Any]], Awaitable[None]]


class PersistentViews:
    """What was declared, for each client that the bot makes."""

    def __init__(self) -> None:
        self._views: list[tuple[BaseView, int | None]] = []
        self._items: list[type[DynamicItem[Any]]] = []

    def add(self, view: Any, message_id: int | None) -> None:
        """Declares a view.

        :raises ConfigError: it is none, or not persistent.
        """
        if not isinstance(view, (discord.ui.View, discord.ui.LayoutView)):
            raise ConfigError(f"add_view takes a discord.ui.View, not {type(view).__name__}")
        if not view.is_persistent():
            raise ConfigError(
                f"{type(view).__name__} is not persistent: give it timeout=None, and each item a custom_id"
            )
        self._views.append((view, message_id))

    def add_items(self, items: tuple[Any, ...]) -> None:
        """Declares classes of dynamic items.

        :raises ConfigError: one is no such class.
        """
        for item in items:
            if not (isinstance(item, type) and issubclass(item, DynamicItem)):
                raise ConfigError(
                    f"add_dynamic_items takes subclasses of discord.ui.DynamicItem, not {item!r}"
                )
        self._items += items

    def attach(self, client: discord.Client) -> None:
        """Makes a new client know what was declared, and leave to the claim what is to be claimed."""
        client._connection._view_store = _Store(client._connection)
        for view, message_id in self._views:
            client.add_view(view, message_id=message_id)
        client.add_dynamic_items(*self._items)

    @staticmethod
    def presses(interaction: discord.Interaction[Any]) -> list[Press]:
        """The callbacks that a press of a component is for, once it is claimed."""
        store = interaction._state._view_store
        return store.presses(interaction) if isinstance(store, _Store) else []


class _Store(ViewStore):
    """discord.py's, but for what is claimed."""

    def dispatch_view(
        self, component_type: int, custom_id: str, interaction: discord.Interaction[Any]
    ) -> None:
        """At reception: the callbacks of views that only this replica knows."""
        if self._persistent(component_type, custom_id, interaction) is None:
            super().dispatch_view(component_type, custom_id, interaction)

    def dispatch_dynamic_items(
        self, component_type: int, custom_id: str, interaction: discord.Interaction[Any]
    ) -> None:
        """At reception: none."""

    def presses(self, interaction: discord.Interaction[Any]) -> list[Press]:
        """See ``PersistentViews.presses``."""
        data: Any = interaction.data
        component_type, custom_id = data["component_type"], data["custom_id"]
        found = [
            self._dynamic(component_type, custom_id, pattern, kind, match)
            for pattern, kind in self._dynamic_items.items()
            if (match := pattern.fullmatch(custom_id)) is not None
        ]
        item = self._persistent(component_type, custom_id, interaction)
        if item is not None:
            found.append(_press(item, custom_id))
        return found

    def _persistent(
        self, component_type: int, custom_id: str, interaction: discord.Interaction[Any]
    ) -> Item[Any] | None:
        """The persistent item with a callback that discord.py would find: the message's own first."""
        places = [None] if interaction.message is None else [interaction.message.id, None]
        for place in places:
            item = self._views.get(place, {}).get((component_type, custom_id))
            view = item.view if item is not None else None
            if item is None or view is None or not view.is_persistent() or not view.is_dispatching():
                continue
            if getattr(item.callback, "__func__", None) is not Item.callback:
                return item
        return None

    def _dynamic(
        self,
        component_type: int,
        custom_id: str,
        pattern: re.Pattern[str],
        kind: type[DynamicItem[Any]],
        match: re.Match[str],
    ) -> Press:
        async def run(interaction: discord.Interaction[Any]) -> None:
            await self.schedule_dynamic_item_call(component_type, kind, interaction, custom_id, match)

        return Press(f"{kind.__module__}.{kind.__qualname__}({pattern.pattern})", run)


def _press(item: Item[Any], custom_id: str) -> Press:
    view = item.view
    assert view is not None

    async def run(interaction: discord.Interaction[Any]) -> None:
        await view._scheduled_task(item, interaction)

    kind = type(view)
    return Press(f"{kind.__module__}.{kind.__qualname__}({custom_id})", run)

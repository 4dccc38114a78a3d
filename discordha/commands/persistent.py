"""Persistent views (``add_view``) and dynamic items: known to every replica, run on one.

discord.py calls their callbacks at reception, so that every replica would answer. Here a press is claimed
like any event with an identity, and its callback runs on the loop for the handler thread that owns the press.

Guarantees
- A press is claimed if its view has no timeout and its item a custom id, however the view was registered. A
  replica that does not know the view leaves the press to others.
- Everything else stays as in discord.py: a view with a timeout is answered where it was sent. A press that
  arrives before Discord's answer to the request that sent the view waits for it, for up to 3 s.
- Not guaranteed: that a view's attributes are equal on all replicas. Each has an object of its own.

Threads and locks: one thread declares before the bot starts. ``attach`` and ``presses`` run on the gateway
thread, without a lock; the callbacks run on the loop.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import discord
from discord.ui import DynamicItem, Item
from discord.ui.view import BaseView, ViewStore

from discordha.errors import ConfigError

__all__ = ["PersistentViews", "Press"]

#: Seconds within which Discord takes the answer to an interaction.
ANSWERABLE = 3.0
#: Presses of unknown views that are kept at once. Replicas that did not send the message keep them, too.
UNKNOWN_PRESSES = 200


class Press(NamedTuple):
    """A callback for a press.

    :param name: equal on all replicas that run the same code.
    :param run: calls the callback; on the loop.
    """

    name: str
    run: Callable[[discord.Interaction[Any]], Awaitable[None]]


class PersistentViews:
    """The declared views and items, for each client that the bot makes."""

    def __init__(self) -> None:
        self._views: list[tuple[BaseView, int | None]] = []
        self._items: list[type[DynamicItem[Any]]] = []

    def add(self, view: Any, message_id: int | None) -> None:
        """Declares a view.

        :raises ConfigError: it is not a view, or not persistent.
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

        :raises ConfigError: one is not a class of dynamic items.
        """
        for item in items:
            if not (isinstance(item, type) and issubclass(item, DynamicItem)):
                raise ConfigError(
                    f"add_dynamic_items takes subclasses of discord.ui.DynamicItem, not {item!r}"
                )
        self._items += items

    @property
    def any(self) -> bool:
        """Whether a view or an item is declared."""
        return bool(self._views or self._items)

    def attach(self, client: discord.Client) -> None:
        """Registers the declarations with a new client, and makes its store leave presses to the claim."""
        client._connection._view_store = _ClaimingStore(client._connection)
        for view, message_id in self._views:
            client.add_view(view, message_id=message_id)
        client.add_dynamic_items(*self._items)

    @staticmethod
    def presses(interaction: discord.Interaction[Any]) -> list[Press]:
        """The callbacks for a press, to be run once it is claimed."""
        store = interaction._state._view_store
        return store.presses(interaction) if isinstance(store, _ClaimingStore) else []


class _UnknownPress(NamedTuple):
    """A press of an item that no view here has; ``at``: when it came, by ``time.monotonic``."""

    message_id: int
    key: tuple[int, str]
    at: float
    interaction: discord.Interaction[Any]


class _ClaimingStore(ViewStore):
    """discord.py's store, without the callbacks whose presses are claimed."""

    def __init__(self, state: Any) -> None:
        super().__init__(state)
        self._unknown: deque[_UnknownPress] = deque(maxlen=UNKNOWN_PRESSES)

    def dispatch_view(
        self, component_type: int, custom_id: str, interaction: discord.Interaction[Any]
    ) -> None:
        """Runs, at reception, the callbacks of views that only this replica knows."""
        if self._persistent(component_type, custom_id, interaction) is not None:
            return
        key, message = (component_type, custom_id), interaction.message
        if message is not None and not any(key in self._views.get(at, ()) for at in (message.id, None)):
            self._unknown.append(_UnknownPress(message.id, key, time.monotonic(), interaction))
        super().dispatch_view(component_type, custom_id, interaction)

    def add_view(self, view: Any, message_id: int | None = None) -> None:
        """Registers a view, and runs its callbacks for presses that came before it."""
        super().add_view(view, message_id)
        if not self._unknown or message_id is None:
            return
        since = time.monotonic() - ANSWERABLE
        kept, self._unknown = self._unknown, deque(maxlen=UNKNOWN_PRESSES)
        for press in kept:
            if press.message_id == message_id and press.key in self._views.get(message_id, ()):
                if press.at > since:
                    self.dispatch_view(*press.key, press.interaction)
            elif press.at > since:
                self._unknown.append(press)

    def dispatch_dynamic_items(
        self, component_type: int, custom_id: str, interaction: discord.Interaction[Any]
    ) -> None:
        """Runs nothing at reception."""

    def presses(self, interaction: discord.Interaction[Any]) -> list[Press]:
        """See ``PersistentViews.presses``."""
        data: Any = interaction.data
        component_type, custom_id = data["component_type"], data["custom_id"]
        found = []
        for pattern, kind in self._dynamic_items.items():
            match = pattern.fullmatch(custom_id)
            if match is not None:
                run = functools.partial(self._run_dynamic, component_type, kind, custom_id, match)
                found.append(Press(_name(kind, pattern.pattern), run))
        item = self._persistent(component_type, custom_id, interaction)
        if item is not None:
            view: Any = item.view
            found.append(Press(_name(type(view), custom_id), functools.partial(view._scheduled_task, item)))
        return found

    async def _run_dynamic(
        self, component_type: int, kind: Any, custom_id: str, match: Any, interaction: Any
    ) -> None:
        await self.schedule_dynamic_item_call(component_type, kind, interaction, custom_id, match)

    def _persistent(
        self, component_type: int, custom_id: str, interaction: discord.Interaction[Any]
    ) -> Item[Any] | None:
        """The persistent item with a callback, looked up as discord.py does: the message's own first."""
        places = [None] if interaction.message is None else [interaction.message.id, None]
        for place in places:
            item = self._views.get(place, {}).get((component_type, custom_id))
            view = item.view if item is not None else None
            if item is None or view is None or not view.is_persistent() or not view.is_dispatching():
                continue
            if getattr(item.callback, "__func__", None) is not Item.callback:
                return item
        return None


def _name(kind: type, detail: str) -> str:
    return f"{kind.__module__}.{kind.__qualname__}({detail})"

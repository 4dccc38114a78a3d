"""WatchRouter: one watch on all keys of a bot, shared by all parts that coordinate.

Guarantees
- Each listener gets the keys of the components that it subscribed to (the first part of a key below the root:
  ``e``, ``m``, ``l``, ...), with the guarantees of ``Watch``, in one call for each batch.
- Listeners are called in the order of their subscription. After a loss each one is called with the first
  batch, even if no event is theirs, so that it knows that it is up to date again.
- A listener that raises does not keep the others from being called.

Threads and locks: none here. Everything runs on the thread of the watch that the router listens to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent, WatchListener

__all__ = ["APART", "KeyView", "PartListener", "WatchRouter"]

_log = logging.getLogger(__name__)

#: The beginning, below the root, of keys that lie in partitions: their second component names the listener.
APART = "~~"


@runtime_checkable
class PartListener(Protocol):
    """A listener to keys that lie in partitions."""

    def on_part(self, part: tuple[str, str], items: Sequence[KeyValue]) -> None:
        """A part of the keys is told from now on, or, without items, no more. In place of what was known of
        it."""


class WatchRouter(WatchListener):
    """The listener of a bot's coordination watch on everything below the key prefix ``root``."""

    def __init__(self, root: str) -> None:
        self._cut = len(root)
        self._listeners: list[WatchListener] = []
        self._routes: dict[str, int] = {}
        self._was_lost = False

    def subscribe(self, listener: WatchListener, *components: str) -> None:
        """Sends the keys of components to a listener, one per component. Called before the watch starts."""
        for component in components:
            if component in self._routes:
                raise ValueError(f"the component {component!r} has a listener already")
            self._routes[component] = len(self._listeners)
        self._listeners.append(listener)

    def on_snapshot(self, snapshot: Snapshot) -> None:
        parts: list[list[KeyValue]] = [[] for _ in self._listeners]
        for kv in snapshot.items:
            index = self._route(kv.key)
            if index is not None:
                parts[index].append(kv)
        self._was_lost = False
        for listener, items in zip(self._listeners, parts, strict=True):
            self._tell(listener.on_snapshot, Snapshot(snapshot.revision, items))

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Gives each listener its events. Listeners without events are called only after a loss."""
        parts: dict[int, list[WatchEvent]] = {}
        for event in events:
            index = self._route(event.kv.key)
            if index is not None:
                part = parts.get(index)
                if part is None:
                    parts[index] = [event]
                else:
                    part.append(event)
        if self._was_lost:
            self._was_lost = False
            parts = {index: parts.get(index, []) for index in range(len(self._listeners))}
        for index in sorted(parts):  # by subscription: marks are applied before the answers that follow them
            self._tell(self._listeners[index].on_events, revision, parts[index])

    def on_part(self, part: tuple[str, str], snapshot: Snapshot) -> None:
        """Gives each listener to keys in partitions its items of a part. See ``Watch.narrow``."""
        for index, listener in enumerate(self._listeners):
            if isinstance(listener, PartListener):
                items = [kv for kv in snapshot.items if self._route(kv.key) == index]
                self._tell(listener.on_part, part, items)

    def on_lost(self) -> None:
        self._was_lost = True
        for listener in self._listeners:
            self._tell(listener.on_lost)

    def _route(self, key: str) -> int | None:
        cut = self._cut
        if key.startswith(APART, cut):
            cut = key.find("/", cut) + 1
        return self._routes.get(key[cut : key.find("/", cut)])

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception:  # noqa: BLE001 - the other listeners must be called all the same
            _log.exception("a listener of the coordination watch failed; the others go on")


class KeyView(WatchListener):
    """A listener that keeps the keys it is given in ``keys``, which is replaced as a whole: any thread may
    read it. Then it calls ``changed``, on the watch's thread."""

    def __init__(self) -> None:
        self.keys: dict[str, KeyValue] = {}
        self.changed: Callable[[], None] = lambda: None

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self.keys = {kv.key: kv for kv in snapshot.items}
        self.changed()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        keys = dict(self.keys)
        for kind, kv in events:
            if kind == "put":
                keys[kv.key] = kv
            else:
                keys.pop(kv.key, None)
        self.keys = keys
        self.changed()

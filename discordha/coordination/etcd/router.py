"""CoordinationWatch: one watch on everything of a bot, shared by all parts that coordinate.

Promises
- Each listener gets the keys of the components that it subscribed to (the first part of a key below the
  root: ``e``, ``m``, ``l``, ...), with the promises of ``Watch``; one call for each batch, however many
  components it subscribed to.
- After a loss every listener is called again with the first batch, with no events if there are none for it,
  so that it knows that it is up to date again.
- A listener that raises does not keep the others from hearing.

Does not promise an order between listeners beyond that of their subscription.

Concurrency: no thread of its own; everything runs on the thread of its ``Watch``, ``discordha-watch``.
``subscribe`` comes before ``start``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from discordha.coordination.etcd.store import KeyValue, Snapshot, Store, WatchEvent, WatchListener

__all__ = ["CoordinationWatch"]

_log = logging.getLogger(__name__)


class CoordinationWatch:
    """The coordination watch of one replica.

    :param root: key prefix of the bot, ending in ``/``.
    :param silence: seconds without any change, though every replica writes several times within them, after
        which the stream is given up.
    """

    def __init__(self, store: Store, root: str, *, silence: float) -> None:
        self._cut = len(root)
        self._listeners: list[WatchListener] = []
        self._routes: dict[str, int] = {}
        self._was_lost = False
        self.unrouted = 0
        self.listener_errors = 0
        self._watch = store.watch(root, self, silence=silence, heartbeats=True)

    def subscribe(self, component: str, listener: WatchListener) -> None:
        """Sends a component's keys to a listener; a listener may have several components, a component has
        one listener.

        :raises ValueError: the component has a listener already.
        """
        if component in self._routes:
            raise ValueError(f"the component {component!r} has a listener already")
        for index, known in enumerate(self._listeners):
            if known is listener:
                self._routes[component] = index
                return
        self._routes[component] = len(self._listeners)
        self._listeners.append(listener)

    def start(self) -> None:
        """Starts the watch. Does not block."""
        self._watch.start()

    def stop(self) -> None:
        """Stops the watch and joins its thread. Idempotent."""
        self._watch.stop()

    @property
    def alive(self) -> bool:
        """Whether the stream is established."""
        return self._watch.alive

    @property
    def revision(self) -> int:
        """The last revision that all listeners were given in full."""
        return self._watch.revision

    @property
    def losses(self) -> int:
        """How often the stream was lost."""
        return self._watch.losses

    def wait_synced(self, timeout: float) -> bool:
        """See ``Watch.wait_synced``."""
        return self._watch.wait_synced(timeout)

    def wait_revision(self, revision: int, timeout: float) -> bool:
        """See ``Watch.wait_revision``."""
        return self._watch.wait_revision(revision, timeout)

    def sync(self, timeout: float, *, lease: int = 0) -> bool:
        """See ``Watch.sync``."""
        return self._watch.sync(timeout, lease=lease)

    # -- as the listener of its watch ------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Gives each listener its part, which may be empty."""
        parts: list[list[KeyValue]] = [[] for _ in self._listeners]
        for kv in snapshot.items:
            index = self._route(kv.key)
            if index is not None:
                parts[index].append(kv)
        self._was_lost = False
        for listener, items in zip(self._listeners, parts, strict=True):
            self._tell(listener.on_snapshot, Snapshot(snapshot.revision, items))

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Gives each listener its events; those that have none are called only after a loss."""
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
        for index in sorted(parts):  # not in the order of their events: see ``Reconciliation``
            self._tell(self._listeners[index].on_events, revision, parts[index])

    def on_lost(self) -> None:
        """Tells every listener."""
        self._was_lost = True
        for listener in self._listeners:
            self._tell(listener.on_lost)

    def _route(self, key: str) -> int | None:
        cut = self._cut
        index = self._routes.get(key[cut : key.find("/", cut)])
        if index is None:
            self.unrouted += 1
        return index

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception:  # noqa: BLE001 - the next listener must hear of it all the same
            self.listener_errors += 1
            _log.exception("a listener of the coordination watch failed")

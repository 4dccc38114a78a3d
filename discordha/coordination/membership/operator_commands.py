"""Orders: what an operator asks of one replica, from outside: ``x/<replica>/<order>``.

Promises: an order that is given while the replica's watch stands is handed on once.

Does not promise that it is obeyed: one that was given before this replica began was meant for another one,
and one that is missed while the watch is lost stays undone. Whoever asks sees that nothing happens.

Concurrency: a listener of the coordination watch, on its thread. No state, no I/O; ``obey`` must not block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from discordha.coordination.etcd.store import Snapshot, WatchEvent

__all__ = ["Orders"]


class Orders:
    """See the module. A ``WatchListener`` for the component ``x``.

    :param root: key prefix of the bot, ending in ``/``.
    """

    def __init__(self, root: str, replica_id: str, obey: Callable[[str], None]) -> None:
        self._prefix = f"{root}x/{replica_id}/"
        self._obey = obey

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Nothing: see the module."""

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Hands new orders on."""
        for kind, kv in events:
            if kind == "put" and kv.key.startswith(self._prefix):
                self._obey(kv.key[len(self._prefix) :])

    def on_lost(self) -> None:
        """Nothing: see the module."""

"""Operator commands: what an operator asks one replica to do, in the key ``x/<replica>/<command>``.

Guarantees: a command that is written while the replica's watch is established is passed on once. One that was
written before this replica started was meant for another, and one that is missed while the watch is lost is
not repeated: the operator sees that nothing happens.

Threads and locks: a listener of the coordination watch, on its thread. No state, no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from discordha.coordination.etcd.store import Snapshot, WatchEvent, WatchListener

__all__ = ["OperatorCommands"]


class OperatorCommands(WatchListener):
    """Passes commands of the component ``x`` below ``root`` on to ``on_command``, which must not block."""

    def __init__(self, root: str, replica_id: str, on_command: Callable[[str], None]) -> None:
        self._prefix = f"{root}x/{replica_id}/"
        self._on_command = on_command

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Ignores commands from before this replica started."""

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        for kind, kv in events:
            if kind == "put" and kv.key.startswith(self._prefix):
                self._on_command(kv.key[len(self._prefix) :])

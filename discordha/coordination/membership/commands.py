"""Commands: what an operator tells one replica to do, over etcd.

Threads and locks: none here. Everything runs on the watch's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from discordha.coordination.etcd.store import Snapshot, WatchEvent, WatchListener

__all__ = ["OperatorCommands"]


class OperatorCommands(WatchListener):
    """Passes an operator's commands to this replica (``x/<replica>/<command>``) on to ``on_command``, which
    must not block. A command that is written while the watch is down is not repeated."""

    def __init__(self, root: str, replica_id: str, on_command: Callable[[str], None]) -> None:
        self._prefix = f"{root}x/{replica_id}/"
        self._on_command = on_command

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Ignores commands from before this replica started."""

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        for kind, kv in events:
            if kind == "put" and kv.key.startswith(self._prefix):
                self._on_command(kv.key[len(self._prefix) :])

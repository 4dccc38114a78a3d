"""The journals of all shards, fed by the coordination watch."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from discordha.coordination.journal import Journal
from discordha.coordination.store import KeyValue, Snapshot, WatchEvent

__all__ = ["Journals"]


class Journals:
    """The journals of all shards, as one ``WatchListener`` for the components ``j``, ``jc`` and ``ja``.

    Concurrency: ``_journals`` is replaced as a whole by ``open`` and ``close`` (under ``_lock``), and read by
    the watch. A journal that is opened later has missed the snapshot: it gets the one that is kept here.
    """

    def __init__(self, root: str) -> None:
        self._cut = len(root)
        self._lock = threading.Lock()
        self._journals: dict[int, Journal] = {}
        self._view: dict[str, KeyValue] = {}

    def open(self, shard_id: int, journal: Journal) -> None:
        """Adds a shard's journal."""
        with self._lock:
            self._journals = {**self._journals, shard_id: journal}
            journal.on_snapshot([kv for kv in self._view.values() if self._shard_of(kv.key) == shard_id])

    def close(self, shard_id: int) -> None:
        """Forgets a shard's journal."""
        with self._lock:
            self._journals = {
                known: journal for known, journal in self._journals.items() if known != shard_id
            }

    def _shard_of(self, key: str) -> int:
        parts = key[self._cut :].split("/", 2)
        return int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else -1

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Hands each journal its part."""
        with self._lock:
            self._view = {kv.key: kv for kv in snapshot.items}
            for shard_id, journal in self._journals.items():
                journal.on_snapshot([kv for kv in snapshot.items if self._shard_of(kv.key) == shard_id])

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Hands each journal its part."""
        parts: dict[int, list[WatchEvent]] = {}
        with self._lock:
            for event in events:
                if event.kind == "delete":
                    self._view.pop(event.kv.key, None)
                else:
                    self._view[event.kv.key] = event.kv
                parts.setdefault(self._shard_of(event.kv.key), []).append(event)
            for shard_id, part in parts.items():
                journal = self._journals.get(shard_id)
                if journal is not None:
                    journal.on_events(part)

    def on_lost(self) -> None:
        """Nothing is struck out until the watch is back."""

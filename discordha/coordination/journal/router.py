"""Journal router: hands what the coordination watch says of ``j``, ``jc`` and ``ja`` to the shards' journals.

Where the bot's keys are partitioned, journals get them without the partition. A key's guild tells which shard
it concerns, in each generation: while a bot is being resharded, it concerns two.

Threads and locks: no thread. ``_lock`` guards the tables, and is held while the watch's thread tells the
journals. A journal that is opened later gets the snapshot that is kept here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent
from discordha.coordination.journal.entries import JournalKeys
from discordha.coordination.journal.journal import Journal
from discordha.coordination.membership.shard_keys import is_number, number_for

__all__ = ["JournalRouter"]


class JournalRouter:
    """See the module. A ``WatchListener``."""

    def __init__(self, keys: JournalKeys) -> None:
        self._keys = keys
        self._cut = len(keys.root)
        self._lock = threading.Lock()
        self._journals: dict[int, tuple[Journal, int, int]] = {}  # by shard key, with number and count
        self._view: dict[str, KeyValue] = {}  # without their partition, by their keys in etcd

    def open(self, shard_id: int, journal: Journal, number: int = 0, count: int = 1) -> None:
        """Adds a shard's journal, by the shard's key; ``number``: the shard's number, of ``count``."""
        with self._lock:
            self._journals[shard_id] = (journal, number, count)
            journal.on_snapshot([kv for kv in self._view.values() if journal in self._concerned(kv.key)])

    def close(self, shard_id: int) -> None:
        """Forgets a shard's journal."""
        with self._lock:
            self._journals.pop(shard_id, None)

    def mark(self, name: str) -> KeyValue | None:
        """The mark of a name (the guild and a digest), as the watch shows it."""
        with self._lock:
            return self._view.get(self._keys.of("j", name))

    def _concerned(self, key: str) -> list[Journal]:
        parts = key[self._cut :].split("/", 2)
        if len(parts) < 3 or not is_number(parts[1]):
            return []
        guild, journals = int(parts[1]), self._journals.values()
        return [journal for journal, number, count in journals if number_for(guild, count) == number]

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Hands each journal its part."""
        with self._lock:
            self._view = {kv.key: self._keys.plain(kv) for kv in snapshot.items}
            parts: dict[Journal, list[KeyValue]] = {journal: [] for journal, _, _ in self._journals.values()}
            for kv in self._view.values():
                for journal in self._concerned(kv.key):
                    parts[journal].append(kv)
            for journal, part in parts.items():
                journal.on_snapshot(part)

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Hands each journal its part."""
        parts: dict[Journal, list[WatchEvent]] = {}
        with self._lock:
            for kind, kv in events:
                plain = self._keys.plain(kv)
                if kind == "delete":
                    self._view.pop(kv.key, None)
                else:
                    self._view[kv.key] = plain
                for journal in self._concerned(plain.key):
                    parts.setdefault(journal, []).append(WatchEvent(kind, plain))
            for journal, part in parts.items():
                journal.on_events(part)

    def on_part(self, part: tuple[str, str], items: Sequence[KeyValue]) -> None:
        """Notes what journals get that are opened from now on: none is open that needs it."""
        first, end = part
        with self._lock:
            self._view = {key: kv for key, kv in self._view.items() if not first <= key < end}
            self._view |= {kv.key: self._keys.plain(kv) for kv in items}

    def on_lost(self) -> None:
        """No action needed: no entry is struck out until the watch is back."""

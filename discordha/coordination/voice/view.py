"""One replica's view of the voice queue: fed by the watch, read without a round trip.

Guarantees: everything in the view was true at some revision, and a command appears after all that were sent
before it. The view may be outdated: a revision guards each write that is based on it.

Threads and locks: ``changed`` (a condition) guards everything; no I/O and no call under it. The watch's
thread writes, any thread reads and waits.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from discordha.coordination.etcd.store import KeyValue, Snapshot, WatchEvent
from discordha.coordination.voice.records import DONE, QueuedCommand, VoiceOwner

__all__ = ["VoiceView"]


class VoiceView:
    """The voice queue. A ``WatchListener``.

    :param prefix: of the watched keys, ending in ``/``.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.changed = threading.Condition()
        self.entries: dict[int, dict[str, QueuedCommand]] = {}
        self.owners: dict[int, VoiceOwner] = {}
        self.workers: dict[str, set[str]] = {}
        self.version = 0  # counts the changes
        self.revision = 0  # of the last change that the view includes
        self._awaited: dict[str, threading.Event] = {}
        self._closed = False

    # -- senders ---------------------------------------------------------------------------------------------

    def expect(self, command_id: str) -> threading.Event:
        """An event that is set once a worker has taken the command, or the view is closed. ``forget`` the
        command afterwards."""
        with self.changed:
            expected = self._awaited.setdefault(command_id, threading.Event())
            if self._closed:
                expected.set()
            return expected

    def forget(self, command_id: str) -> None:
        """Ends ``expect``."""
        with self.changed:
            self._awaited.pop(command_id, None)

    def close(self) -> None:
        """Ends all waits of senders, now and later."""
        with self.changed:
            self._closed = True
            for expected in self._awaited.values():
                expected.set()

    # -- consumers -------------------------------------------------------------------------------------------

    def of_module(self, module_id: str) -> dict[int, list[QueuedCommand]]:
        """The unfinished commands of a module, by guild, in order. Takes ``changed`` itself."""
        with self.changed:
            found = {
                guild_id: [entry for entry in entries.values() if entry.module_id == module_id]
                for guild_id, entries in self.entries.items()
            }
        return {
            guild_id: sorted(own, key=lambda entry: entry.order) for guild_id, own in found.items() if own
        }

    def owner(self, guild_id: int) -> VoiceOwner | None:
        """The owner of a guild's voice."""
        return self.owners.get(guild_id)

    def has_seen(self, revision: int) -> bool:
        """Whether the view includes a change at ``revision``."""
        return self.revision >= revision

    # -- the watch -------------------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        with self.changed:
            self.entries.clear()
            self.owners.clear()
            self.workers.clear()
            for kv in snapshot.items:
                self._put(kv)
            self._changed_at(snapshot.revision)

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        with self.changed:
            for kind, kv in events:
                if kind == "put":
                    self._put(kv)
                else:
                    self._delete(kv.key)
            self._changed_at(revision)

    def on_lost(self) -> None:
        """Does nothing: the view is outdated until the watch is back."""

    def _changed_at(self, revision: int) -> None:
        self.revision = revision
        self.version += 1
        self.changed.notify_all()

    def _put(self, kv: KeyValue) -> None:
        kind, _, path = kv.key[len(self._prefix) :].partition("/")
        if kind == "q":
            entry = QueuedCommand.parse(path, kv)
            if entry is None:
                self._delete(kv.key)
            else:
                self.entries.setdefault(entry.guild_id, {})[entry.id] = entry
            if kv.value == DONE or (entry is not None and entry.taken):
                awaited = self._awaited.get(path.rpartition("/")[2])
                if awaited is not None:
                    awaited.set()
        elif kind == "o":
            owner = VoiceOwner.parse(kv)
            if owner is not None and path.isdigit():
                self.owners[int(path)] = owner
        elif kind == "w":
            module_id, _, replica_id = path.partition("/")
            self.workers.setdefault(module_id, set()).add(replica_id)

    def _delete(self, key: str) -> None:
        kind, _, path = key[len(self._prefix) :].partition("/")
        first, _, rest = path.partition("/")
        if kind == "q" and first.isdigit():
            entries = self.entries.get(int(first), {})
            entries.pop(rest, None)
            if not entries:
                self.entries.pop(int(first), None)
        elif kind == "o" and first.isdigit():
            self.owners.pop(int(first), None)
        elif kind == "w":
            self.workers.get(first, set()).discard(rest)

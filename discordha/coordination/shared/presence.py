"""The bot's presence (activity and status) as one word for all replicas and shards.

Guarantees: the last word that counts reaches every replica's ``listen`` by the coordination watch, and a
replica that starts later by its first snapshot. It outlives the replica that said it, and ends with the
fleet: the first replica of a new one forgets it.

A word that every replica says for itself (in ``on_ready``, say) replaces only such words, or none: so a
replica that reconnects does not undo what a command or a loop has said.

Threads and locks: no lock. ``say`` blocks, on any thread but the gateway's. The watch's thread replaces the
word as a whole and calls the listener, which must not block. A lost session or watch needs no action; a word
that etcd refuses raises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    KeyValue,
    Put,
    Snapshot,
    Store,
    WatchEvent,
    WatchListener,
)

__all__ = ["PresenceWord", "Word"]

#: ``activity``: Discord's form of it, or ``None``; ``status``: Discord's name of it.
Word = Mapping[str, Any]


class PresenceWord(WatchListener):
    """Listens to the component ``pr`` below the key prefix ``root``."""

    def __init__(self, store: Store, root: str) -> None:
        self._store = store
        self._root = root
        self._key = f"{root}pr/word"
        self._listener: Callable[[Word | None], None] = lambda word: None

    def listen(self, listener: Callable[[Word | None], None]) -> None:
        """Calls ``listener`` with each new word; ``None``: nothing is said. Before the watch starts."""
        self._listener = listener

    def say(self, word: Word, *, for_itself: bool) -> bool:
        """Makes a word the fleet's; false if another one counts more. Blocks for two round trips.

        :param for_itself: every replica says such a word.
        :raises StoreUnavailable: etcd does not answer; the word may have been written.
        """
        data = json.dumps({**word, "for_itself": for_itself}).encode()
        while True:
            found = self._store.get(self._key)
            known = _read(found) if found is not None else None
            if for_itself and known is not None and not known.get("for_itself"):
                return False
            compare = Compare.mod_revision(self._key, found.mod_revision if found is not None else 0)
            if self._store.txn((compare,), (Put(self._key, data),)).succeeded:
                return True

    def start_life(self) -> None:
        """Forgets the word of a fleet that has ended. Called once at start, before this replica becomes a
        member; blocks on the store.

        :raises StoreUnavailable: the store does not answer.
        """
        word = self._store.get(self._key)  # first: one that a new member says meanwhile is another
        if word is not None and not self._store.range(f"{self._root}m/", limit=1).items:
            unchanged = Compare.mod_revision(self._key, word.mod_revision)
            self._store.txn((unchanged,), (Delete(self._key),))

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        found = [kv for kv in snapshot.items if kv.key == self._key]
        self._listener(_read(found[0]) if found else None)

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        for kind, kv in events:
            if kv.key == self._key:
                self._listener(_read(kv) if kind == "put" else None)

    def on_lost(self) -> None:
        """No action needed: the next snapshot has the word."""


def _read(kv: KeyValue) -> Word | None:
    """A stored word; ``None`` if something else wrote the key."""
    try:
        word = json.loads(kv.value)
        activity, status = word["activity"], word["status"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    readable = isinstance(status, str) and (activity is None or isinstance(activity, dict))
    return word if readable else None

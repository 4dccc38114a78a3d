"""Exclusive runs: a periodic task runs on the leader, and never twice at once, whoever leads meanwhile.

Promises
- A run holds the key ``lp/<name>`` under its replica's session: no other run of that name begins while it
  stands, also when leadership has moved and the old leader still runs.
- Every replica notes, by its own clock, when it saw a run begin: a new leader knows when the next one is
  due.

Does not promise that a run which is cut by a lost session has stopped: its code must ask, or be refused,
as handlers are.

Concurrency: no thread. ``_changed`` is a condition that guards the tables; the watch's thread notifies it.
``begin`` blocks on etcd and is called on the thread of the task. At a lost session the key is gone; at a
lost watch ``begin`` asks etcd.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from discordha.coordination.election.candidates import Leadership
from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    LeaseNotFound,
    Put,
    Snapshot,
    Store,
    WatchEvent,
)
from discordha.errors import DiscordHAError

__all__ = ["Run", "Runs"]


class Run(NamedTuple):
    """One run that has begun. ``number`` grows from run to run."""

    name: str
    number: int
    leadership: Leadership

    @property
    def lost(self) -> bool:
        """Whether another run may begin. No I/O; any thread."""
        return not self.leadership.grant.alive


class Runs:
    """All tasks of one replica. A ``WatchListener`` for the component ``lp``.

    :param root: key prefix of the bot, ending in ``/``.
    """

    def __init__(
        self,
        store: Store,
        root: str,
        replica_id: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._prefix = f"{root}lp/"
        self._replica_id = replica_id
        self._clock = clock
        self._changed = threading.Condition()
        self._begun: dict[str, float] = {}
        self._held: set[str] = set()

    def begun_at(self, name: str) -> float | None:
        """When the last run was seen to begin, by this replica's clock; ``None`` when none was."""
        return self._begun.get(name)

    def begin(self, name: str, leadership: Leadership) -> Run | None:
        """Begins a run; ``None`` when another has not ended, or this replica leads no more. Blocks on
        etcd.
        """
        key = self._prefix + name
        put = Put(key, self._replica_id.encode(), leadership.lease_id)
        try:
            result = self._store.txn((leadership.guard(), Compare.version(key, 0)), (put,))
        except (DiscordHAError, LeaseNotFound):
            return None
        if not result.succeeded:
            return None
        with self._changed:
            self._begun[name] = self._clock()
        return Run(name, result.revision, leadership)

    def end(self, run: Run) -> None:
        """The run has ended. Blocks on etcd; when it does not answer, the key goes with the session."""
        key = self._prefix + run.name
        try:
            self._store.txn((Compare.create_revision(key, run.number),), (Delete(key),))
        except (DiscordHAError, LeaseNotFound):
            return

    def wait_free(self, name: str, timeout: float) -> None:
        """Blocks until the watch shows that no run holds the name, or for ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._held, timeout)

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Replaces the view."""
        with self._changed:
            self._held = {kv.key[len(self._prefix) :] for kv in snapshot.items}
            for name in self._held:
                self._begun.setdefault(name, self._clock())
            self._changed.notify_all()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        """Notes what begins and ends."""
        with self._changed:
            for kind, kv in events:
                name = kv.key[len(self._prefix) :]
                if kind == "put":
                    self._held.add(name)
                    self._begun[name] = self._clock()
                else:
                    self._held.discard(name)
            self._changed.notify_all()

    def on_lost(self) -> None:
        """``begin`` asks etcd anyway."""

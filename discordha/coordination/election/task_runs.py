"""Task runs: a periodic task runs on the leader, and never twice at once, whoever leads meanwhile.

Guarantees
- A run holds the key ``lp/<name>`` under its replica's session: no other run of that name begins while the
  key exists, also if leadership has moved while the old leader still runs the task.
- Every replica notes, by its own clock, when it saw a run begin, so a new leader knows when the next one is
  due.

A run whose session is lost has not necessarily stopped: its code must check ``lost``, as handlers do.

Threads and locks: no thread. ``_changed`` is a condition that guards the tables and is notified by the
watch's thread. ``begin`` and ``end`` block on etcd and are called on the task's thread. If the watch is lost,
``begin`` still asks etcd.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.store import Compare, Delete, Put, Snapshot, Store, WatchEvent, WatchListener
from discordha.errors import DiscordHAError

__all__ = ["TaskRun", "TaskRuns"]


class TaskRun(NamedTuple):
    """One run that has begun. ``number`` grows from run to run."""

    name: str
    number: int
    term: LeaderTerm

    @property
    def lost(self) -> bool:
        """Whether another run may begin. No I/O; any thread."""
        return not self.term.grant.alive


class TaskRuns(WatchListener):
    """The runs of all tasks. Listens to the component ``lp`` below the key prefix ``root``."""

    def __init__(
        self, store: Store, root: str, replica_id: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._prefix = f"{root}lp/"
        self._replica_id = replica_id
        self._clock = clock
        self._changed = threading.Condition()
        self._begun: dict[str, float] = {}
        self._held: set[str] = set()

    def begun_at(self, name: str) -> float | None:
        """When the last run was seen to begin, by this replica's clock; ``None`` if no run was seen."""
        return self._begun.get(name)

    def begin(self, name: str, term: LeaderTerm) -> TaskRun | None:
        """Begins a run; ``None`` if another has not ended or this replica leads no more. Blocks on etcd."""
        key = self._prefix + name
        put = Put(key, self._replica_id.encode(), term.lease_id)
        try:
            result = self._store.txn((term.guard(), Compare.version(key, 0)), (put,))
        except DiscordHAError:
            return None
        if not result.succeeded:
            return None
        with self._changed:
            self._begun[name] = self._clock()
        return TaskRun(name, result.revision, term)

    def end(self, run: TaskRun) -> None:
        """Ends a run. Blocks on etcd; if etcd does not answer, the key vanishes with the session."""
        key = self._prefix + run.name
        try:
            self._store.txn((Compare.create_revision(key, run.number),), (Delete(key),))
        except DiscordHAError:
            return

    def wait_free(self, name: str, timeout: float) -> None:
        """Blocks until the watch shows no run of that name, for ``timeout`` seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._held, timeout)

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        with self._changed:
            self._held = {kv.key[len(self._prefix) :] for kv in snapshot.items}
            for name in self._held:
                self._begun.setdefault(name, self._clock())
            self._changed.notify_all()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        with self._changed:
            for kind, kv in events:
                name = kv.key[len(self._prefix) :]
                if kind == "put":
                    self._held.add(name)
                    self._begun[name] = self._clock()
                else:
                    self._held.discard(name)
            self._changed.notify_all()

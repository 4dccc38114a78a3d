"""Task runs: a periodic task runs on the leader, and never twice at once, whoever leads meanwhile.

Guarantees
- A run holds the key ``lp/<name>`` under its replica's session: no other run of that name begins while the
  key exists, also if leadership has moved while the old leader still runs the task.
- Each begin is counted once in the task's state ``lc/<name>``, which also has the orders to all replicas:
  whether the task is stopped, and another schedule. A fleet that starts anew forgets that state.
- A run whose end was not written is ended later; a begin whose answer was lost is taken back: ``settle``.
- A *point* (a time at which a run was due) is noted in ``lt/<name>`` when its run begins, and again when it
  ends. The note outlives the fleet: no point gets two runs that end, and one that nobody ran can be made up.

A run whose session is lost has not necessarily stopped: its code must check ``lost``, as handlers do.

Threads and locks: no thread. ``_changed`` is a condition that guards the tables and is notified by the
watch's thread. ``begin``, ``end``, ``note_point``, ``control`` and ``start_life`` block on the store; any
thread but the gateway's. Without a watch the tables show this replica's own writes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.store import (
    Compare,
    Delete,
    Get,
    KeyValue,
    Put,
    Snapshot,
    Store,
    TxnResult,
    WatchEvent,
    WatchListener,
)
from discordha.errors import DiscordHAError, StoreUnavailable

__all__ = ["Point", "TaskRun", "TaskRuns", "TaskState"]

#: How often a change of a task's state is tried again when another replica has changed it meanwhile.
CONTROL_TRIES = 20


class TaskRun(NamedTuple):
    """One run that has begun. ``number`` grows from run to run; ``term`` is ``None`` without peers."""

    name: str
    number: int
    term: LeaderTerm | None

    @property
    def lost(self) -> bool:
        """Whether another run may begin. No I/O; any thread."""
        return self.term is not None and not self.term.grant.alive


class TaskState(NamedTuple):
    """What all replicas know of a task.

    :param runs: how many runs have begun since the fleet or the task started.
    :param begun: when the last one began, by the wall clock of its replica; ``None`` before the first.
    :param stopped: whether all replicas were told to stop it or to start it; ``None``: neither.
    :param schedule: what ``control`` was given; ``None``: as declared.
    """

    runs: int = 0
    begun: float | None = None
    stopped: bool | None = None
    schedule: Any = None
    revision: int = 0


class Point(NamedTuple):
    """The last time at which a run was due.

    :param due: seconds since 1970.
    :param schedule: of the task, as JSON: with another schedule the point means nothing.
    :param attempt: of the run that has begun; 0 once it has ended.
    """

    due: float
    schedule: Any
    attempt: int = 0
    revision: int = 0


class TaskRuns(WatchListener):
    """The runs of all tasks. Listens to the components ``lp``, ``lc`` and ``lt`` below the key prefix
    ``root``.

    :param clock: monotonic seconds; ``wall``: seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        root: str,
        replica_id: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._root = root
        self._replica_id = replica_id
        self._clock = clock
        self._wall = wall
        self._changed = threading.Condition()
        self._begun: dict[str, float] = {}
        self._held: dict[str, KeyValue] = {}  # as the watch shows it
        self._running: dict[str, int] = {}  # numbers of the runs that go on here
        self._unended: dict[str, tuple[TaskRun, Point | None]] = {}  # ended here, and not in the store
        self._leases: set[int] = set()  # of the sessions that runs began under here
        self._states: dict[str, TaskState] = {}
        self._points: dict[str, Point] = {}

    # -- what is known; no I/O; any thread -------------------------------------------------------------------

    def begun_at(self, name: str) -> float | None:
        """When the last run was seen to begin, by this replica's clock; ``None`` if no run was seen."""
        with self._changed:
            return self._begun.get(name)

    def state(self, name: str) -> TaskState:
        """The task's state, as far as this replica knows."""
        with self._changed:
            return self._states.get(name, TaskState())

    def point(self, name: str) -> Point | None:
        """The last point that was noted; ``None`` if none was."""
        with self._changed:
            return self._points.get(name)

    def is_running(self, name: str) -> bool:
        """Whether the watch shows a run that has not ended."""
        with self._changed:
            return name in self._held

    def wait_free(self, name: str, timeout: float) -> None:
        """Blocks until the watch shows no run of that name, for ``timeout`` seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._held, timeout)

    # -- writes ----------------------------------------------------------------------------------------------

    def start_life(self) -> None:
        """Forgets the states of a fleet that has ended. Called once at start, before this replica becomes a
        member; blocks on the store.

        :raises StoreUnavailable: the store does not answer.
        """
        states = self._store.range(f"{self._root}lc/").items  # first: what a new member writes is another
        if states and not self._store.range(f"{self._root}m/", limit=1).items:
            for kv in states:
                self._store.txn((Compare.mod_revision(kv.key, kv.mod_revision),), (Delete(kv.key),))

    def begin(self, name: str, term: LeaderTerm | None, point: Point | None = None) -> TaskRun | None:
        """Begins a run; ``None`` if another has not ended, another replica was faster, or this one leads no
        more. Blocks.

        :param point: what the run is due for, with the revision of the point that is known.
        """
        key, state_key, point_key = (f"{self._root}{part}/{name}" for part in ("lp", "lc", "lt"))
        state = self.state(name)
        after = state._replace(runs=state.runs + 1, begun=self._wall())
        compare = [Compare.version(key, 0), Compare.mod_revision(state_key, state.revision)]
        writes = [
            Put(key, self._replica_id.encode(), term.lease_id if term is not None else 0),
            Put(state_key, _dump_state(after)),
        ]
        if term is not None:
            self._leases.add(term.lease_id)
            compare.append(term.guard())
        if point is not None:
            compare.append(Compare.mod_revision(point_key, point.revision))
            writes.append(Put(point_key, _dump_point(point)))
        try:
            result = self._store.txn(compare, writes, (Get(state_key), Get(point_key)))
        except DiscordHAError:
            return None
        if not result.succeeded:
            self._learn(result)
            return None
        with self._changed:
            self._running[name] = result.revision
            self._begun[name] = self._clock()
            self._note_state(name, after, result.revision)
            if point is not None:
                self._note_point(name, point, result.revision)
        return TaskRun(name, result.revision, term)

    def end(self, run: TaskRun, point: Point | None = None) -> None:
        """Ends a run, and its point if one is given. Blocks; ``settle`` tries it again."""
        with self._changed:
            self._running.pop(run.name, None)
            self._unended[run.name] = run, point
        self.settle(run.name)

    def settle(self, name: str) -> bool:
        """Ends runs in the store that no longer go on here: a run whose end was not written, or one whose
        begin was committed without an answer. True if none is left. Blocks on the store if there is one. Only
        for the thread that begins and ends the task's runs.
        """
        with self._changed:
            unended, held = self._unended.get(name), self._held.get(name)
            running = self._running.get(name)
        if unended is not None:
            if not self._end(*unended):
                return False
            with self._changed:
                self._unended.pop(name, None)
            return True
        mine = held is not None and (held.lease in self._leases and held.value == self._replica_id.encode())
        if held is None or not mine or held.create_revision == running:
            return True
        try:
            self._store.txn((Compare.create_revision(held.key, held.create_revision),), (Delete(held.key),))
        except DiscordHAError:
            return False
        with self._changed:
            if self._held.get(name) is held:
                del self._held[name]
                self._changed.notify_all()
        return True

    def _end(self, run: TaskRun, point: Point | None) -> bool:
        """Writes a run's end; whether the store has answered."""
        key = f"{self._root}lp/{run.name}"
        mine = Compare.create_revision(key, run.number)
        writes: list[Delete | Put] = [Delete(key)]
        if point is not None:
            point = point._replace(attempt=0)
            writes.append(Put(f"{self._root}lt/{run.name}", _dump_point(point)))
        try:
            result = self._store.txn((mine,), writes)
        except DiscordHAError:
            return False
        with self._changed:
            held = self._held.get(run.name)
            if held is not None and held.create_revision == run.number:
                del self._held[run.name]
            if result.succeeded and point is not None:
                self._note_point(run.name, point, result.revision)
        return True

    def note_point(self, name: str, point: Point, term: LeaderTerm | None) -> bool:
        """Notes a point without a run; false if another replica was faster, or the store does not answer.
        Blocks.
        """
        key = f"{self._root}lt/{name}"
        guards = (term.guard(),) if term is not None else ()
        try:
            result = self._store.txn(
                (*guards, Compare.mod_revision(key, point.revision)),
                (Put(key, _dump_point(point)),),
                (Get(key),),
            )
        except DiscordHAError:
            return False
        if not result.succeeded:
            self._learn(result)
            return False
        with self._changed:
            self._note_point(name, point, result.revision)
        return True

    def control(self, name: str, change: Callable[[TaskState], TaskState]) -> None:
        """Changes the task's state for all replicas. Blocks.

        :raises StoreUnavailable: the store does not answer, or others change the state all the time.
        """
        key = f"{self._root}lc/{name}"
        for _ in range(CONTROL_TRIES):
            state = self.state(name)
            after = change(state)
            result = self._store.txn(
                (Compare.mod_revision(key, state.revision),), (Put(key, _dump_state(after)),), (Get(key),)
            )
            if result.succeeded:
                with self._changed:
                    self._note_state(name, after, result.revision)
                    if after.begun is None:
                        self._begun.pop(name, None)
                    self._changed.notify_all()
                return
            self._learn(result)
        raise StoreUnavailable(f"the state of the loop {name} could not be changed: others change it, too")

    # -- the tables; the caller holds the lock ---------------------------------------------------------------

    def _note_state(self, name: str, state: TaskState, revision: int) -> None:
        if revision >= self._states.get(name, TaskState()).revision:
            self._states[name] = state._replace(revision=revision)

    def _note_point(self, name: str, point: Point, revision: int) -> None:
        known = self._points.get(name)
        if known is None or revision >= known.revision:
            self._points[name] = point._replace(revision=revision)

    def _learn(self, refused: TxnResult) -> None:
        """Takes over the keys that a refused transaction has read."""
        with self._changed:
            for found in refused.responses:
                assert isinstance(found, list)
                for kv in found:
                    self._put(kv)

    def _put(self, kv: KeyValue) -> None:
        component, _, name = kv.key[len(self._root) :].partition("/")
        if component == "lp":
            self._held[name] = kv
            self._begun[name] = self._clock()
        elif component == "lc":
            state = _parse_state(kv.value)
            self._note_state(name, state, kv.mod_revision)
            if state.begun is None:
                self._begun.pop(name, None)
            elif name not in self._begun:
                # Nobody here saw it begin: the other replica's clock is all there is.
                self._begun[name] = self._clock() - max(self._wall() - state.begun, 0.0)
        else:
            point = _parse_point(kv.value)
            if point is not None:
                self._note_point(name, point, kv.mod_revision)

    def _delete(self, kv: KeyValue) -> None:
        component, _, name = kv.key[len(self._root) :].partition("/")
        if component == "lp":
            self._held.pop(name, None)
        elif component == "lc":
            if self._states.get(name, TaskState()).revision < kv.mod_revision:
                self._states.pop(name, None)
        else:
            point = self._points.get(name)
            if point is not None and point.revision < kv.mod_revision:
                del self._points[name]

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        with self._changed:
            there = {kv.key[len(self._root) :] for kv in snapshot.items}
            self._held = {}
            self._states = {name: state for name, state in self._states.items() if f"lc/{name}" in there}
            self._points = {name: point for name, point in self._points.items() if f"lt/{name}" in there}
            begun = dict(self._begun)
            for kv in snapshot.items:
                self._put(kv)
            self._begun |= begun
            self._changed.notify_all()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        with self._changed:
            for kind, kv in events:
                if kind == "put":
                    self._put(kv)
                else:
                    self._delete(kv)
            self._changed.notify_all()


def _dump_state(state: TaskState) -> bytes:
    return json.dumps({"v": 1, **state._asdict(), "revision": 0}).encode()


def _parse_state(value: bytes) -> TaskState:
    try:
        record = json.loads(value)
        begun, stopped = record.get("begun"), record.get("stopped")
        return TaskState(
            int(record["runs"]),
            float(begun) if begun is not None else None,
            bool(stopped) if stopped is not None else None,
            record.get("schedule"),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return TaskState()  # another version's: nothing is known


def _dump_point(point: Point) -> bytes:
    return json.dumps({"v": 1, **point._asdict(), "revision": 0}).encode()


def _parse_point(value: bytes) -> Point | None:
    try:
        record = json.loads(value)
        return Point(float(record["due"]), record["schedule"], int(record["attempt"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None

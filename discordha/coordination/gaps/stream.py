"""Streams: a shard's caught-up events, on their way from the shard's leader to all its hosts.

``g/<shard>/state`` says how far the catch-up is (``GapState``); it stays behind, as the record of the last
gaps. ``g/<shard>/f/<number>-<n>`` holds a *frame*: some events in order, as Discord's gateway would have sent
them. All hosts take the frames in order, as if Discord had sent them, until they are deleted.
``g/<shard>/c/<source>`` is the cursor of a source of history: up to where its events stand in frames.

Guarantees: a frame, its cursors and the state are written in one transaction, under the leadership. So a
successor goes on exactly where the frames end, and a host that has taken all frames of a view may believe its
state.

Threads and locks: no thread. ``view`` is replaced by the watch's thread; any thread reads. Writes block on
etcd.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from discordha.coordination.etcd.router import KeyView
from discordha.coordination.etcd.store import Compare, Delete, KeyValue, Op, Put, Store

__all__ = ["MAX_WAITING", "Frame", "FrameEvent", "GapState", "GapStreams", "summary"]

#: The most channels that a state names as not caught up yet. With more, it names none, and all wait.
MAX_WAITING = 2000
#: Earlier gaps that a state keeps.
KEPT = 20
#: Operations of a transaction that may be cursors or deletes.
BATCH = 100


@dataclasses.dataclass(frozen=True)
class GapState:
    """A gap of a shard, and its catch-up. Moments of Discord's clock, seconds since 1970.

    :param number: counts the gaps of the shard.
    :param since: nothing is known of what happened after this moment,
    :param until: and before this one.
    :param fetch_since: what happened before is not fetched.
    :param waiting: the channels whose events are not all in frames; ``None``: any.
    :param frames: how many frames were written.
    :param fetched: everything that Discord keeps is in frames.
    :param told: the bot has been told.
    :param over: all its events are handled.
    :param counts: the events in frames, by gateway type.
    :param skipped: the sources that could not be fetched, each with the reason.
    :param missing: the names of wanted events that Discord does not keep.
    :param progress: figures for people.
    :param replica: the leader that wrote this state last.
    :param past: earlier gaps, in the same form, newest last.
    """

    number: int
    since: float
    until: float
    fetch_since: float
    waiting: Sequence[str] | None = None
    frames: int = 0
    fetched: bool = False
    told: bool = False
    over: bool = False
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    missing: Sequence[str] = ()
    progress: Mapping[str, float] = dataclasses.field(default_factory=dict)
    replica: str = ""
    past: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def parse(cls, kv: KeyValue) -> GapState | None:
        """Reads the stored form; ``None`` if this version can't."""
        try:
            data = json.loads(kv.value)
            known = {field.name for field in dataclasses.fields(cls)}
            return cls(**{name: value for name, value in data.items() if name in known})
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None

    def value(self) -> bytes:
        """The stored form."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.waiting is not None and len(self.waiting) > MAX_WAITING:
            data["waiting"] = None
        return json.dumps(data).encode()

    def following(self, since: float, until: float, fetch_since: float) -> GapState:
        """The next gap of the shard."""
        return GapState(self.number + 1, since, until, fetch_since, past=[*self.past, summary(self)][-KEPT:])


def summary(state: GapState) -> dict[str, Any]:
    """A gap for people and programs."""
    return {
        name: value for name, value in dataclasses.asdict(state).items() if name not in {"waiting", "past"}
    }


class FrameEvent(NamedTuple):
    """One event of a frame.

    :param kind: the gateway's type.
    :param data: its payload.
    :param moment: when it happened.
    :param handled: names of its events that were handled before the gap.
    """

    kind: str
    data: dict[str, Any]
    moment: float
    handled: Sequence[str] = ()


class Frame(NamedTuple):
    """Some events, in order. ``place``: the gap's number, and the frame's."""

    place: tuple[int, int]
    events: Sequence[FrameEvent]

    @classmethod
    def parse(cls, kv: KeyValue) -> Frame | None:
        """Reads the stored form; ``None`` if this version can't."""
        place = _place(kv.key)
        try:
            return cls(place, [FrameEvent(*event) for event in json.loads(kv.value)]) if place else None
        except (ValueError, TypeError, RecursionError):
            return None


_Placed = list[tuple[tuple[int, int], KeyValue]]


def _place(key: str) -> tuple[int, int] | None:
    """The place of a frame's key; ``None`` if it is none."""
    number, _, n = key.rsplit("/", 1)[1].partition("-")
    return (int(number), int(n)) if number.isdecimal() and n.isdecimal() else None


class GapStreams(KeyView):
    """The streams of all shards. Listens to the component ``g`` below the key prefix ``root``."""

    def __init__(self, store: Store, root: str) -> None:
        super().__init__()
        self._store = store
        self._prefix = f"{root}g/"
        self._parsed: dict[int, tuple[KeyValue, GapState | None]] = {}  # the last state of each shard
        self._sorted: dict[int, tuple[Mapping[str, KeyValue], _Placed]] = {}  # and its frames, by the view

    # -- reading; no I/O; any thread -------------------------------------------------------------------------

    def states(self) -> dict[int, GapState]:
        """The last gap of each shard that had one."""
        found = {}
        for key, kv in self.keys.items():
            shard, _, rest = key[len(self._prefix) :].partition("/")
            if rest == "state" and shard.isdecimal() and (state := GapState.parse(kv)) is not None:
                found[int(shard)] = state
        return found

    def state(self, shard: int) -> GapState | None:
        """The last gap of a shard."""
        return self._state(self.keys, shard)

    def _state(self, keys: Mapping[str, KeyValue], shard: int) -> GapState | None:
        kv = keys.get(f"{self._prefix}{shard}/state")
        if kv is None:
            return None
        parsed = self._parsed.get(shard)
        if parsed is None or parsed[0] is not kv:
            parsed = self._parsed[shard] = kv, GapState.parse(kv)
        return parsed[1]

    def frames(self, shard: int, after: tuple[int, int]) -> tuple[list[Frame], GapState | None]:
        """The frames behind a place, in order, and the state that goes with them. One that can't be read
        holds nothing.
        """
        keys = self.keys
        new = [(place, kv) for place, kv in self._placed(keys, shard) if place > after]  # each is read once
        frames = [Frame.parse(kv) or Frame(place, ()) for place, kv in new]
        return frames, self._state(keys, shard)

    def places(self, shard: int) -> list[tuple[int, int]]:
        """The places of all frames, in order."""
        return [place for place, _ in self._placed(self.keys, shard)]

    def _placed(self, keys: Mapping[str, KeyValue], shard: int) -> _Placed:
        known = self._sorted.get(shard)
        if known is None or known[0] is not keys:
            prefix = f"{self._prefix}{shard}/f/"
            found = [(_place(key), kv) for key, kv in keys.items() if key.startswith(prefix)]
            frames = sorted((place, kv) for place, kv in found if place is not None)
            known = self._sorted[shard] = keys, frames
        return known[1]

    def cursors(self, shard: int) -> dict[str, int]:
        """Up to where each source stands in frames."""
        prefix = f"{self._prefix}{shard}/c/"
        keys = self.keys
        return {key[len(prefix) :]: int(kv.value) for key, kv in keys.items() if key.startswith(prefix)}

    # -- writing; blocks on etcd -----------------------------------------------------------------------------

    def state_put(self, shard: int, state: GapState) -> Put:
        """The write of a state."""
        return Put(f"{self._prefix}{shard}/state", state.value())

    def write(
        self,
        shard: int,
        state: GapState,
        guard: Compare,
        events: Sequence[FrameEvent] = (),
        cursors: Mapping[str, int] | None = None,
    ) -> int:
        """Writes a state, with a frame of events if there are any. Returns the revision, 0 if the guard
        fails.

        :param cursors: ``BATCH`` at the most.
        """
        ops: list[Op] = [self.state_put(shard, state)]
        if events:
            key = f"{self._prefix}{shard}/f/{state.number:06d}-{state.frames - 1:08d}"
            ops.append(Put(key, json.dumps([list(event) for event in events]).encode()))
        for source, cursor in (cursors or {}).items():
            ops.append(Put(f"{self._prefix}{shard}/c/{source}", str(cursor).encode()))
        result = self._store.txn((guard,), ops)
        return result.revision if result.succeeded else 0

    def delete_frames(self, shard: int, places: Sequence[tuple[int, int]], guard: Compare) -> None:
        """Deletes frames whose events are all done."""
        keys = [f"{self._prefix}{shard}/f/{number:06d}-{n:08d}" for number, n in places]
        self._delete(keys, guard)

    def delete_cursors(self, shard: int, guard: Compare) -> None:
        """Deletes all cursors of a shard."""
        self._delete([f"{self._prefix}{shard}/c/{source}" for source in self.cursors(shard)], guard)

    def _delete(self, keys: Sequence[str], guard: Compare) -> None:
        for start in range(0, len(keys), BATCH):
            self._store.txn((guard,), tuple(Delete(key) for key in keys[start : start + BATCH]))

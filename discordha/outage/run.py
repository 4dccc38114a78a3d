"""One leader's work on the gap of one shard: from Discord's history into frames, until all of it is handled.

Guarantees
- Everything that is fetched stands in a frame before its cursor moves on, both under the leadership: a
  successor goes on where the frames end.
- Frames are deleted once their events are done. At most ``WINDOW`` events are under way, and about
  ``CHANNEL_WINDOW`` of one channel: a slow one leaves room for others.
- The point moves behind the gap in the transaction that ends it.

Threads and locks: ``turn`` and ``stop`` run on the service's thread, and block on etcd. The fetcher runs on
the gateway's loop and fills ``_fetched``, a deque that both sides use without a lock. When the leadership
ends, etcd refuses all writes, and the service stops the run.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from discordha.catch_up.fetch import HistoryFetcher
from discordha.catch_up.missed import Missed, Outcome, Progress
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.store import Op
from discordha.coordination.gaps.points import Point
from discordha.coordination.gaps.stream import FrameEvent, GapState
from discordha.coordination.membership.shard_keys import number_of
from discordha.coordination.node import CoordinationNode
from discordha.gateway.client import ShardClient
from discordha.gateway.clock import moment_of, snowflake_at

__all__ = ["GapRun", "LeadershipEnded", "RunHost", "channel_of"]

_log = logging.getLogger(__name__)

#: Events that are in frames and not done, or fetched and not in a frame yet. Replicas that are not preferred
#: for one look at it again and again.
WINDOW = 600
CHANNEL_WINDOW = 50
#: A full window takes no more until so many are done. Else each would come in a frame of its own.
REFILL = 100
#: Messages from so many seconds after the gap's end are fetched as well. The leader received them itself; a
#: replica whose session began a moment later did not, and must not begin newer ones of their channels first.
#: Longer than the time in which sessions count as equally old (``membership.unreceived``).
OVERLAP = 1.0
#: Events and bytes of a frame.
FRAME_EVENTS = 50
FRAME_BYTES = 256 * 1024
#: How often each source that is read looks whether there is room for more, seconds.
ROOM_CHECK = 0.05
#: The pause after a fetch that failed unexpectedly, seconds.
FETCH_AGAIN = 2.0
#: How long the watch may take to show a write, seconds.
SHOWN = 2.0


class _Planned(NamedTuple):
    """The fetcher has made its plan: the channels whose events are still to come."""

    waiting: frozenset[str]


class RunHost(NamedTuple):
    """What a run needs of its replica."""

    node: CoordinationNode
    replica_id: str
    limit: int
    wanted: Callable[[], frozenset[str]]  # gateway types
    missing: Callable[[frozenset[str]], Sequence[str]]  # names of events, by types that were not fetched
    handled: Callable[[int, Missed, bool], Sequence[str]]  # names of led events that need no run; see there
    undone: Callable[[int, tuple[int, int]], Counter[str] | None]  # see ``CatchUp``
    tell: Callable[[int, GapState], bool]  # tells the bot of a gap; whether that is done
    revision_before: Callable[[float], int]  # one of etcd that is older than a moment
    loop: asyncio.AbstractEventLoop
    fetcher: Callable[..., HistoryFetcher] = HistoryFetcher


class GapRun:
    """See the module."""

    def __init__(self, host: RunHost, shard: int, term: LeaderTerm, client: ShardClient) -> None:
        self._host = host
        self._node = host.node
        self._shard = shard
        self.term = term
        self._client = client
        self._fetched: deque[Missed | Progress | _Planned] = deque()
        self._task: concurrent.futures.Future[Outcome] | None = None
        self._fetched_until = 0.0
        self._waiting: set[str] | None = None
        self._progress: Mapping[str, float] = {}
        self._under_way = 0
        self._is_full = False
        self._channels: Counter[str] = Counter()  # how many of ``_under_way``
        self._delivered: Counter[str] = Counter()  # the gateway's loop counts what it puts into ``_fetched``,
        self._framed: Counter[str] = Counter()  # and the service's thread what it takes out
        self._begun_at = 0.0
        self._begin_again = 0.0
        self._until = 0  # snowflake: what is younger was received as it happened, too

    def stop(self) -> None:
        """Ends the fetch. Does not block."""
        if self._task is not None:
            self._task.cancel()

    def turn(self, state: GapState) -> bool:
        """Does what can be done now. Blocks on etcd; true when the gap is over."""
        if not state.fetched and self._task is None:
            self._begin(state)
        state = self._write_frames(state)
        if not state.fetched and self._task is not None and self._task.done() and not self._fetched:
            state = self._end_fetch(state)
        left = self._delete_done()
        if not state.fetched:
            return False
        if not state.told and self._host.tell(self._shard, state):
            state = self._write(dataclasses.replace(state, told=True))
        if left or not state.told:
            return False
        self._node.gaps.delete_cursors(self._shard, self.term.guard())
        over = dataclasses.replace(state, over=True, waiting=(), replica=self._host.replica_id)
        more: list[Op] = [self._node.gaps.state_put(self._shard, over)]
        point = Point(state.until, self._host.revision_before(state.until))
        revision = self._node.points.advance(self._shard, point, guard=(self.term.guard(),), more=more)
        return revision > 0 and self._node.watch.wait_revision(revision, SHOWN)

    def extend(self, state: GapState, until: float) -> GapState:
        """Makes the gap longer: its history is fetched up to another moment. Blocks on etcd."""
        return self._write(dataclasses.replace(state, until=until, waiting=None, fetched=False, told=False))

    # -- fetching --------------------------------------------------------------------------------------------

    def _begin(self, state: GapState) -> None:
        if time.monotonic() < self._begin_again or self._client.age_of(state.until) < OVERLAP:
            return
        self._until = snowflake_at(state.until)
        self._waiting = None
        self._fetched_until = state.until
        self._begun_at = time.monotonic()
        fetcher = self._host.fetcher(
            self._client,
            wanted=self._host.wanted(),
            since=snowflake_at(state.fetch_since),
            until=snowflake_at(state.until + OVERLAP),
            limit=self._host.limit,
            done=self._node.gaps.cursors(self._shard),
        )
        fetching = self._fetch(fetcher)
        try:
            self._task = asyncio.run_coroutine_threadsafe(fetching, self._host.loop)
        except RuntimeError:  # the loop has ended
            fetching.close()

    async def _fetch(self, fetcher: HistoryFetcher) -> Outcome:
        running = asyncio.create_task(fetcher.run(self._deliver, self._fetched.append))
        try:
            await asyncio.sleep(0)  # it plans before it asks
            self._fetched.append(_Planned(frozenset(fetcher.waiting)))
            return await running
        finally:
            running.cancel()

    async def _deliver(self, missed: Missed) -> None:
        if missed.snowflake > self._until and missed.type != "MESSAGE_CREATE":
            return  # received as it happened, and its order does not matter
        channel = channel_of(missed.payload)
        while not self._has_room(channel):
            await asyncio.sleep(ROOM_CHECK)
        self._delivered[channel] += 1
        self._fetched.append(missed)

    def _has_room(self, channel: str) -> bool:
        """Whether the window takes one more event of a channel. Gateway's loop."""
        waiting = self._delivered[channel] - self._framed[channel]
        if channel and waiting + self._channels[channel] >= CHANNEL_WINDOW:
            return False
        held = self._under_way + len(self._fetched)
        self._is_full = held >= WINDOW or (self._is_full and held > WINDOW - REFILL)
        return not self._is_full

    def _end_fetch(self, state: GapState) -> GapState:
        task, self._task = self._task, None
        assert task is not None
        try:
            outcome = task.result()
        except concurrent.futures.CancelledError:
            return state
        except Exception:  # noqa: BLE001 - whatever Discord answered
            _log.exception("shard %d: its history can't be fetched; trying again", number_of(self._shard))
            self._begin_again = time.monotonic() + FETCH_AGAIN
            return state
        if self._fetched_until < state.until:
            return state  # the gap is longer by now
        _log.info(
            "shard %d: fetched %s; skipped: %s",
            number_of(self._shard),
            dict(outcome.delivered) or "nothing",
            [f"{each.source}: {each.reason}" for each in outcome.skipped] or "nothing",
        )
        return self._write(
            dataclasses.replace(
                state,
                fetched=True,
                waiting=(),
                skipped={each.source: each.reason for each in outcome.skipped},
                missing=list(self._host.missing(outcome.missing)),
                progress=dict(self._progress),
            )
        )

    # -- frames ----------------------------------------------------------------------------------------------

    def _write_frames(self, state: GapState) -> GapState:
        while self._fetched:
            events: list[FrameEvent] = []
            cursors: dict[str, int] = {}
            counts = dict(state.counts)
            channels: Counter[str] = Counter()
            size, taken = 0, 0
            for each in self._fetched.copy():
                if len(events) >= FRAME_EVENTS or size >= FRAME_BYTES or len(cursors) >= FRAME_EVENTS:
                    break
                taken += 1
                if isinstance(each, _Planned):
                    self._waiting = set(each.waiting)
                    continue
                if isinstance(each, Progress):
                    cursors[each.source] = min(each.cursor, self._until)
                    self._note(each)
                    continue
                events.append(self._event(each))
                channels[channel_of(each.payload)] += 1
                size += len(json.dumps(each.payload))
                counts[each.type] = counts.get(each.type, 0) + 1
            following = dataclasses.replace(
                state,
                frames=state.frames + bool(events),
                waiting=self._still_waiting(state),
                counts=counts,
                progress=dict(self._progress),
            )
            state = self._write(following, events, cursors)
            self._under_way += len(events)
            self._channels += channels
            self._framed += channels
            for _ in range(taken):
                self._fetched.popleft()
        return state

    def _still_waiting(self, state: GapState) -> list[str] | None:
        """The channels whose events are not all in frames; ``None`` before the plan for the whole gap: it may
        have become longer since the fetch began.
        """
        known = self._waiting is not None and self._fetched_until >= state.until
        return sorted(self._waiting or ()) if known else None

    def _event(self, missed: Missed) -> FrameEvent:
        handled = self._host.handled(self._shard, missed, missed.snowflake > self._until)
        return FrameEvent(missed.type, missed.payload, moment_of(missed.snowflake), list(handled))

    def _note(self, progress: Progress) -> None:
        if progress.finished and self._waiting is not None:
            self._waiting.discard(progress.source.removeprefix("channel:"))
        now = time.monotonic()
        rate = progress.delivered / max(now - self._begun_at, 0.001)
        self._progress = {
            "events": progress.delivered,
            "sources": progress.sources,
            "remaining": progress.remaining,
            "rate": round(rate, 1),
        }

    def _write(
        self, state: GapState, events: Sequence[FrameEvent] = (), cursors: Mapping[str, int] | None = None
    ) -> GapState:
        """Writes a state and perhaps a frame. Raises ``LeadershipEnded`` if this replica leads no more."""
        state = dataclasses.replace(state, replica=self._host.replica_id)
        revision = self._node.gaps.write(self._shard, state, self.term.guard(), events, cursors)
        if not revision:
            raise LeadershipEnded
        self._node.watch.wait_revision(revision, SHOWN)
        return state

    def _delete_done(self) -> bool:
        """Deletes the frames that are done, from the first on. Whether any is left."""
        places = self._node.gaps.places(self._shard)
        undone = [self._host.undone(self._shard, place) for place in places]
        done = [place for place, left in zip(places, undone, strict=True) if left is not None and not left]
        self._under_way = sum(FRAME_EVENTS if left is None else left.total() for left in undone)
        if None not in undone:
            channels = Counter[str]()
            for left in filter(None, undone):
                channels.update(left)
            self._channels = channels
        if done:
            self._node.gaps.delete_frames(self._shard, done, self.term.guard())
        return len(done) < len(places)


def channel_of(payload: Mapping[str, Any]) -> str:
    """The channel of an event's payload; empty if it names none."""
    return str(payload.get("channel_id") or "")


class LeadershipEnded(Exception):
    """This replica does not lead the shard any more."""

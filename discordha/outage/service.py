"""CatchUp: keeps each shard's point, notices gaps, and has their events handled.

Guarantees
- Each replica says in its member record what it knows of its shards (``Reach``). A shard's leader carries
the point
  on by these. Where no live replica's reach overlaps the point, there is a gap: the leader's ``GapRun``
  fetches what Discord keeps of it.
- From READY on, new events of a shard wait (``Barrier``) until another replica is known to have received
  everything since the point, or what was missed in their channel stands before them.
- What can't be had back is told to the bot: ``gap``.

Not guaranteed: events of handlers that only some replicas have, which their reach does not tell.

Threads and locks: ``discordha-catch-up``, started by ``start``, joined by ``stop``. It blocks on etcd, and
alone has
the tables below, but for ``_keys`` (written on the gateway's thread) and ``_coverage`` (replaced as a whole).
At a lost lease or watch it waits; writes of an ended leadership are refused by etcd. At a drain, ``pause``
and ``settle``, then ``stop``.
"""

from __future__ import annotations

import datetime
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from discordha.catch_up.fetch import HistoryFetcher
from discordha.catch_up.missed import Missed
from discordha.catch_up.plan import KEPT
from discordha.config import Config
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.etcd.store import LeaseNotFound
from discordha.coordination.gaps.points import Point, Reach, carried
from discordha.coordination.gaps.stream import Frame, GapState, summary
from discordha.coordination.membership.members import session_age
from discordha.coordination.membership.shard_keys import generation_of, number_of
from discordha.coordination.node import CoordinationNode
from discordha.dispatch import Dispatcher
from discordha.dispatch.handlers import HandlerRegistry
from discordha.errors import DiscordHAError
from discordha.events import EVENTS, CaughtUp, Event, Identity, Scope, identify
from discordha.gateway import Gateway
from discordha.gateway.client import ShardClient
from discordha.leader.service import LeaderService
from discordha.outage.coverage import Coverage
from discordha.outage.gap import Gap
from discordha.outage.run import GapRun, LeadershipEnded, RunHost
from discordha.process.threads import unending
from discordha.stats import Stats

__all__ = ["GAP", "CatchUp"]

_log = logging.getLogger(__name__)

GAP = "gap"
#: How often the thread looks: while something is caught up or held back, and otherwise, seconds.
BUSY_CHECK = 0.05
IDLE_CHECK = 0.5
#: How often a point is written, seconds, and by how much it has moved at the least.
POINT_INTERVAL = 2.0
#: How long new events wait for a decision, seconds. Then they go on, and their order is given up.
DECISION_LIMIT = 30.0
#: How long a replica waits after resharding before points of the earlier shards are forgotten, seconds.
RESHARD_SETTLE = 30.0
#: How long the watch may take to show a write, seconds.
SHOWN = 2.0
#: A leader remembers so many revisions of etcd, with when it knew them.
REVISIONS = 600


class CatchUp:
    """See the module.

    :param is_deaf: whether peers receive a shard's events while this replica does not.
    """

    def __init__(
        self,
        config: Config,
        node: CoordinationNode,
        gateway: Gateway,
        leaders: LeaderService,
        dispatcher: Dispatcher,
        registry: HandlerRegistry,
        stats: Stats,
        replica_id: str,
        *,
        is_deaf: Callable[[int], bool],
        fetcher: Callable[..., HistoryFetcher] = HistoryFetcher,
    ) -> None:
        self._config = config
        self._node = node
        self._gateway = gateway
        self._leaders = leaders
        self._dispatcher = dispatcher
        self._registry = registry
        self._stats = stats
        self._replica_id = replica_id
        self._is_deaf = is_deaf
        self._clock = time.monotonic
        self.enabled = config.catch_up > 0
        self._host = RunHost(
            node,
            replica_id,
            config.catch_up_limit,
            wanted=self._wanted,
            missing=self._missing,
            handled=self._handled,
            undone=self._undone,
            tell=self._tell,
            loop=gateway.loop,
            fetcher=fetcher,
        )
        self._coverage: dict[int, Coverage] = {}  # by shard; replaced as a whole, gateway thread
        self._keys: dict[tuple[int, tuple[int, int]], list[str] | None] = {}  # of the frames taken here
        self._offered: dict[str, bool] = {}  # gaps that the bot is being told of: whether that has begun
        self._shut: dict[int, float] = {}  # shards whose new events wait, and since when
        self._closed: dict[int, Collection[str] | None] = {}  # what the barrier was told last
        self._taken: dict[int, tuple[int, int]] = {}  # the last frame that was taken
        self._runs: dict[int, GapRun] = {}
        self._next_point: dict[int, float] = {}
        self._revisions: deque[tuple[float, int]] = deque(maxlen=REVISIONS)
        self._served: tuple[int | None, float] = (None, 0.0)  # the generation, and since when
        self._saw_earlier = False  # another generation has served in this process's life
        self._pausing = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-catch-up", daemon=True
        )
        node.gaps.changed = self._wake.set
        node.points.on_written = self._on_point
        leaders.on_acting = self._wake.set

    def start(self) -> None:
        """Starts the thread. Does not block."""
        if self.enabled:
            self._thread.start()

    def pause(self) -> None:
        """Begins no catch-up any more, and holds no event back. Does not block; any thread."""
        self._pausing = True
        self._gateway.soon(self._dispatcher.barrier.open_all)
        self._wake.set()

    def stop(self) -> None:
        """Ends the thread. Blocks for a call in flight. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        for run in self._runs.values():
            run.stop()

    def wake(self) -> None:
        """Has the thread look. Does not block; any thread."""
        self._wake.set()

    # -- the gateway's thread --------------------------------------------------------------------------------

    def on_new_session(self, shard: int) -> None:
        """A session begins: its first event follows."""
        if not self.enabled:
            return
        if shard not in self._coverage:
            self._coverage = {**self._coverage, shard: Coverage(self._gateway.dates)}
        self._coverage[shard].began(self._clock())
        if not self._pausing and self._node.points.get(shard) is not None:
            self._dispatcher.barrier.set(shard, None)
            self._shut[shard] = self._clock()
            self._closed[shard] = None
        self._wake.set()

    def on_change(self) -> None:
        """A connection was made or lost."""
        for shard, coverage in self._coverage.items():
            client = self._gateway.clients.get(shard)
            if client is not None:
                state = client.state()
                now = self._clock()
                coverage.set_connected(state.connected, now, now - state.silent, self._oldest(shard))

    def _take(self, client: ShardClient, shard: int, frame: Frame) -> None:
        keys: list[str] = []
        for event in frame.events:
            caught_up = CaughtUp(event.moment, self._clock() - client.age_of(event.moment), event.handled)
            try:
                client.catch_up(event.kind, event.data, caught_up)
            except Exception:  # noqa: BLE001 - whatever is wrong with one payload
                _log.exception("shard %d: a %s can't be caught up", number_of(shard), event.kind)
            keys += caught_up.keys
        self._keys[shard, frame.place] = keys
        self._wake.set()

    def _offer(self, shard: int, key: str, gap: Gap, raw: str) -> None:
        handlers = self._registry.select(GAP, (gap,), caught_up=True)
        if handlers:
            moment = gap.until.timestamp()
            client = self._gateway.clients.get(shard)
            age = client.age_of(moment) if client is not None else 0.0
            now = self._clock()
            identity = Identity(Scope.CLAIM, key, key, None)
            event = Event(GAP, (gap,), identity, shard, raw, now, caught_up=CaughtUp(moment, now - age))
            self._dispatcher.offer(event, handlers)
        self._offered[key] = True
        self._wake.set()

    # -- reach; any thread -----------------------------------------------------------------------------------

    def _oldest(self, shard: int) -> float | None:
        found = (self._dispatcher.oldest(shard), self._leaders.oldest(shard))
        return min((moment for moment in found if moment is not None), default=None)

    def reach(self, shard: int) -> Reach | None:
        """What this replica knows of a shard. No I/O; any thread."""
        coverage, client = self._coverage.get(shard), self._gateway.clients.get(shard)
        if coverage is None or client is None or self._is_deaf(shard):
            return None
        heard_at = self._clock() - client.state().silent
        return coverage.reach(heard_at, self._oldest(shard))

    def reaches(self) -> dict[str, list[float]]:
        """For the member record."""
        found = {shard: self.reach(shard) for shard in self._coverage} if self.enabled else {}
        return {
            str(shard): [round(reach.since + 0.0005, 3), round(reach.until - 0.0005, 3)]
            for shard, reach in found.items()
            if reach is not None
        }

    def _on_point(self, shard: int, point: Point) -> None:
        """A point was written. Watch thread."""
        coverage = self._coverage.get(shard)
        if point.clean and coverage is not None:
            coverage.joined(point.moment, self._clock())
        self._wake.set()

    def _is_covered(self, shard: int, point: Point) -> bool:
        """Whether a replica that lives for sure has received everything since the point."""
        mine = self.reach(shard)
        if mine is not None and mine.since <= point.moment:
            return True
        for member, record in self._node.members.records().items():
            if member == self._replica_id or not self._node.members.is_heard(member):
                continue
            theirs = Reach.of(record, shard)
            if theirs is not None and theirs.since <= point.moment:
                return True
            if theirs is None and "reach" not in record and session_age(record, shard) is not None:
                return True  # an earlier version's
        return False

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            busy = self._shut or self._runs
            self._wake.wait(BUSY_CHECK if busy else IDLE_CHECK)
            self._wake.clear()
            if self._stop.is_set():
                return
            self._revisions.append((self._clock(), self._node.watch.revision))
            self._note_generation()
            for shard, client in list(self._gateway.clients.items()):
                try:
                    self._tend(shard, client)
                except LeadershipEnded:
                    self._end_run(shard)
                except (DiscordHAError, LeaseNotFound) as error:
                    _log.debug("shard %d: the catch-up waits: %s", number_of(shard), error)
                    self._stop.wait(0.2)

    def _note_generation(self) -> None:
        serving = self._node.plan.serving
        if serving != self._served[0]:
            self._saw_earlier = self._saw_earlier or self._served[0] is not None
            self._served = serving, self._clock()

    def _tend(self, shard: int, client: ShardClient) -> None:
        if client.state().ready:
            self._set_barrier(shard, self._take_frames(shard, client))
        term = self._leaders.acting(shard) if not self._pausing else None
        if term is None or not self._node.watch.alive or not client.state().ready:
            self._end_run(shard)
        else:
            self._lead(shard, client, term)

    def _take_frames(self, shard: int, client: ShardClient) -> GapState | None:
        """Takes the frames that are new here; returns the state that goes with them."""
        frames, state = self._node.gaps.frames(shard, self._taken.get(shard, (0, -1)))
        for frame in frames:
            self._keys[shard, frame.place] = None
            self._taken[shard] = frame.place
            self._gateway.soon(self._take, client, shard, frame)
        if state is not None and state.over:
            for key in [key for key in self._keys if key[0] == shard and key[1][0] <= state.number]:
                del self._keys[key]
        return state

    # -- the barrier -----------------------------------------------------------------------------------------

    def _set_barrier(self, shard: int, state: GapState | None) -> None:
        since = self._shut.get(shard)
        if since is None:
            return
        closed = self._to_close(shard, state, since)
        if closed is not None and not closed:
            self._shut.pop(shard, None)
            self._closed.pop(shard, None)
        elif closed == self._closed.get(shard):
            return
        else:
            self._closed[shard] = closed
        print(
            "DEBUG narrow",
            shard,
            closed,
            state,
            since,
            self._clock(),
            self.reach(shard),
            self._node.points.get(shard),
            flush=True,
        )
        self._gateway.soon(self._narrow, shard, closed)

    def _narrow(self, shard: int, closed: Collection[str] | None) -> None:
        if self._dispatcher.barrier.is_closed(shard):
            self._dispatcher.barrier.set(shard, closed)

    def _to_close(self, shard: int, state: GapState | None, since: float) -> Collection[str] | None:
        """The channels of a shard whose new events have to wait; ``None``: all."""
        point = self._node.points.get(shard)
        if point is None or self._pausing:
            return ()
        serving = self._node.plan.serving
        if serving is not None and generation_of(shard) != serving:
            # The shards that serve receive the same events, and bring them in order.
            served = [key for key in self._gateway.clients if generation_of(key) == serving]
            return None if any(key in self._shut for key in served) else ()
        if state is not None and not state.over:
            if self._config.ordering != "channel":
                return () if state.fetched else None
            return () if state.fetched else state.waiting and frozenset(state.waiting)
        if self._is_covered(shard, point):
            return ()
        if not self._node.watch.alive or self._node.session.current is None:
            self._shut[shard] = self._clock()
        elif self._clock() - since > DECISION_LIMIT:
            _log.warning(
                "shard %d: no leader has said for %.0f s what was missed; new events go on, and may come "
                "before those",
                number_of(shard),
                DECISION_LIMIT,
            )
            return ()
        return None

    # -- the leader ------------------------------------------------------------------------------------------

    def _lead(self, shard: int, client: ShardClient, term: LeaderTerm) -> None:
        state = self._node.gaps.state(shard)
        if state is not None and not state.over:
            self._continue(shard, client, term, state)
            return
        self._end_run(shard)
        now = self._clock()
        if now < self._next_point.get(shard, 0.0) and shard not in self._shut:
            return
        self._next_point[shard] = now + POINT_INTERVAL
        mine, point = self.reach(shard), self._node.points.get(shard)
        if mine is None:
            return
        if point is None:
            self._advance(shard, mine.since, term)
            return
        if not self._node.points.has(shard) and self._has_moved(shard, point, mine, term):
            return
        reaches, unknown = self._reaches(shard, mine)
        if any(reach.since <= point.moment for reach in reaches):
            moment = carried(point.moment, reaches)
            if moment >= point.moment + 0.5:
                self._advance(shard, moment, term)
        elif not unknown:
            self._begin_gap(shard, term, point, min(reach.since for reach in reaches))

    def _reaches(self, shard: int, mine: Reach) -> tuple[list[Reach], bool]:
        """What all members know of a shard, and whether one may know more than it says."""
        reaches, unknown = [mine], False
        for member, record in self._node.members.records().items():
            theirs = Reach.of(record, shard) if member != self._replica_id else None
            if theirs is not None:
                reaches.append(theirs)
            elif member != self._replica_id and "reach" not in record:
                unknown = unknown or session_age(record, shard) is not None
        return reaches, unknown

    def _has_moved(self, shard: int, point: Point, mine: Reach, term: LeaderTerm) -> bool:
        """Whether the shard took over from an earlier generation without a gap. Its point follows once that
        generation has finished what it had; until then the earlier points stand, in case that all replicas
        end.
        """
        plan = self._node.plan
        if plan.serving != generation_of(shard) or not self._saw_earlier:
            return False
        earlier = [
            state for key, state in self._node.gaps.states().items() if generation_of(key) < plan.serving
        ]
        if any(not state.over for state in earlier) or mine.since - point.moment > RESHARD_SETTLE:
            return False
        if self._clock() - self._served[1] >= RESHARD_SETTLE:
            self._advance(shard, mine.since, term)
        self._shut.pop(shard, None)
        self._gateway.soon(self._narrow, shard, ())
        return True

    def _advance(self, shard: int, moment: float, term: LeaderTerm) -> None:
        at = self._gateway.dates
        known = [revision for when, revision in self._revisions if (at.latest(when) or moment) < moment]
        point = Point(moment, max(known, default=0))
        revision = self._node.points.advance(shard, point, guard=(term.guard(),))
        if revision:
            self._node.watch.wait_revision(revision, SHOWN)

    def _begin_gap(self, shard: int, term: LeaderTerm, point: Point, until: float) -> None:
        now = self._gateway.dates.earliest(self._clock()) or until
        before = self._node.gaps.state(shard)
        fetch_since = max(point.moment, now - self._config.catch_up)
        if before is None:
            state = GapState(1, point.moment, until, fetch_since)
        else:
            state = before.following(point.moment, until, fetch_since)
        _log.warning(
            "shard %d: no replica was connected to Discord for about %.0f s, until %.0f s ago; what happened "
            "meanwhile is fetched%s",
            number_of(shard),
            until - point.moment,
            max(now - until, 0.0),
            f" as far as catch_up={self._config.catch_up:g} reaches" if fetch_since > point.moment else "",
        )
        self._stats.add("gaps", str(number_of(shard)))
        revision = self._node.gaps.write(shard, state, term.guard())
        if revision:
            self._node.watch.wait_revision(revision, SHOWN)
            self._wake.set()

    def _continue(self, shard: int, client: ShardClient, term: LeaderTerm, state: GapState) -> None:
        run = self._runs.get(shard)
        if run is None or run.term is not term:
            self._end_run(shard)
            run = self._runs[shard] = GapRun(self._host, shard, term, client)
        mine = self.reach(shard)
        if mine is not None:
            reaches, unknown = self._reaches(shard, mine)
            until = min(reach.since for reach in reaches)
            if until > state.until and not unknown:
                # Whoever had received what followed is gone: the gap is longer.
                state = run.extend(state, until)
        if run.turn(state):
            _log.info("shard %d: what happened while no replica was connected is handled", number_of(shard))
            self._end_run(shard)

    def _end_run(self, shard: int) -> None:
        run = self._runs.pop(shard, None)
        if run is not None:
            run.stop()

    # -- for the run -----------------------------------------------------------------------------------------

    def _wanted(self) -> frozenset[str]:
        """The gateway types that a handler wants."""
        kinds = {EVENTS[name].gateway for name in self._registry.events}
        return frozenset(kind for kind in kinds if kind is not None)

    def _missing(self, kinds: frozenset[str]) -> list[str]:
        """The names of wanted events that were not fetched, or not wholly."""
        return sorted(
            name
            for name in self._registry.events
            if (kind := EVENTS[name].gateway) is not None
            and EVENTS[name].scope is not Scope.EVERY
            and (kind not in KEPT or kind in kinds or name == "thread_join")
        )

    def _handled(self, shard: int, missed: Missed) -> Sequence[str]:
        names = [
            name
            for name in self._registry.events
            if EVENTS[name].gateway == missed.type and EVENTS[name].scope is Scope.LEADER
        ]
        if not names:
            return ()
        raw, point = json.dumps({"t": missed.type, "d": missed.payload}), self._node.points.get(shard)
        events = [
            Event(
                name, (), identify(name, (), missed.payload, ordering=self._config.ordering), shard, raw, 0.0
            )
            for name in names
        ]
        handled = self._leaders.names_handled(shard, events, point.revision if point is not None else 0)
        return sorted(handled)

    def _undone(self, shard: int, place: tuple[int, int]) -> int | None:
        keys = self._keys.get((shard, place))
        return None if keys is None else sum(map(self._dispatcher.knows, keys))

    def _tell(self, shard: int, state: GapState) -> bool:
        """Tells the bot of a gap; whether it has been told."""
        key = f"{shard}/{state.number}/{int(state.since * 1000)}"
        if key not in self._offered:
            self._offered[key] = False
            raw = json.dumps({"discordha": GAP, "shard": shard})
            self._gateway.soon(self._offer, shard, key, _gap(shard, state), raw)
        return self._offered[key] and not self._dispatcher.knows(f"{GAP}/{key}")

    def tell_again(self, shard: int) -> None:
        """Tells the bot once more of a gap whose handler's replica died. Does not block; any thread."""
        state = self._node.gaps.state(shard)
        if state is not None and not state.told:
            self._offered.pop(f"{shard}/{state.number}/{int(state.since * 1000)}", None)
            self._tell(shard, state)

    # -- ends ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Writes the points of a replica that has finished everything that it received. Blocks on etcd."""
        if not self.enabled:
            return
        for shard in list(self._gateway.clients):
            point, mine, state = self._node.points.get(shard), self.reach(shard), self._node.gaps.state(shard)
            if point is None or mine is None or self._oldest(shard) is not None:
                continue
            if (state is not None and not state.over) or not mine.since <= point.moment:
                continue
            try:
                moment = max(point.moment, mine.until)
                self._node.points.advance(shard, Point(moment, point.revision, clean=True))
            except (DiscordHAError, LeaseNotFound) as error:
                _log.debug("shard %d: its point is not written: %s", number_of(shard), error)

    def status(self) -> dict[int, Any]:
        """Each shard's last gap. No I/O; any thread."""
        return {number_of(shard): summary(state) for shard, state in self._node.gaps.states().items()}


def _gap(shard: int, state: GapState) -> Gap:
    def at(moment: float) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(moment, datetime.UTC)

    skipped: Mapping[str, str] = dict(state.skipped)
    return Gap(
        number_of(shard),
        at(state.since),
        at(state.until),
        at(state.fetch_since),
        tuple(state.missing),
        skipped,
    )

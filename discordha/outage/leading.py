"""The leader's part: carries the points of its shards on, notices gaps, and works on them.

Guarantees: a shard's point moves only as far as overlapping reaches carry it (``points``), also those of
members that are gone by now. Where no living one's overlaps it, there is a gap, which grows when whoever had
received what followed is gone. A shard that took over from an earlier generation of shards without a pause
has no gap. Marks that exist when a run begins live on until the last run ends, so that nothing handled
before is handled again. A bot's first point is the READY of its first leader's session, whatever is done by
then: should all replicas die at once, everything from there on is fetched.

Threads and locks: no lock. The service's thread alone calls it; it blocks on etcd, which refuses the writes
of a leadership that has ended.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from discordha.catch_up.fetch import HistoryFetcher
from discordha.catch_up.missed import Missed
from discordha.catch_up.plan import KEPT
from discordha.config import Config
from discordha.coordination.election.election import LeaderTerm
from discordha.coordination.gaps.points import Point, Reach, carried
from discordha.coordination.gaps.stream import GapState
from discordha.coordination.membership.shard_keys import generation_of, key_of, number_of
from discordha.coordination.node import CoordinationNode
from discordha.dispatch.handlers import HandlerRegistry
from discordha.events import EVENTS, Scope
from discordha.gateway import Gateway
from discordha.gateway.client import ShardClient
from discordha.leader.service import LeaderService
from discordha.outage.coverage import LAG
from discordha.outage.led import led_events
from discordha.outage.reaches import Reaches
from discordha.outage.run import GapRun, LeadershipEnded, RunHost
from discordha.stats import Stats

__all__ = ["GapLeader", "gap_of"]

_log = logging.getLogger(__name__)

#: How often a point is written, seconds, and by how much it has moved at the least.
POINT_INTERVAL = 2.0
POINT_STEP = 0.5
#: What records and points may lose by rounding, seconds.
GRAIN = 0.005
#: How long a new generation of shards lives before its own points replace those of the one before, seconds.
RESHARD_SETTLE = 30.0
#: How long the watch may take to show a write, seconds.
SHOWN = 2.0
#: Of what is fetched: some member's last record tells that it received all of it, or none does.
ONLY_GONE = "was received by replicas that are gone, and may not have been finished"
NOBODY = "no replica received, or only some that are gone and may not have finished it"
#: A leader remembers so many revisions of etcd, with when it knew them.
REVISIONS = 600


def gap_of(state: GapState | None) -> int:
    """A number for the gaps up to a state; see ``LeaderShard.note_gap``."""
    return int(state.until * 1000) if state is not None else 0


class GapLeader:
    """See the module.

    :param undone: see ``CatchUp``.
    :param tell: tells the bot of a gap; whether that is done.
    :param is_shut: whether new events of a shard wait for a decision.
    :param open: lets them go on.
    :param wake: has the thread come again at once.
    """

    def __init__(  # noqa: PLR0917
        self,
        config: Config,
        node: CoordinationNode,
        gateway: Gateway,
        leaders: LeaderService,
        registry: HandlerRegistry,
        stats: Stats,
        replica_id: str,
        *,
        reaches: Reaches,
        undone: Callable[[int, tuple[int, int]], Counter[str] | None],
        tell: Callable[[int, GapState], bool],
        is_shut: Callable[[int], bool],
        open: Callable[[int], None],
        wake: Callable[[], None],
        fetcher: Callable[..., HistoryFetcher] = HistoryFetcher,
    ) -> None:
        self._config = config
        self._node = node
        self._gateway = gateway
        self._leaders = leaders
        self._registry = registry
        self._stats = stats
        self._reaches = reaches
        self._is_shut = is_shut
        self._open = open
        self._wake = wake
        self._clock = time.monotonic
        self._host = RunHost(
            node,
            replica_id,
            config.catch_up_limit,
            wanted=self._wanted,
            missing=self._missing,
            handled=self._handled,
            undone=undone,
            tell=tell,
            revision_before=self._revision_before,
            loop=gateway.loop,
            fetcher=fetcher,
        )
        self._runs: dict[int, GapRun] = {}
        self._next_point: dict[int, float] = {}
        self._revisions: deque[tuple[float, int]] = deque(maxlen=REVISIONS)
        self._served: tuple[int | None, float] = (None, 0.0)  # the generation, and since when
        self._saw_earlier = False  # another generation has served in this process's life

    @property
    def busy(self) -> bool:
        """Whether a gap is worked on."""
        return bool(self._runs)

    def stop(self) -> None:
        """Ends all fetches. Does not block."""
        for shard in list(self._runs):
            self.end_run(shard)

    def note(self) -> None:
        """Notes what holds now, for later points."""
        self._revisions.append((self._clock(), self._node.watch.revision))
        serving = self._node.plan.serving
        if serving != self._served[0]:
            self._saw_earlier = self._saw_earlier or self._served[0] is not None
            self._served = serving, self._clock()

    def lead(self, shard: int, client: ShardClient, term: LeaderTerm) -> None:
        state = self._node.gaps.state(shard)
        if state is not None and not state.over:
            self._continue(shard, client, term, state)
            return
        self.end_run(shard)
        now = self._clock()
        is_known = self._leaders.knows_gap(shard)
        if now < self._next_point.get(shard, 0.0) and is_known and not self._is_shut(shard):
            return
        self._next_point[shard] = now + POINT_INTERVAL
        mine, point = self._reaches.reach(shard), self._node.points.get(shard)
        if mine is None:
            return
        if point is None:
            ready = self._reaches.founded(shard)
            if ready is not None:
                self._advance(shard, ready + GRAIN, term)
            self._note_gap(shard, term, state)
            return
        if not self._node.points.has(shard) and self._has_moved(shard, point, mine, term):
            self._note_gap(shard, term, state)
            return
        reaches, unknown = self._reaches.all(shard, mine)
        moment = carried(point.moment, [*reaches, *self._reaches.gone(shard)])
        is_held = any(reach.since <= point.moment for reach in reaches)
        if moment >= point.moment + (POINT_STEP if is_held else GRAIN):
            self._advance(shard, moment, term)
            self._forget_earlier(shard, term)
            if not is_held:  # perhaps it is there
                self._next_point[shard] = now
                return
        elif not is_held and not unknown:
            state = self._begin_gap(shard, term, point, min(reach.since for reach in reaches) + GRAIN)
        self._note_gap(shard, term, state)

    def _note_gap(self, shard: int, term: LeaderTerm, state: GapState | None) -> None:
        self._leaders.note_gap(shard, gap_of(state), term)

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
            self._advance(shard, mine.since + GRAIN, term)
        self._open(shard)
        return True

    def _forget_earlier(self, shard: int, term: LeaderTerm) -> None:
        """Deletes the points of earlier generations, once all shards of this one have their own."""
        points, count, generation = self._node.points, self._node.plan.count, generation_of(shard)
        if number_of(shard) or not generation or not count or not points.knows_before(generation):
            return
        if all(points.has(key_of(generation, number)) for number in range(count)):
            points.forget_before(generation, term.guard())

    def _advance(self, shard: int, moment: float, term: LeaderTerm) -> None:
        point = Point(moment, self._revision_before(moment))
        revision = self._node.points.advance(shard, point, guard=(term.guard(),))
        if revision:
            self._node.watch.wait_revision(revision, SHOWN)

    def _revision_before(self, moment: float) -> int:
        """One that is older than a moment; 0 if none is known."""
        at = self._gateway.dates
        known = [revision for when, revision in self._revisions if (at.latest(when) or moment) < moment]
        return max(known, default=0)

    def _begin_gap(self, shard: int, term: LeaderTerm, point: Point, until: float) -> GapState:
        now = self._gateway.dates.earliest(self._clock()) or until
        before = self._node.gaps.state(shard)
        fetch_since = max(point.moment, now - self._config.catch_up)
        if before is None:
            state = GapState(1, point.moment, until, fetch_since)
        else:
            state = before.following(point.moment, until, fetch_since)
        received = any(
            reach.since <= point.moment and reach.connected and reach.until + LAG >= until
            for reach in self._reaches.gone(shard)
        )
        _log.warning(
            "shard %d: what happened in about %.1f s, until %.1f s ago, %s; it is fetched%s",
            number_of(shard),
            until - point.moment,
            max(now - until, 0.0),
            ONLY_GONE if received else NOBODY,
            f" as far as catch_up={self._config.catch_up:g} reaches" if fetch_since > point.moment else "",
        )
        self._stats.add("gaps", str(number_of(shard)))
        revision = self._node.gaps.write(shard, state, term.guard())
        if not revision:
            raise LeadershipEnded
        self._node.watch.wait_revision(revision, SHOWN)
        self._wake()
        return state

    def _continue(self, shard: int, client: ShardClient, term: LeaderTerm, state: GapState) -> None:
        run = self._runs.get(shard)
        if run is None or run.term is not term:
            self.end_run(shard)
            run = self._runs[shard] = GapRun(self._host, shard, term, client)
            self._node.mark_leases.hold()
        self._node.mark_leases.renew()
        mine = self._reaches.reach(shard)
        if mine is not None:
            reaches, unknown = self._reaches.all(shard, mine)
            until = min(reach.since for reach in reaches)
            if until > state.until and not unknown:
                # Whoever had received what followed is gone: the gap is longer.
                state = run.extend(state, until + GRAIN)
            self._note_gap(shard, term, state)
        if run.turn(state):
            _log.info("shard %d: all that was fetched is handled: the gap is over", number_of(shard))
            self.end_run(shard)

    def end_run(self, shard: int) -> None:
        run = self._runs.pop(shard, None)
        if run is not None:
            run.stop()
            if not self._runs:
                self._node.mark_leases.let_go()

    # -- for the run -----------------------------------------------------------------------------------------

    def _wanted(self) -> frozenset[str]:
        """The gateway types that a handler wants."""
        kinds = {EVENTS[name].gateway for name in self._registry.events}
        return frozenset(kind for kind in kinds if kind is not None)

    def _missing(self, kinds: frozenset[str]) -> list[str]:
        """The names of wanted events that Discord does not keep."""
        return sorted(
            name
            for name in self._registry.events
            if (kind := EVENTS[name].gateway) is not None
            and EVENTS[name].scope is not Scope.EVERY
            and (kind not in KEPT or kind in kinds or name == "thread_join")
        )

    def _handled(self, shard: int, missed: Missed, received: bool) -> Sequence[str]:
        """What the leader has handled of an event, or will, since it received it, too: names, or parts."""
        if received:
            return [name for name in self._registry.led if EVENTS[name].gateway == missed.type]
        led = led_events(self._registry, self._config.ordering, shard, missed.type, missed.payload)
        point = self._node.points.get(shard)
        since = point.revision if point is not None else 0
        found = self._leaders.handled(shard, [each.event for each in led], since)
        left = {each.name for each in led if each.event.key not in found}
        whole = {each.name for each in led} - left
        return [*sorted(whole), *(each.part for each in led if each.name in left and each.event.key in found)]

"""CatchUp: keeps each shard's point, notices gaps, and has their events handled.

Guarantees
- Each replica says in its member record what it knows of its shards (``Reach``). A shard's leader carries the
  point on by these. Where no live replica's reach overlaps the point, there is a gap, and the leader fetches
  what Discord keeps of it.
- What is fetched goes through every host of the shard, in order, as if Discord had sent it.
- From READY on, new events of a shard wait (``Barrier``) until another replica is known to have received
  everything since the point, or what was missed in their channel stands before them.
- What can't be had back is told to the bot: ``gap``.

Not guaranteed: events of handlers that only some replicas have, which their reach does not tell.

Threads and locks: ``discordha-catch-up``, started by ``start``, joined by ``stop``. It blocks on etcd, and
alone has the tables below, but for ``_keys``, whose entries the gateway's thread fills, and ``_shut_since``,
which that thread alone changes. At a lost lease or watch it waits; writes of an ended leadership are refused
by etcd. At a drain, ``pause`` and ``settle``, then ``stop``.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from discordha.catch_up.fetch import HistoryFetcher
from discordha.config import Config
from discordha.coordination.etcd.store import LeaseNotFound
from discordha.coordination.gaps.points import Point
from discordha.coordination.gaps.stream import FrameEvent, GapState, summary
from discordha.coordination.membership.shard_keys import generation_of, number_of
from discordha.coordination.node import CoordinationNode
from discordha.dispatch import Dispatcher
from discordha.dispatch.handlers import HandlerRegistry
from discordha.errors import DiscordHAError
from discordha.events import CaughtUp
from discordha.gateway import Gateway
from discordha.gateway.client import ShardClient
from discordha.leader.service import LeaderService
from discordha.outage.intake import Intake
from discordha.outage.leading import GapLeader, gap_of
from discordha.outage.led import led_events
from discordha.outage.reaches import Reaches
from discordha.outage.run import LeadershipEnded, channel_of
from discordha.outage.telling import GAP, Telling
from discordha.process.threads import unending
from discordha.stats import Stats

__all__ = ["GAP", "CatchUp"]

_log = logging.getLogger(__name__)

#: How often the thread looks: while something is caught up or held back, and otherwise, seconds.
BUSY_CHECK = 0.1
IDLE_CHECK = 0.5
#: How long new events wait for a decision, seconds. Then they go on, and their order is given up.
DECISION_LIMIT = 30.0


class CatchUp:
    """See the module.

    :param is_deaf: whether peers receive a shard's events while this replica does not.
    """

    def __init__(  # noqa: PLR0917
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
        self._clock = time.monotonic
        self.enabled = config.catch_up > 0
        self._shut_since: dict[int, float] = {}  # shards whose new events wait, and since which session
        self._cut_off_at: dict[int, float] = {}  # when a shard could not be decided about last
        self._intake = Intake(gateway.soon, self._clock)
        self._reaches = Reaches(
            node.members, gateway, leaders, dispatcher, replica_id, is_deaf=is_deaf, clock=self._clock
        )
        self._telling = Telling(node.gaps, gateway, dispatcher, registry, self.wake)
        self._leader = GapLeader(
            config,
            node,
            gateway,
            leaders,
            registry,
            stats,
            replica_id,
            reaches=self._reaches,
            undone=self._undone,
            tell=self._telling.tell,
            is_shut=self._shut_since.__contains__,
            open=self._let_go,
            wake=self.wake,
            fetcher=fetcher,
        )
        #: Of the frames taken here: their events' channels and keys; ``None`` before all of them are known.
        self._keys: dict[tuple[int, tuple[int, int]], list[tuple[str, str]] | None] = {}
        self._seen: dict[int, float | None] = {}  # by shard: for which session the barrier is set
        self._closed: dict[int, tuple[float, Collection[str] | None]] = {}  # what it was told last, for which
        self._taken: dict[int, tuple[int, int]] = {}  # the last frame that was taken
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

    def stop(self, timeout: float = 0.5) -> None:
        """Ends the thread. Blocks for a call in flight, for ``timeout`` seconds at the most; closing the
        store ends the call. Idempotent.
        """
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._leader.stop()

    def wake(self) -> None:
        """Has the thread look. Does not block; any thread."""
        self._wake.set()

    # -- the gateway's thread --------------------------------------------------------------------------------

    def on_new_session(self, shard: int) -> None:
        """A session begins: its first event follows."""
        if not self.enabled:
            return
        self._reaches.began(shard)
        if not self._pausing and self._node.points.get(shard) is not None:
            self._dispatcher.barrier.set(shard, None)
            self._shut_since[shard] = self._clock()
        self._wake.set()

    def _take(
        self, client: ShardClient, event: FrameEvent, until: float, keys: list[tuple[str, str]]
    ) -> None:
        happened_at, is_late = self._clock() - client.age_of(event.moment), event.moment <= until
        caught_up = CaughtUp(event.moment, happened_at, event.handled, is_late=is_late)
        try:
            client.catch_up(event.kind, event.data, caught_up)
        finally:
            channel = channel_of(event.data)
            keys += [(channel, key) for key in caught_up.keys]

    def _end_frame(self, shard: int, place: tuple[int, int], keys: list[tuple[str, str]]) -> None:
        self._keys[shard, place] = keys
        self._wake.set()

    def _narrow(self, shard: int, since: float, closed: Collection[str] | None) -> None:
        """Sets the barrier, unless another session has begun since that was thought."""
        if self._shut_since.get(shard) != since:
            return
        if closed is not None and not closed:
            del self._shut_since[shard]
        if self._dispatcher.barrier.is_closed(shard):
            self._dispatcher.barrier.set(shard, closed)

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            busy = self._shut_since or self._leader.busy
            self._wake.wait(BUSY_CHECK if busy else IDLE_CHECK)
            self._wake.clear()
            if self._stop.is_set():
                return
            self._leader.note()
            for shard, client in list(self._gateway.clients.items()):
                try:
                    self._tend(shard, client)
                except LeadershipEnded:
                    self._leader.end_run(shard)
                except (DiscordHAError, LeaseNotFound) as error:
                    _log.debug("shard %d: the catch-up waits: %s", number_of(shard), error)
                    self._stop.wait(0.2)

    def _tend(self, shard: int, client: ShardClient) -> None:
        session = self._leaders.session(shard)  # before anything else is read; its begin is noted here first
        self._seen[shard] = self._shut_since.get(shard)
        # Before the frames: a leader begins its journal only when it knows all that its predecessors wrote.
        term = self._leaders.acting(shard) if not self._pausing else None
        if client.state().ready:
            state = self._take_frames(shard, client)
            is_told = self._set_barrier(shard, state)
            self._leaders.note_gap(shard, gap_of(state), session=session if is_told else None)
        if term is None or not self._node.watch.alive or not client.state().ready:
            self._leader.end_run(shard)
        else:
            self._leader.lead(shard, client, term)

    def _take_frames(self, shard: int, client: ShardClient) -> GapState | None:
        """Takes the frames that are new here; returns the state that goes with them."""
        frames, state = self._node.gaps.frames(shard, self._taken.get(shard, (0, -1)))
        until = state.until if state is not None else math.inf
        for frame in frames:
            self._keys[shard, frame.place] = None
            self._taken[shard] = frame.place
            self._leave_to_claims(shard, frame.events)
            keys: list[tuple[str, str]] = []
            self._intake.put(
                [
                    *(partial(self._take, client, event, until, keys) for event in frame.events),
                    partial(self._end_frame, shard, frame.place, keys),
                ]
            )
        if state is not None and state.over:
            for key in [key for key in self._keys if key[0] == shard and key[1][0] <= state.number]:
                del self._keys[key]
        return state

    def _leave_to_claims(self, shard: int, events: Sequence[FrameEvent]) -> None:
        """Has the journal forget what is caught up: this replica may have received it, and the leader that
        fetched it not.
        """
        claimed = [
            led.event
            for each in events
            for led in led_events(self._registry, self._config.ordering, shard, each.kind, each.data)
            if led.event.identity.is_unique and not {led.name, led.part} & set(each.handled)
        ]
        if claimed:
            self._leaders.leave_to_claims(shard, claimed)

    # -- the barrier -----------------------------------------------------------------------------------------

    def _set_barrier(self, shard: int, state: GapState | None) -> bool:
        """Returns whether it is known what the session has missed."""
        since = self._seen[shard]
        if since is None:
            return True
        closed = self._to_close(shard, state, max(since, self._cut_off_at.get(shard, since)))
        self._tell_barrier(shard, since, closed)
        return closed is not None

    def _let_go(self, shard: int) -> None:
        if (since := self._seen[shard]) is not None:
            self._tell_barrier(shard, since, ())

    def _tell_barrier(self, shard: int, since: float, closed: Collection[str] | None) -> None:
        """Has the barrier set, behind the frames that were taken."""
        if self._closed.get(shard, (since, None)) != (since, closed):
            self._intake.put([partial(self._narrow, shard, since, closed)])
        self._closed[shard] = since, closed

    def _to_close(self, shard: int, state: GapState | None, since: float) -> Collection[str] | None:
        """The channels of a shard whose new events have to wait; ``None``: all."""
        point = self._node.points.get(shard)
        if point is None or self._pausing:
            return ()
        serving = self._node.plan.serving
        if serving is not None and generation_of(shard) != serving:
            closed = self._closed_by(self._node.points.of(serving), shard, since)
            if closed is not None:
                return None if closed else ()
        elif state is not None and not state.over:
            # It may be about an earlier gap, until its leader knows that sessions ended once more.
            if self._reaches.is_covered(shard, Point(state.until), since):
                if state.fetched:
                    return ()
                waits = self._config.ordering == "channel" and state.waiting is not None
                return frozenset(state.waiting or ()) if waits else None
        elif self._reaches.is_covered(shard, point, since):
            return ()
        else:
            earlier = self._node.points.inherited(shard)
            if earlier and self._closed_by(earlier, shard, since) is False:
                return ()
        if not self._node.watch.alive or self._node.session.current is None:
            self._cut_off_at[shard] = self._clock()
        elif self._clock() - since > DECISION_LIMIT:
            _log.warning(
                "shard %d: no leader has said for %.0f s what was missed; new events go on, and may come "
                "before those",
                number_of(shard),
                DECISION_LIMIT,
            )
            return ()
        return None

    def _closed_by(self, points: Mapping[int, Point], shard: int, since: float) -> bool | None:
        """Whether new events of a shard have to wait for shards of another generation, with their points;
        ``None``: it is not decided. These receive the same events, and bring them in order. Nothing tells
        what is caught up of those that this replica does not host, until all of it is handled.
        """
        is_decided = True
        for key, point in points.items():
            if not self._node.plan.may_share(shard, key):
                continue
            client = self._gateway.clients.get(key)
            if client is not None:
                if key in self._shut_since or not client.state().ready:  # its session may be about to begin
                    return True
                continue
            state = self._node.gaps.state(key)
            if state is not None and not state.over:
                return True
            if not self._reaches.is_covered(key, point, since, shard):
                is_decided = False
        return False if is_decided else None

    def _undone(self, shard: int, place: tuple[int, int]) -> Counter[str] | None:
        """How many events of a frame are not done, by channel; ``None``: the frame is not taken here yet."""
        keys = self._keys.get((shard, place))
        if keys is None:
            return None
        keys[:] = [each for each in keys if self._dispatcher.knows(each[1])]
        return Counter(channel for channel, _ in keys)

    # -- for other parts; any thread; no I/O -----------------------------------------------------------------

    def on_change(self) -> None:
        """A connection was made or lost. Gateway thread."""
        self._reaches.on_change()

    def _on_point(self, shard: int, point: Point) -> None:
        """A point was written. Watch thread."""
        self._reaches.on_point(shard, point)
        self._wake.set()

    def reaches(self) -> dict[str, list[float]]:
        """For the member record."""
        return self._reaches.reaches() if self.enabled else {}

    def acknowledged(self) -> dict[str, int]:
        """For the member record, before ``reaches``."""
        return self._reaches.acknowledged() if self.enabled else {}

    def tell_again(self, shard: int) -> None:
        """See ``Telling``."""
        self._telling.tell_again(shard)

    # -- ends ------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Writes the points of a replica that has finished everything that it received. Blocks on etcd."""
        if not self.enabled:
            return
        for shard in list(self._gateway.clients):
            point, mine, state = (
                self._node.points.get(shard),
                self._reaches.reach(shard),
                self._node.gaps.state(shard),
            )
            if point is None or mine is None or self._reaches.oldest(shard) is not None:
                continue
            if (state is not None and not state.over) or not mine.since <= point.moment:
                continue
            try:
                # Without a connection, what happened since the session ended is missing here, too.
                point = Point(max(point.moment, mine.until), point.revision, clean=mine.connected)
                self._node.points.advance(shard, point)
            except (DiscordHAError, LeaseNotFound) as error:
                _log.debug("shard %d: its point is not written: %s", number_of(shard), error)

    def status(self) -> dict[int, Any]:
        """Each shard's last gap. No I/O; any thread."""
        return {number_of(shard): summary(state) for shard, state in self._node.gaps.states().items()}

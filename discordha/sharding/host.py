"""Hosts the shards that the plan gives to this replica, and moves them between replicas without a gap.

Guarantees
- The replica opens its shards one after another, as its turns at IDENTIFY come.
- Make before break: a host leaves a shard only after every planned successor has announced it ready, and
  after all events from before that moment are done. Handlers that still run keep their client.
- A replica that stood still may be the only one that received some events of a shard that moved meanwhile. It
  handles them: if their leader has passed them over, this replica leads once more.
- A draining replica's shards move in the same way; a dead replica is replaced at once.

Not guaranteed: that all replicas see the plan alike at one moment. Claims, elections and journals keep each
event single anyway.

The phases of a shard: *in* (open, announced while ready), *settling* (successors are ready, older events
finish), *resigning* (leadership moves), *left* (no session, handlers finish), then gone.

Threads and locks: ``ShardHost`` owns the thread ``discordha-shards``: ``start`` starts it, ``stop`` joins it.
It blocks on etcd and on Discord's API. All state belongs to it; ``_hosted`` is replaced as a whole for
readers. The plan's listeners only wake it. A lost session ends announcements, which the thread repeats under
the next grant. While the watch is down, no shard moves. At stop, call ``give_away`` first.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable

from discordha.config import Config
from discordha.coordination.membership.shard_keys import generation_of, key_of, number_of
from discordha.coordination.node import CoordinationNode
from discordha.coordination.session import Grant
from discordha.dispatch import Dispatcher
from discordha.errors import ConfigError, DiscordHAError
from discordha.gateway import Gateway
from discordha.leader.service import LeaderService
from discordha.process.threads import note_failure, unending
from discordha.sharding.planner import ShardPlanner

__all__ = ["ShardHost"]

_log = logging.getLogger(__name__)

#: How often the thread checks its shards, seconds.
TEND_INTERVAL = 0.1
#: How long unfinished events may keep a shard, seconds: a standby's journal may hold an event that its leader
#: never received.
MAX_SETTLING = 60.0
#: A replica that leaves a shard asks to lead it once its events have waited for so many seconds.
TAKEOVER_AFTER = 3.0
#: Pause after a shard could not be opened, seconds.
OPEN_RETRY_PAUSE = 1.0


@dataclasses.dataclass(eq=False)
class _Hosted:
    """One shard that this replica hosts. Moments are by the monotonic clock."""

    key: int
    count: int  # of its generation's shards
    phase: str = "in"
    announced: Grant | None = None  # the grant under which it is announced ready
    was_ready: bool = False
    lost_at: float | None = None  # since when it is not ready
    successors_ready: tuple[int, float] | None = None  # etcd's revision when they were, and that moment
    handed_at: float = 0.0  # from when on the successors receive all events
    takeover_asked: bool = False  # it has asked, and not led since
    left_at: float = 0.0


class ShardHost:
    """The shards of one replica.

    :param is_deaf: tells whether peers receive events of a shard, by its key, while this replica does not.
    :param on_fatal: takes the error that this replica cannot go on with.
    """

    def __init__(
        self,
        config: Config,
        coordination: CoordinationNode,
        gateway: Gateway,
        leaders: LeaderService,
        dispatcher: Dispatcher,
        *,
        replica_id: str,
        is_deaf: Callable[[int], bool],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._coordination = coordination
        self._plan = coordination.plan
        self._gateway = gateway
        self._leaders = leaders
        self._dispatcher = dispatcher
        self._replica_id = replica_id
        self._planner = ShardPlanner(coordination, replica_id, config.replication)
        self._deaf_after = config.deaf_after
        self._is_deaf = is_deaf
        self._on_fatal = on_fatal
        self._clock = time.monotonic
        self._hosted: dict[int, _Hosted] = {}
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-shards", daemon=True
        )
        self._plan.listeners.append(self._wake.set)

    def start(self, count: int) -> None:
        """Founds the first generation of shards if there is none, and starts the thread. Blocks on etcd.

        :param count: the number of shards in this replica's configuration.
        :raises StoreUnavailable: etcd does not answer.
        """
        plan = self._plan
        if plan.count is None and not plan.found(count):
            self._coordination.watch.sync(5.0)
        if plan.count not in (None, count):
            text = "shard_count is %d here, but the bot runs with %d shards until `discordha reshard %d`"
            _log.warning(text, count, plan.count, count)
        self._thread.start()

    def poke(self) -> None:
        """Has the thread check its shards now. Never blocks; any thread."""
        self._wake.set()

    def give_away(self, timeout: float, hurry: Callable[[], bool] | None = None) -> bool:
        """Waits until other replicas host every shard of this one. Blocks for at most ``timeout`` seconds, or
        until ``hurry``. The member record must say that this replica drains.

        :return: whether no shard is left.
        """
        deadline = self._clock() + timeout
        while self._thread.is_alive() and self._planner.successors():
            self._wake.set()
            if all(hosted.phase == "left" for hosted in self._hosted.values()):
                return True
            if self._clock() >= deadline or (hurry is not None and hurry()):
                break
            self._stop.wait(0.02)
        return False

    def stop(self) -> None:
        """Ends the thread and leaves shards open. Blocks for a call in flight. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    # -- status; no I/O; any thread --------------------------------------------------------------------------

    @property
    def planned(self) -> bool:
        """Whether the plan is for the present members, this replica among them."""
        return self._planner.planned

    @property
    def missing(self) -> list[int]:
        """The numbers of the planned shards that have never been ready here."""
        hosted = self._hosted
        return [
            number_of(key)
            for key in self._wanted()
            if generation_of(key) == self._plan.serving and not (key in hosted and hosted[key].was_ready)
        ]

    def was_ready(self, key: int) -> bool:
        """Whether a shard has been ready here and does not leave: readiness depends on it."""
        hosted = self._hosted.get(key)
        return hosted is not None and hosted.was_ready and hosted.phase == "in"

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(TEND_INTERVAL)
            self._wake.clear()
            try:
                self._tend()
            except ConfigError as error:
                self._on_fatal(error)
                return
            except DiscordHAError as error:
                _log.warning("shards cannot be moved for now: %s", error)
                self._stop.wait(0.2)
            except Exception as error:  # noqa: BLE001 - the thread must not end
                _log.exception("shards could not be moved; trying again")
                note_failure(error)
                self._stop.wait(1.0)

    def _tend(self) -> None:
        if self._plan.serving is None or not self._coordination.watch.alive:
            return
        self._planner.write()
        wanted = self._wanted()
        for hosted in list(self._hosted.values()):
            self._stand_anew(hosted.key)
            self._step(hosted, hosted.key in wanted)
        for key in sorted(wanted - self._hosted.keys()):
            if self._stop.is_set() or self._clock() < self._retry_at:
                break
            self._open(key)
        self._planner.switch()

    def _wanted(self) -> set[int]:
        """The keys of the shards that the plan gives to this replica."""
        return {
            key
            for generation in self._plan.generations
            for key, hosts in self._plan.placement(generation).items()
            if self._replica_id in hosts
        }

    def _open(self, key: int) -> None:
        generation, number = generation_of(key), number_of(key)
        count = self._plan.generations.get(generation)
        if count is None:
            return
        guard = (self._plan.guard(key),)
        self._host((number, count))
        self._leaders.open(key, number, count, guard=guard, may_act=lambda: self._may_act(key))
        try:
            self._gateway.open_shard(key, number, count)
        except ConfigError:
            raise
        except DiscordHAError as error:
            self._leaders.close(key)
            self._host(wait=False)
            self._retry_at = self._clock() + OPEN_RETRY_PAUSE
            _log.warning("shard %d cannot be opened: %s; trying again", number, error)
            return
        self._hosted = {**self._hosted, key: _Hosted(key, count)}

    def _host(self, *more: tuple[int, int], wait: bool = True) -> None:
        """Has the watch tell of the shards that are open, and of ``more``."""
        shards = [(number_of(hosted.key), hosted.count) for hosted in self._hosted.values()]
        self._coordination.host((*shards, *more), wait=wait)

    def _may_act(self, key: int) -> bool:
        """Whether this replica may act as a shard's leader: the shard's generation serves, the one before
        has no leader, and this leader's fencing token is newer than all of that one's.
        """
        generation, elections = generation_of(key), self._coordination.elections
        if self._plan.serving != generation or elections.has_candidate_below(key_of(generation, 0)):
            return False
        election = self._leaders.election(key)
        term = election.leadership if election is not None else None
        return term is not None and term.fencing_token > self._plan.serving_since

    def _stand_anew(self, key: int) -> None:
        """Has a candidate from before its generation served stand once more, for a fencing token that is
        newer than those of the generation before. It has not acted yet.
        """
        election, plan = self._leaders.election(key), self._plan
        if election is None or generation_of(key) != plan.serving:
            return
        if 0 < election.revision < plan.serving_since and not election.leaving:
            election.resign(True)

    def _step(self, hosted: _Hosted, wanted: bool) -> None:
        if hosted.phase == "in":
            self._announce(hosted)
            if wanted:
                hosted.successors_ready = None
            else:
                self._begin_to_leave(hosted)
        if hosted.phase == "settling":
            if wanted or not self._has_successors(hosted.key):
                hosted.phase = "in"
                return
            if hosted.takeover_asked and self._leaders.leads(hosted.key):
                # The successors' marks acknowledged the oldest of equal events here. No replica has handled
                # the events that are left, whenever they arrived.
                hosted.takeover_asked = False
                hosted.handed_at = self._clock()
            if not self._has_before(hosted.key, hosted.handed_at):
                self._resign(hosted)
            elif self._clock() - hosted.handed_at >= TAKEOVER_AFTER and self._asks_to_lead(hosted):
                hosted.takeover_asked = True
        if hosted.phase == "resigning":
            out = self._leaders.is_out(hosted.key)
            if out and not self._has_before(hosted.key, hosted.handed_at):
                self._gateway.leave_shard(hosted.key)
                hosted.phase, hosted.left_at = "left", self._clock()
        if hosted.phase == "left" and not self._has_before(hosted.key, hosted.left_at + MAX_SETTLING):
            self._forget(hosted)

    def _announce(self, hosted: _Hosted) -> None:
        """Tells peers whether this replica is ready for the shard."""
        key, grant = hosted.key, self._coordination.session.current
        now = self._clock()
        state = self._gateway.state(key)
        if state.ready and not self._is_deaf(key):
            hosted.lost_at = None
            if not hosted.was_ready and self._leaders.in_doubt(key):
                return  # perhaps only the host that would leave can resolve the doubt
            serves = generation_of(key) == self._plan.serving
            if not hosted.was_ready and not serves and self._leaders.misses():
                return  # once all are ready, other leaders act, which may have missed more
            if grant is not None and hosted.announced is not grant:
                self._plan.announce(key, grant)
                hosted.announced = grant
                hosted.was_ready = True
            return
        if hosted.lost_at is None:
            hosted.lost_at = now
        # Silence counts from the last frame: a silent connection was dead before it was replaced.
        lost_for = max(now - hosted.lost_at, state.silent)
        if hosted.announced is not None and (self._is_deaf(key) or lost_for >= self._deaf_after):
            self._plan.withdraw(key)
            hosted.announced = None

    def _begin_to_leave(self, hosted: _Hosted) -> None:
        key = hosted.key
        if not hosted.was_ready:
            # No replica relies on this one: there is nothing to wait for.
            self._forget(hosted)
        elif generation_of(key) not in self._plan.generations:
            # The next generation serves, and its leaders wait for the leaders of this one.
            hosted.handed_at = self._clock()
            self._resign(hosted)
        elif self._has_successors(key) and self._has_caught_up(hosted):
            hosted.successors_ready = None
            hosted.handed_at = self._clock()
            hosted.phase = "settling"

    def _has_successors(self, key: int) -> bool:
        """Whether all other replicas that the plan names for a shard are ready for it."""
        hosts = self._plan.placement(generation_of(key)).get(key, ())
        successors = set(hosts) - {self._replica_id}
        return bool(successors) and successors <= self._plan.ready(key)

    def _has_caught_up(self, hosted: _Hosted) -> bool:
        """Whether all events have arrived that happened before the successors were ready: perhaps no other
        replica received them. A process that stood still learns of its successors before it reads its socket.
        """
        if hosted.successors_ready is None:
            hosted.successors_ready = (self._coordination.watch.revision, self._clock())
            self._gateway.beat(hosted.key, hosted.successors_ready[0])  # a new connection beats by itself
        revision, since = hosted.successors_ready
        known = self._gateway.acknowledged_revision(hosted.key)
        return known >= revision or self._clock() - since >= MAX_SETTLING

    def _asks_to_lead(self, hosted: _Hosted) -> bool:
        return self._leaders.ask_for_passed_over(hosted.key, hosted.handed_at)

    def _has_before(self, key: int, moment: float) -> bool:
        """Whether an event from before a moment is not done."""
        oldest = self._dispatcher.oldest(key)
        if oldest is not None and oldest < moment:
            return True
        oldest = self._leaders.oldest(key)
        if oldest is None or oldest >= moment:
            return False
        if self._leaders.busy(key):
            return True
        # What nobody will ever handle here must not hide what came after it.
        youngest = self._leaders.youngest(key, moment)
        return youngest is not None and self._clock() - youngest < MAX_SETTLING

    def _resign(self, hosted: _Hosted) -> None:
        hosted.phase = "resigning"
        self._leaders.retire(hosted.key)
        self._plan.withdraw(hosted.key)
        hosted.announced = None

    def _forget(self, hosted: _Hosted) -> None:
        if hosted.announced is not None:
            self._plan.withdraw(hosted.key)
        self._gateway.close_shard(hosted.key)
        self._leaders.close(hosted.key)
        self._hosted = {key: other for key, other in self._hosted.items() if other is not hosted}
        self._host(wait=False)
        _log.info("other replicas host shard %d now", number_of(hosted.key))

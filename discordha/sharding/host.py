"""Shards: which of them this replica hosts, and how they come and go without a gap.

Promises
- What the plan gives to this replica is opened, one after another, as the turns at IDENTIFY come.
- Make before break: a shard is let go when all hosts that the plan names have announced it ready, and
  everything is done that came in before they had. Handlers that still run keep their client.
- What only this replica has received of a shard that was given to others meanwhile (it stood still, and is
  back) is handled: where their leader has passed it over, this replica leads once more.
- A replica that drains is given away in the same way; one that dies is replaced at once.

Does not promise that two replicas see the plan alike at one moment: claims, elections and journals keep
events single, whoever hosts what.

A shard on its way: *in* (open; announced while it is ready), *settling* (its successors are ready; what came
before them is finished), *resigning* (leadership moves), *left* (no session any more; handlers finish), gone.

Concurrency
- The thread ``discordha-shards`` is owned by ``Hosting``: started by ``start``, joined by ``stop``. It blocks
  on etcd and on Discord's API, and all state is its own but for what is replaced as a whole (``_hosted``).
- The plan's ``listeners`` are told on the watch's thread: it is only woken by them.
- At a lost session announcements are gone; they are made again under the next grant. At a lost watch nothing
  moves until it is back. At stop, ``give_away`` first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from discordha.coordination.election.candidates import request_resignation
from discordha.coordination.membership.shard_keys import generation_of, key_of, number_of
from discordha.coordination.node import CoordinationNode
from discordha.coordination.session import Grant
from discordha.errors import ConfigError, DiscordHAError
from discordha.gateway import Gateway
from discordha.leader.service import LeaderEvents
from discordha.sharding.planner import ShardPlanner

__all__ = ["Hosting"]

_log = logging.getLogger(__name__)

#: How often the thread looks, seconds.
LOOK = 0.1
#: A standby's journal may hold an event that its leader never received: it keeps a shard no longer than this.
PHANTOM = 60.0
#: How often a replica that leaves a shard asks to lead it, while its leader has passed over what it keeps,
#: seconds.
ASK = 3.0
#: Pause after a shard could not be opened, seconds.
RETRY = 1.0


class _Events(Protocol):
    """The part of ``Dispatcher`` that is used here."""

    def oldest(self, shard_id: int) -> float | None: ...


class _Hosted:
    """One shard that this replica hosts.

    :ivar leaves: etcd's revision when its successors were ready, and when that was.
    :ivar handed_at: from when on they have what comes.
    :ivar ask_at: when it asks to lead once more; ``asked``: it has, and has not led since.
    """

    def __init__(self, key: int) -> None:
        self.key = key
        self.phase = "in"
        self.announced: Grant | None = None
        self.was_ready = False
        self.lost_at: float | None = None
        self.handed_at = 0.0
        self.leaves: tuple[int, float] | None = None
        self.ask_at = 0.0
        self.asked = False
        self.left_at = 0.0


class Hosting:
    """See the module.

    :param replication: on how many replicas each shard runs.
    :param deaf_after: seconds after which a shard that is not ready is withdrawn; after its last sign of life
        where its connection fell silent.
    :param is_deaf: whether peers receive events of a shard while this replica does not.
    :param on_fatal: hears of what this replica can't go on with.
    """

    def __init__(
        self,
        coordination: CoordinationNode,
        gateway: Gateway,
        leaders: LeaderEvents,
        events: _Events,
        replica_id: str,
        *,
        replication: int,
        deaf_after: float,
        is_deaf: Callable[[int], bool],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._coordination = coordination
        self._plan = coordination.plan
        self._gateway = gateway
        self._leaders = leaders
        self._events = events
        self._replica_id = replica_id
        self._planner = ShardPlanner(coordination, replica_id, replication)
        self._deaf_after = deaf_after
        self._is_deaf = is_deaf
        self._on_fatal = on_fatal
        self._clock = time.monotonic
        self._hosted: dict[int, _Hosted] = {}
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discordha-shards", daemon=True)
        self._plan.listeners.append(self._wake.set)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self, count: int) -> None:
        """Founds the first generation, if there is none, and starts the thread. Blocks on etcd.

        :param count: the number of shards that this replica was configured with.
        :raises StoreUnavailable: etcd does not answer.
        """
        plan = self._plan
        if plan.count is None and not plan.found(count):
            self._coordination.watch.sync(5.0)
        if plan.count not in (None, count):
            _log.warning(
                "shard_count is %d here, and the bot runs with %d: that counts, until `discordha reshard %d`",
                count,
                plan.count,
                count,
            )
        self._thread.start()

    def poke(self) -> None:
        """Something may have changed. Never blocks; any thread."""
        self._wake.set()

    def give_away(self, timeout: float, hurry: Callable[[], bool] | None = None) -> bool:
        """Waits until other replicas host what this one did. Blocks for at most ``timeout`` seconds. The
        member record must say that this replica drains.

        :return: whether everything was given away.
        """
        deadline = self._clock() + timeout
        while self._thread.is_alive() and self._planner.heirs():
            self._wake.set()
            if not any(hosted.phase != "left" for hosted in self._hosted.values()):
                return True
            if self._clock() >= deadline or (hurry is not None and hurry()):
                break
            self._stop.wait(0.02)
        return False

    def stop(self) -> None:
        """Ends the thread; what is open stays open. Blocks for a call in flight. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    # -- what others ask; no I/O; any thread -----------------------------------------------------------------

    @property
    def planned(self) -> bool:
        """Whether the plan is one for the present members, this replica among them."""
        return self._planner.planned

    @property
    def missing(self) -> list[int]:
        """The shards that this replica should host, and that have never been ready here."""
        hosted = self._hosted
        return [
            number_of(key)
            for key in self._wanted()
            if generation_of(key) == self._plan.serving and not (key in hosted and hosted[key].was_ready)
        ]

    def hosts(self, key: int) -> bool:
        """Whether this replica receives a shard's events."""
        hosted = self._hosted.get(key)
        return hosted is not None and hosted.phase != "left"

    def was_ready(self, key: int) -> bool:
        """Whether the shard has been ready here, so that it counts when it is not."""
        hosted = self._hosted.get(key)
        return hosted is not None and hosted.was_ready and hosted.phase == "in"

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(LOOK)
            self._wake.clear()
            try:
                self._tend()
            except ConfigError as error:
                self._on_fatal(error)
                return
            except DiscordHAError as error:
                _log.warning("the shards wait: %s", error)
                self._stop.wait(0.2)
            except Exception:  # noqa: BLE001 - the thread must not end
                _log.exception("the shards could not be looked after")
                self._stop.wait(1.0)

    def _tend(self) -> None:
        if self._plan.serving is None or not self._coordination.watch.alive:
            return
        self._planner.write()
        wanted = self._wanted()
        for hosted in list(self._hosted.values()):
            self._step(hosted, hosted.key in wanted)
        for key in sorted(wanted - self._hosted.keys()):
            if self._stop.is_set() or self._clock() < self._retry_at:
                break
            self._open(key)
        self._planner.switch()

    def _wanted(self) -> set[int]:
        """What the plan gives to this replica."""
        return {
            key
            for generation in self._plan.generations
            for key, hosts in self._plan.placement(generation).items()
            if self._replica_id in hosts
        }

    # -- one shard -------------------------------------------------------------------------------------------

    def _open(self, key: int) -> None:
        plan = self._plan
        generation, number = generation_of(key), number_of(key)
        count = plan.generations.get(generation)
        if count is None:
            return
        self._leaders.open(
            key,
            number,
            count,
            guard=(plan.guard(key),),
            may_act=lambda: self._may_act(generation),
        )
        try:
            self._gateway.open_shard(key, number, count)
        except ConfigError:
            raise
        except DiscordHAError as error:
            self._leaders.close(key)
            self._retry_at = self._clock() + RETRY
            _log.warning("shard %d can't be opened: %s", number, error)
            return
        self._hosted = {**self._hosted, key: _Hosted(key)}

    def _may_act(self, generation: int) -> bool:
        """Whether leaders of a generation may act: it serves, and nobody leads in the one before."""
        first = key_of(generation, 0)
        elections = self._coordination.elections
        return self._plan.serving == generation and not elections.has_candidate_below(first)

    def _step(self, hosted: _Hosted, wanted: bool) -> None:
        if hosted.phase == "in":
            self._announce(hosted)
            if wanted:
                hosted.leaves = None
            else:
                self._begin_to_leave(hosted)
        if hosted.phase == "settling":
            if wanted or not self._has_heirs(hosted.key):
                hosted.phase = "in"
                return
            if hosted.asked and self._leaders.leads(hosted.key):
                # Marks of its successors were counted off from what had come in here first, of equal events:
                # what is left is what nobody has handled, whenever it came in.
                hosted.asked = False
                hosted.handed_at = self._clock()
            if not self._has_before(hosted.key, hosted.handed_at):
                self._resign(hosted)
            elif self._clock() >= hosted.ask_at and self._leaders.passed_over(hosted.key, hosted.handed_at):
                self._ask_to_lead(hosted)
        if hosted.phase == "resigning":
            out = self._leaders.is_out(hosted.key)
            if out and not self._has_before(hosted.key, hosted.handed_at):
                self._gateway.leave_shard(hosted.key)
                hosted.phase = "left"
                hosted.left_at = self._clock()
        if hosted.phase == "left" and not self._has_before(hosted.key, hosted.left_at + PHANTOM):
            self._forget(hosted)

    def _announce(self, hosted: _Hosted) -> None:
        """Tells the others whether this replica is ready for the shard."""
        key, grant = hosted.key, self._coordination.session.current
        now = self._clock()
        state = self._gateway.state(key)
        if state.ready and not self._is_deaf(key):
            hosted.lost_at = None
            if not hosted.was_ready and self._leaders.in_doubt(key):
                return  # whoever leaves the shard for it may be the only one who can tell
            if grant is not None and hosted.announced is not grant:
                self._plan.announce(key, grant)
                hosted.announced = grant
                hosted.was_ready = True
            return
        if hosted.lost_at is None:
            hosted.lost_at = now
        # A connection that is given up for its silence was none before, either.
        lost_for = max(now - hosted.lost_at, state.silent)
        if hosted.announced is not None and (self._is_deaf(key) or lost_for >= self._deaf_after):
            self._plan.withdraw(key)
            hosted.announced = None

    def _begin_to_leave(self, hosted: _Hosted) -> None:
        key = hosted.key
        if not hosted.was_ready:
            # Nobody counts on it: no need to wait for anything.
            self._forget(hosted)
        elif generation_of(key) not in self._plan.generations:
            # The next generation serves, and its leaders wait for this one's.
            hosted.handed_at = self._clock()
            self._resign(hosted)
        elif self._has_heirs(key) and self._has_heard(hosted):
            hosted.leaves = None
            hosted.handed_at = self._clock()
            hosted.ask_at = hosted.handed_at + ASK
            hosted.phase = "settling"

    def _has_heirs(self, key: int) -> bool:
        """Whether all that the plan names for a shard are ready for it."""
        hosts = self._plan.placement(generation_of(key)).get(key, ())
        heirs = set(hosts) - {self._replica_id}
        return bool(heirs) and heirs <= self._plan.ready(key)

    def _has_heard(self, hosted: _Hosted) -> bool:
        """Whether everything has come in here that had happened before the heirs were ready: nobody else may
        have received it. A process that stood still knows of them before it has read what Discord has sent.
        """
        if hosted.leaves is None:
            hosted.leaves = (self._coordination.watch.revision, self._clock())
            self._gateway.beat(hosted.key, hosted.leaves[0])  # a new connection sends one by itself
        revision, since = hosted.leaves
        return self._gateway.proven(hosted.key) >= revision or self._clock() - since >= PHANTOM

    def _ask_to_lead(self, hosted: _Hosted) -> None:
        hosted.ask_at = self._clock() + ASK
        leader = request_resignation(self._coordination.store, self._coordination.root, hosted.key)
        if leader is not None:
            hosted.asked = True
            _log.warning(
                "shard %d: %s was asked to hand over: it has passed over what came in here before it did",
                number_of(hosted.key),
                leader,
            )

    def _has_before(self, key: int, moment: float) -> bool:
        """Whether something is not done that came in before a moment."""
        oldest = self._events.oldest(key)
        if oldest is not None and oldest < moment:
            return True
        oldest = self._leaders.oldest(key)
        if oldest is None or oldest >= moment:
            return False
        return self._leaders.busy(key) or self._clock() - oldest < PHANTOM

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
        _log.info("shard %d is hosted by others now", number_of(hosted.key))

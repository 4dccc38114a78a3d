"""Dispatcher: admits events, and keeps time for those that wait.

Guarantees: an event is admitted once, whatever brings it again (a RESUME, a duplicate, a takeover). Each one
that is dropped is counted by its reason. ``Router`` decides where an event goes, ``LaneWorker`` works it.

Threads and locks: no lock; the locks of the parts are never taken one under another. ``receive`` runs on the
gateway thread and never blocks, ``on_done`` to ``on_resync`` on the watch's or the looks', ``pause`` and
``tick`` on the timer's. At a lost lease items are retried like a dead peer's. At stop: ``drain``, ``stop``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from discordha.config import Config
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.claims.records import Attempts
from discordha.coordination.membership.unreceived import listed
from discordha.dispatch.age_guard import AgeGuards
from discordha.dispatch.barrier import Barrier
from discordha.dispatch.drain import Drain
from discordha.dispatch.handlers import Handler, HandlerRegistry, by_claim
from discordha.dispatch.items import ClaimItem, ClaimStore, Item, Preference, State
from discordha.dispatch.lane_worker import LaneWorker
from discordha.dispatch.lanes import Lanes
from discordha.dispatch.orphans import Orphans
from discordha.dispatch.pending import PendingEvents
from discordha.dispatch.router import Router
from discordha.dispatch.runner import Runner
from discordha.events import EVENTS, CaughtUp, Event, Identity, Scope, decode_payload, identify
from discordha.process.timer import Timer
from discordha.stats import Stats

if TYPE_CHECKING:
    from discordha.telemetry import Telemetry

__all__ = ["Dispatcher"]

_log = logging.getLogger(__name__)

#: How often slow handlers are looked for while others only wait, seconds.
SLOW_CHECK = 1.0
#: How often owners are looked at whose events hold up others, seconds.
SILENCE_CHECK = 0.25
#: An event that is older than the newest by so many seconds may come again, and have its mark.
LOOK_FIRST_AGE = 2.0
_FULL = "the queue is full (queue_size=%d): other replicas get new events; handlers, or etcd, are too slow"
_NEED_PAYLOAD = {name for name, spec in EVENTS.items() if spec.needs_payload}


class Dispatcher:
    """See the module.

    :param to_leader: takes the events of scope ``leader``: (event, handlers, sequence number).
    :param lanes: hold events for the handler threads; started and stopped here.
    :param inject: gives a stored payload to discord.py once more: (text, shard); false when it can't now.
    :param hosts: whether this replica receives a shard's events.
    :param last_attempts: the process's own, which the journals share.
    :param telemetry: makes spans; ``None``: there are none.
    """

    def __init__(
        self,
        config: Config,
        registry: HandlerRegistry,
        runner: Runner,
        stats: Stats,
        *,
        claims: ClaimStore,
        members: Preference,
        to_leader: Callable[[Event, Sequence[Handler], int], None],
        lanes: Lanes,
        inject: Callable[[str, int], bool],
        last_attempts: LastAttempts,
        telemetry: Telemetry | None = None,
        hosts: Callable[[int], bool] = lambda shard_id: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._registry = registry
        self._runner = runner
        self._stats = stats
        self._claims = claims
        self._to_leader = to_leader
        self._lanes = lanes
        self._last_attempts = last_attempts
        self._clock = clock
        self._sequence = 0
        self._guards = AgeGuards(config.retention, clock, lambda name: stats.add("dated_ahead", name))
        self._full = False
        self._stop = threading.Event()
        # The timer's own:
        self._next_sweep = clock() + config.retention / 20
        self._next_look = clock()  # for silent owners
        self._lanes_used = False  # since it looked last
        self._rested = True  # it found nothing to wait for last time
        self.timer = Timer(self.pause, self.tick, clock)
        self._orphans = Orphans(
            claims, stats, max_attempts=config.max_attempts, inject=inject, hosts=hosts, clock=clock
        )
        self._pending = pending = PendingEvents(config.queue_size)
        self._router = router = Router(
            pending, lanes, claims, members, stats, grace=config.grace, wake=self.timer.wake, clock=clock
        )
        self._worker = LaneWorker(
            pending, lanes, claims, router, runner, stats, last_attempts, telemetry, clock
        )
        self._drain = Drain(pending, lanes, router, last_attempts, stats, config.ha, clock)
        self.work = self._worker.work
        self.barrier = Barrier(self._admit_next, config.queue_size, clock)
        claims.listen(self)
        members.listen(self.on_ranks)

    def start(self) -> None:
        """Starts the timer and the lanes. Does not block."""
        self._lanes.start(self.work, self.on_ready)
        self.timer.start()

    # -- admission (gateway thread) --------------------------------------------------------------------------

    def receive(
        self, name: str, args: tuple[Any, ...], raw: str | None, shard: int, revision: int, *, home: str = ""
    ) -> None:
        """Takes one event of discord.py; ``home``: its guild's partition. Never blocks; gateway thread."""
        handlers = self._registry.select(name, args)
        if not handlers:
            return
        self._stats.add("received", name)
        payload: Mapping[str, Any] | None = None
        if raw is not None and name in _NEED_PAYLOAD:
            payload = decode_payload(raw)
        claimable = not (
            EVENTS[name].else_leader and identify(name, args, payload, ordering="none").scope is Scope.LEADER
        )
        for scope, ordering, part, wanted in by_claim(handlers, self._config.ordering, claimable=claimable):
            identity = identify(name, args, payload, ordering=ordering, scope=scope)
            if not identity.is_unique and payload is None and raw is not None and identity.is_empty:
                payload = decode_payload(raw)
                identity = identify(name, args, payload, ordering=ordering, scope=scope)
            self._sequence += 1
            event = Event(name, args, identity, shard, raw, self._clock(), revision, part)
            if scope is Scope.CLAIM:
                event.key = home + event.key
                alone = ordering == "none"
                age = self._guards.note(shard, identity.snowflake, name)
                if age > self._config.retention and self._is_too_old(event, age):
                    self._drop(name, "too_old")
                elif alone or not self.barrier.holds(event, wanted):
                    self._admit(event, wanted, alone=alone, age=age)
            elif scope is Scope.LEADER:
                self._to_leader(event, wanted, self._sequence)
            else:
                lane = name if ordering != "none" else f"{name}/{self._sequence}"
                self._lanes.put(Item(event, wanted, f"every/{lane}", self._sequence))

    def catch_up(
        self, name: str, args: tuple[Any, ...], raw: str, shard: int, caught_up: CaughtUp, *, home: str = ""
    ) -> None:
        """Takes an event that happened while no replica was connected. Never blocks; gateway thread. One
        replica claims a leader event, too: by the identity that it had if it was received, with those nonces.
        """
        late_by = max(self._clock() - caught_up.happened_at, 0.0)
        handlers = self._registry.select(name, args, caught_up=True, late_by=late_by)
        if not handlers:
            return
        self._stats.add("caught_up", name)
        payload = decode_payload(raw)
        for scope, ordering, part, wanted in by_claim(handlers, self._config.ordering, late=True):
            if scope is Scope.LEADER and caught_up.was_handled(name, part):
                continue
            every = scope is Scope.EVERY
            claimed = scope if every else Scope.CLAIM
            identity = identify(name, args, payload, ordering=ordering, scope=claimed)
            if scope is Scope.LEADER and not identity.is_unique:
                key = f"{identity.key}/{int(caught_up.moment * 1000)}"
                identity = identity._replace(key=key, snowflake=None)
            event = Event(name, args, identity, shard, raw, self._clock(), part=part, caught_up=caught_up)
            if every:
                self._sequence += 1
                self._lanes.put(Item(event, wanted, f"every/{name}", self._sequence))
            else:
                event.key = home + event.key
                caught_up.keys.append(event.key)
                self._admit_next(event, wanted, alone=ordering == "none")

    def _admit_next(self, event: Event, handlers: Sequence[Handler], *, alone: bool = False) -> None:
        """Admits an event behind all that were admitted before. Gateway thread."""
        self._sequence += 1
        age = self._guards.age(event.shard_id, event.identity.snowflake)
        self._admit(event, handlers, alone=alone, age=age)

    def offer(self, event: Event, handlers: Sequence[Handler]) -> None:
        """Takes an event of the bot's own, which one replica claims. Never blocks; any thread."""
        self._stats.add("received", event.name)
        self._admit(event, handlers)

    def receive_own(
        self, name: str, args: tuple[Any, ...], id: str, raw: str, shard_id: int, *, is_old: bool
    ) -> None:
        """Takes an event that the bot has dispatched, with its identity. Never blocks; any one thread.

        :param is_old: it was dispatched before this replica ran, and only claimed handlers run for it.
        """
        handlers = self._registry.select(name, args)
        if not handlers:
            return
        self._stats.add("received", name)
        for scope in {handler.scope for handler in handlers}:
            wanted = [handler for handler in handlers if handler.scope is scope]
            event = Event(name, args, Identity(scope, id, id, None), shard_id, raw, self._clock())
            if scope is Scope.CLAIM:
                self._admit(event, wanted)
            elif not is_old:
                self._lanes.put(Item(event, wanted, f"every/{id}", self._sequence))

    def knows(self, key: str) -> bool:
        """Whether an event to be claimed is on its way here. Any thread."""
        return self._pending.get(key) is not None

    def _is_too_old(self, event: Event, age: float) -> bool:
        """Whether an event may be older than its mark. One that was taken over has its record in etcd."""
        unknown = self._claims.previous_attempts(event.key) is None
        return unknown and self._guards.refuses(event.shard_id, age)

    def _admit(
        self, event: Event, handlers: Sequence[Handler], *, alone: bool = False, age: float = 0.0
    ) -> None:
        key, order = event.key, event.identity.order
        attempt = (self._claims.previous_attempts(key) or 0) + 1
        # A message has the id of the thread that begins with it, whose events it must not wait for.
        lane = "claim/" + (key if alone else order or key)
        item = ClaimItem(event, handlers, lane, self._sequence, attempt, key=key)
        refused, evicted, is_front, follows = self._pending.admit(item)
        if evicted is not None:
            self._drop(evicted.event_name, "standby_evicted")
            self._router.advance(evicted.lane)
        if refused is not None:
            self._drop(event.name, refused)
            if refused == "queue_full" and not self._full:
                self._full = True
                _log.error(_FULL, self._config.queue_size)
            return
        self._full = False
        self._orphans.received(key)
        if event.caught_up is not None or age >= LOOK_FIRST_AGE:
            self._router.look_first(item)
        self._router.move_on(item, is_front=is_front, follows=follows)

    def _drop(self, name: str, reason: str) -> None:
        self._stats.add("dropped", reason)
        _log.debug("%s dropped: %s", name, reason)

    # -- what other replicas do (watch thread) ---------------------------------------------------------------

    def on_done(self, keys: Sequence[str]) -> None:
        """These events are finished: those that wait here are forgotten."""
        self._router.resume(keys)

    def on_free(self, freed: Sequence[tuple[str, int]]) -> None:
        """These events' owners are gone without a mark, or gave them back, after so many attempts each."""
        items: list[ClaimItem] = []
        for key, attempt in freed:
            item = self._pending.get(key)
            if item is None or item.state in (State.RUNNING, State.FINISHED, State.GONE):
                continue
            item.attempt = max(item.attempt, attempt + 1)
            if item.state is State.PARKED:
                items.append(item)
        self._router.revive(items)

    def on_looked(self, keys: Sequence[str]) -> None:
        """These events have been looked at: those that wait here go on accordingly."""
        self._router.looked(keys)

    def on_orphan(self, key: str, attempts: Attempts) -> None:
        """An event that was taken over before has no owner: some replica must take it."""
        if self._pending.get(key) is None:
            self._orphans.note(key, attempts)
            self.timer.poke()

    def on_resync(self, attempted: Sequence[str]) -> None:
        """The watch begins anew from a snapshot: see ``Router.resync``."""
        self._router.resync(attempted)

    def on_ready(self, now: float) -> None:
        """A lane is to be worked: the timer ticks while it is. Never blocks; any thread."""
        self._lanes_used = True
        self.timer.wake(now + self._config.grace / 4)

    def on_ranks(self) -> None:
        """Ranks may have changed: the timer looks at once. Never blocks; any thread."""
        self._next_look = self._clock()
        self.timer.wake(self._clock())

    # -- draining --------------------------------------------------------------------------------------------

    def begin_drain(self) -> None:
        """Gives the waiting events to the other replicas that have received them. Never blocks."""
        self._drain.begin()

    def drain(self, timeout: float, hurry: Callable[[], bool] | None, undone: Callable[[], int]) -> list[str]:
        """Leaves waiting events to the other replicas, and works to the end those that no other has received.
        Blocks for ``timeout`` seconds at the most, or until ``hurry``.

        :param undone: how many leader events were not started; told with those found here.
        :return: the handlers that still run; other replicas retry their events once the session is revoked.
        """
        self._drain.run(timeout, self._stop, hurry, undone)
        return self._runner.running()

    def marked(self, timeout: float) -> bool:
        """Blocks until all marks are written, or for ``timeout`` seconds; true when they are."""
        deadline = self._clock() + timeout
        while self._pending.standing(State.FINISHED):
            if self._clock() >= deadline or self._stop.wait(0.005):
                return False
        return True

    def stop(self, timeout: float = 1.0) -> bool:
        """Ends the timer and the handler threads; false when a handler still runs. Idempotent."""
        self._stop.set()
        self.timer.stop()
        return self._lanes.stop(timeout)

    def oldest(self, shard_id: int) -> float | None:
        """When the oldest unfinished event of a shard was received; ``None`` when all are done."""
        found = self.barrier.oldest(shard_id), self._pending.oldest(shard_id)  # in the order of their way
        return min((moment for moment in found if moment is not None), default=None)

    def unfinished(self) -> dict[str, dict[str, float]]:
        """The age of the oldest unfinished event, by shard and ordering key: for the member record."""
        found = self.barrier.unfinished()  # first, since events leave it for the other
        for item in self._pending.unfinished():
            found.append((item.event.shard_id, item.order, item.event.received_at))
        oldest: dict[tuple[int, str], float] = {}
        for shard, order, received_at in found:
            oldest[shard, order] = min(oldest.get((shard, order), received_at), received_at)
        return listed([(*where, received_at) for where, received_at in oldest.items()], self._clock())

    def queue(self) -> dict[str, int]:
        """The number of events in each state. Any thread."""
        return self._pending.counts()

    # -- the timer -------------------------------------------------------------------------------------------

    def pause(self, now: float) -> float | None:
        """For how many seconds nothing is due; ``None``: until more is added."""
        tick = self._config.grace / 4
        if self._lanes_used or self._lanes.active or self._orphans or self._last_attempts.waits:
            self._lanes_used = self._rested = False
            return tick
        due = self._router.next_due()
        apart = self._lanes.apart
        if due is None and not apart and not len(self._pending):
            if self._rested:
                return None
            self._rested = True  # more may come: one sleep costs less than being woken
            return self._config.grace
        self._rested = False
        until = self._next_sweep if due is None else min(due, self._next_sweep)
        if self._pending.any_parked:
            until = min(until, self._next_look)
        if apart:
            until = min(until, now + SLOW_CHECK)
        return max(until - now, 2 * tick)  # looks go together

    def tick(self) -> None:
        """Does everything that is due."""
        now = self._clock()
        self._router.note_ranks()
        self._router.note_lateness(self._worker.promptest(), now)
        self._router.take_due(now)
        if not self._router.draining:
            self._worker.claim_ahead(self._config.grace / 2)
        self._lanes.tend()
        self._runner.warn_of_slow_handlers()
        self._last_attempts.tend()
        if self._orphans and not self._router.draining:
            self._orphans.adopt(now)
        if now >= self._next_look:
            self._next_look = now + SILENCE_CHECK
            self._router.look_around()
        if now >= self._next_sweep:
            self._next_sweep = now + self._config.retention / 20
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Forgets events that are older than their mark could be."""
        before = now - self._config.retention
        for item in self._pending.received_before(before):
            if item.event.caught_up is not None or self.barrier.held(item.event.shard_id, before):
                continue  # marks outlive a catch-up
            if item.state is State.WAITING and not self._lanes.remove(item):
                continue
            self._router.forget(item)
            self._drop(item.event_name, "expired")

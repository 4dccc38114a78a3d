"""Dispatcher: admits events, decides who takes them, and keeps time.

Promises
- An event is admitted once: the same event from a RESUME, a duplicate delivery or a takeover finds itself
  here.
- The preferred replica claims at once, the r-th in rank after r x ``grace``, or somewhat later while it is
  late with all of its own events (``HELP_WITHIN``); who becomes the preferred one while an event waits for
  that, claims it then; a claim that somebody holds is waited for without a
  thread; when its owner dies, the event is tried again with the next attempt.
- Events of one lane run one after another, in the order of the gateway.
- Whatever is dropped is counted by reason: ``dropped`` in the stats.

Concurrency
- ``receive`` runs on the gateway thread and never blocks: no I/O, short locks.
- ``on_done``, ``on_free``, ``on_orphan``, ``on_resync`` run on the watch thread.
- Handler threads (owned by ``Lanes``) run ``Turns.work``; they make the blocking claims.
- The thread ``discordha-timer`` (owned here) wakes for delayed events, retries, claims ahead, slow
  handlers, last attempts that take long, and old age. It sleeps until the next of these, and whoever adds
  something that is due earlier wakes it (``_wake_timer``): a losing replica's events are done before their
  grace is over, and cost it nothing.
- No lock here. Those of ``Orphans``, the ledger, the lanes and the claims are never taken one under another.
- At a lost lease: items under way finish or get ``LockLost``; they are retried like a dead peer's.
- At a lost watch: parked items wait for the snapshot that follows (``on_resync``).
- At stop: ``drain``, then ``stop``.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cachetools import LRUCache

from discordha.config import Config
from discordha.coordination.claims.last_attempts import LastAttempts
from discordha.coordination.claims.records import Attempts, Hint
from discordha.dispatch.handlers import Handler, HandlerRegistry
from discordha.dispatch.items import AgeGuard, ClaimStore, Item, LeaderPath, Preference, State
from discordha.dispatch.lane_worker import Turns
from discordha.dispatch.lanes import Lanes
from discordha.dispatch.orphans import Orphans
from discordha.dispatch.pending import Ledger
from discordha.dispatch.runner import Runner
from discordha.events import EVENTS, Event, Identity, Scope, decode_payload, identify
from discordha.stats import Stats

__all__ = ["Dispatcher"]

_log = logging.getLogger(__name__)

#: A replica whose lanes all make events wait for longer than ``grace`` has no help to offer: it takes an
#: event that nobody has claimed only after so many times its rank's grace.
HELP_WITHIN = 10
#: Different events without an identity that a replica without peers counts, to tell equal ones apart.
OCCURRENCES = 20_000


class Dispatcher:
    """See the module. Started by ``start``, ended by ``drain`` and ``stop``.

    :param inject: gives a stored payload to discord.py once more: (text, shard).
    :param hosts: whether this replica receives a shard's events.
    :param last_attempts: the process's own, which the journals share.
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
        inject: Callable[[str, int], None],
        last_attempts: LastAttempts,
        hosts: Callable[[int], bool] = lambda shard_id: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._registry = registry
        self._runner = runner
        self._stats = stats
        self._claims = claims
        self._members = members
        self._clock = clock
        self._orphans = Orphans(
            claims, stats, max_attempts=config.max_attempts, inject=inject, hosts=hosts, clock=clock
        )
        self._sequence = 0
        self._occurrences: LRUCache[str, int] = LRUCache(OCCURRENCES)  # of events that this replica counts
        self._guards: dict[int, AgeGuard] = {}
        self._draining = False
        self._drained = False  # what comes from now on is left to others, if there are any
        self._full = False
        self._next_sweep = clock() + config.retention / 20
        self._late_until = 0.0  # the timer's own
        self._ranked_by: object = members.version  # the same
        self._stop = threading.Event()
        self._tick = threading.Event()
        self._wakes_at = math.inf  # when the timer will look again
        self._lanes_used = False  # since it looked last
        self._rested = True  # it found nothing to wait for last time
        self._timer = threading.Thread(target=self._run_timer, name="discordha-timer", daemon=True)
        self._last_attempts = last_attempts
        self._ledger = Ledger(config.queue_size)
        self._turns = Turns(
            self._ledger,
            claims,
            runner,
            stats,
            last_attempts=self._last_attempts,
            route=self._route,
            gives_back=self._gives_back,
            clock=clock,
        )
        self.lanes: Lanes[Item] = Lanes(
            self._turns.work,
            workers=config.workers,
            max_workers=config.workers * 4,
            patience=config.grace,
            clock=clock,
        )
        self._turns.lanes = self.lanes

    def set_leader_path(self, leader: LeaderPath) -> None:
        """Who takes the events of scope ``leader``. Set once, before ``start``; never for a replica without
        peers, which runs them as they come.
        """
        self._turns.leader = leader

    def start(self) -> None:
        """Starts the timer. Handler threads start as they are needed."""
        self._timer.start()

    # -- admission (gateway thread) --------------------------------------------------------------------------

    def receive(self, name: str, args: tuple[Any, ...], raw: str | None, shard_id: int) -> None:
        """Takes one event of discord.py. Never blocks; gateway thread."""
        handlers = self._registry.select(name, args)
        if not handlers:
            return
        self._stats.add("received", name)
        scopes: dict[Scope, Sequence[Handler]] = {}
        if len(handlers) == 1:
            scopes[handlers[0].scope] = handlers
        else:
            for scope in {handler.scope: None for handler in handlers}:
                scopes[scope] = [handler for handler in handlers if handler.scope is scope]
        payload: Mapping[str, Any] | None = None
        if raw is not None and EVENTS[name].needs_payload:
            payload = decode_payload(raw)
        for scope, wanted in scopes.items():
            identity = identify(name, args, payload, ordering=self._config.ordering, scope=scope)
            if payload is None and raw is not None and identity.is_empty:
                payload = decode_payload(raw)
                identity = identify(name, args, payload, ordering=self._config.ordering, scope=scope)
            self._sequence += 1
            event = Event(name, args, identity, shard_id, raw, self._clock())
            if scope is Scope.CLAIM:
                self._admit(event, identity, wanted)
            else:
                self._admit_unclaimed(event, identity, wanted)

    def _admit_unclaimed(self, event: Event, identity: Identity, handlers: Sequence[Handler]) -> None:
        scope = identity.scope
        key = f"{event.name}/{identity.key}"
        lane = f"{scope.value}/{identity.order or event.name}"
        item = Item(event, handlers, key, lane, self._sequence, State.WAITING)
        if scope is Scope.LEADER and self._turns.leader is not None:
            self._turns.leader.received(item)
        else:
            if scope is Scope.LEADER:
                item.entry = self._occurrences[key] = self._occurrences.get(key, 0) + 1
            self.lanes.put(lane, item)
        self._lanes_used = True
        self._wake_timer(event.received_at + self._config.grace / 4)

    def _admit(self, event: Event, identity: Identity, handlers: Sequence[Handler]) -> None:
        name = event.name
        key = f"{name}/{identity.key}"
        previous = self._claims.previous_attempts(key)
        # An event that was taken over before has its record in etcd: no need to tell its age.
        if previous is None and identity.snowflake is not None:
            guard = self._guards.get(event.shard_id)
            if guard is None:
                guard = self._guards[event.shard_id] = AgeGuard(self._config.retention, self._clock)
            if guard.refuses(identity.snowflake):
                self._drop(name, "too_old")
                return
        item = Item(event, handlers, key, "claim/" + (identity.order or key), self._sequence, State.PARKED)
        if previous:
            item.attempt = previous + 1
        refused, evicted = self._ledger.admit(item)
        if evicted is not None:
            self._drop(evicted.event.name, "standby_evicted")
        if refused is not None:
            self._drop(name, refused)
            if refused == "queue_full" and not self._full:
                self._full = True
                _log.error(
                    "the queue is full (queue_size=%d): new events are left to other replicas; handlers are "
                    "too slow, or etcd has been away for long",
                    self._config.queue_size,
                )
            return
        self._full = False
        self._orphans.received(key)
        self._route(item)

    def _drop(self, name: str, reason: str) -> None:
        self._stats.add("dropped", reason)
        _log.debug("%s dropped: %s", name, reason)

    # -- routing ---------------------------------------------------------------------------------------------

    def _route(self, item: Item) -> None:
        """Decides where a parked item goes: away (done), on waiting (running elsewhere), into its lane, or
        into the delay of its rank. Any thread; no lock held.
        """
        hint = self._claims.hint(item.key)
        if hint is Hint.DONE:
            self._ledger.forget(item)
            return
        if hint is Hint.RUNNING or self._gives_back(item):
            return
        rank = self._members.rank(item.order, item.event.shard_id)
        now = self._clock()
        if rank > 0:
            due = now + rank * self._config.grace
            self._ledger.delay(item, rank, due)
            self._wake_timer(due)
        elif self._ledger.move(item, State.WAITING, only_from=(State.PARKED,)):
            item.waits_since = now
            self.lanes.put(item.lane, item)
            self._lanes_used = True
            self._wake_timer(now + self._config.grace / 4)

    # -- what the watch says (watch thread) ------------------------------------------------------------------

    def on_done(self, keys: Sequence[str]) -> None:
        """Another replica finished these events (or we did): nothing is left to do for those that wait
        here.
        """
        self._ledger.forget_standby(keys)

    def on_free(self, key: str, attempt: int) -> None:
        """The owner of an event is gone without a mark: its claim vanished with its session, or it gave
        the event back.
        """
        item = self._ledger.get(key)
        if item is None or item.state in (State.RUNNING, State.FINISHED, State.GONE):
            return
        item.attempt = max(item.attempt, attempt + 1)
        if item.state is State.PARKED:
            self._route(item)

    def on_orphan(self, key: str, attempts: Attempts) -> None:
        """An event that was taken over before has no owner: should nobody who received it take it,
        somebody else must.
        """
        if key not in self._ledger:
            self._orphans.note(key, attempts)
            self._tick.set()

    def on_resync(self) -> None:
        """The watch begins anew from a snapshot: look at everything again that waits for somebody."""
        for item in self._ledger.parked():
            self._route(item)

    # -- draining --------------------------------------------------------------------------------------------

    def _gives_back(self, item: Item) -> bool:
        """Whether an event is left to others: this replica drains, and another one has received it, too."""
        if not self._draining:
            return False
        moment = math.inf if self._drained else item.event.received_at
        return self._members.has_received(item.event.shard_id, moment)

    def _is_only_ours(self, item: Item) -> bool:
        """Whether an event that waits needs no claim, and is not in a journal of ``LeaderEvents`` either."""
        scope = item.event.identity.scope
        return scope is Scope.EVERY or (scope is Scope.LEADER and self._turns.leader is None)

    def drain(self, timeout: float, hurry: Callable[[], bool] | None = None, *, undone: int = 0) -> list[str]:
        """Begins nothing new and waits for what runs. Blocks for at most ``timeout`` seconds, or until
        ``hurry``.

        Events that wait are left to the other replicas, claimed ones are given back. What no other replica
        has received, for this one has no peers, or they began later, is worked to the end. Returns what still
        runs, which others will retry once the session is revoked.

        :param undone: events of the leader's way that had no turn; they are told of with those of this one.
        """
        deadline = self._clock() + timeout
        self._draining = True
        self._turns.give_back(
            self.lanes.clear(lambda item: item.event.identity.scope is Scope.CLAIM and self._gives_back(item))
        )
        while self._clock() < deadline and not self._stop.wait(0.005):
            if hurry is not None and hurry():
                break
            ready, working, waiting = self.lanes.sizes()
            if working or ready or waiting or self._last_attempts.waits:
                continue
            if not self._ledger.count(State.DELAYED, lambda item: not self._gives_back(item)):
                break
        undone += sum(
            self._ledger.count(state, lambda item: not self._gives_back(item))
            for state in (State.WAITING, State.DELAYED)
        )
        undone += len(self.lanes.clear(self._is_only_ours))
        self._drained = True
        if undone:
            _log.error(
                "%d events had no turn before the drain's time was over, and no other replica is known to "
                "have received them",
                undone,
            )
            self._stats.add("dropped", "undone", undone)
        return self._runner.running()

    def marked(self, timeout: float) -> bool:
        """Blocks until all marks are written, or for ``timeout`` seconds; true when they are."""
        deadline = self._clock() + timeout
        while self._ledger.count(State.FINISHED):
            if self._clock() >= deadline or self._stop.wait(0.005):
                return False
        return True

    def stop(self, timeout: float = 1.0) -> bool:
        """Ends the timer and the handler threads; false when a handler still runs. Idempotent."""
        self._stop.set()
        self._tick.set()
        if self._timer.is_alive():
            self._timer.join()
        return self.lanes.stop(timeout)

    def oldest(self, shard_id: int) -> float | None:
        """When the oldest event of a shard came in that is not done; ``None`` when all are. Any thread."""
        return self._ledger.oldest(shard_id)

    def queue(self) -> dict[str, int]:
        """How many events are in which state."""
        return self._ledger.counts()

    # -- timer -----------------------------------------------------------------------------------------------

    def _wake_timer(self, due: float) -> None:
        """Something is due at a moment: the timer must not sleep for longer. Called after it was added."""
        if due < self._wakes_at and not self._tick.is_set():
            self._tick.set()

    def _run_timer(self) -> None:
        while not self._stop.is_set():
            # In this order: what is added from here on either is seen by ``_pause`` or sets ``_tick``.
            self._wakes_at = math.inf
            self._tick.clear()
            now = self._clock()
            pause = self._pause(now)
            if pause is None:
                self._tick.wait()
            else:
                self._wakes_at = now + pause
                self._tick.wait(pause)
            if self._stop.is_set():
                return
            try:
                self._on_tick()
            except Exception:  # noqa: BLE001 - time must go on
                _log.exception("the timer failed")

    def _pause(self, now: float) -> float | None:
        """Until when nothing is due, in seconds from now; ``None``: until something is added."""
        tick = self._config.grace / 4
        if self._lanes_used or self.lanes.active or self._orphans or self._last_attempts.waits:
            self._lanes_used = False
            self._rested = False
            return tick
        due = self._ledger.next_due()
        if due is None and not len(self._ledger):
            if self._rested:
                return None
            self._rested = True  # more may come: one sleep costs less than to be woken
            return self._config.grace
        self._rested = False
        until = self._next_sweep if due is None else min(due, self._next_sweep)
        return max(until - now, tick)

    def _on_tick(self) -> None:
        now = self._clock()
        self._note_ranks()
        self._note_lateness(now)
        for item in self._ledger.due(now):
            self._wake(item, now)
        if not self._draining:
            self._turns.claim_ahead(self._config.grace / 2)
        self.lanes.tend()
        self._runner.warn_of_slow_handlers()
        self._last_attempts.tend()
        if self._orphans and not self._draining:
            self._orphans.adopt(now)
        if now >= self._next_sweep:
            self._next_sweep = now + self._config.retention / 20
            self._sweep(now)

    def on_ranks(self) -> None:
        """Ranks may have changed: looked into at once. Never blocks; any thread."""
        self._wake_timer(self._clock())

    def _note_ranks(self) -> None:
        """When somebody leaves or is ready, events that wait for their grace may be ours now: those of a
        replica that has just begun to drain, or what came while only our peers knew that we are ready.
        """
        version = self._members.version
        if version == self._ranked_by:
            return
        self._ranked_by = version
        for item in self._ledger.delayed():
            if self._members.rank(item.order, item.event.shard_id) == 0 and self._ledger.move(
                item, State.PARKED, only_from=(State.DELAYED,)
            ):
                self._route(item)

    def _note_lateness(self, now: float) -> None:
        """While even the promptest event in our lanes begins late, peers' events are better left to them."""
        promptest = self._turns.promptest()
        if promptest is not None:
            late = promptest > self._config.grace
            self._late_until = now + 2 * self._config.grace if late else now

    def _wake(self, item: Item, now: float) -> None:
        """The grace of a delayed item is over: unless somebody has it, it is ours to claim."""
        hint = self._claims.hint(item.key)
        if hint is Hint.DONE:
            self._ledger.forget(item)
            return
        if hint is not Hint.UNKNOWN or self._gives_back(item):
            return
        if now < self._late_until:
            rank = self._members.rank(item.order, item.event.shard_id)
            grace = rank * self._config.grace
            if now - item.event.received_at < HELP_WITHIN * grace:
                self._ledger.delay(item, rank, now + grace)
                return
        if self._ledger.move(item, State.WAITING, only_from=(State.PARKED,)):
            item.waits_since = now
            self._stats.add("hedged", item.event.name)
            self.lanes.put(item.lane, item)

    def _sweep(self, now: float) -> None:
        """Forgets what is older than its mark could be."""
        for item in self._ledger.received_before(now - self._config.retention):
            if item.state is State.WAITING and not self.lanes.remove(item.lane, item):
                continue
            self._ledger.forget(item)
            self._drop(item.event.name, "expired")

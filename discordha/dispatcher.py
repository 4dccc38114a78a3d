"""The way of an event through a replica: admitted, routed, claimed, run, marked.

Promises
- An event is admitted once: the same event from a RESUME, a duplicate delivery or a takeover finds itself here.
- The preferred replica claims at once, the r-th in rank after r x ``grace``; a claim that somebody holds is waited for
  without a thread; when its owner dies, the event is tried again with the next attempt.
- Events of one lane run one after another, in the order of the gateway. What waits behind a slow handler is claimed ahead,
  since order would keep peers from running it anyway, and a peer that sees no claim takes an event.
- Whatever is dropped is counted by reason: ``dropped`` in the stats.

Concurrency
- ``receive`` runs on the gateway thread and never blocks: no I/O, short locks.
- ``on_done``, ``on_free``, ``on_orphan``, ``on_resync`` run on the watch thread.
- Handler threads (owned by ``Lanes``) run ``_work``; they make the blocking claims.
- The thread ``discordha-timer`` (owned here) wakes for delayed events, retries, claims ahead, slow handlers and old age.
- ``_lock`` guards ``_known``, ``_delayed``, ``_orphans`` and every item's ``state``; it is never held during I/O, a callback or a
  call into ``Claims`` that may block. Order of locks: ``Dispatcher._lock`` before ``Lanes._lock`` and before ``Claims._lock``.
- At a lost lease: items under way finish or get ``LockLost``; they are retried like a dead peer's.
- At a lost watch: parked items wait for the snapshot that follows (``on_resync``).
- At stop: ``drain``, then ``stop``.
"""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from discordha.config import Config
from discordha.context import CurrentEvent
from discordha.coordination.claims import Attempts, Claim, ClaimRequest, Done, Held, Hint
from discordha.events import EVENTS, Event, Identity, Scope, decode_payload, identify
from discordha.handlers import Handler, HandlerRegistry
from discordha.lanes import Lane, Lanes
from discordha.runner import Outcome, Runner
from discordha.stats import Stats

__all__ = ["ClaimStore", "Dispatcher", "Item", "LeaderPath", "Preference", "State"]

_log = logging.getLogger(__name__)

#: A handler thread claims as many events of a lane at once as recently ran within this many seconds.
BATCH_SECONDS = 0.005
MAX_BATCH = 64
#: A replica that never received an event gives those that did this long to take it over, seconds.
ORPHAN_PATIENCE = 1.0


class ClaimStore(Protocol):
    """What the dispatcher needs of ``Claims``; without etcd, ``UnguardedClaims`` stands in."""

    def hint(self, key: str) -> Hint: ...

    def previous_attempts(self, key: str) -> int: ...

    def claim(self, requests: Sequence[ClaimRequest]) -> list[Claim | Held | Done | None]: ...

    def claim_later(
        self, requests: Sequence[ClaimRequest], answer: Callable[[ClaimRequest, Claim | None], None]
    ) -> None: ...

    def mark(self, claim: Claim, done: Callable[[Claim, bool], None] | None = None) -> None: ...

    def release(self, claim: Claim) -> None: ...


class Preference(Protocol):
    """Who claims first: ``Members``, or nobody else where there is no etcd."""

    @property
    def live(self) -> tuple[str, ...]: ...

    def rank(self, ordering_key: str) -> int: ...


class LeaderPath(Protocol):
    """Where events without an identity of their own go (``leadership.LeaderEvents``)."""

    def received(self, item: Item) -> None: ...

    def begin(self, item: Item) -> CurrentEvent | None: ...

    def finished(self, item: Item, outcome: Outcome) -> None: ...


class State(enum.Enum):
    """Where an item is."""

    PARKED = "parked"  # another replica owns it, or will; the watch or the timer moves it on
    DELAYED = "delayed"  # not preferred here: waits for its grace to pass
    WAITING = "waiting"  # in its lane
    RUNNING = "running"  # claimed, or being claimed, by a handler thread
    FINISHED = "finished"  # its handlers ended; the mark is on its way
    GONE = "gone"


class Item:
    """One event and its way through this replica."""

    __slots__ = (
        "ahead",
        "attempt",
        "claim",
        "event",
        "handlers",
        "key",
        "lane",
        "owned",
        "sequence",
        "started",
        "state",
    )

    def __init__(self, event: Event, handlers: Sequence[Handler], key: str, lane: str, sequence: int) -> None:
        self.event = event
        self.handlers = handlers
        self.key = key
        self.lane = lane
        self.sequence = sequence
        self.state = State.PARKED
        self.attempt = 1
        self.claim: Claim | None = None
        self.ahead = False  # a claim ahead was asked for
        self.owned: Any = None  # the leader path's entry
        self.started = 0.0


class AgeGuard:
    """Refuses events older than their mark could be, by the age in their snowflake.

    No clock of ours is compared with Discord's: the newest snowflake seen, moved on by the local monotonic clock, is *now*.
    Used on the gateway thread only.
    """

    #: Discord's snowflakes hold milliseconds above their 22 lowest bits.
    SHIFT = 22

    def __init__(self, retention: float, clock: Callable[[], float]) -> None:
        self._retention = retention
        self._clock = clock
        self._offset: float | None = None

    def refuses(self, snowflake: int) -> bool:
        """True when the event may be older than its mark."""
        created = (snowflake >> self.SHIFT) / 1000
        now = self._clock()
        if self._offset is None or created - now > self._offset:
            self._offset = created - now
        return now + self._offset - created > self._retention


class Dispatcher:
    """See the module. Started by ``start``, ended by ``drain`` and ``stop``."""

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._registry = registry
        self._runner = runner
        self._stats = stats
        self._claims = claims
        self._members = members
        self._inject = inject
        self._clock = clock
        self._leader: LeaderPath | None = None
        self._lock = threading.Lock()
        self._known: dict[str, Item] = {}
        self._delayed: dict[int, deque[tuple[float, Item]]] = {}
        self._orphans: dict[str, tuple[float, Attempts]] = {}
        self._sequence = 0
        self._guards: dict[int, AgeGuard] = {}
        self._durations: dict[str, float] = {}
        self._draining = False
        self._full = False
        self._next_sweep = 0.0
        self._stop = threading.Event()
        self._tick = threading.Event()
        self._timer = threading.Thread(target=self._run_timer, name="discordha-timer", daemon=True)
        self.lanes: Lanes[Item] = Lanes(
            self._work, workers=config.workers, max_workers=config.workers * 4, patience=config.grace, clock=clock
        )

    def set_leader_path(self, leader: LeaderPath) -> None:
        """Who takes the events of scope ``leader``. Set once, before ``start``."""
        self._leader = leader

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
        scopes: dict[Scope, list[Handler]] = {}
        for handler in handlers:
            scopes.setdefault(handler.scope, []).append(handler)
        payload: Mapping[str, Any] | None = None
        if raw is not None and EVENTS[name].needs_payload:
            payload = decode_payload(raw)
        for scope, wanted in scopes.items():
            identity = identify(name, args, payload, ordering=self._config.ordering, scope=scope)
            self._admit(name, args, raw, shard_id, identity, wanted)

    def _admit(
        self,
        name: str,
        args: tuple[Any, ...],
        raw: str | None,
        shard_id: int,
        identity: Identity,
        handlers: Sequence[Handler],
    ) -> None:
        now = self._clock()
        event = Event(name, args, identity, shard_id, raw, now)
        self._sequence += 1
        order = identity.order or identity.key or name
        if identity.scope is Scope.EVERY:
            item = Item(event, handlers, "", f"every/{order}", self._sequence)
            item.state = State.WAITING
            self.lanes.put(item.lane, item)
            return
        if identity.scope is Scope.LEADER:
            item = Item(event, handlers, f"{name}/{identity.key}", f"leader/{order}", self._sequence)
            if self._leader is not None:
                self._leader.received(item)
            return
        if identity.snowflake is not None and self._is_too_old(shard_id, identity.snowflake):
            self._drop(name, "too_old")
            return
        key = f"{name}/{identity.key}"
        item = Item(event, handlers, key, f"claim/{order}", self._sequence)
        with self._lock:
            if key in self._known:
                self._drop(name, "duplicate")
                return
            if len(self._known) >= self._config.queue_size and not self._make_room():
                self._drop(name, "queue_full")
                return
            self._known[key] = item
            self._orphans.pop(key, None)
        previous = self._claims.previous_attempts(key)
        if previous:
            item.attempt = previous + 1
        self._route(item, order)

    def _is_too_old(self, shard_id: int, snowflake: int) -> bool:
        guard = self._guards.get(shard_id)
        if guard is None:
            guard = self._guards[shard_id] = AgeGuard(self._config.retention, self._clock)
        return guard.refuses(snowflake)

    def _make_room(self) -> bool:
        """Forgets the oldest event that another replica owns. Caller holds the lock."""
        for key, item in self._known.items():
            if item.state is State.PARKED:
                item.state = State.GONE
                del self._known[key]
                self._drop(item.event.name, "standby_evicted")
                return True
        if not self._full:
            self._full = True
            _log.error(
                "the queue is full (queue_size=%d): new events are left to other replicas; handlers are too slow, or etcd "
                "has been away for long",
                self._config.queue_size,
            )
        return False

    def _drop(self, name: str, reason: str) -> None:
        self._stats.add("dropped", reason)
        _log.debug("%s dropped: %s", name, reason)

    # -- routing -----------------------------------------------------------------------------------------------

    def _route(self, item: Item, order: str) -> None:
        """Decides where a parked item goes: away (done), on waiting (running elsewhere), into its lane, or into the delay of
        its rank. Any thread; no lock held."""
        hint = self._claims.hint(item.key)
        if hint is Hint.DONE:
            self._forget(item)
            return
        if hint is Hint.RUNNING or self._draining:
            return
        rank = self._members.rank(order)
        with self._lock:
            if item.state is not State.PARKED:
                return  # the watch was faster
            if rank == 0:
                item.state = State.WAITING
            else:
                item.state = State.DELAYED
                self._delayed.setdefault(rank, deque()).append((self._clock() + rank * self._config.grace, item))
        if rank == 0:
            self.lanes.put(item.lane, item)
        self._tick.set()

    def _forget(self, item: Item) -> None:
        with self._lock:
            item.state = State.GONE
            if self._known.get(item.key) is item:
                del self._known[item.key]
                self._full = False

    # -- what the watch says (watch thread) ----------------------------------------------------------------------

    def on_done(self, keys: Sequence[str]) -> None:
        """Another replica finished these events (or we did): nothing is left to do for those that wait here."""
        with self._lock:
            for key in keys:
                item = self._known.get(key)
                if item is not None and item.state in (State.PARKED, State.DELAYED):
                    item.state = State.GONE
                    del self._known[key]
            self._full = False

    def on_free(self, key: str, attempt: int) -> None:
        """The owner of an event is gone without a mark: its claim vanished with its session, or it gave the event back."""
        with self._lock:
            item = self._known.get(key)
            if item is None or item.state in (State.RUNNING, State.FINISHED, State.GONE):
                return
            item.attempt = max(item.attempt, attempt + 1)
            parked = item.state is State.PARKED
        if parked:
            if item.attempt > 1:
                self._stats.add("taken_over", item.event.name)
            self._route(item, item.event.identity.order or item.event.identity.key)

    def on_orphan(self, key: str, attempts: Attempts) -> None:
        """An event that was taken over before has no owner: should nobody who received it take it, somebody else must."""
        with self._lock:
            if key not in self._known:
                self._orphans[key] = (self._clock() + ORPHAN_PATIENCE, attempts)
        self._tick.set()

    def on_resync(self) -> None:
        """The watch begins anew from a snapshot: look at everything again that waits for somebody."""
        with self._lock:
            parked = [item for item in self._known.values() if item.state is State.PARKED]
        for item in parked:
            self._route(item, item.event.identity.order or item.event.identity.key)

    # -- handler threads -----------------------------------------------------------------------------------------

    def _work(self, lane: Lane[Item]) -> None:
        """One turn of a handler thread with one lane."""
        items = self.lanes.take(lane, self._batch_size(lane))
        if not items:
            return
        scope = items[0].event.identity.scope
        if scope is Scope.CLAIM:
            self._work_claimed(lane, items)
            return
        for item in items:
            self.lanes.touch(lane)
            if scope is Scope.LEADER:
                self._run_as_leader(item)
            else:
                event = item.event
                context = CurrentEvent(
                    identity=event.name, name=event.name, attempt=1, shard_id=event.shard_id, fencing_token=0, occurrence=1,
                    is_lost=_never,
                )  # fmt: skip
                self._run(item, context)

    def _batch_size(self, lane: Lane[Item]) -> int:
        try:
            name = lane.items[0].event.name
        except IndexError:
            return 1
        duration = self._durations.get(name, BATCH_SECONDS)
        return max(1, min(MAX_BATCH, int(BATCH_SECONDS / duration))) if duration > 0 else MAX_BATCH

    def _work_claimed(self, lane: Lane[Item], items: list[Item]) -> None:
        if self._gives_back:
            self._give_back(items)
            return
        with self._lock:
            items = [item for item in items if item.state is State.WAITING]
            for item in items:
                item.state = State.RUNNING
        unclaimed = []
        for item in items:
            if item.claim is not None and not item.claim.lost:
                continue
            item.claim = None
            hint = self._claims.hint(item.key)
            if hint is Hint.DONE:
                self._forget(item)
            elif hint is Hint.RUNNING and not item.ahead:
                self._park(item)
            else:
                unclaimed.append(item)
        if unclaimed:
            self._claim(unclaimed)
        for index, item in enumerate(items):
            if item.claim is None:
                continue
            if self._gives_back:
                self._give_back(items[index:])
                return
            if item.claim.lost:
                self._retry(item)
                continue
            self.lanes.touch(lane)
            self._run_claimed(item, item.claim)

    def _claim(self, items: list[Item]) -> None:
        started = self._clock()
        requests = [
            ClaimRequest(item.key, item.attempt, item.event.raw if item.attempt > 1 else None, item.event.shard_id)
            for item in items
        ]
        answers = self._claims.claim(requests)
        self._stats.observe("claim", self._clock() - started)
        for item, answer in zip(items, answers, strict=True):
            if isinstance(answer, Claim):
                item.claim = answer
                item.attempt = answer.attempt
                self._stats.add("claimed", item.event.name)
            elif isinstance(answer, Done):
                if answer.buried:
                    self._stats.add("dead", item.event.name)
                self._forget(item)
            elif isinstance(answer, Held):
                item.attempt = max(item.attempt, answer.attempt)
                self._park(item)
            else:
                self._forget(item)  # the replica stops

    def _park(self, item: Item) -> None:
        """Another replica owns the event: wait for it, without a thread."""
        with self._lock:
            item.state = State.PARKED
            item.claim = None
            item.ahead = False
        self._stats.add("parked", item.event.name)
        # The owner may have finished or died before the item stood here for the watch to find.
        if self._claims.hint(item.key) is not Hint.RUNNING:
            self._route(item, item.event.identity.order or item.event.identity.key)

    def _run_claimed(self, item: Item, claim: Claim) -> None:
        event = item.event
        context = CurrentEvent(
            identity=event.identity.key,
            name=event.name,
            attempt=claim.attempt,
            shard_id=event.shard_id,
            fencing_token=claim.token,
            occurrence=1,
            is_lost=lambda: claim.lost,
        )
        if claim.attempt > 1:
            _log.info("%s is taken over (attempt %d)", item.key, claim.attempt)
        outcome = self._run(item, context)
        if outcome is Outcome.LOST or (claim.lost and outcome is Outcome.FAILED):
            self._retry(item)
            return
        with self._lock:
            item.state = State.FINISHED
        self._claims.mark(claim, self._on_marked)

    def _on_marked(self, claim: Claim, marked: bool) -> None:
        with self._lock:
            item = self._known.pop(claim.key, None)
            if item is not None:
                item.state = State.GONE
            self._full = False
        if not marked:
            self._stats.add("dropped", "mark_refused")
            _log.warning("%s was finished here after another replica had taken it", claim.key)

    def _retry(self, item: Item) -> None:
        """The session was lost under the event: it goes back in line, for whoever is first."""
        self._stats.add("session_lost", item.event.name)
        item.attempt += 1
        self._park(item)

    def _run_as_leader(self, item: Item) -> None:
        leader = self._leader
        assert leader is not None
        context = leader.begin(item)
        if context is not None:
            leader.finished(item, self._run(item, context))

    def _run(self, item: Item, context: CurrentEvent) -> Outcome:
        event = item.event
        started = self._clock()
        item.started = started
        self._stats.observe("queue", started - event.received_at)
        outcome = self._runner.run(context, item.handlers, event.args)
        duration = self._clock() - started
        known = self._durations.get(event.name)
        # A slow run counts at once, fast ones slowly: a batch must not be too long.
        self._durations[event.name] = (
            duration if known is None or duration > known else known + 0.1 * (duration - known)
        )
        self._stats.observe("handler", duration)
        self._stats.add(outcome.value, event.name)
        return outcome

    # -- draining ------------------------------------------------------------------------------------------------

    @property
    def _gives_back(self) -> bool:
        return self._draining and len(self._members.live) > 1

    def _give_back(self, items: Sequence[Item]) -> None:
        for item in items:
            with self._lock:
                if item.state is State.GONE:
                    continue
                item.state = State.PARKED
                claim, item.claim = item.claim, None
            if claim is not None and not claim.lost:
                self._claims.release(claim)

    def drain(self, timeout: float) -> list[str]:
        """Begins nothing new and waits for what runs. Blocks for at most ``timeout`` seconds.

        Events that wait are left to the other replicas, claimed ones are given back; a replica without peers works its queue
        to the end. Returns what still runs, which others will retry once the session is revoked.
        """
        deadline = self._clock() + timeout
        self._draining = True
        if self._gives_back:
            self._give_back(self.lanes.clear(lambda item: item.event.identity.scope is Scope.CLAIM))
        while self._clock() < deadline and not self._stop.wait(0.005):
            ready, working, waiting = self.lanes.sizes()
            if not working and not ready and not waiting and (self._gives_back or not self._count(State.DELAYED)):
                break
        return self._runner.running()

    def marked(self, timeout: float) -> bool:
        """Blocks until all marks are written, or for ``timeout`` seconds; true when they are."""
        deadline = self._clock() + timeout
        while self._count(State.FINISHED):
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

    def _count(self, state: State) -> int:
        with self._lock:
            return sum(1 for item in self._known.values() if item.state is state)

    def queue(self) -> dict[str, int]:
        """How many events are in which state."""
        counts = dict.fromkeys((state.value for state in State if state is not State.GONE), 0)
        with self._lock:
            for item in self._known.values():
                if item.state is not State.GONE:
                    counts[item.state.value] += 1
        return counts

    # -- timer ---------------------------------------------------------------------------------------------------

    def _run_timer(self) -> None:
        tick = self._config.grace / 4
        while not self._stop.is_set():
            if not self._known and not self._orphans and not self.lanes.busy:
                self._tick.wait()
            self._tick.clear()
            self._stop.wait(tick)
            try:
                self._on_tick()
            except Exception:
                _log.exception("the timer failed")

    def _on_tick(self) -> None:
        now = self._clock()
        due = self._take_due(now)
        for item in due:
            self._wake(item)
        self._claim_ahead()
        self.lanes.tend()
        self._runner.warn_of_slow_handlers()
        if self._orphans:
            self._adopt(now)
        if now >= self._next_sweep:
            self._next_sweep = now + self._config.retention / 20
            self._sweep(now)

    def _take_due(self, now: float) -> list[Item]:
        due = []
        with self._lock:
            for queue in self._delayed.values():
                while queue and queue[0][0] <= now:
                    item = queue.popleft()[1]
                    if item.state is State.DELAYED:
                        item.state = State.PARKED
                        due.append(item)
        return due

    def _wake(self, item: Item) -> None:
        """The grace of a delayed item is over: unless somebody has it, it is ours to claim."""
        hint = self._claims.hint(item.key)
        if hint is Hint.DONE:
            self._forget(item)
        elif hint is Hint.UNKNOWN and not self._draining:
            with self._lock:
                if item.state is not State.PARKED:
                    return
                item.state = State.WAITING
            self._stats.add("hedged", item.event.name)
            self.lanes.put(item.lane, item)

    def _claim_ahead(self) -> None:
        """Claims what waits behind a slow handler in its lane."""
        waiting = [
            item
            for item in self.lanes.behind(self._config.grace / 2)
            if item.claim is None and not item.ahead and item.event.identity.scope is Scope.CLAIM
        ]
        if not waiting or self._draining:
            return
        for item in waiting:
            item.ahead = True
        by_key = {item.key: item for item in waiting}

        def answer(request: ClaimRequest, claim: Claim | None) -> None:
            item = by_key[request.key]
            if claim is None:
                item.ahead = False
                return
            with self._lock:
                wanted = item.state in (State.WAITING, State.RUNNING)
                if wanted and item.claim is None:
                    item.claim = claim
                    item.attempt = claim.attempt
                    self._stats.add("claimed", item.event.name)
            if not wanted:
                self._claims.release(claim)

        self._claims.claim_later(
            [ClaimRequest(i.key, i.attempt, i.event.raw if i.attempt > 1 else None, i.event.shard_id) for i in waiting],
            answer,
        )

    def _adopt(self, now: float) -> None:
        """Takes over events that no replica which received them has taken: from the payload in etcd."""
        with self._lock:
            due = [(key, known) for key, (when, known) in self._orphans.items() if when <= now]
            for key, _ in due:
                del self._orphans[key]
        for key, known in due:
            if self._claims.hint(key) is not Hint.UNKNOWN or self._draining:
                continue
            if known.attempt >= self._config.max_attempts or known.payload is None:
                bury = ClaimRequest(key, self._config.max_attempts + 1, known.payload, known.shard_id)
                self._claims.claim_later((bury,), self._on_buried)
            else:
                _log.info("%s is adopted: no replica that received it took it over", key)
                self._inject(known.payload, known.shard_id)

    def _on_buried(self, request: ClaimRequest, claim: Claim | None) -> None:
        self._stats.add("dead", request.key.split("/", 1)[0])

    def _sweep(self, now: float) -> None:
        """Forgets what is older than its mark could be."""
        oldest = now - self._config.retention
        old = []
        with self._lock:
            for item in self._known.values():
                if item.event.received_at < oldest and item.state in (State.PARKED, State.DELAYED, State.WAITING):
                    old.append(item)
        for item in old:
            if item.state is State.WAITING and not self.lanes.remove(item.lane, item):
                continue
            self._forget(item)
            self._drop(item.event.name, "expired")


def _never() -> bool:
    return False

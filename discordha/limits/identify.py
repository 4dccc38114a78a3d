"""Takes this replica's turns at Discord's budget for new sessions, which all replicas share.

Guarantees
- Over all replicas and shards, each ``max_concurrency`` bucket has one IDENTIFY at a time and a pause of
  ``interval`` seconds after Discord's answer. Replicas take turns, first come, first served; each begins with
  shards for which no replica is ready.
- When little is left of the day's budget (``RESERVED_SHARE``), only those shards identify. When nothing is
  left, no shard does.
- A bot that crashes at start in a loop waits longer each time (``identify_budget``), and uses at most 30 of
  1,000 IDENTIFYs an hour. RESUME needs no turn.

Not guaranteed while etcd is away: after ``UNSHARED_AFTER`` seconds a replica identifies without it, because a
shard without a connection loses events. The replica still spaces its own IDENTIFYs.

Threads and locks
- ``Identify`` owns the thread ``discordha-identify``: ``start`` starts it, ``stop`` joins it. It alone writes
  to etcd. The gateway's loop awaits ``turn`` and never waits for the thread.
- ``_lock`` guards ``_new``, the requests that the thread has not seen; nothing is called under it. All other
  state belongs to the thread; ``status`` reads single values.
- At stop all requests are cancelled. A lost session costs the places in the queue, which are taken again.
  While the watch is down, no turn comes until ``UNSHARED_AFTER`` is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, InvalidStateError
from typing import Any

from discordha.coordination.etcd.store import LeaseNotFound
from discordha.coordination.membership.shard_keys import number_of
from discordha.coordination.quotas.identify_budget import PROVEN, IdentifyBudget, allowance, delay
from discordha.coordination.quotas.identify_queue import IdentifyQueue, Place
from discordha.coordination.session import Session
from discordha.errors import DiscordHAError
from discordha.limits.identify_turn import IdentifyTurn
from discordha.limits.session_limits import SessionLimits
from discordha.process.threads import note_failure, unending

__all__ = ["RESERVED_SHARE", "Identify"]

_log = logging.getLogger(__name__)

#: The share of a day's budget that is kept for shards for which no replica is ready.
RESERVED_SHARE = 0.1
#: How long etcd may fail before a replica identifies without it, seconds.
UNSHARED_AFTER = 5.0
#: How often the thread checks its requests and turns, seconds.
CHECK_INTERVAL = 0.25
#: A turn ends when its IDENTIFY has not left within this time, seconds: other replicas may reach Discord.
UNUSED_TURN_TIMEOUT = 5.0
#: A turn ends when Discord has not answered its IDENTIFY within this time, seconds.
UNANSWERED_TURN_TIMEOUT = 10.0


class _Request:
    def __init__(self, key: int) -> None:
        self.key = key
        self.future: Future[IdentifyTurn] = Future()


class Identify:
    """The turns of one replica.

    :param live: returns the live replicas.
    :param needed: tells whether no other replica is ready for a shard, by its key.
    :param fetch: asks Discord for its limits; blocks.
    """

    def __init__(
        self,
        session: Session,
        queue: IdentifyQueue,
        budget: IdentifyBudget,
        *,
        live: Callable[[], Collection[str]],
        needed: Callable[[int], bool],
        fetch: Callable[[], SessionLimits],
    ) -> None:
        self._session = session
        self._queue = queue
        self._budget = budget
        self._live = live
        self._needed = needed
        self._fetch = fetch
        self._clock = time.monotonic
        self._limits: SessionLimits | None = None
        self._lock = threading.Lock()
        self._new: list[_Request] = []
        self._waiting: list[_Request] = []
        self._turns: list[IdentifyTurn] = []
        self._places: dict[int, Place] = {}  # by bucket
        self._etcd_failed_at: float | None = None
        self._spaced_until: dict[int, float] = {}  # by bucket, for IDENTIFYs without etcd
        self._began = self._clock()
        self._may_start_at: float | None = None
        self._proven = False
        self._asked_at = 0.0
        self._reason: str | None = None
        self._logged_reason: str | None = None
        self._own_spent = 0
        self._has_strays = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(
            target=unending(self._run, self._stop), name="discordha-identify", daemon=True
        )
        queue.changed = budget.changed = self._wake.set

    def start(self, limits: SessionLimits) -> None:
        """Starts the thread. Blocks on etcd.

        :param limits: Discord's limits.
        :raises StoreUnavailable: etcd does not answer.
        """
        self._limits = limits
        self._began = self._asked_at = self._clock()
        self._budget.open(limits.remaining, limits.total, limits.reset_after)
        self._thread.start()

    def stop(self, *, clean: bool = True) -> None:
        """Ends the thread. Blocks for a call in flight. Idempotent.

        :param clean: whether this run ends on purpose, and so belongs to no crash loop.
        """
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
            if clean:
                with contextlib.suppress(DiscordHAError):
                    self._budget.prove()

    async def turn(self, key: int) -> IdentifyTurn:
        """Waits for a turn. Gateway's loop."""
        request = _Request(key)
        with self._lock:
            self._new.append(request)
        self._wake.set()
        return await asyncio.wrap_future(request.future)

    @property
    def reason(self) -> str | None:
        """Why no session may begin now; ``None``: no shard waits, or its turn comes. Any thread."""
        return self._reason

    def status(self) -> dict[str, Any]:
        """The budget and the queue as this replica sees them. No I/O; any thread."""
        limits, day = self._limits, self._budget.day
        crashes, used = self._budget.crashed(self._live())
        wait = (self._may_start_at or 0.0) - self._clock()
        return {
            "remaining": day.remaining if day is not None else None,
            "total": day.total if day is not None else None,
            "max_concurrency": limits.max_concurrency if limits is not None else None,
            "interval": limits.interval if limits is not None else None,
            "waiting": len(self._waiting),
            "slot": self._budget.slot,
            "crashes": crashes,
            "used_by_crashes": used,
            "wait": round(max(wait, 0.0), 1),
            "reason": self._reason,
        }

    @property
    def _known_limits(self) -> SessionLimits:
        assert self._limits is not None, "start() comes first"
        return self._limits

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._until_next())
            self._wake.clear()
            try:
                self._tend()
            except (DiscordHAError, LeaseNotFound) as error:
                _log.debug("identify waits for etcd: %s", error)
                self._stop.wait(0.05)
            except Exception as error:  # noqa: BLE001 - the thread must not end
                _log.exception("the turns at IDENTIFY failed; trying again")
                note_failure(error)
                self._stop.wait(CHECK_INTERVAL)
        for request in (*self._waiting, *self._new):
            request.future.cancel()

    def _until_next(self) -> float | None:
        now, interval = self._clock(), self._known_limits.interval
        due = [turn.over_at + interval - now for turn in self._turns if turn.over_at is not None]
        if self._waiting or self._has_strays or len(due) < len(self._turns):
            due.append(CHECK_INTERVAL)
        if not self._proven:
            due.append(self._began + PROVEN - now)
        return max(min(due), 0.0) if due else None

    def _tend(self) -> None:
        now = self._clock()
        with self._lock:
            self._waiting += self._new
            self._new.clear()
        for turn in list(self._turns):
            with contextlib.suppress(DiscordHAError):  # tried again; the turn's lease ends by itself
                self._tend_turn(turn, now)
        if not self._proven and now - self._began >= PROVEN:
            self._budget.prove()
            self._proven = True
        self._drop_strays()
        self._waiting = [request for request in self._waiting if not request.future.cancelled()]
        self._reason = None
        for bucket, requests in self._by_bucket().items():
            # One place a bucket, so that replicas take turns; shards that no replica is ready for come first.
            self._advance(bucket, min(requests, key=lambda request: not self._needed(request.key)), now)
        self._log_reason()

    def _drop_strays(self) -> None:
        grant = self._session.current
        strays = self._queue.strays(grant, self._places.values()) if grant is not None else []
        self._has_strays = bool(strays)
        with contextlib.suppress(DiscordHAError):
            for key in strays:
                self._queue.drop(key)

    def _by_bucket(self) -> dict[int, list[_Request]]:
        found: dict[int, list[_Request]] = {}
        for request in self._waiting:
            found.setdefault(number_of(request.key) % self._known_limits.max_concurrency, []).append(request)
        for bucket in self._places.keys() - found.keys():
            with contextlib.suppress(DiscordHAError):
                self._leave(bucket)
        return found

    def _leave(self, bucket: int) -> None:
        place = self._places.get(bucket)
        if place is not None:
            self._queue.leave(place)
            del self._places[bucket]

    def _tend_turn(self, turn: IdentifyTurn, now: float) -> None:
        """Keeps a turn until the pause after it is over, then frees it."""
        if turn.sent_at is not None and now - turn.sent_at >= UNANSWERED_TURN_TIMEOUT:
            turn.over()
        elif now - turn.begun >= UNUSED_TURN_TIMEOUT:
            turn.give_up()
        over = turn.over_at
        if over is not None and (turn.sent_at is None or now >= over + self._known_limits.interval):
            if turn.held is not None and turn.held.valid:
                self._queue.free(turn.held)
            self._turns.remove(turn)
        elif turn.held is not None and over is None and now - turn.held.renewed_at >= 1.0:
            self._queue.renew(turn.held)

    def _advance(self, bucket: int, request: _Request, now: float) -> None:
        try:
            turn = self._try(bucket, request, now)
            self._etcd_failed_at = None
        except (DiscordHAError, LeaseNotFound):
            if self._etcd_failed_at is None:
                self._etcd_failed_at = now
            if now - self._etcd_failed_at < UNSHARED_AFTER:
                raise
            turn = self._without_etcd(bucket, request, now)
        if turn is None:
            return
        self._waiting.remove(request)
        self._turns.append(turn)
        try:
            request.future.set_result(turn)
        except InvalidStateError:  # the client no longer waits
            turn.over()

    def _try(self, bucket: int, request: _Request, now: float) -> IdentifyTurn | None:
        grant = self._session.require()
        self._budget.take_slot(grant)
        if bucket in self._places and self._places[bucket].grant is not grant:
            del self._places[bucket]
        why = self._why_not(request.key, now)
        if why is not None:
            self._reason = why
            self._leave(bucket)
            return None
        place = self._places.get(bucket)
        if place is None:
            if any(turn.bucket == bucket for turn in self._turns):
                return None  # a replica queues up again after its turn, behind the replicas that wait
            self._places[bucket] = self._queue.enter(bucket, grant)
            return None
        if not self._queue.is_next(place):
            return None
        guards, writes = self._budget.spend(proven=self._proven)
        del self._places[bucket]  # if the answer is lost, it may be used up; if it is not, it becomes a stray
        held = self._queue.take(place, self._known_limits.interval, guards, writes)
        if held is None:
            self._places[bucket] = place
            return None
        self._budget.spent()
        self._own_spent += 1
        return IdentifyTurn(bucket, held, now, self._wake.set)

    def _why_not(self, key: int, now: float) -> str | None:
        """Why a shard may not identify now; ``None`` when it may."""
        day = self._budget.day
        if day is None and now - self._asked_at > 1.0:
            self._asked_at = now
            limits = self._limits = self._fetch()
            self._budget.open(limits.remaining, limits.total, limits.reset_after)
            return "the day's budget is not known yet"
        total = day.total if day is not None else self._known_limits.total
        if not self._proven:
            crashes, used = self._budget.crashed(self._live())
            if self._may_start_at is None:
                self._may_start_at = self._began + delay(crashes, total)
            if now < self._may_start_at:
                return f"{crashes} starts ended in a crash within the last hour: the next one waits"
            if crashes and used + self._own_spent >= allowance(total):
                return f"{used} IDENTIFYs were used by starts that ended in a crash within the last hour"
        if day is not None and day.remaining <= 0:
            return "nothing is left of today's IDENTIFYs"
        if day is not None and day.remaining < day.total * RESERVED_SHARE and not self._needed(key):
            return f"{day.remaining} IDENTIFYs are left today: kept for shards that no replica is ready for"
        return None

    def _without_etcd(self, bucket: int, request: _Request, now: float) -> IdentifyTurn | None:
        if now < self._spaced_until.get(bucket, 0.0):
            return None
        self._spaced_until[bucket] = now + self._known_limits.interval + 1.0
        _log.warning("shard %d identifies without etcd, which does not answer", number_of(request.key))
        return IdentifyTurn(bucket, None, now, self._wake.set)

    def _log_reason(self) -> None:
        if self._reason != self._logged_reason:
            self._logged_reason = self._reason
            if self._reason is not None:
                _log.warning("no new session with Discord for now: %s", self._reason)

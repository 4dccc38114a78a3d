"""Identify: this replica's turns at Discord's budget for new sessions, which all replicas share.

Promises
- One IDENTIFY at a time in each ``max_concurrency`` bucket, and a pause of ``interval`` seconds after it,
  counted from Discord's answer, over all replicas and shards. Replicas take turns, first come, first served;
  each has shards first that no replica is ready for.
- When little is left of the day's budget (``RESERVE``), only those shards identify that no replica is ready
  for. When nothing is left, nobody does.
- A bot that crashes at start in a loop waits longer each time (see ``identify_budget``), and uses no more
  than 30 of 1,000 IDENTIFYs an hour.
- RESUME needs no turn.

Does not promise any of that while etcd is away: a session that can't be resumed is then begun anew after
``PATIENCE`` seconds, since events that nobody receives are lost. This replica's own keep their distance.

Concurrency
- The thread ``discordha-identify`` is owned by ``Identify``: started by ``start``, joined by ``stop``. It
  alone writes to etcd. ``turn`` is awaited on the gateway's loop, which never waits for that thread.
- ``_lock`` guards ``_new``, the requests that the thread has not seen; nothing is called under it. All other
  state is the thread's own, but for single values that ``status`` reads.
- At stop nobody gets a turn any more. At a lost session places are gone, and taken again; at a lost watch
  nobody's turn comes until it is back, or ``PATIENCE`` is over.
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

__all__ = ["RESERVE", "Identify"]

_log = logging.getLogger(__name__)

#: The share of a day's budget that is kept for shards which no replica is ready for.
RESERVE = 0.1
#: How long a request waits for etcd before it goes without, seconds.
PATIENCE = 5.0
#: How often the thread looks while somebody waits, seconds.
LOOK = 0.25
#: A connection that is not made within so many seconds loses its turn: others may reach Discord.
CONNECT = 5.0
#: A turn whose IDENTIFY is not answered within so many seconds is over.
ANSWER = 10.0


class _Request:
    def __init__(self, key: int) -> None:
        self.key = key
        self.future: Future[IdentifyTurn] = Future()


class Identify:
    """The turns of one replica.

    :param live: the replicas that live.
    :param needed: whether no other replica is ready for a shard.
    :param fetch: asks Discord for the limits; blocks.
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
        self._troubled_since: float | None = None  # etcd does not answer
        self._own: dict[int, float] = {}  # by bucket: until when this replica keeps its distance
        self._began = self._clock()
        self._may_start_at: float | None = None
        self._proven = False
        self._asked_at = 0.0
        self._reason: str | None = None
        self._said: str | None = None
        self._own_spent = 0
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="discordha-identify", daemon=True)
        queue.changed = budget.changed = self._wake.set

    def start(self, limits: SessionLimits) -> None:
        """Starts the thread. Blocks on etcd.

        :param limits: what Discord said.
        :raises StoreUnavailable: etcd does not answer.
        """
        self._limits = limits
        self._began = self._asked_at = self._clock()
        self._budget.open(limits.remaining, limits.total, limits.reset_after)
        self._thread.start()

    def stop(self, *, clean: bool = True) -> None:
        """Ends the thread. Blocks for a call in flight. Idempotent.

        :param clean: this run ends because somebody wants it to: it was none of a crash loop.
        """
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
            if clean:
                with contextlib.suppress(DiscordHAError):
                    self._budget.prove()

    async def turn(self, key: int, initial: bool) -> IdentifyTurn:
        """Waits for a turn. Gateway's loop."""
        request = _Request(key)
        with self._lock:
            self._new.append(request)
        self._wake.set()
        return await asyncio.wrap_future(request.future)

    @property
    def reason(self) -> str | None:
        """Why no new session is begun now; ``None``: nobody waits, or its turn comes. Any thread."""
        return self._reason

    def status(self) -> dict[str, Any]:
        """What is left, and what is waited for. No I/O; any thread."""
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

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._until_next())
            self._wake.clear()
            try:
                self._tend()
            except (DiscordHAError, LeaseNotFound) as error:
                _log.debug("identify waits for etcd: %s", error)
                self._stop.wait(0.05)
            except Exception:  # noqa: BLE001 - the thread must not end
                _log.exception("the turns at IDENTIFY failed")
                self._stop.wait(LOOK)
        for request in (*self._waiting, *self._new):
            request.future.cancel()

    def _until_next(self) -> float | None:
        limits = self._limits
        assert limits is not None
        now = self._clock()
        due = [turn.over_at + limits.interval - now for turn in self._turns if turn.over_at is not None]
        if self._waiting or len(due) < len(self._turns):
            due.append(LOOK)
        if not self._proven:
            due.append(self._began + PROVEN - now)
        return max(min(due), 0.0) if due else None

    def _tend(self) -> None:
        now = self._clock()
        with self._lock:
            self._waiting += self._new
            self._new.clear()
        for turn in list(self._turns):
            with contextlib.suppress(DiscordHAError):  # tried again; its lease ends by itself
                self._look_after(turn, now)
        if not self._proven and now - self._began >= PROVEN:
            self._budget.prove()
            self._proven = True
        self._waiting = [request for request in self._waiting if not request.future.cancelled()]
        self._reason = None
        for bucket, requests in self._by_bucket().items():
            # One place a bucket, so that replicas take turns; what nobody is ready for comes first.
            self._advance(bucket, min(requests, key=lambda request: not self._needed(request.key)), now)
        self._say(self._reason)

    def _by_bucket(self) -> dict[int, list[_Request]]:
        limits = self._limits
        assert limits is not None
        found: dict[int, list[_Request]] = {}
        for request in self._waiting:
            found.setdefault(number_of(request.key) % limits.max_concurrency, []).append(request)
        for bucket in self._places.keys() - found.keys():
            with contextlib.suppress(DiscordHAError):
                self._leave(bucket)
        return found

    def _leave(self, bucket: int) -> None:
        place = self._places.get(bucket)
        if place is not None:
            self._queue.leave(place)
            del self._places[bucket]

    def _look_after(self, turn: IdentifyTurn, now: float) -> None:
        """Hands a turn on when its pause is over, and keeps it until then."""
        limits = self._limits
        assert limits is not None
        if turn.sent_at is not None and now - turn.sent_at >= ANSWER:
            turn.over()
        elif now - turn.begun >= CONNECT:
            turn.give_up()
        over = turn.over_at
        if over is not None and (turn.sent_at is None or now >= over + limits.interval):
            if turn.held is not None and turn.held.valid:
                self._queue.free(turn.held)
            self._turns.remove(turn)
        elif turn.held is not None and over is None and now - turn.held.renewed_at >= 1.0:
            self._queue.renew(turn.held)

    def _advance(self, bucket: int, request: _Request, now: float) -> None:
        try:
            turn = self._try(bucket, request, now)
            self._troubled_since = None
        except (DiscordHAError, LeaseNotFound):
            if self._troubled_since is None:
                self._troubled_since = now
            if now - self._troubled_since < PATIENCE:
                raise
            turn = self._without_etcd(bucket, request, now)
        if turn is None:
            return
        self._waiting.remove(request)
        self._turns.append(turn)
        try:
            request.future.set_result(turn)
        except InvalidStateError:  # the connection was given up meanwhile
            turn.over()

    def _try(self, bucket: int, request: _Request, now: float) -> IdentifyTurn | None:
        limits = self._limits
        assert limits is not None
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
                return None  # whoever has had its turn queues up behind those that wait
            self._places[bucket] = self._queue.enter(bucket, grant)
            return None
        if not self._queue.is_next(place):
            return None
        guards, writes = self._budget.spend(proven=self._proven)
        held = self._queue.take(place, limits.interval, guards, writes)
        if held is None:
            return None
        self._budget.spent()
        self._own_spent += 1
        del self._places[bucket]
        return IdentifyTurn(bucket, held, now, self._wake.set)

    def _why_not(self, key: int, now: float) -> str | None:
        """Why a shard may not identify now; ``None`` when it may."""
        limits, day = self._limits, self._budget.day
        assert limits is not None
        if day is None and now - self._asked_at > 1.0:
            self._asked_at = now
            limits = self._limits = self._fetch()
            self._budget.open(limits.remaining, limits.total, limits.reset_after)
            return "the day's budget is not known yet"
        total = day.total if day is not None else limits.total
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
        if day is not None and day.remaining < day.total * RESERVE and not self._needed(key):
            return f"{day.remaining} IDENTIFYs are left today: kept for shards that no replica is ready for"
        return None

    def _without_etcd(self, bucket: int, request: _Request, now: float) -> IdentifyTurn | None:
        limits = self._limits
        assert limits is not None
        if now < self._own.get(bucket, 0.0):
            return None
        self._own[bucket] = now + limits.interval + 1.0
        _log.warning("shard %d identifies without etcd, which does not answer", number_of(request.key))
        return IdentifyTurn(bucket, None, now, self._wake.set)

    def _say(self, reason: str | None) -> None:
        if reason != self._said:
            self._said = reason
            if reason is not None:
                _log.warning("no new session with Discord for now: %s", reason)

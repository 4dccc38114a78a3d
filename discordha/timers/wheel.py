"""TimerWheel: brings due timers to their handlers.

Guarantees
- Every replica offers a due timer to its dispatcher as an event of its own: one replica claims and runs it,
  another takes over when that one dies, and a timer that ends its processes becomes a dead letter.
- A timer that has ended, or was cancelled before it began, does not run: its key is asked for first.
- A waiting timer costs nothing until it is due within ``HORIZON``: a replica reads the store every
  ``HORIZON / 2`` seconds, and when another one schedules a timer that is due soon. At most ``MAX_OFFERED``
  are on their way at once.

Not guaranteed: the exact moment. A timer is due by the clock of the replica that looks first.

Threads and locks: ``discordha-timers``, started by ``start`` if there are handlers, joined by ``stop``. It
alone has ``_window`` and ``_offered``. ``on_events`` is called on the watch's thread and does not block. A
handler thread blocks on the store before and after the handler.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from discordha.context import current_event
from discordha.coordination.claims.records import Hint
from discordha.coordination.etcd.store import Snapshot, WatchEvent, WatchListener
from discordha.coordination.shared.timers import StoredTimer, TimerStore, parse_timer
from discordha.dispatch.dispatcher import Dispatcher
from discordha.dispatch.handlers import Handler
from discordha.dispatch.handlers.callables import refuse_result
from discordha.errors import DiscordHAError, LockLost, StoreUnavailable
from discordha.events import Event, Identity, Scope
from discordha.process.threads import note_failure, unending

__all__ = ["OWN_EVENT", "TimerWheel"]

_log = logging.getLogger(__name__)

#: Timers that are due within so many seconds are kept in memory.
HORIZON = 60.0
#: Timers that are read at once.
PAGE = 5000
#: Timers that wait for their handlers at once.
MAX_OFFERED = 1000
#: A timer that begins within so many seconds is on time.
ON_TIME = 1.0
#: The pause between two tries while the store does not answer, and between two pokes, seconds.
RETRY_PAUSE = 0.25
POKE_PAUSE = 0.05
EVENT = "timer"
#: Begins the stored form of an event that the bot makes itself; no frame of the gateway begins so.
OWN_EVENT = '{"discordha": '


class TimerWheel(WatchListener):
    """See the module. Listens to the component ``tp`` below the bot's root.

    :param functions: the functions of ``ha.timer``, by name.
    :param shard: gives the key of the shard whose hosts run timers.
    :param hint: what is known of a claim.
    """

    def __init__(
        self,
        store: TimerStore,
        functions: Mapping[str, Callable[[Any], Any]],
        dispatcher: Dispatcher,
        hint: Callable[[str], Hint],
        shard: Callable[[], int],
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._functions = functions
        self._dispatcher = dispatcher
        self._hint = hint
        self._shard = shard
        self._wall = wall
        self._window: deque[StoredTimer] = deque()
        self._offered: set[str] = set()
        self._read_until = -math.inf  # the window holds all timers up to this moment
        self._read_at = -math.inf
        self._stale = True  # set by any thread: the window lacks something
        self._unknown: set[str] = set()
        self._poke_due = math.inf
        self._lock = threading.Lock()  # guards _poke_due
        self._pausing = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        target = unending(self._run, self._stop)
        self._thread = threading.Thread(target=target, name="discordha-timers", daemon=True)
        store.on_scheduled = self._on_scheduled

    def start(self) -> None:
        """Starts the thread. Does not block."""
        self._thread.start()

    def pause(self) -> None:
        """Offers no timer any more. Does not block."""
        self._pausing = True

    def stop(self, timeout: float = 0.5) -> None:
        """Ends the thread. Blocks for a call in flight, for ``timeout`` seconds at the most; closing the
        store ends the call. Idempotent.
        """
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def read_again(self) -> None:
        """Has the thread read the store. Does not block; any thread."""
        self._stale = True
        self._wake.set()

    def _on_scheduled(self, due: float) -> None:
        if due <= self._wall() + 2 * HORIZON:
            with self._lock:
                self._poke_due = min(self._poke_due, due)
            self._wake.set()

    # -- the coordination watch ------------------------------------------------------------------------------

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self.read_again()

    def on_events(self, revision: int, events: Sequence[WatchEvent]) -> None:
        self.read_again()

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                pause = self._turn()
            except StoreUnavailable:
                pause = RETRY_PAUSE
            except Exception as error:  # noqa: BLE001 - time must go on
                _log.exception("the timers failed; they are tried again")
                note_failure(error)
                pause = 1.0
            if self._wake.wait(pause):
                self._stop.wait(POKE_PAUSE)  # others that are scheduled meanwhile go along

    def _turn(self) -> float:
        """Does everything that is due; returns the seconds until more is."""
        with self._lock:
            poke, self._poke_due = self._poke_due, math.inf
        if poke < math.inf:
            self._stale = True
            self._store.poke(poke)
        now = self._wall()
        if not self._functions or self._pausing:
            return HORIZON
        if self._stale or not self._read_at <= now < self._read_at + HORIZON / 2:
            self._read(now)
        self._offered = {id for id in self._offered if self._dispatcher.knows(f"{EVENT}/{id}")}
        while self._window and self._window[0].due <= now:
            if len(self._offered) >= MAX_OFFERED:
                return POKE_PAUSE
            self._offer(self._window.popleft())
        if not self._window and self._read_until < now + HORIZON / 2:
            self._stale = True  # a full page: the rest follows once these have ended
            return RETRY_PAUSE
        return min([self._read_at + HORIZON / 2 - now, *(each.due - now for each in [*self._window][:1])])

    def _read(self, now: float) -> None:
        self._stale = False
        after: str | None = None
        while True:
            found = self._store.window(now + HORIZON, PAGE, after)
            timers = [timer for timer in map(parse_timer, found) if timer is not None]
            self._window = deque(timer for timer in timers if self._is_known(timer))
            full = len(found) == PAGE
            if self._window or not full or self._stop.is_set():
                break
            after = found[-1].key  # a page of timers that this replica can't run
        self._read_at = now
        self._read_until = timers[-1].due if full and timers else now + HORIZON

    def _is_known(self, timer: StoredTimer) -> bool:
        if timer.name in self._functions:
            return True
        if timer.name not in self._unknown:
            self._unknown.add(timer.name)
            _log.warning(
                "a timer named %r is due soon, and this replica has no @ha.timer(%r): it is left to other "
                "replicas; `discordha timers --cancel ID` deletes it",
                timer.name,
                timer.name,
            )
        return False

    def _offer(self, timer: StoredTimer) -> None:
        key = f"{EVENT}/{timer.id}"
        if self._dispatcher.knows(key):
            return
        if self._hint(key) is Hint.DONE:
            self._store.end(timer.id)  # its end was not written
            return
        raw = json.dumps({"discordha": EVENT, "id": timer.id})
        identity = Identity(Scope.CLAIM, timer.id, timer.id, None)
        event = Event(EVENT, (timer,), identity, self._shard(), raw, time.monotonic())
        self._offered.add(timer.id)
        self._dispatcher.offer(
            event, (Handler(self._handle, EVENT, Scope.CLAIM, None, f"timer {timer.name}"),)
        )

    # -- handler threads -------------------------------------------------------------------------------------

    def _handle(self, timer: StoredTimer) -> None:
        event = current_event()
        assert event is not None
        while True:
            if event.lost:
                raise LockLost(f"this replica may have lost the timer {timer.id}")
            try:
                if not self._store.exists(timer.id):
                    return  # ended or cancelled
                break
            except StoreUnavailable:
                self._stop.wait(RETRY_PAUSE)
        late = self._wall() - timer.due
        event.late_by = late if late > ON_TIME else 0.0
        try:
            refuse_result(self._functions[timer.name](timer.payload), f"the timer {timer.name!r}")
        except DiscordHAError as error:
            if not isinstance(error, LockLost):
                self._store.end(timer.id)
            raise
        except BaseException:
            self._store.end(timer.id)
            raise
        if not event.refused:
            self._store.end(timer.id)

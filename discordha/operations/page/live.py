"""What the page shows, read from etcd for all viewers together.

Guarantees
- While somebody looks, etcd is asked for the fleet once a second at most, for its members every
  ``MEMBERS_EVERY`` seconds, and for timers every ``TIMERS_EVERY``; however many look. While nobody looks, for
  nothing. Single look-ups are limited to ``LOOKUPS`` a second for all viewers.
- When etcd does not answer, viewers keep the last state, and are told since when and why.

Threads and locks: everything here belongs to the HTTP server's loop, but the reads: they block on etcd on
threads named ``discordha-page``, which ``close`` ends by closing the store. The store is one of its own, so
that a slow read delays nothing else, and a refused one says nothing about the replica.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from discordha.errors import DiscordHAError
from discordha.operations.fleet import Fleet

__all__ = ["HEARTBEAT", "Busy", "Live"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

#: Seconds between two reads of the fleet, of etcd's members, and of timers.
FLEET_EVERY, MEMBERS_EVERY, TIMERS_EVERY = 1.0, 2.0, 5.0
#: Timers that are shown.
TIMERS_SHOWN = 8
#: Look-ups a second.
LOOKUPS = 5
#: Reads that viewers get to begin with, for their curves.
REMEMBERED = 60
#: How long the reads go on after the last viewer, seconds: a page that is loaded again finds its curves.
LINGER = 3.0
#: Seconds after which viewers hear something in any case.
HEARTBEAT = 10.0
#: Blocking calls at once.
_READERS = 3
#: What viewers get of a member record.
_SHOWN = (
    *("state", "reasons", "version", "started", "host", "pid", "leads", "shards", "queue", "handled"),
    *("uptime", "threads", "counts", "times", "cpu", "latency", "backlog", "identify"),
)
#: Of these, what the curves are drawn from.
_CURVES = ("uptime", "counts", "times", "cpu", "latency", "queue")


class Busy(DiscordHAError):
    """Too many look-ups at once."""


class Live:
    """The state of one fleet, for many viewers.

    :param open_fleet: opens the fleet when it is first looked at; may raise ``DiscordHAError``.
    :param members: the records of the replicas, where etcd has none.
    :param extra: more to show: the replica that serves the page, and the actions that it allows.
    """

    def __init__(
        self,
        open_fleet: Callable[[], Fleet],
        members: Callable[[], Mapping[str, Mapping[str, Any]]] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._open_fleet = open_fleet
        self._members = members
        self._extra = dict(extra or {})
        self._fleet: Fleet | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._task: asyncio.Task[None] | None = None
        self._side_task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._closed = False
        self._looked_at = 0.0
        self._timers_at = 0.0
        self._etcd: list[dict[str, Any]] = []
        self._timers: dict[str, Any] = {"count": 0, "timers": []}
        self._status: dict[str, Any] | None = None
        self._curves: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
        self._answers: dict[tuple[str, ...], tuple[float, asyncio.Future[Any]]] = {}
        self._failing_since: float | None = None
        self._message = b""
        self._read_at = 0.0
        self.viewers = 0

    # -- for viewers; loop thread ----------------------------------------------------------------------------

    async def messages(self) -> AsyncGenerator[tuple[str, bytes], None]:
        """What one viewer gets, each with its kind: the curves so far, then the state at each change. Empty
        where there is nothing new for ``HEARTBEAT`` seconds. Ends when the page does.
        """
        self.viewers += 1
        try:
            self._begin()
            yield "curves", _dump(list(self._curves))
            shown = b""
            while not self._closed:
                changed = self._changed
                if self._message and self._message is not shown:
                    shown = self._message
                    yield "status", shown
                    continue
                try:
                    await asyncio.wait_for(changed.wait(), HEARTBEAT)
                except TimeoutError:
                    yield "", b""
        finally:
            self.viewers -= 1
            self._looked_at = time.monotonic()

    async def status(self) -> dict[str, Any]:
        """The state, for a program: at most one read a second, too."""
        self._begin()
        while not self._message and not self._closed:
            await self._changed.wait()
        return dict(json.loads(self._message or b"{}"))

    async def look_up(self, what: tuple[str, ...], read: Callable[[Fleet], T]) -> T:
        """Reads something else. Viewers who ask for the same within a second get the same answer.

        :raises Busy: viewers have looked up too much within the last second.
        """
        now = time.monotonic()
        self._answers = {key: known for key, known in self._answers.items() if now - known[0] < 1.0}
        if what not in self._answers:
            if len(self._answers) >= LOOKUPS:
                raise Busy(f"more than {LOOKUPS} look-ups a second; try again in a second")
            self._answers[what] = now, asyncio.ensure_future(self.call(read))
        answer: T = await asyncio.shield(self._answers[what][1])
        return answer

    async def call(self, function: Callable[[Fleet], T]) -> T:
        """Calls a function that blocks on etcd, on another thread."""
        if self._closed:
            raise DiscordHAError("the page ends")
        fleet = self._fleet
        if fleet is None:
            fleet = self._fleet = self._open_fleet()  # connects with its first call
        return await self.aside(lambda: function(fleet))

    async def aside(self, function: Callable[[], T]) -> T:
        """Calls a function that blocks, on another thread."""
        if self._closed:
            raise DiscordHAError("the page ends")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_READERS, "discordha-page")
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    async def close(self) -> None:
        """Ends the reads and every viewer's messages."""
        self._closed = True
        tasks = [task for task in (self._task, self._side_task) if task is not None]
        for task in tasks:
            task.cancel()
        self._tell()
        if self._fleet is not None:
            self._fleet.store.close()  # ends the calls in flight
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    # -- the reads -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._looked_at = time.monotonic()
        if self._task is None or self._task.done():
            self._message = b""  # nobody must take the last viewer's state for the present
            self._task = asyncio.create_task(self._repeat(self._read_fleet, FLEET_EVERY))
        if self._side_task is None or self._side_task.done():
            self._side_task = asyncio.create_task(self._repeat(self._read_rest, MEMBERS_EVERY))

    async def _repeat(self, read: Callable[[], Awaitable[None]], every: float) -> None:
        """Reads again and again while somebody looks."""
        while self.viewers or time.monotonic() - self._looked_at < LINGER:
            began = time.monotonic()
            try:
                await read()
            except DiscordHAError as error:
                self._fail(str(error))
            except Exception as error:  # noqa: BLE001 - viewers keep looking
                _log.exception("the operator's page could not read the fleet; it tries again")
                self._fail(f"{type(error).__name__}: see the log")
            await asyncio.sleep(max(began + every - time.monotonic(), 0.1))

    async def _read_fleet(self) -> None:
        members = None if self._members is None else {k: dict(v) for k, v in self._members().items()}
        status = await self.call(lambda fleet: fleet.replicas_status(members))
        records = {
            name: {key: record[key] for key in _SHOWN if key in record}
            for name, record in status["replicas"].items()
        }
        self._failing_since = None
        self._status = status | {"replicas": records}
        now = time.time()
        self._read_at = now
        self._curves.append({
            "at": now,
            "replicas": {name: {k: r[k] for k in _CURVES if k in r} for name, r in records.items()},
        })  # fmt: skip
        self._publish()

    async def _read_rest(self) -> None:
        """What may take its time, so that the rest does not wait for it."""
        found = await self.call(lambda fleet: fleet.etcd_members())
        self._etcd = [member._asdict() for member in found]
        now = time.monotonic()
        if now >= self._timers_at:
            timers, count = await self.call(lambda fleet: fleet.timers(TIMERS_SHOWN))
            shown = [{"id": t.id, "due": t.due, "name": t.name} for t in timers]
            self._timers = {"count": count, "timers": shown}
            # etcd counts a million in a second: it gets pauses from that.
            self._timers_at = now + max(TIMERS_EVERY, 20 * (time.monotonic() - now))

    def _fail(self, why: str) -> None:
        if self._failing_since is None:
            self._failing_since = time.time()
        self._publish(why)

    def _publish(self, error: str | None = None) -> None:
        state = self._status or {}
        self._message = _dump({
            **state,
            "etcd": self._etcd,
            "timers": self._timers,
            "read_at": self._read_at,
            "now": time.time(),
            "error": error,
            "failing_since": self._failing_since,
            "viewers": self.viewers,
            **self._extra,
        })  # fmt: skip
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()

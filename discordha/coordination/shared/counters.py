"""Counters of the shared caches: increments that are never lost and never counted twice.

Promises
- Each increment that returns was counted once, and returns the counter's value right after it: over all
  increments by 1, from all replicas, each number is returned once.
- Increments of one counter that wait at the same time in one process go out as one transaction.
- An increment whose answer got lost is looked for (``counter_values``). Only when it can't be found out
  whether it was counted it ends with ``StoreUnavailable`` with ``maybe_applied``.

Does not promise to be fair between processes: whoever writes first has it, the others try again. Nor to know
that a counter which it had begun, with the answer lost, was deleted at that very moment: it begins it again.

Source: the compare-and-swap loop on etcd's ``mod_revision``; combining as in ``commit``.

Concurrency
- No thread. ``_lock`` guards ``_lines`` and ``_known``; no I/O under it. Of the threads that count at one
  counter one is the sender; the others wait until it has their answers, or hands the sending over.
- At stop callers get ``StoreUnavailable``. A lost session or watch does not concern it.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence

from cachetools import LRUCache

from discordha.coordination.etcd.store import Compare, Get, LeaseNotFound, Put, Txn
from discordha.coordination.shared.cache import EtcdCaches
from discordha.coordination.shared.counter_values import Counter, value_after
from discordha.coordination.shared.values import new_stamp
from discordha.errors import StoreUnavailable

__all__ = ["Counters"]

#: The longest pause after others were faster, seconds.
LAST_PAUSE = 0.02
#: How many counters this process remembers, to write without reading first.
REMEMBERED = 1_000
#: How many increments go into one transaction at most.
BATCH = 1_000


class _Add:
    """One increment and its answer. ``wake`` is held until there is one, or the caller is to send."""

    __slots__ = ("by", "error", "guards", "result", "sends", "wake")

    def __init__(self, by: int, guards: tuple[Compare, ...]) -> None:
        self.by = by
        self.guards = guards
        self.result = 0
        self.error: BaseException | None = None
        self.sends = False
        self.wake = threading.Lock()
        self.wake.acquire()


class Counters:
    """All counters, as one replica counts them.

    :param patience: seconds for which an increment is tried.
    """

    def __init__(
        self, caches: EtcdCaches, *, patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._caches = caches
        self._patience = patience
        self._clock = clock
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._lines: dict[str, list[_Add]] = {}  # those who wait; a line exists while somebody sends
        self._known: LRUCache[str, Counter] = LRUCache(REMEMBERED)
        self._self = secrets.token_hex(4)
        self._writes = 0  # numbers the writes of this process; each belongs to one sender
        self.transactions = 0
        self.conflicts = 0

    def stop(self) -> None:
        """Ends the tries. Idempotent."""
        self._stop.set()

    def add(self, cache: str, key: str, by: int, ttl: float | None, guards: Sequence[Compare] = ()) -> int:
        """Counts up; returns the value after it. A counter that is not there begins at 0, and lives for
        ``ttl`` seconds from then on. Blocks; any thread but the gateway's.

        :raises TypeError: the value is no whole number.
        :raises LockLost: a guard does not hold; nothing was counted.
        :raises StoreUnavailable: etcd does not answer; ``maybe_applied``: it may have been counted.
        """
        path = self._caches.path(cache, key)
        add = _Add(by, tuple(guards))
        with self._lock:
            waiting = self._lines.get(path)
            if waiting is None:
                self._lines[path] = []
            else:
                waiting.append(add)
        if waiting is not None:
            add.wake.acquire()
            if not add.sends:
                return _answer(add)
        batch, number = self._take(path, add)
        try:
            self._count(cache, path, batch, number, ttl)
        except BaseException as error:
            for each in batch:
                each.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self._hand_over(path)
            for each in batch[1:]:
                each.wake.release()
        return _answer(add)

    def _take(self, path: str, first: _Add) -> tuple[list[_Add], int]:
        """What goes out together: the sender's own and what waits under the same locks; and its number."""
        with self._lock:
            batch: list[_Add] = [first]
            rest: list[_Add] = []
            for add in self._lines[path]:
                if add is first:
                    continue
                (batch if add.guards == first.guards and len(batch) < BATCH else rest).append(add)
            self._lines[path] = rest
            self._writes += 1
            return batch, self._writes

    def _hand_over(self, path: str) -> None:
        with self._lock:
            waiting = self._lines[path]
            if not waiting:
                del self._lines[path]
                return
            successor = waiting[0]
            successor.sends = True
        successor.wake.release()

    # -- the sender ------------------------------------------------------------------------------------------

    def _count(self, cache: str, path: str, batch: Sequence[_Add], number: int, ttl: float | None) -> None:
        """Writes the sum of all that go out together, and gives each its value."""
        deadline = self._clock() + self._patience
        total = sum(add.by for add in batch)
        guards = batch[0].guards
        known = self._known.get(path, Counter())
        doubt: Counter | None = None  # what was there when an answer got lost
        pause = 0.0
        while True:
            try:
                done, found = self._write(cache, path, known, (total, number), ttl, guards)
            except StoreUnavailable as error:
                if error.maybe_applied and doubt is None:
                    doubt = known
                if self._clock() >= deadline or self._stop.wait(LAST_PAUSE):
                    raise StoreUnavailable(str(error), maybe_applied=doubt is not None) from error
                continue
            with self._lock:
                self._known[path] = found
            value = found.value if done else None
            if not done and doubt is not None:
                value, doubt = value_after(self._self, number, found, doubt), None
            if value is not None:
                break
            known = found
            self.conflicts += 1
            pause = min(pause + 0.001, LAST_PAUSE)
            if self._clock() >= deadline or self._stop.wait(pause * random.random()):
                raise StoreUnavailable("others write to this counter all the time: it was not counted up")
        running = value - total
        for add in batch:
            running += add.by
            add.result = running

    def _write(  # noqa: PLR0917
        self,
        cache: str,
        path: str,
        known: Counter,
        write: tuple[int, int],
        ttl: float | None,
        guards: Sequence[Compare],
    ) -> tuple[bool, Counter]:
        """One try; whether it was written, and what is there."""
        self.transactions += 1
        begins = known.version == 0
        if begins and ttl is not None:
            known = known._replace(stamp=new_stamp(), ttl=ttl)
        by, number = write
        wanted = known.counted(by, self._self, number)
        data = wanted.data()
        compare = Compare.version(path, 0) if begins else Compare.mod_revision(path, known.mod_revision)

        def send(lease: int) -> tuple[bool, Counter]:
            txn = Txn((compare,), (Put(path, data, lease),), (Get(path),))
            result = self._caches.run(path, txn, guards)
            if not result.succeeded:
                found = result.responses[0]
                assert isinstance(found, list)
                return False, Counter.read(found[0] if found else None)
            created = result.revision if begins else known.create_revision
            written = wanted._replace(create_revision=created, mod_revision=result.revision, lease=lease)
            return True, written

        try:
            done, counter = self._caches.with_lease(ttl, send) if begins else send(known.lease)
        except LeaseNotFound:
            return False, Counter.read(self._caches.fetch(path))
        if done:
            self._caches.written(cache, path, counter.mod_revision)
            if begins and counter.stamp is not None:
                self._caches.expiry.expire(path, counter.stamp, counter.ttl, counter.mod_revision)
        return done, counter


def _answer(add: _Add) -> int:
    if add.error is not None:
        raise add.error
    return add.result

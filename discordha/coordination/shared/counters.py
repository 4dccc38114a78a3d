"""Counters of the shared caches: increments that are neither lost nor counted twice.

Guarantees
- An increment that returns was counted once, and returns the counter's value right after it: over all
  increments by 1, from all replicas, each number is returned once.
- Increments of one counter that wait at the same time in one process go out as one transaction.
- A counter remembers the last write of each of its last ``WRITERS`` processes, and since which version it has
  only been counted up, so that an increment whose answer got lost is found again. Only if that is impossible,
  ``StoreUnavailable`` with ``maybe_applied`` ends it.

Not guaranteed: fairness between processes; and that a counter which was begun with the answer lost, and
deleted at that very moment, does not begin again. Source: the compare-and-swap loop on etcd's
``mod_revision``.

Threads and locks: no thread. ``_lock`` guards ``_lines`` and ``_known``; no I/O under it. Of the threads that
count at one counter one is the sender; the others wait for its answers, or take the sending over.
"""

from __future__ import annotations

import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cachetools import LRUCache

from discordha.coordination.etcd.store import Compare, Get, KeyValue, LeaseNotFound, Put, Txn
from discordha.coordination.shared.cache import Calls, SharedCaches
from discordha.coordination.shared.values import Record, new_stamp
from discordha.errors import StoreUnavailable

__all__ = ["WRITERS", "Counter", "Counters", "value_after"]

#: How many processes a counter remembers.
WRITERS = 12
#: The longest pause after another process was faster, seconds.
LAST_CONFLICT_PAUSE = 0.02
#: How many counters this process remembers, to write without reading first.
COUNTERS_REMEMBERED = 1_000
#: How many increments go into one transaction at most.
BATCH_LIMIT = 1_000


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"the cache holds {value!r:.60} under this key, which can't be counted up")
    return value


class Counter(NamedTuple):
    """A counter in the store; ``version`` 0: absent.

    :param since: the first version since which it was only counted up.
    :param writers: of each process the name, the number of its last write, and the value after that; the last
        writer comes last.
    """

    value: int = 0
    version: int = 0
    create_revision: int = 0
    mod_revision: int = 0
    lease: int = 0
    stamp: str | None = None
    ttl: float = 0.0
    since: int = 0
    writers: Sequence[tuple[str, int, int]] = ()

    @classmethod
    def read(cls, kv: KeyValue | None) -> Counter:
        """Reads the stored form.

        :raises TypeError: the value is no whole number.
        """
        if kv is None:
            return cls()
        value, record = Record.read(kv.value)
        marks = record.marks
        return cls(
            _whole(value),
            kv.version,
            kv.create_revision,
            kv.mod_revision,
            kv.lease,
            record.stamp,
            record.ttl,
            marks[0] if marks else 0,
            [(who, number, after) for who, number, after in marks[1:]],
        )

    def counted(self, by: int, writer: str, number: int) -> Counter:
        """The counter after a write that adds ``by``."""
        value, version = self.value + by, self.version + 1
        others = [each for each in self.writers if each[0] != writer]
        writers = [*others, (writer, number, value)][-WRITERS:]
        return self._replace(
            value=value, version=version, since=self.since if self.writers else version, writers=writers
        )

    def data(self) -> bytes:
        """The stored form."""
        value = json.dumps(self.value).encode()
        return Record(value, self.stamp, self.ttl, (self.since, *self.writers)).data()


def value_after(writer: str, number: int, found: Counter, before: Counter) -> int | None:
    """The value after a write whose answer got lost. ``None``: it was not applied after ``before`` was read,
    and never will be, because others have written since.

    :raises StoreUnavailable: this cannot be found out.
    """
    for who, last, value in found.writers:
        if who == writer and last == number:
            return value
    same = before.version == 0 or found.create_revision == before.create_revision
    pushed_out = len(found.writers) >= WRITERS and all(who != writer for who, _, _ in found.writers)
    if found.version and same and found.since <= before.version + 1 and found.writers and not pushed_out:
        return None
    raise StoreUnavailable(
        "etcd did not answer, and others have written to the counter since: whether it was counted up can't "
        "be found out",
        maybe_applied=True,
    )


class _Add:
    """One increment and its answer. ``wake`` is released with the answer, or when its caller has to send."""

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

    :param retry_for: seconds for which an increment is tried.
    """

    def __init__(
        self, caches: SharedCaches, *, retry_for: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._caches = caches
        self._retry_for = retry_for
        self._clock = clock
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._lines: dict[str, list[_Add]] = {}  # increments that wait; a line exists while one thread sends
        self._known: LRUCache[str, Counter] = LRUCache(COUNTERS_REMEMBERED)
        self._self = secrets.token_hex(4)
        self._writes = 0  # numbers the writes of this process; each belongs to one sender
        self.transactions = 0
        self.conflicts = 0

    def stop(self) -> None:
        """Ends the tries. Idempotent."""
        self._stop.set()

    def add(self, cache: str, key: str, by: int, ttl: float | None, guards: Sequence[Compare] = ()) -> int:
        """Adds ``by`` and returns the value after it. An absent counter begins at 0, and lives for ``ttl``
        seconds from then on. Blocks; any thread except the gateway's.

        :raises TypeError: the value is no whole number.
        :raises LockLost: a guard did not hold; nothing was counted.
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
        """The increments that go out together, which are guarded alike, and the number of their write."""
        with self._lock:
            batch: list[_Add] = [first]
            rest: list[_Add] = []
            for add in self._lines[path]:
                if add is first:
                    continue
                (batch if add.guards == first.guards and len(batch) < BATCH_LIMIT else rest).append(add)
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
        """Writes the sum of a batch, and gives each increment its value."""
        deadline = self._clock() + self._retry_for
        total = sum(add.by for add in batch)
        guards = batch[0].guards
        known = self._known.get(path, Counter())
        doubt: Counter | None = None  # before a write whose answer got lost
        pause = 0.0
        while True:
            try:
                with self._caches.attempt(Calls.writing(guards), deadline):
                    done, found = self._write(cache, path, known, (total, number), ttl, guards)
            except StoreUnavailable as error:
                if error.maybe_applied and doubt is None:
                    doubt = known
                if self._clock() >= deadline or self._stop.is_set():
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
            pause = min(pause + 0.001, LAST_CONFLICT_PAUSE)
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
        """Tries once; returns whether it was written, and the counter after that."""
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

"""A replica's client of the simulated etcd: calls that take their time, and links that fail.

Links are cut (at once refused, or swallowed without a sign), requests arrive long after their sender gave
them up, and answers get lost after the commit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from discordha.coordination.etcd.messages import WatchRange, prefix_end
from discordha.coordination.etcd.store import Lease, Snapshot, StoreRefused, WatchListener
from discordha.coordination.etcd.watch import EtcdWatch
from discordha.coordination.memory.keyspace import Keyspace
from discordha.coordination.memory.store import MemoryStore
from discordha.errors import StoreUnavailable
from simulation.etcd import WAY_MEAN, SimulatedEtcd
from simulation.etcd_stream import SimulatedStream
from simulation.primitives import Event
from simulation.scheduler import Machine, current
from simulation.threads import Thread

__all__ = ["SimulatedStore", "store_of_this_machine"]

T = TypeVar("T")

#: How often a request that was swallowed arrives in the end.
LATE_CHANCE = 0.3


class SimulatedStore(MemoryStore):
    """One replica's client.

    :param timeout: seconds that a call takes at most, unless it says otherwise.
    """

    def __init__(self, etcd: SimulatedEtcd, machine: Machine, timeout: float = 5.0) -> None:
        self._etcd = etcd
        self._machine = machine
        self._link = etcd.link(machine)
        self._timeout = timeout
        self._streams: list[Any] = []
        self._ended = Event()
        self._closed = False
        self.calls = self.failures = 0

    def clone(self) -> Self:
        return type(self)(self._etcd, self._machine, self._timeout)

    def close(self) -> None:
        self._closed = True
        self._ended.set()
        for stream in list(self._streams):
            stream.cancel()

    def _call(self, serve: Callable[[Keyspace, float], T], timeout: float | None, *, write: bool) -> T:
        self.calls += 1
        try:
            return self._make(serve, self._timeout if timeout is None else timeout, write=write)
        except StoreUnavailable:
            self.failures += 1
            raise

    def _make(
        self, serve: Callable[[Keyspace, float], T], limit: float, *, write: bool, serializable: bool = False
    ) -> T:
        etcd, scheduler, link = self._etcd, self._etcd.scheduler, self._link
        chance = scheduler.random
        until = scheduler.now + limit
        scheduler.point()
        if self._closed:
            raise StoreUnavailable("the store is closed: the replica has stopped")
        if link.mode == "refused":
            self._go(etcd.way(), until, write)
            raise StoreUnavailable("etcd can't be reached: connection refused")
        self._go(etcd.way(), until, write)
        if link.mode != "open":
            if write and chance.random() < LATE_CHANCE:
                etcd.apply_later(serve)
            while link.mode == "swallowed":
                self._go(0.05, until, write)
            raise StoreUnavailable("etcd can't be reached: connection reset", maybe_applied=write)
        while not etcd.has_leader and not serializable:
            if write and until - scheduler.now <= 0.05 and chance.random() < LATE_CHANCE:
                etcd.apply_later(serve)
            self._go(0.02, until, write)
        if write and etcd.refuses is not None:
            self._go(etcd.way(), until, False)
            raise StoreRefused(etcd.refuses)
        try:
            answer: Any = etcd.apply(serve)
            error: Exception | None = None
        except Exception as raised:  # noqa: BLE001 - travels back like an answer
            error = raised
        if chance.random() < link.loses:
            self._go(etcd.way() if chance.random() < 0.85 else math.inf, until, write)
            raise StoreUnavailable("the answer is lost: connection reset", maybe_applied=write)
        self._go(etcd.way(), until, write)
        while link.mode != "open":
            if link.mode == "refused":
                raise StoreUnavailable("the answer is lost: connection reset", maybe_applied=write)
            self._go(0.05, until, write)
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]

    def _go(self, seconds: float, until: float, write: bool) -> None:
        """Lets time pass; raises when the call's time is over, or the store is closed."""
        left = until - self._etcd.scheduler.now
        if self._ended.wait(min(seconds, max(left, 0.0))):
            raise StoreUnavailable("the store is closed: the replica has stopped", maybe_applied=write)
        if seconds >= left:
            raise StoreUnavailable("etcd did not answer in time", maybe_applied=write)

    def look(self, keys: Sequence[str], *, fresh: bool = False, timeout: float | None = None) -> Snapshot:
        lag = (WAY_MEAN + self._link.lag) * self._etcd.scheduler.random.random() * (not fresh)
        limit = self._timeout if timeout is None else timeout
        self.calls += 1
        try:
            return self._make(
                lambda _, __: self._etcd.look(keys, lag), limit, write=False, serializable=not fresh
            )
        except StoreUnavailable:
            self.failures += 1
            raise

    def grant(self, ttl: float, *, timeout: float | None = None) -> Lease:
        return self._call(lambda keys, now: keys.grant(ttl, now), timeout, write=True)

    def compact(self) -> None:
        self._etcd.compact()

    def watch(
        self,
        prefix: str,
        listener: WatchListener,
        *,
        silence: float,
        name: str = "discordha-watch",
        heartbeats: bool = False,
        quiet: str | None = None,
        apart: str | None = None,
    ) -> EtcdWatch:
        store = self.clone()
        return EtcdWatch(
            store,
            prefix,
            listener,
            silence=silence,
            name=name,
            heartbeats=heartbeats,
            quiet=quiet,
            apart=apart,
        )

    def open_watch(
        self,
        prefix: str,
        start_revision: int,
        pulse: Callable[[], bool] | None = None,
        ranges: Sequence[WatchRange] = (),
    ) -> Any:
        whole = WatchRange(prefix.encode(), prefix_end(prefix.encode()), start_revision)
        stream = SimulatedStream(self, self._link, self._etcd, ranges or [whole])

        def begin(keys: Keyspace, _: float) -> SimulatedStream:
            stream.begin(keys)
            return stream

        self._call(begin, None, write=False)
        self._streams.append(stream)
        if self._closed:
            stream.cancel()
        if pulse is not None:

            def pulses() -> None:
                while pulse():
                    stream.offer_progress()

            Thread(target=pulses, name="etcd-pulse", daemon=True).start()
        return stream

    def end_watch(self, stream: Any) -> None:
        if stream in self._streams:
            self._streams.remove(stream)


def store_of_this_machine(etcd: SimulatedEtcd) -> Callable[..., SimulatedStore]:
    """A stand-in for ``EtcdStore``'s constructor."""

    def make(settings: Any, **_: Any) -> SimulatedStore:
        task = current().current
        assert task is not None
        return SimulatedStore(etcd, task.machine, settings.timeout)

    return make

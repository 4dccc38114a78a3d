"""EtcdWatch: reports every change below a prefix to a listener, once and in order, over all losses of
connection.

Guarantees
- Nothing is missed: a snapshot at revision r, then every change from r + 1 on. After a loss the stream
  resumes after the last change that was delivered. If etcd has compacted that revision, or has lost its data,
  the listener gets a new snapshot, which replaces everything.
- A revision is never split over two calls, and none is delivered twice. With ``quiet``, this holds for each
  range of keys by itself (``WatchedRanges``), and ``revision`` is that of the first range.
- A silent stream (the member is paused, the network swallows everything) is replaced after ``silence``
  seconds by one from another endpoint.
- Of the keys below ``quiet``, only deletes are told, each with the deleted value. Snapshots leave these keys
  out. Of the keys behind ``apart``, ``narrow`` chooses the parts that are told, each from its own snapshot
  on. Ranges are watches of their own on one stream, so they come in no order with one another.
- ``on_lost`` is called once per loss, before the ``on_events`` or ``on_snapshot`` that ends it.

A delivered change happened some time ago; ``sync`` waits until the listener is up to date. Across a gap, a
snapshot shows only the keys that exist, not each change.

Threads and locks
- One thread per watch: started by ``start``, joined by ``stop``, which cancels the stream. It alone calls the
  listener, with no lock held; the listener must not call etcd. Each stream has another thread that notices
  silence: gRPC's, which asks for signs of life, or ``<name>-pulse`` with ``heartbeats``.
- ``_state`` (a condition) guards ``_stream``, ``_ranges``, ``_wanted``, ``_told`` and ``_synced``; nothing is
  called under it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from discordha.coordination.etcd.failures import Compacted
from discordha.coordination.etcd.messages import Span, WatchBatch, WatchedRanges, WatchRange
from discordha.coordination.etcd.store import Put, Snapshot, Store, StoreRefused, Watch, WatchListener
from discordha.errors import ConfigError, DiscordHAError, StoreUnavailable
from discordha.process.threads import note_failure

__all__ = ["EtcdWatch"]

_log = logging.getLogger(__name__)

#: Pauses between two tries to open a stream, seconds. They double from the first to the last.
FIRST_PAUSE = 0.05
LAST_PAUSE = 1.0
#: etcd sends the changes of one stream's watches as they happen, and a watch that falls behind catches up
#: within milliseconds. So long after one of them has shown a revision, all have, seconds.
SETTLED = 60.0


class _Stream(Protocol):
    @property
    def endpoint(self) -> str: ...
    def __iter__(self) -> Iterator[WatchBatch]: ...
    def cancel(self, *, blame: bool = False) -> None: ...


class _Source(Store, Protocol):
    """A store that opens streams; see ``EtcdStore``."""

    def open_watch(
        self,
        prefix: str,
        start_revision: int,
        pulse: Callable[[], bool] | None = None,
        ranges: Sequence[WatchRange] = (),
    ) -> _Stream: ...
    def forget_token(self) -> None: ...
    def refused(self, error: DiscordHAError) -> Exception: ...


def _while_true(call: Callable[[], bool]) -> None:
    while call():
        pass


class _Wish(NamedTuple):
    deletes: tuple[Span, ...]
    parts: tuple[Span, ...]
    on_part: Callable[[Span, Snapshot], None]


class EtcdWatch(Watch):
    """A watch on one prefix. Made by ``EtcdStore.watch``; owns the store given to it.

    With ``heartbeats``, a member that answers but no longer follows its cluster is noticed, too."""

    def __init__(
        self,
        store: _Source,
        prefix: str,
        listener: WatchListener,
        *,
        silence: float,
        name: str = "discordha-watch",
        heartbeats: bool = False,
        quiet: str | None = None,
        apart: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._marker = f"{prefix}~sync"
        self._listener = listener
        self._silence = silence
        self._heartbeats = heartbeats
        self._clock = clock
        self._stop = threading.Event()
        self._state = threading.Condition()
        self._stream: _Stream | None = None
        self._quiet = quiet
        self._apart = apart
        self._ranges = WatchedRanges(prefix, quiet, apart)
        self._wanted: _Wish | None = None  # what ``narrow`` asked for last, and for the present ranges
        self._told: _Wish | None = None
        self._settling = (clock(), 0)
        self._synced = False
        self._alive = False
        self._gap = True  # the listener needs a snapshot next
        self._lost_at: float | None = None
        self._pause = FIRST_PAUSE
        self._denied = False  # etcd denied the last stream
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.losses = 0
        self.snapshots = 0
        self.messages = self.changes = 0

    # -- any thread ------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        with self._state:
            stream = self._stream
            self._state.notify_all()
        if stream is not None:
            stream.cancel()
        self._store.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    @property
    def alive(self) -> bool:
        return self._alive

    @property
    def endpoint(self) -> str | None:
        """``host:port`` that the stream comes from; ``None`` between two streams."""
        stream = self._stream
        return stream.endpoint if stream is not None else None

    @property
    def revision(self) -> int:
        return self._ranges.first

    def narrow(
        self,
        deletes: Sequence[Span],
        parts: Sequence[Span],
        on_part: Callable[[Span, Snapshot], None],
        timeout: float,
    ) -> bool:
        wish = _Wish(tuple(deletes), tuple(parts), on_part)
        with self._state:
            known = self._wanted is not None and wish[:2] == self._wanted[:2]
            self._wanted = self._wanted if known else wish
            stream = self._stream
        if stream is not None and not known:
            stream.cancel()
        if not self._wait(lambda: self._told is self._wanted, timeout):
            raise StoreUnavailable(f"the watch on {self._prefix} was not narrowed within {timeout:g} s")
        return not known

    def wait_synced(self, timeout: float) -> bool:
        return self._wait(lambda: self._synced, timeout)

    def wait_revision(self, revision: int, timeout: float, key: str | None = None) -> bool:
        key = key or self._marker
        return self._wait(lambda: self._ranges.revision_of(key) >= revision, timeout)

    def sync(self, timeout: float, *, lease: int = 0) -> bool:
        # Not by etcd's progress requests, whose answers may overtake changes before 3.5.8.
        begun = self._clock()
        with self._state:
            markers = [self._marker, *(f"{first}~sync" for first, _ in self._ranges.parts)]
        puts = [Put(marker, b"", lease) for marker in markers]
        revision = self._store.txn((), puts, timeout=timeout).revision

        def shown() -> bool:
            return all(self._ranges.revision_of(marker) >= revision for marker in markers)

        return self._wait(shown, timeout - (self._clock() - begun))

    def _wait(self, reached: Callable[[], bool], timeout: float) -> bool:
        with self._state:
            self._state.wait_for(lambda: reached() or self._stop.is_set(), max(timeout, 0.0))
            return reached()

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._gap:
                    self._take_snapshot()
                self._follow()
            except Compacted as error:
                self._gap = True
                self._lose(error)
            except DiscordHAError as error:
                self._lose(error)
            except Exception as error:  # noqa: BLE001
                # A bug: logged and tried again, so that the replica does not go deaf.
                _log.exception("the watch on %s failed; it begins again", self._prefix)
                note_failure(error)
                self._lose(DiscordHAError(f"internal error: {error!r}"))
        self._alive = False

    def _take_snapshot(self) -> None:
        found = self._store.range(self._prefix, without=self._quiet, until=self._apart)
        items = [kv for kv in found.items if kv.key != self._marker]
        parts = {part: self._read(part) for part in self._ranges.parts}
        if self._stop.is_set():
            return
        items += [kv for part in parts.values() for kv in part.items]
        self._tell(self._listener.on_snapshot, Snapshot(found.revision, items))
        self.snapshots += 1
        self._gap = False
        self._confirm()
        self._settling = (self._clock(), found.revision)
        with self._state:
            self._ranges.restart(found.revision, {part: each.revision for part, each in parts.items()})
            self._synced = True
            self._state.notify_all()

    def _read(self, part: Span) -> Snapshot:
        return self._store.range(self._prefix, after=part[0], until=part[1])

    def _follow(self) -> None:
        """Delivers changes until the stream ends, which always raises."""
        over = threading.Event()
        heard = [self._clock()]
        silent = [False]

        def pulse() -> bool:
            if over.wait(self._silence / 4) or self._stop.is_set():
                return False
            if self._clock() - heard[0] <= self._silence:
                return True
            silent[0] = True
            stream.cancel(blame=True)
            return False

        # With heartbeats, changes are the signs of life: etcd is not asked for any.
        asked = None if self._heartbeats else pulse
        self._refit()
        stream = self._store.open_watch(self._prefix, self._ranges.first + 1, asked, self._ranges.requests())
        with self._state:
            self._stream = stream
            outdated = self._wanted is not self._told
        pulses: threading.Thread | None = None
        try:
            if self._heartbeats:
                pulses = threading.Thread(
                    target=_while_true, args=(pulse,), name=f"{self._thread.name}-pulse", daemon=True
                )
                pulses.start()
            if self._stop.is_set() or outdated:
                return
            for batch in stream:
                self.messages += 1
                if batch.events:
                    heard[0] = self._clock()
                    self._deliver(batch)
                else:
                    if batch.created or not self._heartbeats:
                        heard[0] = self._clock()
                    self._control(batch, stream)
                if self._stop.is_set():
                    return
        except StoreUnavailable as error:
            if self._wanted is not self._told:
                return
            if silent[0]:
                raise StoreUnavailable(
                    f"the watch on etcd at {stream.endpoint} was silent for {self._silence:.3g} s"
                ) from error
            raise
        finally:
            over.set()
            stream.cancel()
            with self._state:
                self._stream = None
            if pulses is not None and pulses.ident is not None:
                pulses.join()

    def _refit(self) -> None:
        """Goes over to the ranges that ``narrow`` asked for."""
        with self._state:
            wish = self._wanted
            if wish is self._told or wish is None:
                return
            missing = self._ranges.missing(wish.parts)
        found = {part: self._read(part) for part in missing}
        with self._state:
            revisions = {part: snapshot.revision for part, snapshot in found.items()}
            gone = self._ranges.refit(wish.deletes, wish.parts, revisions)
        for part in gone:
            self._tell(wish.on_part, part, Snapshot(0, []))
        for part, snapshot in found.items():
            self._tell(wish.on_part, part, snapshot)
        with self._state:
            self._told = wish
            self._state.notify_all()

    def _deliver(self, batch: WatchBatch) -> None:
        events, marker = batch.events, self._marker
        self.changes += len(events)
        if any(event.kv.key == marker for event in events):
            events = [event for event in events if event.kv.key != marker]
        self._alive = True
        self._confirm()
        if events:
            self._tell(self._listener.on_events, batch.revision, events)
        with self._state:
            self._ranges.numbered[batch.watch].revision = batch.revision
            self._state.notify_all()
        if batch.watch == 0 and self._quiet is not None:
            self._settle(batch.revision)

    def _settle(self, revision: int) -> None:
        """Moves the ranges on in which nothing changes: etcd must not compact what they resume from."""
        since, settled = self._settling
        if self._clock() - since >= SETTLED:
            with self._state:
                self._ranges.settle(settled)
            self._settling = (self._clock(), revision)

    def _control(self, batch: WatchBatch, stream: _Stream) -> None:
        if batch.compacted:
            missed = self._ranges.numbered[batch.watch].revision + 1
            raise Compacted(f"etcd has compacted revision {missed}; the oldest is {batch.compacted}")
        if batch.cancelled is not None:
            self._store.forget_token()
            if not self._denied:  # etcd says the same of a token that it does not know any more
                self._denied = True
                raise StoreUnavailable(f"etcd at {stream.endpoint} ended the watch: {batch.cancelled}")
            refused = ConfigError(
                f"etcd at {stream.endpoint} refuses the watch on {self._prefix} ({batch.cancelled}): "
                "the role of etcd_user needs read access to it, as `discordha check --print-role` shows",
                field="etcd_user",
            )
            raise self._store.refused(refused)
        if not batch.created:
            self._confirm()
            return
        delivered = self._ranges.numbered[batch.watch].revision
        if batch.store_revision < delivered:
            raise Compacted(f"etcd went back from revision {delivered} to {batch.store_revision}")
        self._alive = True
        if batch.store_revision == delivered and batch.watch == 0:
            self._confirm()  # else the next message may still report a compaction

    # -- loss and return -------------------------------------------------------------------------------------

    def _lose(self, error: DiscordHAError) -> None:
        """Tells the listener once per loss, then pauses."""
        self._alive = False
        if self._stop.is_set():
            return
        if self._lost_at is None:
            self._lost_at = self._clock()
            self.losses += 1
            level = logging.ERROR if isinstance(error, (ConfigError, StoreRefused)) else logging.WARNING
            _log.log(level, "the watch on %s is lost: %s", self._prefix, error)
            self._tell(self._listener.on_lost)
        self._stop.wait(self._pause)
        self._pause = min(self._pause * 2, LAST_PAUSE)

    def _confirm(self) -> None:
        """Ends a loss: the listener is up to date again, or about to be."""
        self._pause, self._denied = FIRST_PAUSE, False
        if self._lost_at is not None:
            _log.info("the watch on %s is back after %.2f s", self._prefix, self._clock() - self._lost_at)
            self._lost_at = None

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        try:
            call(*arguments)
        except Exception:  # noqa: BLE001 - the watch outlives its listener's faults
            _log.exception("a listener of the watch on %s failed; the watch goes on", self._prefix)

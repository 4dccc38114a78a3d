"""EtcdStore: the ``Store`` on an etcd cluster, over python-etcd3's messages and stubs.

Requests are built in place, because the client's transaction objects cost more than etcd itself: a
transaction of 100 nested ones is built in 0.3 ms instead of 4. The client's choice of endpoints and its error
handling are not used: they go by the wall clock, and blame whichever endpoint is current if several threads
fail at once.

Guarantees: those of ``Store``, by way of ``Calls``. A lost lease or watch leaves the store usable.

Threads and locks: no thread and no lock here; see ``Calls``.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import grpc
from etcd3 import etcdrpc

from discordha.coordination.etcd.calls import Calls, Metadata, T, WatchStream
from discordha.coordination.etcd.endpoints import Connection, StoreSettings
from discordha.coordination.etcd.failures import Compacted, Refusals
from discordha.coordination.etcd.messages import (
    WatchRange,
    fill_txn,
    key_value,
    neighbours,
    prefix_end,
    read_txn,
    watch_requests,
)
from discordha.coordination.etcd.store import (
    Compare,
    Get,
    GetPrefix,
    KeyValue,
    Lease,
    LeaseNotFound,
    Op,
    RequestRefused,
    Snapshot,
    Store,
    TxnResult,
    WatchListener,
)
from discordha.coordination.etcd.watch import EtcdWatch
from discordha.errors import DiscordHAError, StoreUnavailable

__all__ = ["EtcdStore", "MemberStatus", "WatchStream"]

_log = logging.getLogger(__name__)

#: Keys in one page when a prefix is read.
PAGE_SIZE = 5_000
#: So many keys more than twice those that are looked for are read of one range.
LOOK_SPARE = 16
#: Ranges that are looked at on the way at once.
LOOKS_AT_ONCE = 16


class MemberStatus(NamedTuple):
    """What one endpoint says about itself, or the ``error`` if it does not answer. ``latency``: seconds."""

    endpoint: str
    version: str
    is_leader: bool
    db_size: int
    latency: float
    error: str | None


class EtcdStore(Store):
    """etcd as one replica sees it. Connects on the first call.

    :param stop: once set, a call is tried on one endpoint only, so that a shutdown waits for one timeout at
        most.
    :raises ConfigError: an endpoint or a certificate file is unusable.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        refusals: Refusals | None = None,
    ) -> None:
        self.settings = settings
        self._refusals = refusals if refusals is not None else Refusals(clock)
        self._stop = stop if stop is not None else threading.Event()
        self._clock = clock
        self._calls = Calls(settings, stop=self._stop, clock=clock)
        self._single_request = True  # nothing in between has yet ended a watch that sends one request only
        self.calls = 0
        self.failures = 0

    @property
    def endpoint(self) -> str:
        """``host:port`` of the endpoint in use."""
        return self._calls.endpoint

    def clone(self) -> EtcdStore:
        try:
            return EtcdStore(self.settings, stop=self._stop, clock=self._clock, refusals=self._refusals)
        except DiscordHAError as error:
            raise self._refusals.note(error) from error

    def outlast_refusals(self, quiet: float) -> None:
        self._refusals.outlast(quiet)

    @property
    def refusal(self) -> str | None:
        return self._refusals.reason

    def refused(self, error: DiscordHAError) -> Exception:
        """The error to raise in place of one that says that etcd refuses."""
        return self._refusals.note(error)

    def close(self) -> None:
        self._calls.close()

    def _call(
        self, invoke: Callable[[Connection, float, Metadata], T], timeout: float | None, *, write: bool
    ) -> T:
        limit = self.settings.timeout if timeout is None else timeout
        self.calls += 1
        try:
            answer = self._calls.make(invoke, limit, write=write)
        except DiscordHAError as error:
            self.failures += 1
            raise self._refusals.note(error) from error.__cause__
        self._refusals.accepted()
        return answer

    # -- keys ------------------------------------------------------------------------------------------------

    def get(self, key: str, *, timeout: float | None = None) -> KeyValue | None:
        found = self._range(etcdrpc.RangeRequest(key=key.encode()), timeout).kvs
        return key_value(found[0]) if found else None

    def range(
        self,
        prefix: str,
        *,
        after: str | None = None,
        until: str | None = None,
        without: str | None = None,
        limit: int = 0,
        keys_only: bool = False,
        timeout: float | None = None,
    ) -> Snapshot:
        start = (f"{after}\0" if after is not None else prefix or "\0").encode()
        end = until.encode() if until is not None else prefix_end(prefix.encode())
        parts = [(start, end)]
        if without is not None:
            left_out = without.encode()
            parts = [(start, left_out), (prefix_end(left_out), end)]
        while True:
            try:
                return self._read_pages(parts, limit, keys_only, timeout)
            except Compacted:
                _log.debug("compacted while %s was read: reading again", prefix)

    def _read_pages(
        self, parts: Sequence[tuple[bytes, bytes]], limit: int, keys_only: bool, timeout: float | None
    ) -> Snapshot:
        items: list[KeyValue] = []
        revision = 0
        for first, end in parts:
            start, more = first, True
            while more:
                size = min(PAGE_SIZE, limit - len(items)) if limit else PAGE_SIZE
                request = etcdrpc.RangeRequest(
                    key=start, range_end=end, limit=size, revision=revision, keys_only=keys_only
                )
                page = self._range(request, timeout)
                revision = revision or page.header.revision
                items.extend(key_value(kv) for kv in page.kvs)
                if limit and len(items) == limit:
                    return Snapshot(revision, items)
                if more := page.more:
                    start = page.kvs[-1].key + b"\0"
        return Snapshot(revision, items)

    def _range(self, request: Any, timeout: float | None) -> Any:
        return self._call(lambda to, left, head: to.kv.Range(request, left, head), timeout, write=False)

    def count(self, prefix: str, *, timeout: float | None = None) -> int:
        start = prefix.encode()
        request = etcdrpc.RangeRequest(key=start, range_end=prefix_end(start), count_only=True)
        return int(self._range(request, timeout).count)

    def look(self, keys: Sequence[str], *, fresh: bool = False, timeout: float | None = None) -> Snapshot:
        found: list[KeyValue] = []
        revisions: list[int] = []
        groups = neighbours(keys)
        while groups:
            some, groups = groups[:LOOKS_AT_ONCE], groups[LOOKS_AT_ONCE:]
            requests = [
                etcdrpc.RangeRequest(
                    key=group[0].encode(),
                    range_end=f"{group[-1]}\0".encode() if len(group) > 1 else b"",
                    limit=2 * len(group) + LOOK_SPARE,
                    serializable=not fresh,
                )
                for group in some
            ]

            def read(  # not as one transaction, see ``txn``
                to: Connection, left: float, head: Metadata, requests: list[Any] = requests
            ) -> list[Any]:
                calls = [to.kv.Range.future(request, left, head) for request in requests[1:]]
                return [to.kv.Range(requests[0], left, head), *(call.result() for call in calls)]

            for group, answer in zip(some, self._call(read, timeout, write=False), strict=True):
                revisions.append(answer.header.revision)
                wanted = set(group)
                found += [kv for kv in map(key_value, answer.kvs) if kv.key in wanted]
                if answer.more:  # much lies in between
                    last = answer.kvs[-1].key.decode()
                    groups.append([key for key in group if key > last])
        return Snapshot(min(revisions, default=0), found)

    def put(self, key: str, value: bytes, *, lease: int = 0, timeout: float | None = None) -> int:
        request = etcdrpc.PutRequest(key=key.encode(), value=value, lease=lease)
        answer = self._call(lambda to, left, head: to.kv.Put(request, left, head), timeout, write=True)
        return int(answer.header.revision)

    def delete(self, key: str, *, timeout: float | None = None) -> bool:
        request = etcdrpc.DeleteRangeRequest(key=key.encode())
        answer = self._call(
            lambda to, left, head: to.kv.DeleteRange(request, left, head), timeout, write=True
        )
        return bool(answer.deleted)

    def txn(
        self,
        compare: Sequence[Compare],
        success: Sequence[Op],
        failure: Sequence[Op] = (),
        *,
        timeout: float | None = None,
    ) -> TxnResult:
        if all(isinstance(op, Get | GetPrefix) for op in (*success, *failure)):
            raise RequestRefused("a transaction that only reads is not sent: read the keys, or a range")
        request = etcdrpc.TxnRequest()
        try:
            fill_txn(request, compare, success, failure)
        except UnicodeEncodeError as error:
            raise RequestRefused(f"a key for etcd can't be written as UTF-8: {error}") from error
        answer = self._call(lambda to, left, head: to.kv.Txn(request, left, head), timeout, write=True)
        return read_txn(answer, success, failure, answer.header.revision)

    # -- leases ----------------------------------------------------------------------------------------------

    def grant(self, ttl: float, *, timeout: float | None = None) -> Lease:
        request = etcdrpc.LeaseGrantRequest(TTL=math.ceil(ttl))
        answer = self._call(
            lambda to, left, head: to.lease.LeaseGrant(request, left, head), timeout, write=True
        )
        return Lease(int(answer.ID), float(answer.TTL))

    def keep_alive(self, lease_id: int, *, timeout: float | None = None) -> float:
        request = etcdrpc.LeaseKeepAliveRequest(ID=lease_id)

        def renew(to: Connection, left: float, head: Metadata) -> float:
            answers = to.lease.LeaseKeepAlive(iter((request,)), left, head)
            try:
                return float(next(answers).TTL)
            except StopIteration:
                raise StoreUnavailable(
                    f"etcd at {to.endpoint.address} ended the renewal of a lease"
                ) from None
            finally:
                answers.cancel()

        return self._call(renew, timeout, write=False)

    def revoke(self, lease_id: int, *, timeout: float | None = None) -> None:
        request = etcdrpc.LeaseRevokeRequest(ID=lease_id)
        try:
            self._call(lambda to, left, head: to.lease.LeaseRevoke(request, left, head), timeout, write=True)
        except LeaseNotFound:
            _log.debug("lease %x was gone already", lease_id)

    # -- the cluster -----------------------------------------------------------------------------------------

    def status(self, *, timeout: float | None = None) -> list[MemberStatus]:
        """What each endpoint says about itself. Asks all at once and blocks until the slowest has answered.

        :param timeout: seconds; an endpoint that does not answer within them has ``error`` set.
        """
        limit = self.settings.timeout if timeout is None else timeout
        connections = self._calls.all_connections()
        with ThreadPoolExecutor(len(connections)) as pool:
            return list(pool.map(lambda to: self._status_of(to, limit), connections))

    def _status_of(self, to: Connection, limit: float) -> MemberStatus:
        address, sent_at = to.endpoint.address, self._clock()
        try:
            answer = to.maintenance.Status(etcdrpc.StatusRequest(), limit, self._calls.metadata())
        except grpc.RpcError as error:
            reason = str(self._calls.explain(error, to.endpoint, limit, write=False).error)
            return MemberStatus(address, "", False, 0, 0.0, reason)
        latency, leads = self._clock() - sent_at, answer.leader == answer.header.member_id
        return MemberStatus(address, answer.version, leads, int(answer.dbSize), latency, None)

    # -- watches ---------------------------------------------------------------------------------------------

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
        store, clock = self.clone(), self._clock
        ranges = {"quiet": quiet, "apart": apart}
        return EtcdWatch(
            store, prefix, listener, silence=silence, name=name, heartbeats=heartbeats, clock=clock, **ranges
        )

    def open_watch(
        self,
        prefix: str,
        start_revision: int,
        pulse: Callable[[], bool] | None = None,
        ranges: Sequence[WatchRange] = (),
    ) -> WatchStream:
        """Opens a watch stream from a revision on. Blocks only for a token.

        :param pulse: called repeatedly on a gRPC thread; blocks until etcd should be asked for a sign of life
            and returns true, or false when the stream is over. With ``None`` nothing is asked for: the
            request side is closed at once, which etcd allows, and the iterating thread alone reads a
            stream with one range. If something in between ends such a watch (etcd's ``grpc-proxy`` does),
            later ones keep their request side open.
        :param ranges: what is watched in place of all keys below the prefix.
        """
        start = prefix.encode()
        creates = watch_requests(ranges or (WatchRange(start, prefix_end(start), start_revision),))
        progress = etcdrpc.WatchRequest(progress_request=etcdrpc.WatchProgressRequest())
        over = threading.Event()
        single = pulse is None and self._single_request

        def requests() -> Iterator[Any]:
            yield from creates
            if pulse is None:
                if not single:
                    over.wait()
                return
            while pulse():
                yield progress

        def on_ended() -> None:
            if single:
                self._single_request = False

        try:
            to, head = self._calls.prepare(self._clock() + self.settings.timeout)
        except DiscordHAError as error:
            raise self._refusals.note(error) from error.__cause__
        try:
            if single and len(creates) == 1:
                call = to.listen(creates[0], metadata=head)
            else:
                call = to.watch.Watch(requests(), metadata=head)
        except ValueError as error:  # another thread closed the channel
            raise StoreUnavailable(f"the connection to etcd at {to.endpoint.address} was closed") from error
        except RuntimeError:
            self._calls.abandon(to)
            raise
        return WatchStream(
            call,
            to.endpoint,
            self._calls,
            self.settings.timeout,
            over=over,
            on_ended=on_ended,
            refusals=self._refusals,
        )

    def forget_token(self) -> None:
        """Requests a new token before the next call: a watch can't tell that its token has expired."""
        self._calls.forget_token()

"""The store: what discordha needs of etcd, over python-etcd3. The only importer of the etcd client.

Promises
- Every call ends within its time-out: with an answer, ``StoreUnavailable``, or an error that says what to do
  about it.
- ``StoreUnavailable.maybe_applied`` is false only when it is certain that nothing was written.
- A call that certainly did nothing (no connection, a token that ran out) is repeated on the other endpoints
  by itself; one that may have done something never is.
- Reads are linearizable.

Does not promise order between calls of several threads, nor that a write without an answer was not applied.

Client. python-etcd3 (``cslab-etcd3``) chooses the endpoint and brings etcd's messages and stubs. Requests
are built here, in place, because its transaction objects cost more than etcd itself: a transaction of 100
nested ones is built in 0.3 ms instead of 4. Its endpoints and its error handling are not used: they go by
the wall clock, and blame whichever endpoint is current when several threads fail at once.

Concurrency
- Every method may be called from any thread but the gateway's loop thread, and blocks.
- ``_lock`` guards the client's choice of an endpoint, ``_connections`` and ``_closed``. Under it: no calls;
  certificate files are read when a channel is built again. ``Tokens`` has locks of its own, of which one is
  taken before this one, and none under it.
- At ``close`` calls in flight end with ``StoreUnavailable``. A lost lease or watch does not concern the
  store itself.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import etcd3
import grpc
from etcd3 import etcdrpc

from discordha.coordination.etcd.endpoints import Endpoint
from discordha.coordination.etcd.failures import Compacted, Failure, explain, is_auth_disabled
from discordha.coordination.etcd.messages import fill_txn, key_value, read_txn
from discordha.coordination.etcd.operations import (
    Compare,
    Delete,
    DeleteDone,
    Get,
    GetPrefix,
    Guarded,
    KeyValue,
    Lease,
    LeaseNotFound,
    MemberStatus,
    Op,
    Put,
    PutDone,
    RequestRefused,
    Response,
    Snapshot,
    StoreSettings,
    Txn,
    TxnResult,
    WatchBatch,
    WatchEvent,
    prefix_end,
)
from discordha.coordination.etcd.streams import Connection, WatchStream
from discordha.coordination.etcd.tokens import Metadata, Tokens
from discordha.coordination.etcd.watch import Watch, WatchListener
from discordha.errors import StoreUnavailable

__all__ = [
    "Compare",
    "Delete",
    "DeleteDone",
    "Get",
    "GetPrefix",
    "Guarded",
    "KeyValue",
    "Lease",
    "LeaseNotFound",
    "MemberStatus",
    "Op",
    "Put",
    "PutDone",
    "RequestRefused",
    "Response",
    "Snapshot",
    "Store",
    "StoreSettings",
    "Txn",
    "TxnResult",
    "Watch",
    "WatchBatch",
    "WatchEvent",
    "WatchListener",
    "WatchStream",
]

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: Keys a page when a prefix is read.
PAGE = 5_000
#: A member that has lost its cluster refuses at once instead of keeping callers until their time-out.
_REQUIRE_LEADER: Metadata = (("hasleader", "true"),)


class Store:
    """etcd, as one replica sees it. Connects at the first call.

    :param stop: once set, a call is tried on one endpoint only, so that a shutdown waits for one time-out at
        most.
    :raises ConfigError: an endpoint or a certificate file is unusable.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._stop = stop if stop is not None else threading.Event()
        self._clock = clock
        self._lock = threading.Lock()
        self._endpoints = Endpoint.all_of(settings)
        self._client: Any = etcd3.MultiEndpointEtcd3Client(endpoints=self._endpoints, failover=True)
        self._connections: dict[str, Connection] = {}
        self._tokens = Tokens(self._request_token, clock=clock)
        self._closed = False
        self._listens = True  # no etcd has ended a watch yet because nothing more would be asked
        self.calls = 0
        self.failures = 0

    def clone(self) -> Store:
        """Another store with the same settings and connections of its own, so that neither waits behind the
        other."""
        return Store(self.settings, stop=self._stop, clock=self._clock)

    def close(self) -> None:
        """Closes all connections. Idempotent; later calls raise ``StoreUnavailable``."""
        with self._lock:
            self._closed = True
            self._connections.clear()
        self._client.close()

    # -- keys ------------------------------------------------------------------------------------------------

    def get(self, key: str, *, timeout: float | None = None) -> KeyValue | None:
        """The key, or ``None`` when it is absent."""
        request = etcdrpc.RangeRequest(key=key.encode())
        answer = self._call(lambda to, left, head: to.kv.Range(request, left, head), timeout, write=False)
        return key_value(answer.kvs[0]) if answer.kvs else None

    def range(
        self, prefix: str, *, keys_only: bool = False, limit: int = 0, timeout: float | None = None
    ) -> Snapshot:
        """All keys below a prefix at one revision, in order of the key; read in pages.

        :param limit: how many at most; 0: all.
        :param timeout: seconds for each page.
        """
        while True:
            try:
                return self._read_pages(prefix.encode(), keys_only, limit, timeout)
            except Compacted:
                _log.debug("compacted while %s was read: read again", prefix)

    def _read_pages(self, prefix: bytes, keys_only: bool, limit: int, timeout: float | None) -> Snapshot:
        start, end = prefix or b"\0", prefix_end(prefix)
        items: list[KeyValue] = []
        revision = 0
        while True:
            size = min(PAGE, limit - len(items)) if limit else PAGE
            request = etcdrpc.RangeRequest(
                key=start, range_end=end, limit=size, revision=revision, keys_only=keys_only
            )
            page = self._call(lambda to, left, head: to.kv.Range(request, left, head), timeout, write=False)  # noqa: B023
            revision = revision or page.header.revision
            items.extend(key_value(kv) for kv in page.kvs)
            if not page.more or (limit and len(items) >= limit):
                return Snapshot(revision, items)
            start = page.kvs[-1].key + b"\0"

    def put(self, key: str, value: bytes, *, lease: int = 0, timeout: float | None = None) -> int:
        """Writes a key; returns the revision of the write.

        :raises LeaseNotFound: the lease is gone.
        """
        request = etcdrpc.PutRequest(key=key.encode(), value=value, lease=lease)
        answer = self._call(lambda to, left, head: to.kv.Put(request, left, head), timeout, write=True)
        return int(answer.header.revision)

    def delete(self, key: str, *, timeout: float | None = None) -> bool:
        """Deletes a key; whether it was there."""
        request = etcdrpc.DeleteRangeRequest(key=key.encode())
        answer = self._call(
            lambda to, left, head: to.kv.DeleteRange(request, left, head), timeout, write=True
        )
        return bool(answer.deleted)

    def delete_prefix(self, prefix: str, *, timeout: float | None = None) -> int:
        """Deletes all keys below a prefix; how many there were."""
        start = prefix.encode()
        request = etcdrpc.DeleteRangeRequest(key=start or b"\0", range_end=prefix_end(start))
        answer = self._call(
            lambda to, left, head: to.kv.DeleteRange(request, left, head), timeout, write=True
        )
        return int(answer.deleted)

    def txn(
        self,
        compare: Sequence[Compare],
        success: Sequence[Op],
        failure: Sequence[Op] = (),
        *,
        timeout: float | None = None,
    ) -> TxnResult:
        """Runs a transaction: all or nothing.

        :raises LeaseNotFound: a put names a lease that is gone; nothing was written.
        :raises RequestRefused: two operations write one key, or there are too many.
        """
        request = etcdrpc.TxnRequest()
        fill_txn(request, compare, success, failure)
        answer = self._call(lambda to, left, head: to.kv.Txn(request, left, head), timeout, write=True)
        return read_txn(answer, success, failure, answer.header.revision)

    # -- leases ----------------------------------------------------------------------------------------------

    def grant(self, ttl: float, *, timeout: float | None = None) -> Lease:
        """A new lease of at least ``ttl`` seconds; etcd counts whole seconds and has a minimum of its own."""
        request = etcdrpc.LeaseGrantRequest(TTL=math.ceil(ttl))
        answer = self._call(
            lambda to, left, head: to.lease.LeaseGrant(request, left, head), timeout, write=True
        )
        return Lease(int(answer.ID), float(answer.TTL))

    def keep_alive(self, lease_id: int, *, timeout: float | None = None) -> float:
        """Renews a lease once; returns the seconds it was renewed for, 0.0 when it is gone."""
        request = etcdrpc.LeaseKeepAliveRequest(ID=lease_id)

        def renew(to: Connection, left: float, head: Metadata) -> float:
            answers = to.lease.LeaseKeepAlive(iter((request,)), left, head)
            try:
                return float(next(answers).TTL)
            except StopIteration:
                raise StoreUnavailable(f"etcd at {to.endpoint.netloc} ended the renewal of a lease") from None
            finally:
                answers.cancel()

        return self._call(renew, timeout, write=False)

    def revoke(self, lease_id: int, *, timeout: float | None = None) -> None:
        """Ends a lease and deletes its keys. A lease that is gone already is a success."""
        request = etcdrpc.LeaseRevokeRequest(ID=lease_id)
        try:
            self._call(lambda to, left, head: to.lease.LeaseRevoke(request, left, head), timeout, write=True)
        except LeaseNotFound:
            _log.debug("lease %x was gone already", lease_id)

    # -- the cluster -----------------------------------------------------------------------------------------

    def status(self, *, timeout: float | None = None) -> list[MemberStatus]:
        """What each endpoint says of itself, asked all at once. An endpoint that does not answer has
        ``error`` set."""
        limit = self.settings.timeout if timeout is None else timeout
        with self._lock:
            self._check_open()
            connections = [self._connection(endpoint, endpoint.channel) for endpoint in self._endpoints]
        head = self._metadata()
        asked = []
        for to in connections:
            answered_at: list[float] = []
            sent_at = self._clock()
            call = to.maintenance.Status.future(etcdrpc.StatusRequest(), limit, head)
            call.add_done_callback(lambda _, answered_at=answered_at: answered_at.append(self._clock()))
            asked.append((to, call, sent_at, answered_at))
        found = []
        for to, call, sent_at, answered_at in asked:
            name = to.endpoint.netloc
            try:
                answer = call.result()
            except grpc.RpcError as error:
                failure = self._explain(error, to.endpoint, limit, write=False)
                found.append(MemberStatus(name, "", False, 0, 0.0, str(failure.error)))
            else:
                latency = (answered_at[0] if answered_at else self._clock()) - sent_at
                leads = answer.leader == answer.header.member_id
                found.append(MemberStatus(name, answer.version, leads, int(answer.dbSize), latency, None))
        return found

    def watch(
        self,
        prefix: str,
        listener: WatchListener,
        *,
        silence: float,
        name: str = "discordha-watch",
        heartbeats: bool = False,
    ) -> Watch:
        """A watch on all keys below ``prefix``, not started yet, with connections of its own.

        :param silence: seconds without a sign of life after which the stream is given up and begun elsewhere.
        :param name: of its thread.
        :param heartbeats: keys below the prefix change several times within ``silence``: then only changes
            are signs of life.
        """
        return Watch(
            self.clone(),
            prefix,
            listener,
            silence=silence,
            name=name,
            heartbeats=heartbeats,
            clock=self._clock,
        )

    def open_watch(
        self, prefix: str, start_revision: int, pulse: Callable[[], bool] | None = None
    ) -> WatchStream:
        """Opens a watch stream from a revision on. Blocks only for a token.

        :param pulse: called again and again on a thread of gRPC: blocks until a sign of life should be asked
            for and returns true, or false when the stream is over. ``None``: no sign of life is asked for.
            Then the request side of the stream is closed at once, which etcd takes as "no more requests" and
            goes on; and the stream is read by the thread that iterates alone. Something between that takes
            it for the end of the watch (etcd's ``grpc-proxy``) is asked in the other way from then on.
        """
        start = prefix.encode()
        create = etcdrpc.WatchRequest(
            create_request=etcdrpc.WatchCreateRequest(
                key=start, range_end=prefix_end(start), start_revision=start_revision, progress_notify=True
            )
        )
        progress = etcdrpc.WatchRequest(progress_request=etcdrpc.WatchProgressRequest())
        over = threading.Event()
        listens = pulse is None and self._listens

        def requests() -> Iterator[Any]:
            yield create
            if pulse is None:
                over.wait()
                return
            while pulse():
                yield progress

        def ended() -> None:
            if listens:
                self._listens = False

        limit = self.settings.timeout
        to, head = self._ready(self._clock() + limit)
        try:
            call = to.listen(create, metadata=head) if listens else to.watch.Watch(requests(), metadata=head)
        except ValueError as error:  # the channel was closed by another thread
            raise StoreUnavailable(f"the connection to etcd at {to.endpoint.netloc} was closed") from error
        return WatchStream(
            call,
            to.endpoint,
            self._fail,
            lambda error: self._explain(error, to.endpoint, limit, write=False),
            over=over,
            ended=ended,
        )

    def forget_token(self) -> None:
        """Asks for a new token before the next call: a watch can't tell a token that ran out from a missing
        permission."""
        self._tokens.forget()

    # -- calls -----------------------------------------------------------------------------------------------

    def _call(
        self, invoke: Callable[[Connection, float, Metadata], T], timeout: float | None, *, write: bool
    ) -> T:
        limit = self.settings.timeout if timeout is None else timeout
        self.calls += 1
        return self._try(invoke, self._clock() + limit, self._ready, limit=limit, write=write)

    def _try(
        self,
        invoke: Callable[[Connection, float, Metadata], T],
        deadline: float,
        ready: Callable[[float], tuple[Connection, Metadata]],
        *,
        limit: float,
        write: bool,
    ) -> T:
        tries_left = len(self._endpoints)
        token_renewed = False
        while True:
            to, head = ready(deadline)
            tries_left -= 1
            try:
                return invoke(to, max(deadline - self._clock(), 0.001), head)
            except grpc.RpcError as error:
                failure = self._explain(error, to.endpoint, limit, write=write)
                cause: Exception = error
            except ValueError as error:  # the channel was closed by another thread: the call was not made
                unusable = StoreUnavailable(f"the connection to etcd at {to.endpoint.netloc} was closed")
                failure, cause = Failure(unusable, unsent=True), error
            if failure.blame_endpoint:
                self._fail(to.endpoint)
            time_left = self._clock() < deadline and not self._stop.is_set()
            if failure.token_expired and not token_renewed and time_left:
                self._tokens.expire(head)
                token_renewed = True
                tries_left += 1
                continue
            repeatable = failure.unsent or not write
            if repeatable and tries_left > 0 and time_left and isinstance(failure.error, StoreUnavailable):
                continue
            self.failures += 1
            raise failure.error from cause

    def _explain(self, error: Any, endpoint: Endpoint, timeout: float, *, write: bool) -> Failure:
        user = self.settings.user
        return explain(
            error.code(), error.details(), endpoint=endpoint.netloc, write=write, user=user, timeout=timeout
        )

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the connection to etcd is closed: the replica has stopped")

    def _connection(self, endpoint: Endpoint, channel: Any) -> Connection:
        known = self._connections.get(endpoint.netloc)
        if known is None or known.channel is not channel:
            known = self._connections[endpoint.netloc] = Connection(endpoint, channel)
        return known

    def _choose(self) -> Connection:
        """The endpoint in use, else the next that has not failed lately, else the one that failed longest
        ago."""
        with self._lock:
            self._check_open()
            try:
                channel = self._client.channel
            except etcd3.exceptions.NoServerAvailableError:
                min(self._endpoints, key=Endpoint.failed_at).forgive()
                channel = self._client.channel
            return self._connection(self._client.endpoint_in_use, channel)

    def _fail(self, endpoint: Endpoint) -> None:
        with self._lock:
            endpoint.fail()

    def _ready(self, deadline: float) -> tuple[Connection, Metadata]:
        if self.settings.user is not None:
            self._tokens.obtain(deadline)
        return self._choose(), self._metadata()

    def _metadata(self) -> Metadata:
        return _REQUIRE_LEADER + self._tokens.metadata()

    def _request_token(self, deadline: float) -> str:
        request = etcdrpc.AuthenticateRequest(name=self.settings.user, password=self.settings.password or "")

        def authenticate(to: Connection, left: float, head: Metadata) -> str:
            try:
                return str(to.auth.Authenticate(request, left, head).token)
            except grpc.RpcError as error:
                if not is_auth_disabled(error.details()):
                    raise
                _log.warning("etcd at %s knows no users: etcd_user is not needed", to.endpoint.netloc)
                return ""

        def ready(_: float) -> tuple[Connection, Metadata]:
            return self._choose(), _REQUIRE_LEADER

        limit = max(deadline - self._clock(), 0.001)
        return self._try(authenticate, deadline, ready, limit=limit, write=False)

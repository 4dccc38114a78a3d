"""Calls to etcd: each gets an endpoint, the user's token and a deadline, and its errors are translated.

Guarantees
- A call that certainly did nothing (no connection, an expired token) is repeated on the other endpoints
  within its timeout. A write that may have been applied is never repeated.
- One thread requests a token while the others wait, within their own timeouts. A token is dropped only by
  calls that were refused with it, so no token is requested twice. While etcd refuses the login, it is asked
  once in ``FIRST_PAUSE`` to ``LAST_PAUSE`` seconds, since each answer costs it much: passwords are hashed.
- An endpoint is blamed by the call that failed on it, whichever endpoint is in use by then.

Threads and locks
- Every method may be called from any thread; ``make`` and ``prepare`` block.
- ``_lock`` guards the endpoints, ``_token`` and ``_closed``. Under it nothing is called, but certificate
  files are read when a channel is opened again.
- ``_authenticating`` is held while a token is requested, and is taken before ``_lock``. It guards
  ``_refused``, ``_refused_until`` and ``_pause``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

import grpc
from etcd3 import etcdrpc

from discordha.coordination.etcd.endpoints import Connection, Endpoint, Endpoints, StoreSettings
from discordha.coordination.etcd.failures import (
    AccessDenied,
    Failure,
    Refusals,
    explain,
    is_auth_disabled,
)
from discordha.coordination.etcd.messages import WatchBatch, read_watch
from discordha.errors import ConfigError, StoreUnavailable

__all__ = ["Calls", "Metadata", "WatchStream"]

_log = logging.getLogger(__name__)

T = TypeVar("T")
#: The pauses between two logins that etcd refuses, seconds: doubled from the first to the last.
FIRST_PAUSE = 0.25
LAST_PAUSE = 1.0
#: Sent along with a request.
Metadata: TypeAlias = tuple[tuple[str, str], ...]
#: A member that has lost its cluster answers with an error at once, not after the caller's timeout.
_REQUIRE_LEADER: Metadata = (("hasleader", "true"),)
#: The statuses of a watch that a proxy between this replica and etcd has ended.
_ENDED = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN})
_Invoke: TypeAlias = Callable[[Connection, float, Metadata], T]


class Calls:
    """The calls of one store. Once ``stop`` is set, a call is tried on one endpoint only."""

    def __init__(self, settings: StoreSettings, *, stop: threading.Event, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._lock = threading.Lock()
        self._endpoints = Endpoints(settings, clock=clock)
        self._closed = False
        self._authenticating = threading.Lock()
        self._token: str | None = None  # empty if etcd has no users
        self._refused: ConfigError | None = None  # the answer to the last login
        self._refused_until = 0.0
        self._pause = FIRST_PAUSE

    @property
    def endpoint(self) -> str:
        """``host:port`` of the endpoint in use."""
        return self._endpoints.current.address

    def close(self) -> None:
        """Closes all channels: calls in flight and later ones raise ``StoreUnavailable``. Idempotent."""
        with self._lock:
            self._closed = True
        self._endpoints.close()

    def make(self, invoke: _Invoke[T], limit: float, *, write: bool) -> T:
        """Makes one call, which gets a connection, the seconds left and metadata.

        :param limit: seconds for all attempts together.
        :param write: whether the call could change something.
        """
        return self._try(invoke, self._clock() + limit, self.prepare, limit, write=write)

    def prepare(self, deadline: float) -> tuple[Connection, Metadata]:
        """A connection and metadata. Blocks only for a token, and raises ``StoreUnavailable`` without one."""
        if self._settings.user is not None and self._token is None:
            self._authenticate(deadline)
        return self._choose(), self.metadata()

    def all_connections(self) -> list[Connection]:
        """A connection to each endpoint, also to those that failed."""
        with self._lock:
            self._check_open()
            return [endpoint.connection for endpoint in self._endpoints.all]

    def metadata(self) -> Metadata:
        """What goes with a request now. The token is plain metadata, because gRPC refuses call credentials on
        connections without TLS."""
        token = self._token
        return (*_REQUIRE_LEADER, ("token", token)) if token else _REQUIRE_LEADER

    def explain(self, error: Any, endpoint: Endpoint, limit: float, *, write: bool) -> Failure:
        """Translates a ``grpc.RpcError``."""
        code, details, user = error.code(), error.details(), self._settings.user
        return explain(
            code,
            details,
            endpoint=endpoint.address,
            tls=endpoint.tls,
            write=write,
            user=user,
            timeout=limit,
        )

    def blame(self, endpoint: Endpoint) -> None:
        """Prefers other endpoints for a while."""
        with self._lock:
            endpoint.fail()

    def abandon(self, broken: Connection) -> None:
        """Replaces a connection on which gRPC could not start a thread: it would start none later either, and
        every later stream would hang. Does not block."""
        with self._lock:
            if broken.endpoint.connection is broken and not self._closed:
                broken.endpoint.abandon()

    def forget_token(self) -> None:
        """Requests a new token before the next call."""
        with self._lock:
            self._token = None

    def _try(
        self,
        invoke: _Invoke[T],
        deadline: float,
        prepare: Callable[[float], tuple[Connection, Metadata]],
        limit: float,
        *,
        write: bool,
    ) -> T:
        tries_left = len(self._endpoints.all)
        token_renewed = False
        while True:
            to, metadata = prepare(deadline)
            tries_left -= 1
            try:
                return invoke(to, max(deadline - self._clock(), 0.001), metadata)
            except grpc.RpcError as error:
                failure = self.explain(error, to.endpoint, limit, write=write)
                cause: Exception = error
            except RuntimeError:
                self.abandon(to)
                raise
            except ValueError as error:  # another thread closed the channel: the call was not made
                closed = StoreUnavailable(f"the connection to etcd at {to.endpoint.address} was closed")
                failure, cause = Failure(closed, unsent=True), error
            if failure.blame_endpoint:
                self.blame(to.endpoint)
            time_left = self._clock() < deadline and not self._stop.is_set()
            expired = failure.token_expired or self._lacks_token(failure, metadata)
            if expired and not token_renewed and time_left:
                self._drop_token(metadata)
                token_renewed = True
                tries_left += 1
                continue
            repeatable = failure.unsent or not write
            if repeatable and tries_left > 0 and time_left and isinstance(failure.error, StoreUnavailable):
                continue
            raise failure.error from cause

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the connection to etcd is closed: the replica has stopped")

    def _choose(self) -> Connection:
        with self._lock:
            self._check_open()
            return self._endpoints.choose()

    # -- the token -------------------------------------------------------------------------------------------

    def _authenticate(self, deadline: float) -> None:
        if not self._authenticating.acquire(timeout=max(deadline - self._clock(), 0.001)):
            raise StoreUnavailable("etcd did not authenticate the replica in time")
        try:
            if self._token is None:
                token = self._log_in(deadline)
                with self._lock:
                    self._token = token
        finally:
            self._authenticating.release()

    def _log_in(self, deadline: float) -> str:
        if self._refused is not None and self._clock() < self._refused_until:
            raise ConfigError(str(self._refused), field=self._refused.field)
        try:
            token = self._request_token(deadline)
        except ConfigError as error:
            self._refused, self._refused_until = error, self._clock() + self._pause
            self._pause = min(2 * self._pause, LAST_PAUSE)
            raise
        self._refused, self._pause = None, FIRST_PAUSE
        return token

    def _request_token(self, deadline: float) -> str:
        user, password = self._settings.user, self._settings.password or ""
        request = etcdrpc.AuthenticateRequest(name=user, password=password)

        def authenticate(to: Connection, left: float, metadata: Metadata) -> str:
            try:
                return str(to.auth.Authenticate(request, left, metadata).token)
            except grpc.RpcError as error:
                if not is_auth_disabled(error.details()):
                    raise
                _log.warning("etcd at %s has no users: etcd_user is not needed", to.endpoint.address)
                return ""

        limit = max(deadline - self._clock(), 0.001)
        return self._try(
            authenticate, deadline, lambda _: (self._choose(), _REQUIRE_LEADER), limit, write=False
        )

    def _lacks_token(self, failure: Failure, metadata: Metadata) -> bool:
        """Whether a call was denied for lack of a token: etcd had no users when the replica asked for one,
        and takes the client certificate's name for the user's since it has them again.
        """
        has_user = self._settings.user is not None
        return has_user and metadata == _REQUIRE_LEADER and isinstance(failure.error, AccessDenied)

    def _drop_token(self, metadata: Metadata) -> None:
        """Drops the token that a call was made with, unless another thread has replaced it already."""
        with self._lock:
            if self._token == dict(metadata).get("token", ""):
                self._token = None


class WatchStream:
    """The watches of one stream: iterate for ``WatchBatch``. Made by ``EtcdStore.open_watch``.

    Iteration blocks, and raises ``StoreUnavailable`` when the stream breaks and after ``cancel``."""

    def __init__(
        self,
        call: Any,
        endpoint: Endpoint,
        calls: Calls,
        limit: float,
        *,
        over: threading.Event,
        on_ended: Callable[[], None],
        refusals: Refusals,
    ) -> None:
        self._refusals = refusals
        self._call = call
        self._endpoint = endpoint
        self._calls = calls
        self._limit = limit
        self._over = over
        self._on_ended = on_ended

    @property
    def endpoint(self) -> str:
        """``host:port``, for messages."""
        return self._endpoint.address

    def __iter__(self) -> Iterator[WatchBatch]:
        delivered = False
        numbers: dict[int, int] = {}  # of the ranges, by etcd's own
        try:
            for message in self._call:
                if message.created:
                    numbers[message.watch_id] = len(numbers)
                batch = read_watch(message, numbers.get(message.watch_id, 0))
                delivered = delivered or bool(batch.events)
                yield batch
        except grpc.RpcError as error:
            if not delivered and not self._over.is_set() and error.code() in _ENDED:
                self._on_ended()
            failure = self._calls.explain(error, self._endpoint, self._limit, write=False)
            if failure.blame_endpoint and error.code() is not grpc.StatusCode.CANCELLED:
                self._calls.blame(self._endpoint)
            raise self._refusals.note(failure.error) from error
        if not delivered:
            self._on_ended()
        raise StoreUnavailable(f"etcd at {self._endpoint.address} ended the watch")

    def cancel(self, *, blame: bool = False) -> None:
        """Ends the stream; with ``blame``, the next one tries another endpoint."""
        if blame:
            self._calls.blame(self._endpoint)
        self._over.set()
        self._call.cancel()

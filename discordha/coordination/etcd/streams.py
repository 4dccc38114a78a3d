"""One endpoint's stubs, and a watch on them. A part of the store; see there.

Concurrency: a ``Connection`` has no state of its own. A ``WatchStream`` is iterated by one thread and may be
cancelled by any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from etcd3 import etcdrpc

from discordha.coordination.etcd.endpoints import Endpoint
from discordha.coordination.etcd.failures import Failure
from discordha.coordination.etcd.messages import read_watch
from discordha.coordination.etcd.operations import WatchBatch
from discordha.errors import StoreUnavailable

__all__ = ["Connection", "WatchStream"]

#: What a watch ends with that something between us and etcd has ended.
_ENDED = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN})


class Connection:
    """The stubs of one endpoint's channel."""

    def __init__(self, endpoint: Endpoint, channel: Any) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self.kv = etcdrpc.KVStub(channel)
        self.lease = etcdrpc.LeaseStub(channel)
        self.watch = etcdrpc.WatchStub(channel)
        # The same method, called so that nothing is asked after the first request (see ``open_watch``).
        self.listen = channel.unary_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=etcdrpc.WatchRequest.SerializeToString,
            response_deserializer=etcdrpc.WatchResponse.FromString,
        )
        self.auth = etcdrpc.AuthStub(channel)
        self.maintenance = etcdrpc.MaintenanceStub(channel)


class WatchStream:
    """One watch on one connection: iterate for ``WatchBatch``. Made by ``Store.open_watch``; used by
    ``Watch`` alone.

    Iteration blocks; it raises ``StoreUnavailable`` when the stream breaks and after ``cancel``.
    """

    def __init__(
        self,
        call: Any,
        endpoint: Endpoint,
        blame: Callable[[Endpoint], None],
        translate: Callable[[Any], Failure],
        *,
        over: threading.Event,
        ended: Callable[[], None],
    ) -> None:
        self._call = call
        self._endpoint = endpoint
        self._blame = blame
        self._translate = translate
        self._over = over
        self._ended = ended

    @property
    def endpoint(self) -> str:
        """``host:port``, for messages."""
        return self._endpoint.netloc

    def __iter__(self) -> Iterator[WatchBatch]:
        told = False
        try:
            for message in self._call:
                batch = read_watch(message)
                told = told or bool(batch.events)
                yield batch
        except grpc.RpcError as error:
            if not told and not self._over.is_set() and error.code() in _ENDED:
                self._ended()
            failure = self._translate(error)
            if failure.blame_endpoint and error.code() is not grpc.StatusCode.CANCELLED:
                self._blame(self._endpoint)
            raise failure.error from error
        if not told:
            self._ended()
        raise StoreUnavailable(f"etcd at {self._endpoint.netloc} ended the watch")

    def cancel(self, *, blame: bool = False) -> None:
        """Ends the stream; any thread. ``blame``: the next one should try another endpoint."""
        if blame:
            self._blame(self._endpoint)
        self._over.set()
        self._call.cancel()

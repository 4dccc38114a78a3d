"""The members of an etcd cluster: one gRPC channel each, and the choice of the one to use.

Guarantees
- A failed member is left alone for ``RETRY_AFTER`` seconds of the monotonic clock if another one is usable.
- gRPC's keepalive notices a connection that died without a reset within 13 s, also while no call with a
  timeout is in flight.
- After a failure, changed certificate files are read again, so rotation needs no restart.

An endpoint in use may still be broken: only a call tells.

Threads and locks: no locks here. ``Calls`` guards ``Endpoints`` with its own lock; a ``Connection`` has no
state. gRPC's threads end with ``close``.
"""

from __future__ import annotations

import ctypes
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc
from etcd3 import etcdrpc

from discordha.errors import ConfigError

_log = logging.getLogger(__name__)

__all__ = [
    "RETRY_AFTER",
    "Connection",
    "Endpoint",
    "Endpoints",
    "StoreSettings",
    "TlsFiles",
    "parse_endpoint",
]

#: How long a failed endpoint is left alone while others work, seconds.
RETRY_AFTER = 2.0

#: etcd closes connections that ping more often than every 5 s, or that ping without a call in flight.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 3_000),  # also the longest that one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # The thread that iterates a stream reads the socket's queue itself, without a gRPC thread in between: a
    # quarter less CPU for a lone message. A gRPC version that does not know the option ignores it.
    ("SingleThreadedUnaryStream", 1),
    ("grpc.enable_retries", 0),  # gRPC can't know whether a write may be repeated
    ("grpc.use_local_subchannel_pool", 1),  # stores share no connection: renewals never queue behind claims
    ("grpc.enable_http_proxy", 0),  # a web proxy does not lead to a store inside the cluster
)


@dataclass(frozen=True)
class StoreSettings:
    """How to reach etcd.

    :param endpoints: ``host:port`` of each member; a leading ``https://`` means TLS.
    :param ca_cert: PEM file of the authority; switches TLS on.
    :param cert: PEM file of the client certificate, with ``key``.
    :param timeout: seconds that a request may take.
    """

    endpoints: tuple[str, ...]
    ca_cert: str | None = None
    cert: str | None = None
    key: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 5.0


class TlsFiles(NamedTuple):
    """The files of a TLS client. Without ``ca_cert`` the system's authorities are trusted."""

    ca_cert: str | None
    cert: str | None
    key: str | None

    def stamp(self) -> tuple[tuple[int, int] | None, ...]:
        """Changes when a file does. Reads metadata only."""
        stamps: list[tuple[int, int] | None] = []
        for path in self:
            try:
                found = os.stat(path) if path is not None else None
                stamps.append((found.st_mtime_ns, found.st_ino) if found is not None else None)
            except OSError:
                stamps.append(None)
        return tuple(stamps)

    def credentials(self) -> Any:
        """Reads the files; raises ``ConfigError`` with the field of a file that can't be read."""
        return grpc.ssl_channel_credentials(
            _read(self.ca_cert, "etcd_ca_cert"), _read(self.key, "etcd_key"), _read(self.cert, "etcd_cert")
        )


def _read(path: str | None, field: str) -> bytes | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(
            f"{field}: {path} can't be read ({error.strerror}): correct the path or its permissions",
            field=field,
        ) from error


def parse_endpoint(text: str) -> tuple[str, bool]:
    """Splits ``host:port``, alone or as a URL of http or https, into the address and whether it asks for TLS.

    :raises ConfigError: the text is neither.
    """
    parts = urlsplit(text if "://" in text else f"//{text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    plain = parts.path in ("", "/") and not parts.query and "@" not in parts.netloc
    if parts.scheme not in ("", "http", "https") or not parts.hostname or not port or not plain:
        raise ConfigError(
            f"etcd_endpoints: {text!r} is no endpoint: write host:port, such as etcd-0.etcd:2379",
            field="etcd_endpoints",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}", parts.scheme == "https"


class Connection:
    """One channel and the client's stubs on it."""

    def __init__(self, endpoint: Endpoint, channel: Any) -> None:
        self.endpoint = endpoint
        self.channel = channel
        self.kv = etcdrpc.KVStub(channel)
        self.lease = etcdrpc.LeaseStub(channel)
        self.watch = etcdrpc.WatchStub(channel)
        # The same method with a single request, so that gRPC needs no thread for further ones.
        self.listen = channel.unary_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=etcdrpc.WatchRequest.SerializeToString,
            response_deserializer=etcdrpc.WatchResponse.FromString,
        )
        self.auth = etcdrpc.AuthStub(channel)
        self.maintenance = etcdrpc.MaintenanceStub(channel)


class Endpoint:
    """One member's address and the connection to it, which is made by the first call."""

    def __init__(
        self, address: str, tls: TlsFiles | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.address = address
        self._tls = tls
        self._clock = clock
        self.failed_at = float("-inf")  # of its last failure, unless forgiven
        self._suspect = False  # a call has failed since the certificates were last compared
        self._stamp: tuple[tuple[int, int] | None, ...] = ()
        self.connection = self._open()

    def _open(self) -> Connection:
        if self._tls is None:
            return Connection(self, grpc.insecure_channel(self.address, options=CHANNEL_OPTIONS))
        self._stamp = self._tls.stamp()
        channel = grpc.secure_channel(self.address, self._tls.credentials(), options=CHANNEL_OPTIONS)
        return Connection(self, channel)

    def use(self) -> Connection:
        """The connection, opened again if a call has failed and the certificates have changed since."""
        if self._suspect:
            if self._tls is not None and self._tls.stamp() != self._stamp:
                old = self.connection
                if self._replace():
                    old.channel.close()
            self._suspect = False
        return self.connection

    def abandon(self) -> None:
        """Opens the connection again, where the old one is broken: to close it would block for ever, and gRPC
        closes what nothing refers to. So it is kept, beyond the interpreter's own end.
        """
        broken = self.connection
        if self._replace():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(broken.channel))

    def _replace(self) -> bool:
        try:
            self.connection = self._open()
        except ConfigError as error:
            # The old certificate may still be good; the files are tried again after the next failure.
            _log.debug("the connection to etcd at %s keeps its certificate: %s", self.address, error)
            self._stamp = ()
            return False
        return True

    def fail(self) -> None:
        """Notes that a call failed."""
        self.failed_at = self._clock()
        self._suspect = True

    @property
    def is_failed(self) -> bool:
        """Whether a call failed within the last ``RETRY_AFTER`` seconds."""
        return self._clock() - self.failed_at < RETRY_AFTER

    def close(self) -> None:
        """Closes the channel; calls in flight end with an error."""
        self.connection.channel.close()


class Endpoints:
    """All members of a cluster. Each store starts with a random one, so that members share the load.

    :raises ConfigError: an endpoint or a certificate file is unusable.
    """

    def __init__(self, settings: StoreSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not settings.endpoints:
            raise ConfigError(
                "etcd_endpoints: is empty: give host:port of each etcd member", field="etcd_endpoints"
            )
        files = TlsFiles(settings.ca_cert, settings.cert, settings.key)
        parsed = [parse_endpoint(text) for text in dict.fromkeys(settings.endpoints)]
        self.all = [
            Endpoint(address, files if secure or any(files) else None, clock=clock)
            for address, secure in parsed
        ]
        self.current = random.choice(self.all)

    def choose(self) -> Connection:
        """A connection to the endpoint in use; once that has failed, to another that has not failed lately,
        else to the one that failed longest ago."""
        if self.current.is_failed:
            usable = next((endpoint for endpoint in self.all if not endpoint.is_failed), None)
            if usable is None:
                usable = min(self.all, key=lambda endpoint: endpoint.failed_at)
                usable.failed_at = float("-inf")
            self.current = usable
        return self.current.use()

    def close(self) -> None:
        """Closes all channels."""
        for endpoint in self.all:
            endpoint.close()

"""Connections to the members of an etcd cluster: one gRPC channel for each endpoint, and which of them to
use.

Promises
- A member that failed is left alone for ``RETRY_AFTER`` seconds of the monotonic clock while another one is
  there.
- A connection that goes dead without a reset is noticed within 13 s (gRPC keepalive) even while nobody calls
  with a time-out; calls themselves end by theirs.
- After a failure the certificate files are read again if they changed, so rotation needs no restart.

Does not promise that an endpoint in use is healthy: only a call tells.

Threads: an ``Endpoint`` has no lock of its own; its ``Store`` calls it under the store's lock, except
``channel`` of a living object. gRPC's own threads end with ``close``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import grpc

from discordha.coordination.etcd.operations import StoreSettings
from discordha.errors import ConfigError

__all__ = ["CHANNEL_OPTIONS", "Endpoint", "TlsFiles", "parse_endpoint"]

#: How long a failed endpoint is left alone while others work, seconds.
RETRY_AFTER = 2.0

#: etcd's server ends connections that ping more often than every 5 s, or that ping without a call in flight.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 3_000),  # also how long one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # The thread that reads a stream reads it from the socket's queue itself, without gRPC's thread between: a
    # quarter less CPU for a message that comes alone. A gRPC that does not know the option passes it over.
    ("SingleThreadedUnaryStream", 1),
    ("grpc.enable_retries", 0),  # whether a write may be repeated is not gRPC's to decide
    (
        "grpc.use_local_subchannel_pool",
        1,
    ),  # each store has connections of its own: the session's never queue behind claims
    ("grpc.enable_http_proxy", 0),  # a proxy for the web is no way to a store inside the cluster
)


class TlsFiles(NamedTuple):
    """The files of a TLS client. ``ca_cert`` unset means the system's authorities."""

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
        """Reads the files.

        :raises ConfigError: one can't be read; names the field.
        """
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
    """Splits ``host:port``, ``http://host:port`` or ``https://host:port`` into the address and whether it
    says TLS.

    :raises ConfigError: it is neither.
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


class Endpoint:
    """One member's address and its channel, as ``etcd3.MultiEndpointEtcd3Client`` wants an endpoint, by
    monotonic time.

    The client's own class decides by the wall clock when a failed member may be tried again.

    :raises ConfigError: a certificate file can't be read.
    """

    def __init__(
        self, address: str, tls: TlsFiles | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.netloc = address
        self._tls = tls
        self._clock = clock
        self._failed_at: float | None = None
        self._suspect = False
        self._stamp: tuple[tuple[int, int] | None, ...] = ()
        self.channel = self._open()

    @classmethod
    def all_of(cls, settings: StoreSettings) -> list[Endpoint]:
        """One for each endpoint of the settings. Connects to nothing yet."""
        if not settings.endpoints:
            raise ConfigError(
                "etcd_endpoints: is empty: give host:port of each etcd member", field="etcd_endpoints"
            )
        files = TlsFiles(settings.ca_cert, settings.cert, settings.key)
        parsed = [parse_endpoint(text) for text in dict.fromkeys(settings.endpoints)]
        return [cls(address, files if secure or any(files) else None) for address, secure in parsed]

    def _open(self) -> Any:
        if self._tls is None:
            return grpc.insecure_channel(self.netloc, options=CHANNEL_OPTIONS)
        self._stamp = self._tls.stamp()
        return grpc.secure_channel(self.netloc, self._tls.credentials(), options=CHANNEL_OPTIONS)

    def use(self) -> Any:
        """The channel. Reads changed certificates first, when a call has failed since.

        :raises ValueError: the endpoint failed a moment ago (which makes the client choose another).
        """
        if self.is_failed():
            raise ValueError(f"{self.netloc} failed a moment ago")
        if self._suspect:
            if self._tls is not None and self._tls.stamp() != self._stamp:
                old, self.channel = self.channel, self._open()
                old.close()
            self._suspect = False
        return self.channel

    def fail(self) -> None:
        """Leaves the endpoint alone for a while."""
        self._failed_at = self._clock()
        self._suspect = True

    def is_failed(self) -> bool:
        """Whether it failed within the last ``RETRY_AFTER`` seconds."""
        return self._failed_at is not None and self._clock() - self._failed_at < RETRY_AFTER

    def failed_at(self) -> float:
        """When it failed last, for choosing the one that failed longest ago."""
        return self._failed_at if self._failed_at is not None else float("-inf")

    def forgive(self) -> None:
        """Makes it usable at once."""
        self._failed_at = None

    def close(self) -> None:
        """Closes the channel; calls in flight end with an error."""
        self.channel.close()

"""What an error of gRPC or etcd means for the caller, and the state in which etcd refuses a replica. No I/O.

Guarantees: every status becomes ``StoreUnavailable`` (ask again later), ``ConfigError`` (an operator must
act), ``LeaseNotFound`` or ``RequestRefused``, with a sentence that names the remedy; no message contains a
password or a token. Unknown texts become ``StoreUnavailable``, with ``maybe_applied`` for writes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc

from discordha.coordination.etcd.store import LeaseNotFound, RequestRefused, StoreRefused
from discordha.errors import ConfigError, DiscordHAError, StoreUnavailable

__all__ = ["AccessDenied", "Compacted", "Failure", "Refusals", "explain", "is_auth_disabled"]

_log = logging.getLogger(__name__)

#: A refusal is over when etcd has accepted a call and has refused none for this long at least, seconds.
QUIET = 2.0
_Code: Any = grpc.StatusCode

#: Words about calls that never left this process, for lack of a connection.
_NOT_SENT = (
    "failed to connect to all addresses",
    "dns resolution failed",
    "name resolution",
    "empty address list",
)
#: Words of etcd's answers that say that it did nothing.
_NOT_APPLIED = ("no leader", "not capable")
_REFUSED = (
    _Code.INVALID_ARGUMENT,
    _Code.FAILED_PRECONDITION,
    _Code.NOT_FOUND,
    _Code.OUT_OF_RANGE,
    _Code.UNIMPLEMENTED,
)
#: Words of etcd's gRPC about a request. This process's gRPC has other words about an answer, whose request
#: was applied.
_TOO_LARGE = "grpc: received message larger than max"
_OVERLOADED = "is overloaded (too many requests): give it faster disks or less to do"
_FULL = (
    "has used up its space quota and refuses writes: compact and defragment it, disarm the alarm "
    "(etcdctl alarm disarm), and switch on --auto-compaction-retention"
)
_TOKEN = ("invalid auth token", "revision of auth store is old", "auth token is not provided")
#: What gRPC says of a connection that could not be made, and what that likely means: the first that fits.
_OVER_TLS = (
    (
        ("certificate_verify_failed",),
        "etcd's certificate is not of an authority trusted here, or not for this host name: set etcd_ca_cert "
        "to its authority's file, and name the host as the certificate does",
    ),
    (
        ("handshake read failed", "wrong_version_number"),
        "if that stays, etcd likely speaks no TLS, and this client does: unset etcd_ca_cert, etcd_cert and "
        "etcd_key and leave https:// out of etcd_endpoints, or switch TLS on in etcd",
    ),
    (  # by TLS 1.3 a server refuses a certificate after the client's end of the handshake
        ("ssl_error_ssl", "unwrap failed", "socket closed"),
        "if that stays, etcd likely refuses the client's certificate or wants one: set etcd_cert and "
        "etcd_key to one it trusts",
    ),
)
_WITHOUT_TLS = (
    (
        ("socket closed",),
        "if that stays, etcd likely speaks TLS, and this client does not: set etcd_ca_cert (and etcd_cert "
        "with etcd_key if etcd wants client certificates)",
    ),
)
_CREDENTIALS = ("authentication failed", "invalid user id or password")


class AccessDenied(ConfigError):
    """The user's role does not reach all keys of the request; requests for other keys may be granted."""


class Compacted(DiscordHAError):
    """The requested revision is gone: a reader has to start over."""


class Failure(NamedTuple):
    """One failed call.

    :param error: the error to raise.
    :param blame_endpoint: another endpoint should be preferred from now on.
    :param unsent: nothing was applied for certain, so the call may be repeated at once.
    :param token_expired: a new token helps.
    """

    error: DiscordHAError
    blame_endpoint: bool = False
    unsent: bool = False
    token_expired: bool = False


def explain(
    code: Any, details: str, *, endpoint: str, tls: bool, write: bool, user: str | None, timeout: float
) -> Failure:
    """Explains a gRPC status.

    :param code: ``grpc.StatusCode``.
    :param tls: whether this client speaks TLS.
    :param write: whether the request could have changed something.
    :param timeout: seconds that the call was given.
    """
    text = (details or "").lower()
    who = f"etcd at {endpoint}"
    if any(part in text for part in _TOKEN) or code is _Code.UNAUTHENTICATED:
        message = (
            f"{who} keeps refusing the token of user {user!r} ({details}): check etcd_user and etcd_password"
        )
        return Failure(ConfigError(message, field="etcd_user"), unsent=True, token_expired=user is not None)
    if any(part in text for part in _CREDENTIALS):
        message = f"{who} refuses the password of user {user!r}: correct etcd_user and etcd_password"
        return Failure(ConfigError(message, field="etcd_password"), unsent=True)
    if "user name is empty" in text:
        # With a user configured, authentication was switched on since the replica requested a token.
        message = f"{who} requires authentication: set etcd_user and etcd_password"
        return Failure(ConfigError(message, field="etcd_user"), unsent=True, token_expired=user is not None)
    if code is _Code.PERMISSION_DENIED or "permission denied" in text:
        message = (
            f"{who} refuses user {user!r} access to the bot's keys: grant its role read and write on the "
            "prefix, as `discordha check --print-role` shows"
        )
        return Failure(AccessDenied(message, field="etcd_user"), unsent=True)
    if "requested lease not found" in text:
        return Failure(
            LeaseNotFound("the lease has run out or was revoked; nothing was written"), unsent=True
        )
    if "has been compacted" in text:
        return Failure(Compacted(f"{who} has compacted the requested revision"), unsent=True)
    if code in _REFUSED or _TOO_LARGE in text:
        return Failure(RequestRefused(f"{who} refuses the request: {details}"), unsent=True)
    not_applied = any(part in text for part in (*_NOT_SENT, *_NOT_APPLIED))
    # In both cases another endpoint is the same cluster, and repeating makes things worse.
    if "too many requests" in text:
        return Failure(StoreUnavailable(f"{who} {_OVERLOADED}"))
    if "space exceeded" in text:
        return Failure(StoreRefused(f"{who} {_FULL}"))
    if code is _Code.DEADLINE_EXCEEDED:
        message = f"{who} did not answer within {timeout:.3g} s"
    elif "no leader" in text or "leader changed" in text:
        message = f"{who} has no leader at the moment ({details})"
    else:
        message = f"{who} can't be reached ({details or code}){_mismatch(text, tls)}"
    error = StoreUnavailable(message, maybe_applied=write and not not_applied)
    return Failure(error, blame_endpoint=True, unsent=not_applied)


def _mismatch(text: str, tls: bool) -> str:
    """What a connection that could not be made likely means if both ends disagree about TLS; else nothing.

    A guess: an end only sees that the other one closed the socket, as a proxy without etcd behind it does.
    """
    if _NOT_SENT[0] not in text:
        return ""  # the connection was good once
    causes = _OVER_TLS if tls else _WITHOUT_TLS
    return next((f": {likely}" for parts, likely in causes if any(part in text for part in parts)), "")


def is_auth_disabled(details: str) -> bool:
    """Whether etcd says that it has no users, so that no token is needed."""
    return "authentication is not enabled" in (details or "").lower()


class Refusals:
    """The refusals that one replica meets, on all its connections, for reasons that an operator can mend.

    While a replica starts, a refusal is a ``ConfigError``: it ends the start. From ``outlast`` on it is a
    ``StoreRefused``, an outage to every caller: nothing was applied, the caller tries again, and work goes on
    by itself once etcd accepts. One log line says that etcd refuses, with the remedy, and one that it no
    longer does.

    Any thread. ``_lock`` guards ``_reason``, ``_began`` and ``_last``; no I/O under it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._outlasts = False
        self._quiet = QUIET
        self._reason: str | None = None
        self._began = 0.0
        self._last = 0.0

    def outlast(self, quiet: float = QUIET) -> None:
        """Treats refusals as outages from now on.

        :param quiet: seconds without a refusal that end one: longer than the pause between two writes of the
            rarest kind, so that the log does not tell of an end between them.
        """
        self._quiet = max(quiet, QUIET)
        self._outlasts = True

    @property
    def reason(self) -> str | None:
        """Why etcd refuses; ``None`` while it does not."""
        return self._reason

    def note(self, error: Exception) -> Exception:
        """Takes the error of a call; returns the error to raise in its place."""
        if isinstance(error, ConfigError):
            if not self._outlasts:
                return error
            error = StoreRefused(str(error), by_key=isinstance(error, AccessDenied))
        if isinstance(error, StoreRefused):
            with self._lock:
                begins = self._reason is None
                self._reason = str(error)
                self._last = self._clock()
                if begins:
                    self._began = self._last
            if begins:
                _log.error("etcd refuses this replica: %s", error)
        return error

    def accepted(self) -> None:
        """A call succeeded."""
        if self._reason is None:
            return
        with self._lock:
            if self._reason is None or self._clock() - self._last < self._quiet:
                return
            self._reason = None
            lasted = self._last - self._began
        _log.info("etcd refuses this replica no more, after %.1f s", lasted)

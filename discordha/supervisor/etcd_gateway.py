"""etcd's JSON gateway, as far as a lease can be revoked through it: plain HTTP, by the standard library.

Every etcd serves it beside gRPC on the same port. Through it the parent can revoke a lease without gRPC,
which would triple its memory.

Guarantees
- A call ends within its time-out. Where there are several endpoints, a silent one costs ``STAGGER``
  seconds: the others are asked then, too. Revoking twice does no harm.
- ``Unreachable`` means that a later try may do better; ``NoGateway`` that it will not.
- A token is asked for once, and again when etcd does not know it any more.

Threads and locks: called by one thread, the revoker's. Each call uses short-lived threads of its own where
there are several endpoints; they share a queue and an event.
"""

from __future__ import annotations

import http.client
import json
import queue
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from discordha.errors import DiscordHAError

if TYPE_CHECKING:
    import ssl

    from discordha.supervisor.process import EtcdAccess

__all__ = ["EtcdGateway", "NoGateway", "Unreachable"]

#: How long an endpoint may be silent before the next one is asked, too, seconds.
STAGGER = 0.1
#: gRPC's codes, as the gateway gives them.
_NOT_FOUND, _FAILED_PRECONDITION, _UNAUTHENTICATED = 5, 9, 16
#: Codes at which a later try may do better: deadline, exhausted, aborted, internal, unavailable.
_TRANSIENT = frozenset({4, 8, 10, 13, 14})


class Unreachable(DiscordHAError):
    """etcd does not answer, or not now."""


class NoGateway(DiscordHAError):
    """What answers is no JSON gateway, or refuses this client for good."""


class _Refused(Exception):
    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class EtcdGateway:
    """One bot's etcd. See the module."""

    def __init__(self, access: EtcdAccess) -> None:
        self._access = access
        self._endpoints = list(access.endpoints)
        self._token: str | None = None

    def revoke(self, lease: int, timeout: float) -> None:
        """Ends a lease. One that is gone already is a success. Blocks for ``timeout`` seconds at the most.

        :raises Unreachable: the lease may live.
        :raises NoGateway: the lease may live, and this is no way to end it.
        """
        try:
            self._ask("lease/revoke", {"ID": str(lease)}, timeout)
        except _Refused as refused:
            if refused.code != _NOT_FOUND:
                raise NoGateway(f"etcd refuses to revoke a lease: {refused}") from None

    def check(self, lease: int, timeout: float) -> None:
        """Whether ``revoke`` would work; keeps the token alive. Blocks.

        :raises Unreachable: etcd does not answer.
        :raises NoGateway: it would not.
        """
        try:
            self._ask("lease/timetolive", {"ID": str(lease)}, timeout)
        except _Refused as refused:
            if refused.code != _NOT_FOUND:
                raise NoGateway(f"etcd refuses to tell of a lease: {refused}") from None

    # -- how -------------------------------------------------------------------------------------------------

    def _ask(self, method: str, body: dict[str, str], timeout: float) -> dict[str, Any]:
        for renewed in (False, True):
            if self._token is None and self._access.user is not None:
                self._token = self._authenticate(timeout)
            try:
                return self._call(method, body, self._token or None, timeout)
            except _Refused as refused:
                if refused.code != _UNAUTHENTICATED or renewed or self._access.user is None:
                    raise
                self._token = None
        raise AssertionError("unreachable")

    def _authenticate(self, timeout: float) -> str:
        login = {"name": self._access.user or "", "password": self._access.password or ""}
        try:
            return str(self._call("auth/authenticate", login, None, timeout)["token"])
        except _Refused as refused:
            if refused.code == _FAILED_PRECONDITION:  # authentication is not enabled
                return ""
            raise NoGateway(f"etcd refuses the user {self._access.user!r}: {refused}") from None

    def _call(self, method: str, body: dict[str, str], token: str | None, timeout: float) -> dict[str, Any]:
        """The first answer of an endpoint. The one that gave it is asked first from then on."""
        if len(self._endpoints) == 1:
            return self._call_one(self._endpoints[0], method, body, token, timeout)
        answers: queue.SimpleQueue[tuple[str, dict[str, Any] | Exception]] = queue.SimpleQueue()
        answered = threading.Event()

        def ask(number: int, endpoint: str) -> None:
            if answered.wait(number * STAGGER):
                return
            try:
                answers.put((endpoint, self._call_one(endpoint, method, body, token, timeout)))
            except Exception as error:  # noqa: BLE001 - the caller raises it
                answers.put((endpoint, error))

        for number, endpoint in enumerate(self._endpoints):
            threading.Thread(
                target=ask, args=(number, endpoint), name=f"discordha-revoke-{number}", daemon=True
            ).start()
        failure: Exception = Unreachable("no endpoint of etcd answers")
        try:
            for _ in range(len(self._endpoints)):
                endpoint, answer = answers.get(timeout=timeout + len(self._endpoints) * STAGGER)
                if isinstance(answer, dict | _Refused):
                    self._endpoints.sort(key=lambda each: each != endpoint)
                    if isinstance(answer, _Refused):
                        raise answer
                    return answer
                # One endpoint that is no gateway is no reason to give the others up.
                failure = answer if not isinstance(failure, NoGateway) else failure
            raise failure
        except queue.Empty:
            raise Unreachable("no endpoint of etcd answers in time") from None
        finally:
            answered.set()

    def _call_one(
        self, endpoint: str, method: str, body: dict[str, str], token: str | None, timeout: float
    ) -> dict[str, Any]:
        connection = self._connection(endpoint, timeout)
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = token
        try:
            connection.request("POST", f"/v3/{method}", json.dumps(body).encode(), headers)
            response = connection.getresponse()
            status, text = response.status, response.read(65_536)
        except (http.client.HTTPException, ConnectionResetError) as error:
            # A server that knows gRPC only hangs up without an answer; so does one that is being killed.
            raise NoGateway(f"etcd at {endpoint} does not speak HTTP/1: {error!r}") from None
        except OSError as error:
            unusable = type(error).__name__.startswith("SSL")
            raise (NoGateway if unusable else Unreachable)(f"etcd at {endpoint}: {error}") from None
        finally:
            connection.close()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise NoGateway(f"etcd at {endpoint} has no JSON gateway: status {status}")
        if status == 200:
            return answer
        code, words = answer.get("code"), str(answer.get("message") or answer.get("error") or status)
        if code in _TRANSIENT and "handshake failed" not in words:  # the gateway's own connection to its etcd
            raise Unreachable(f"etcd at {endpoint}: {words}")
        if not isinstance(code, int):
            raise NoGateway(f"etcd at {endpoint} has no JSON gateway: {status} {words}")
        raise _Refused(code, words)

    def _connection(self, endpoint: str, timeout: float) -> http.client.HTTPConnection:
        access = self._access
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        host, port = parts.hostname or "", parts.port or 2379
        if parts.scheme != "https" and not (access.ca_cert or access.cert):
            return http.client.HTTPConnection(host, port, timeout=timeout)
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls())

    def _tls(self) -> ssl.SSLContext:
        """Made anew for each connection: the files may have changed."""
        import ssl

        try:
            context = ssl.create_default_context(cafile=self._access.ca_cert)
            if self._access.cert is not None:
                context.load_cert_chain(self._access.cert, self._access.key)
        except (OSError, ssl.SSLError) as error:
            raise NoGateway(f"etcd's certificates can't be read: {error}") from None
        return context

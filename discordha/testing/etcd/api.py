"""The part of etcd's HTTP interface that the test kit needs, so that it does not depend on an etcd client.

Guarantees: each call ends within its timeout. A failure is an ``EtcdApiError`` with etcd's own words.
Not guaranteed: retries, or the reuse of connections.

Threads and locks: calls block; any thread, one at a time.
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from typing import Any, NamedTuple

from discordha.testing.certificates import Certificates

__all__ = ["EtcdApi", "EtcdApiError", "EtcdMetrics"]

_HEALTH_TIMEOUT = 1.0
_METRICS_TIMEOUT = 10.0


class EtcdApiError(Exception):
    """etcd refused the call, or did not answer."""


class EtcdMetrics(NamedTuple):
    """Counters of one member, for benchmarks and leak tests."""

    proposals: int
    """Consensus writes since the member started (``etcd_server_proposals_committed_total``)."""
    db_size: int
    """Bytes of the database file."""
    db_in_use: int
    """Bytes of that file in use."""
    keys: int
    """Keys, without their old revisions."""
    watchers: int
    """Watches that the member serves."""
    leases: int
    """Live leases."""
    raw: dict[str, float]
    """All samples without labels."""


class EtcdApi:
    """Calls etcd over its JSON gateway.

    :param certificates: for client TLS; read anew for each call, so that a rotation needs no notice.
    :param login: user and password, used after ``enable_auth`` or ``log_in``.
    """

    def __init__(self, certificates: Certificates | None, login: tuple[str, str] | None) -> None:
        self._certificates = certificates
        self._login = login
        self._authenticated = False

    def healthy(self, metrics_url: str) -> bool:
        """Whether the member answers its health check, a linearizable read."""
        try:
            return bool(
                json.loads(self._fetch(f"{metrics_url}/health", timeout=_HEALTH_TIMEOUT))["health"] == "true"
            )
        except (EtcdApiError, ValueError, KeyError):
            return False

    def raw_metrics(self, metrics_url: str, *, timeout: float = _HEALTH_TIMEOUT) -> dict[str, float]:
        """All samples without labels.

        :raises EtcdApiError: no answer within ``timeout`` seconds.
        """
        samples = {}
        for line in self._fetch(f"{metrics_url}/metrics", timeout=timeout).decode().splitlines():
            if line and not line.startswith("#") and "{" not in line:
                name, _, value = line.partition(" ")
                samples[name] = float(value)
        return samples

    def metrics(self, metrics_url: str, url: str) -> EtcdMetrics:
        """See ``LocalEtcd.metrics``."""
        raw = self.raw_metrics(metrics_url, timeout=_METRICS_TIMEOUT)
        leases = self.call(url, "lease/leases", {}).get("leases", [])
        return EtcdMetrics(
            proposals=int(raw["etcd_server_proposals_committed_total"]),
            db_size=int(raw["etcd_mvcc_db_total_size_in_bytes"]),
            db_in_use=int(raw["etcd_mvcc_db_total_size_in_use_in_bytes"]),
            keys=int(raw["etcd_debugging_mvcc_keys_total"]),
            watchers=int(raw["etcd_debugging_mvcc_watcher_total"]),
            leases=len(leases),
            raw=raw,
        )

    def keys(self, url: str, prefix: str) -> list[str]:
        """All keys below a prefix."""
        answer = self.call(url, "kv/range", {**_prefix_range(prefix), "keys_only": True})
        return [base64.b64decode(item["key"]).decode() for item in answer.get("kvs", [])]

    def items(self, url: str, prefix: str, revision: int) -> dict[str, tuple[str, ...]]:
        """The member's own value, version and revisions of the keys below a prefix, at a revision."""
        asked = {**_prefix_range(prefix), "revision": str(revision), "serializable": True}
        return {
            base64.b64decode(item["key"]).decode(): tuple(
                str(item.get(field)) for field in ("value", "version", "create_revision", "mod_revision")
            )
            for item in self.call(url, "kv/range", asked).get("kvs", [])
        }

    def revision(self, url: str, *, own: bool = False) -> int:
        """The current revision.

        :param own: the member's own revision, which may lag.
        """
        asked = {"key": _encode("revision"), "count_only": True, "serializable": own}
        return int(self.call(url, "kv/range", asked)["header"]["revision"])

    def compact(self, url: str, revision: int) -> None:
        """Compacts up to a revision."""
        self.call(url, "kv/compaction", {"revision": str(revision), "physical": True})

    def enable_auth(self, url: str, root_password: str, user: str, password: str, prefix: str) -> None:
        """Creates ``root`` and a user with rights on ``prefix`` only, then turns on authentication."""
        role = f"{user}-role"
        self.call(url, "auth/user/add", {"name": "root", "password": root_password})
        self.call(url, "auth/user/grant", {"user": "root", "role": "root"})
        self.call(url, "auth/role/add", {"name": role})
        permission = {"permType": "READWRITE", **_prefix_range(prefix)}
        self.call(url, "auth/role/grant", {"name": role, "perm": permission})
        self.call(url, "auth/user/add", {"name": user, "password": password})
        self.call(url, "auth/user/grant", {"user": user, "role": role})
        self.call(url, "auth/enable", {})
        self.log_in()

    def log_in(self) -> None:
        """Uses the login from now on, for an etcd that demands one."""
        self._authenticated = True

    def call(self, url: str, method: str, body: dict[str, Any], *, timeout: float = 5.0) -> dict[str, Any]:
        """Posts to ``/v3/<method>`` and returns the decoded answer.

        :raises EtcdApiError: etcd refuses, or does not answer within ``timeout`` seconds.
        """
        headers = {}
        if self._authenticated and self._login is not None:
            name, password = self._login
            answer = self._fetch(
                f"{url}/v3/auth/authenticate", {"name": name, "password": password}, timeout=timeout
            )
            headers["Authorization"] = json.loads(answer)["token"]
        decoded: dict[str, Any] = json.loads(
            self._fetch(f"{url}/v3/{method}", body, headers, timeout=timeout)
        )
        return decoded

    def _fetch(
        self,
        url: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout: float,
    ) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers or {})
        # Loopback needs no proxy, even if the environment names one.
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        try:
            if self._certificates is not None:
                context = ssl.create_default_context(cafile=str(self._certificates.ca_cert))
                context.load_cert_chain(self._certificates.client_cert, self._certificates.client_key)
                handlers.append(urllib.request.HTTPSHandler(context=context))
            with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                words = error.read().decode(errors="replace").strip()
            raise EtcdApiError(f"{url}: {error.code} {words}") from None
        except (OSError, ValueError) as error:
            raise EtcdApiError(f"{url}: {error}") from error


def _encode(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def _prefix_range(prefix: str) -> dict[str, str]:
    """The fields ``key`` and ``range_end`` of a prefix that ends in an ASCII character."""
    return {"key": _encode(prefix), "range_end": _encode(prefix[:-1] + chr(ord(prefix[-1]) + 1))}

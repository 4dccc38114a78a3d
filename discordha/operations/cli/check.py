"""``discordha check``: what an operator wants to know before the first run. Blocks on etcd, and on Discord
(``check_discord``).

Promises: no check raises; with etcd out of reach nothing else is tried, so the answer comes within one of its
time-outs.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from discordha._version import __version__
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.membership.members import FORMAT, incompatibility
from discordha.errors import DiscordHAError
from discordha.operations.cli.check_discord import Result, discord_checks
from discordha.operations.cli.fleet import Fleet

__all__ = ["Result", "checks", "role"]

_BAD_VERSIONS = ("3.5.0", "3.5.1", "3.5.2")
#: Certificates that end within so many days deserve a warning.
SOON = 14


def role(name: str, *, read_only: bool = False) -> list[str]:
    """The etcdctl commands that make a user who may touch the bot's keys and nothing else.

    :param read_only: one who may only look: for ``status``, ``top``, ``event``, ``dead-letters list``.
    """
    prefix = f"/discordha/v1/{name}"
    user, right = (f"discordha-{name}-reader", "read") if read_only else (f"discordha-{name}", "readwrite")
    return [
        f"etcdctl role add {user}",
        f"etcdctl role grant-permission {user} {right} --prefix {prefix}/",
        f"etcdctl role grant-permission {user} {right} --prefix {prefix}.data/",
        f"etcdctl user add {user}",
        f"etcdctl user grant-role {user} {user}",
    ]


def checks(fleet: Fleet, settings: StoreSettings, environ: Mapping[str, str]) -> list[Result]:
    """All checks; none raises."""
    results = _etcd(fleet)
    if not any(result.outcome != "fail" for result in results):
        return [*results, *[each for each in _certificates(settings) if each.outcome == "fail"]]
    results += [*_certificates(settings), *_server_certificates(settings)]
    results += [*_rights(fleet), *_replicas(fleet)]
    return [*results, *discord_checks(environ)]


def _etcd(fleet: Fleet) -> list[Result]:
    results = []
    try:
        members = fleet.store.status()
    except DiscordHAError as error:
        return [Result("etcd", "fail", str(error))]
    for member in members:
        what = f"etcd {member.endpoint}"
        if member.error is not None:
            results.append(Result(what, "fail", member.error))
        elif member.version.startswith(_BAD_VERSIONS):
            detail = f"version {member.version} can corrupt its data: use 3.5.3 or newer in production"
            results.append(Result(what, "warn", detail))
        elif member.latency > 0.1:
            results.append(
                Result(what, "warn", f"answers in {member.latency * 1000:.0f} ms: each event waits for that")
            )
        else:
            detail = f"version {member.version}, {member.latency * 1000:.1f} ms, {member.db_size // 1024} KiB"
            results.append(Result(what, "ok", detail))
    if len(members) == 1 and members[0].error is None:
        results.append(Result("etcd", "warn", "one endpoint only: name all members, so that one may fail"))
    return results


def _valid_for(what: str, where: str, not_after: str) -> Result:
    left = (ssl.cert_time_to_seconds(not_after) - time.time()) / 86400
    if left < 0:
        return Result(what, "fail", f"{where} ended {-left:.1f} days ago")
    return Result(what, "warn" if left < SOON else "ok", f"{where} is valid for {left:.0f} days")


def _certificates(settings: StoreSettings) -> list[Result]:
    results = []
    for name in ("ca_cert", "cert"):
        path = getattr(settings, name)
        if path is None:
            continue
        try:
            # The only way of the standard library to read a certificate's dates from a file.
            info: dict[str, Any] = ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]
            results.append(_valid_for(name, path, info["notAfter"]))
        except (OSError, ValueError, AttributeError, KeyError) as error:
            results.append(Result(name, "fail", f"{path}: {error}"))
    return results


def _server_certificates(settings: StoreSettings) -> list[Result]:
    """What each member shows, by a handshake of our own."""
    files = (settings.ca_cert, settings.cert, settings.key)
    results = []
    for endpoint in settings.endpoints:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        if not (any(files) or parts.scheme == "https") or not parts.hostname or not parts.port:
            continue
        what = f"certificate of {parts.netloc}"
        try:
            context = ssl.create_default_context(cafile=settings.ca_cert)
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # gRPC is not so strict
            context.set_alpn_protocols(["h2"])
            if settings.cert is not None:
                context.load_cert_chain(settings.cert, settings.key)
            with (
                socket.create_connection((parts.hostname, parts.port), timeout=settings.timeout) as plain,
                context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
            ):
                info = secure.getpeercert()
            results.append(_valid_for(what, "it", str((info or {})["notAfter"])))
        except (OSError, ValueError, KeyError) as error:
            results.append(Result(what, "fail", str(error)))
    return results


def _rights(fleet: Fleet) -> list[Result]:
    """Writes a key under a short lease where the bot's keys are, and takes it away."""
    results = []
    for root in (fleet.root, fleet.root.removesuffix("/") + ".data/"):
        key = f"{root}check/{secrets.token_hex(4)}"
        try:
            lease = fleet.store.grant(10.0)
            begun = time.monotonic()
            fleet.store.put(key, b"", lease=lease.id)
            took = time.monotonic() - begun
            fleet.store.delete(key)
            fleet.store.revoke(lease.id)
            results.append(Result(f"write {root}", "ok", f"a write takes {took * 1000:.1f} ms"))
        except DiscordHAError as error:
            results.append(Result(f"write {root}", "fail", str(error)))
    return results


def _replicas(fleet: Fleet) -> list[Result]:
    """Which versions would run together, this one among them."""
    try:
        members = fleet.members()
    except DiscordHAError as error:
        return [Result("replicas", "fail", str(error))]
    if not members:
        return [Result("replicas", "ok", f"none runs yet; this version is {__version__}, format {FORMAT}")]
    reasons = (incompatibility(name, record) for name, record in members.items())
    refused = [reason for reason in reasons if reason is not None]
    if refused:
        return [Result("replicas", "fail", refused[0])]
    versions = sorted({str(record.get("version", "?")) for record in members.values()} | {__version__})
    detail = f"{len(members)} run; versions with this one: {', '.join(versions)}"
    return [Result("replicas", "ok" if len(versions) == 1 else "warn", detail)]

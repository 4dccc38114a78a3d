"""The checks of ``discordha check``: etcd first, then Discord. Block on both.

Guarantees: no check raises. If etcd is out of reach, nothing else is tried, so that the answer comes within
one of its timeouts. The first call that Discord fails ends the checks of Discord. None starts a session or
sends a message.
"""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from discordha._version import __version__
from discordha.config import Config
from discordha.coordination.etcd.endpoints import StoreSettings
from discordha.coordination.membership.formats import FORMAT, incompatibility
from discordha.errors import ConfigError, DiscordHAError
from discordha.operations.fleet import Fleet
from discordha.supervisor.etcd_process import etcd_faults

__all__ = ["Check", "checks", "role"]

#: Days before a certificate's end from which the check warns.
CERTIFICATE_WARNING = 14
#: Seconds that Discord has for each answer.
DISCORD_TIMEOUT = 10.0
#: The privileged intents, and the application's flags that allow them (for any, or for less than 100 guilds).
_PRIVILEGED_FLAGS = {
    "presences": (1 << 12) | (1 << 13),
    "members": (1 << 14) | (1 << 15),
    "message_content": (1 << 18) | (1 << 19),
}


@dataclass(frozen=True)
class Check:
    """The result of one check. ``outcome`` is ``ok``, ``warn`` or ``fail``."""

    what: str
    outcome: str
    detail: str


def role(name: str, *, read_only: bool = False) -> list[str]:
    """The etcdctl commands that make a user with rights on the bot's keys and nothing else.

    :param read_only: rights to read only, for ``status``, ``top``, ``event``, ``dead-letters list``.
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


def checks(fleet: Fleet, settings: StoreSettings, environ: Mapping[str, str]) -> list[Check]:
    """Runs all checks."""
    results, certificates = list(_etcd(fleet)), list(_certificates(settings))
    if all(result.outcome == "fail" for result in results):
        return results + [each for each in certificates if each.outcome == "fail"]
    results += [*certificates, *_server_certificates(settings), *_rights(fleet), _versions(fleet)]
    return [*results, *_discord(environ)]


# -- etcd ----------------------------------------------------------------------------------------------------


def _etcd(fleet: Fleet) -> Iterator[Check]:
    try:
        members = fleet.etcd_members()
    except DiscordHAError as error:
        yield Check("etcd", "fail", str(error))
        return
    for member in members:
        outcome = "ok"
        detail = f"version {member.version}, {member.latency * 1000:.1f} ms, {member.db_size // 1024} KiB"
        if member.error is not None:
            outcome, detail = "fail", member.error
        elif (faults := etcd_faults(member.version)) is not None:
            outcome, detail = "warn", f"version {member.version}: {faults}"
        elif member.latency > 0.1:
            outcome = "warn"
            detail = f"answers in {member.latency * 1000:.0f} ms: each event waits for that"
        yield Check(f"etcd {member.endpoint}", outcome, detail)
    if len(members) == 1 and members[0].error is None:
        yield Check("etcd", "warn", "one endpoint only: name all members, so that one may fail")


def _valid_for(what: str, where: str, not_after: str) -> Check:
    left = (ssl.cert_time_to_seconds(not_after) - time.time()) / 86400
    if left < 0:
        return Check(what, "fail", f"{where} ended {-left:.1f} days ago")
    outcome = "warn" if left < CERTIFICATE_WARNING else "ok"
    return Check(what, outcome, f"{where} is valid for {left:.0f} days")


def _certificates(settings: StoreSettings) -> Iterator[Check]:
    for name in ("ca_cert", "cert"):
        path = getattr(settings, name)
        if path is None:
            continue
        try:
            # The standard library has no other way to read a certificate's dates from a file.
            info: dict[str, Any] = ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]
            yield _valid_for(name, path, info["notAfter"])
        except (OSError, ValueError, AttributeError, KeyError) as error:
            yield Check(name, "fail", f"{path}: {error}")


def _server_certificates(settings: StoreSettings) -> Iterator[Check]:
    """Reads each member's certificate by a TLS handshake."""
    files = (settings.ca_cert, settings.cert, settings.key)
    for endpoint in settings.endpoints:
        parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        if not (any(files) or parts.scheme == "https") or not parts.hostname or not parts.port:
            continue
        what = f"certificate of {parts.netloc}"
        try:
            context = ssl.create_default_context(cafile=settings.ca_cert)
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as gRPC, which is less strict
            context.set_alpn_protocols(["h2"])
            if settings.cert is not None:
                context.load_cert_chain(settings.cert, settings.key)
            with (
                socket.create_connection((parts.hostname, parts.port), timeout=settings.timeout) as plain,
                context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
            ):
                info = secure.getpeercert()
            yield _valid_for(what, "it", str((info or {})["notAfter"]))
        except (OSError, ValueError, KeyError) as error:
            yield Check(what, "fail", str(error))


def _rights(fleet: Fleet) -> Iterator[Check]:
    """Writes and deletes a key under each of the bot's prefixes."""
    for root in (fleet.root, fleet.root.removesuffix("/") + ".data/"):
        key = f"{root}check/{secrets.token_hex(4)}"
        try:
            lease = fleet.store.grant(10.0)
            begun = time.monotonic()
            fleet.store.put(key, b"", lease=lease.id)
            took = time.monotonic() - begun
            fleet.store.delete(key)
            fleet.store.revoke(lease.id)
            yield Check(f"write {root}", "ok", f"a write takes {took * 1000:.1f} ms")
        except DiscordHAError as error:
            yield Check(f"write {root}", "fail", str(error))


def _versions(fleet: Fleet) -> Check:
    """Compares the versions that would run together, this one among them."""
    try:
        members, is_partitioned = fleet.members(), bool(fleet.partitions())
    except DiscordHAError as error:
        return Check("replicas", "fail", str(error))
    if not members:
        return Check("replicas", "ok", f"none runs yet; this version is {__version__}, format {FORMAT}")
    reasons = (incompatibility(name, record, is_partitioned) for name, record in members.items())
    refused = [reason for reason in reasons if reason is not None]
    if refused:
        return Check("replicas", "fail", refused[0])
    versions = sorted({str(record.get("version", "?")) for record in members.values()} | {__version__})
    detail = f"{len(members)} run; versions with this one: {', '.join(versions)}"
    return Check("replicas", "ok" if len(versions) == 1 else "warn", detail)


# -- Discord -------------------------------------------------------------------------------------------------


def _discord(environ: Mapping[str, str]) -> Iterator[Check]:
    token = environ.get("BOT_TOKEN") or environ.get("DISCORDHA_TOKEN")
    if not token:
        yield Check("Discord", "warn", "not checked: BOT_TOKEN is not set")
        return
    try:
        yield from _token(token, environ)
        yield _intents(token, environ)
        yield _budget(token, environ)
    except urllib.error.HTTPError as error:
        with error:
            reason = "the token is refused: take a new one" if error.code == 401 else f"HTTP {error.code}"
        yield Check("Discord", "fail", reason)
    except ConfigError as error:
        yield Check("Discord", "fail", str(error))
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield Check("Discord", "fail", f"can't be reached: {error}")


def _get(environ: Mapping[str, str], path: str, token: str) -> tuple[dict[str, Any], str | None]:
    base = (environ.get("DISCORDHA_API_URL") or "https://discord.com").rstrip("/")
    base = base if "/api/v" in base else f"{base}/api/v10"
    if not base.startswith(("https://", "http://")):
        raise ConfigError(f"DISCORDHA_API_URL must begin with https://, not {base!r}")
    headers = {"Authorization": f"Bot {token}", "User-Agent": "DiscordBot (discordha, 1)"}
    # The scheme is checked above.
    request = urllib.request.Request(base + path, headers=headers)
    with urllib.request.urlopen(request, timeout=DISCORD_TIMEOUT) as answer:  # nosec B310
        return json.load(answer), answer.headers.get("Date")


def _token(token: str, environ: Mapping[str, str]) -> Iterator[Check]:
    user, date = _get(environ, "/users/@me", token)
    yield Check("Discord token", "ok", f"{user.get('username')} ({user.get('id')})")
    if date is not None:
        off = time.time() - parsedate_to_datetime(date).timestamp()
        outcome = "ok" if abs(off) < 60 else "warn"
        yield Check("clock", outcome, f"{off:+.0f} s against Discord's (only logs depend on it)")


def _intents(token: str, environ: Mapping[str, str]) -> Check:
    about, _ = _get(environ, "/oauth2/applications/@me", token)
    flags = int(about.get("flags") or 0)
    allowed = [name for name, bits in _PRIVILEGED_FLAGS.items() if flags & bits]
    outcome, detail = "ok", f"allowed: {', '.join(allowed) or 'none'}"
    wanted = environ.get("DISCORDHA_INTENTS")
    if not wanted:
        detail = f"{detail}; DISCORDHA_INTENTS does not say which it needs"
    else:
        config = Config.from_env({"BOT_TOKEN": token, "DISCORDHA_INTENTS": wanted, "DISCORDHA_HA": "false"})
        needed = [name for name in _PRIVILEGED_FLAGS if getattr(config.intents, name) and name not in allowed]
        if needed:
            outcome = "fail"
            detail = f"{', '.join(needed)} must be switched on in the developer portal, page 'Bot'; {detail}"
    return Check("privileged intents", outcome, detail)


def _budget(token: str, environ: Mapping[str, str]) -> Check:
    gateway, _ = _get(environ, "/gateway/bot", token)
    limit = gateway["session_start_limit"]
    left, total = int(limit["remaining"]), int(limit["total"])
    outcome = "fail" if not left else "ok" if left > total / 10 else "warn"
    hours = int(limit.get("reset_after") or 0) / 3_600_000
    detail = f"{left} of {total} new sessions left for {hours:.0f} h; shards recommended: {gateway['shards']}"
    return Check("session budget", outcome, detail)

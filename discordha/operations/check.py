"""``discordha check``: what an operator wants to know before the first run. Blocks on etcd and on Discord."""

from __future__ import annotations

import json
import secrets
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from discordha.coordination.store import StoreSettings
from discordha.errors import DiscordHAError
from discordha.operations.fleet import Fleet

__all__ = ["Result", "checks", "role"]

_BAD_VERSIONS = ("3.5.0", "3.5.1", "3.5.2")
_PRIVILEGED = {
    "presences": (1 << 12) | (1 << 13),
    "members": (1 << 14) | (1 << 15),
    "message content": (1 << 18) | (1 << 19),
}


@dataclass(frozen=True)
class Result:
    """One thing that was checked. ``outcome``: ``ok``, ``warn`` or ``fail``."""

    what: str
    outcome: str
    detail: str


def role(name: str | int) -> str:
    """The etcdctl commands that make a user who may touch the bot's keys and nothing else."""
    prefix = f"/discordha/v1/{name}"
    return "\n".join(
        [
            f"etcdctl role add discordha-{name}",
            f"etcdctl role grant-permission discordha-{name} readwrite --prefix {prefix}/",
            f"etcdctl role grant-permission discordha-{name} readwrite --prefix {prefix}.data/",
            f"etcdctl user add discordha-{name}",
            f"etcdctl user grant-role discordha-{name} discordha-{name}",
        ]
    )


def checks(fleet: Fleet, settings: StoreSettings, environ: Mapping[str, str]) -> list[Result]:
    """All checks; none raises."""
    results = [*_etcd(fleet), *_certificates(settings), *_rights(fleet), *_replicas(fleet)]
    results += _discord(environ)
    return results


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
    if len(members) == 1:
        results.append(Result("etcd", "warn", "one endpoint only: name all members, so that one may fail"))
    return results


def _certificates(settings: StoreSettings) -> list[Result]:
    results = []
    for name in ("ca_cert", "cert"):
        path = getattr(settings, name)
        if path is None:
            continue
        try:
            # The only way of the standard library to read a certificate's dates from a file.
            info: dict[str, Any] = ssl._ssl._test_decode_cert(path)  # type: ignore[attr-defined]
            left = (ssl.cert_time_to_seconds(info["notAfter"]) - time.time()) / 86400
        except (OSError, ValueError, AttributeError, KeyError) as error:
            results.append(Result(name, "fail", f"{path}: {error}"))
            continue
        outcome = "fail" if left < 0 else "warn" if left < 14 else "ok"
        results.append(Result(name, outcome, f"{path} is valid for {left:.0f} days"))
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
    try:
        members = fleet.members()
    except DiscordHAError as error:
        return [Result("replicas", "fail", str(error))]
    versions = sorted({str(record.get("version", "?")) for record in members.values()})
    if not members:
        return [Result("replicas", "ok", "none runs yet")]
    outcome = "ok" if len(versions) == 1 else "warn"
    return [Result("replicas", outcome, f"{len(members)} run, version {', '.join(versions)}")]


def _get(environ: Mapping[str, str], path: str, token: str) -> tuple[dict[str, Any], str | None]:
    base = environ.get("DISCORDHA_API_URL", "https://discord.com").rstrip("/")
    base = base if "/api/v" in base else f"{base}/api/v10"
    headers = {"Authorization": f"Bot {token}", "User-Agent": "DiscordBot (discordha, 1)"}
    with urllib.request.urlopen(urllib.request.Request(base + path, headers=headers), timeout=10) as answer:
        return json.load(answer), answer.headers.get("Date")


def _discord(environ: Mapping[str, str]) -> list[Result]:
    token = environ.get("BOT_TOKEN") or environ.get("DISCORDHA_TOKEN")
    if not token:
        return [Result("Discord", "warn", "not checked: BOT_TOKEN is not set")]
    results: list[Result] = []
    parts: list[Callable[[str, Mapping[str, str]], list[Result]]] = [_token, _application, _budget]
    for part in parts:
        try:
            results += part(token, environ)
        except urllib.error.HTTPError as error:
            reason = "the token is refused: take a new one" if error.code == 401 else f"HTTP {error.code}"
            return [*results, Result("Discord", "fail", reason)]
        except (OSError, ValueError) as error:
            return [*results, Result("Discord", "fail", f"can't be reached: {error}")]
    return results


def _token(token: str, environ: Mapping[str, str]) -> list[Result]:
    user, date = _get(environ, "/users/@me", token)
    results = [Result("Discord token", "ok", f"{user.get('username')} ({user.get('id')})")]
    if date is not None:
        off = time.time() - parsedate_to_datetime(date).timestamp()
        outcome = "ok" if abs(off) < 60 else "warn"
        results.append(Result("clock", outcome, f"{off:+.0f} s against Discord's (only logs depend on it)"))
    return results


def _application(token: str, environ: Mapping[str, str]) -> list[Result]:
    about, _ = _get(environ, "/oauth2/applications/@me", token)
    flags = int(about.get("flags") or 0)
    allowed = [name for name, bits in _PRIVILEGED.items() if flags & bits]
    return [Result("privileged intents", "ok", ", ".join(allowed) or "none is switched on")]


def _budget(token: str, environ: Mapping[str, str]) -> list[Result]:
    gateway, _ = _get(environ, "/gateway/bot", token)
    limit = gateway["session_start_limit"]
    left, total = int(limit["remaining"]), int(limit["total"])
    outcome = "ok" if left > total / 10 else "warn"
    detail = f"{left} of {total} new sessions left today; {gateway['shards']} shards recommended"
    return [Result("session budget", outcome, detail)]

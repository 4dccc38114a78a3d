"""The part of ``discordha check`` that asks Discord: token, intents, budget, clock. Blocks on Discord's REST
API, ``TIMEOUT`` seconds a call at the most. No call starts a session or sends anything.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from discordha.config import Config
from discordha.errors import ConfigError

__all__ = ["Result", "discord_checks"]

TIMEOUT = 10.0
#: The privileged intents, and the application's flags that allow them (for any, or for less than 100 guilds).
_PRIVILEGED = {
    "presences": (1 << 12) | (1 << 13),
    "members": (1 << 14) | (1 << 15),
    "message_content": (1 << 18) | (1 << 19),
}


@dataclass(frozen=True)
class Result:
    """One thing that was checked. ``outcome``: ``ok``, ``warn`` or ``fail``."""

    what: str
    outcome: str
    detail: str


def discord_checks(environ: Mapping[str, str]) -> list[Result]:
    """What Discord says of the bot; none raises. Ends at the first call that fails."""
    token = environ.get("BOT_TOKEN") or environ.get("DISCORDHA_TOKEN")
    if not token:
        return [Result("Discord", "warn", "not checked: BOT_TOKEN is not set")]
    results: list[Result] = []
    parts: list[Callable[[str, Mapping[str, str]], list[Result]]] = [_token, _intents, _budget]
    for part in parts:
        try:
            results += part(token, environ)
        except urllib.error.HTTPError as error:
            with error:
                reason = "the token is refused: take a new one" if error.code == 401 else f"HTTP {error.code}"
            return [*results, Result("Discord", "fail", reason)]
        except ConfigError as error:
            return [*results, Result("Discord", "fail", str(error))]
        except (OSError, ValueError, KeyError, TypeError) as error:
            return [*results, Result("Discord", "fail", f"can't be reached: {error}")]
    return results


def _get(environ: Mapping[str, str], path: str, token: str) -> tuple[dict[str, Any], str | None]:
    base = (environ.get("DISCORDHA_API_URL") or "https://discord.com").rstrip("/")
    base = base if "/api/v" in base else f"{base}/api/v10"
    if not base.startswith(("https://", "http://")):
        raise ConfigError(f"DISCORDHA_API_URL must begin with https://, not {base!r}")
    headers = {"Authorization": f"Bot {token}", "User-Agent": "DiscordBot (discordha, 1)"}
    # The scheme is checked above.
    request = urllib.request.Request(base + path, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # nosec B310
        return json.load(answer), answer.headers.get("Date")


def _token(token: str, environ: Mapping[str, str]) -> list[Result]:
    user, date = _get(environ, "/users/@me", token)
    results = [Result("Discord token", "ok", f"{user.get('username')} ({user.get('id')})")]
    if date is not None:
        off = time.time() - parsedate_to_datetime(date).timestamp()
        outcome = "ok" if abs(off) < 60 else "warn"
        results.append(Result("clock", outcome, f"{off:+.0f} s against Discord's (only logs depend on it)"))
    return results


def _intents(token: str, environ: Mapping[str, str]) -> list[Result]:
    about, _ = _get(environ, "/oauth2/applications/@me", token)
    flags = int(about.get("flags") or 0)
    allowed = [name for name, bits in _PRIVILEGED.items() if flags & bits]
    text = f"allowed: {', '.join(allowed) or 'none'}"
    wanted = environ.get("DISCORDHA_INTENTS")
    if not wanted:
        return [Result("privileged intents", "ok", f"{text}; DISCORDHA_INTENTS does not say which it needs")]
    config = Config.from_env({"BOT_TOKEN": token, "DISCORDHA_INTENTS": wanted, "DISCORDHA_HA": "false"})
    missing = [name for name in _PRIVILEGED if getattr(config.intents, name) and name not in allowed]
    if missing:
        detail = f"{', '.join(missing)} must be switched on in the developer portal, page 'Bot'; {text}"
        return [Result("privileged intents", "fail", detail)]
    return [Result("privileged intents", "ok", text)]


def _budget(token: str, environ: Mapping[str, str]) -> list[Result]:
    gateway, _ = _get(environ, "/gateway/bot", token)
    limit = gateway["session_start_limit"]
    left, total = int(limit["remaining"]), int(limit["total"])
    outcome = "fail" if not left else "ok" if left > total / 10 else "warn"
    hours = int(limit.get("reset_after") or 0) / 3_600_000
    detail = f"{left} of {total} new sessions left for {hours:.0f} h; {gateway['shards']} shards recommended"
    return [Result("session budget", outcome, detail)]
